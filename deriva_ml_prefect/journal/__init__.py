"""The local store of what happened and what is still to be sent: one SQLite file for each catalog's workspace.

Entry points: `store.open_journal`, then the functions of `executions`, `files`, `features`, `effects`, `inputs`,
`flow_runs`, each over an open Journal; `manifest` (the JSON mirror of the registered files) and
`ownership` (who may write).

Every write is durable before its function returns (WAL, synchronous=FULL; on network file systems a rollback journal
with synchronous=EXTRA). The SQL stands in `schema.sql` and `queries.sql` under names. The journal knows nothing of
catalogs: RIDs are keys here, and values go in and out as text, numbers and JSON.
"""
