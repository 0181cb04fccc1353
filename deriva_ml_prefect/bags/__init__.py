"""Datasets as bags: exported at a snapshot, fetched and verified, kept in a cache, read without a catalog.

Entry points: `download.download_bag` (a dataset version as a bag on this machine, once), `export.export_dataset` (an
unmaterialised bag out of a snapshot), `materialize.materialize_bag` (fetch what `fetch.txt` names), `verify.verify_bag`
(every checksum, nothing more and nothing less), `read.open_bag` (tables, members, children, features, offline),
`layout` (where everything lies, and why).

`walk` decides which rows belong to a dataset, `tables` writes and reads them as CSV, `manifest` the tag files.

A bag is never trusted: paths that leave it, `file:` addresses, missing manifests and extra files are named errors. This
room knows no journal and no Prefect, and it writes nowhere but into the folder that it is given and the cache.
"""
