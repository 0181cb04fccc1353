-- name: insert_execution
-- A new execution, before the catalog has its row.
INSERT INTO execution_state__executions (rid, address, workflow_rid, description, configuration, registered, status,
    status_detail, catalog_status, outcome, user_code, attempt, supersedes, facts, created_at, last_activity)
VALUES (:rid, :address, :workflow_rid, :description, :configuration, 0, :status,
    NULL, NULL, 'unknown', 'idle', :attempt, :supersedes, '{}', :now, :now)
ON CONFLICT (rid) DO NOTHING;

-- name: select_status
-- How far an execution has come.
SELECT status FROM execution_state__executions WHERE rid = :rid;

-- name: select_execution
-- One execution by RID.
SELECT * FROM execution_state__executions WHERE rid = :rid;

-- name: select_rids
-- All executions.
SELECT rid FROM execution_state__executions;

-- name: select_executions
-- All executions of the workspace, newest first.
SELECT * FROM execution_state__executions ORDER BY created_at DESC, rid DESC LIMIT :limit;

-- name: select_outlines
-- What a list shows of each execution of the workspace, newest first.
SELECT rid, address, workflow_rid, description, status, status_detail, outcome, user_code, superseded_by, created_at,
    started_at, last_activity, json_extract(configuration, '$.workflow.name') AS workflow,
    json_extract(configuration, '$.workflow.url') AS workflow_url, 
    json_extract(configuration, '$.workflow.checksum') AS workflow_checksum
FROM execution_state__executions ORDER BY created_at DESC, rid DESC;

-- name: count_waiting
-- What the executions of a JSON list have staged and not sent.
SELECT w.value AS rid,
    (SELECT count(*) FROM execution_state__assets WHERE execution_rid = w.value AND status <> 'uploaded') AS files,
    (SELECT coalesce(sum(length), 0) FROM execution_state__assets WHERE execution_rid = w.value AND status <> 'uploaded')
        AS bytes,
    (SELECT coalesce(sum(b.rows), 0) FROM execution_state__features AS f
        JOIN execution_state__feature_batches AS b ON b.feature = f.number
        WHERE f.execution_rid = w.value AND b.status <> 'Uploaded') AS features
FROM json_each(:rids) AS w;

-- name: mark_registered
-- The catalog has the row, in this status.
UPDATE execution_state__executions SET registered = 1, catalog_status = :catalog_status, last_activity = :now
WHERE rid = :rid;

-- name: write_status
-- A new status or message, under the owner's token.
UPDATE execution_state__executions
SET status = :status, status_detail = :detail, last_activity = :now,
    error = CASE WHEN :status = 'Failed' THEN :detail WHEN :status = 'Uploaded' THEN NULL ELSE error END,
    started_at = CASE WHEN :status = 'Running' AND started_at IS NULL THEN :now ELSE started_at END,
    stopped_at = CASE WHEN :status IN ('Stopped', 'Failed', 'Aborted') AND stopped_at IS NULL THEN :now ELSE stopped_at END,
    uploaded_at = CASE WHEN :status = 'Uploaded' THEN :now ELSE uploaded_at END
WHERE rid = :rid AND owner IS :owner;

-- name: append_history
-- One step of the status, not yet sent.
INSERT INTO execution_state__status_history (execution_rid, status, detail, at, sent)
VALUES (:rid, :status, :detail, :now, :sent);

-- name: select_unsent_history
-- Steps that the catalog has not confirmed, oldest first.
SELECT number, status, detail FROM execution_state__status_history
WHERE execution_rid = :rid AND sent = 0 ORDER BY number;

-- name: select_history
-- All steps of the status, oldest first.
SELECT status, detail, at FROM execution_state__status_history WHERE execution_rid = :rid ORDER BY number;

-- name: mark_history_sent
-- Steps up to this one are in the catalog.
UPDATE execution_state__status_history SET sent = 1 WHERE execution_rid = :rid AND sent = 0 AND number <= :number;

-- name: write_catalog_status
-- What the catalog confirmed.
UPDATE execution_state__executions SET catalog_status = :catalog_status, last_activity = :now WHERE rid = :rid;

-- name: adopt_status
-- The catalog's status wins.
UPDATE execution_state__executions
SET status = :status, status_detail = :detail, catalog_status = :catalog_status, last_activity = :now
WHERE rid = :rid;

-- name: mark_user_code
-- Started before the call, finished after it.
UPDATE execution_state__executions SET user_code = :user_code, outcome = :outcome, last_activity = :now WHERE rid = :rid;

-- name: merge_facts
-- Add facts to those that are there.
UPDATE execution_state__executions SET facts = json_patch(facts, :facts), last_activity = :now WHERE rid = :rid;

-- name: write_workflow
-- The workflow's row, once it is known.
UPDATE execution_state__executions SET workflow_rid = :workflow_rid, last_activity = :now WHERE rid = :rid;

-- name: write_owner
-- Take over.
UPDATE execution_state__executions SET owner = :owner, last_activity = :now WHERE rid = :rid;

-- name: select_owner
-- Whose token may write.
SELECT owner FROM execution_state__executions WHERE rid = :rid;

-- name: write_superseded
-- A later execution runs the same code again; the first that does has the checkpoints, and stays.
UPDATE execution_state__executions SET superseded_by = :superseded_by, last_activity = :now
WHERE rid = :rid AND superseded_by IS NULL;

-- name: insert_asset
-- Register a file; registering the name again replaces what was there.
INSERT INTO execution_state__assets (execution_rid, key, schema, asset_table, file_name, mode, path, source, asset_types,
    metadata, description, status, length, md5, modified_ns, inode, url, rid, error, created_at, updated_at)
VALUES (:execution_rid, :key, :schema, :asset_table, :file_name, :mode, :path, :source, :asset_types,
    :metadata, :description, 'pending', :length, :md5, :modified_ns, :inode, NULL, NULL, NULL, :now, :now)
ON CONFLICT (execution_rid, key) DO UPDATE SET mode = excluded.mode, path = excluded.path, source = excluded.source,
    asset_types = excluded.asset_types, metadata = excluded.metadata, description = excluded.description,
    status = 'pending', length = excluded.length, md5 = excluded.md5, modified_ns = excluded.modified_ns,
    inode = excluded.inode, url = NULL, rid = NULL, error = NULL, updated_at = excluded.updated_at
RETURNING created_at, updated_at;

-- name: select_seals
-- What registered files of these keys (a JSON array) were sealed with; those that were not are left out.
SELECT key, length, md5, modified_ns, inode FROM execution_state__assets
WHERE execution_rid = :execution_rid AND key IN (SELECT value FROM json_each(:keys)) AND md5 IS NOT NULL
    AND length IS NOT NULL AND modified_ns IS NOT NULL AND inode IS NOT NULL;

-- name: select_asset
-- One registered file.
SELECT * FROM execution_state__assets WHERE execution_rid = :execution_rid AND key = :key;

-- name: select_assets
-- All registered files of an execution, by key.
SELECT * FROM execution_state__assets WHERE execution_rid = :execution_rid ORDER BY key;

-- name: select_rids_of_uploaded_assets
-- Where the files that are in the catalog lie, what they were made from, and the RIDs of their rows.
SELECT path, source, rid FROM execution_state__assets
WHERE execution_rid = :execution_rid AND rid IS NOT NULL ORDER BY key;

-- name: count_assets
-- How many files are registered.
SELECT count(*) FROM execution_state__assets WHERE execution_rid = :execution_rid;

-- name: select_sources_of_assets
-- What the registered files were made from, where that is another file.
SELECT source FROM execution_state__assets WHERE execution_rid = :execution_rid AND source IS NOT NULL;

-- name: select_paths_of_type
-- Where the registered files of one type lie.
SELECT path FROM execution_state__assets
WHERE execution_rid = :execution_rid AND EXISTS (SELECT 1 FROM json_each(asset_types) WHERE value = :asset_type)
ORDER BY key;

-- name: select_unsent_assets
-- Those that are not in the catalog yet.
SELECT * FROM execution_state__assets WHERE execution_rid = :execution_rid AND status <> 'uploaded' ORDER BY key;

-- name: select_page_of_assets
-- The next registered files, by key.
SELECT * FROM execution_state__assets WHERE execution_rid = :execution_rid AND key > :after ORDER BY key LIMIT :limit;

-- name: select_page_of_unsent_assets
-- The next ones that are not in the catalog yet.
SELECT * FROM execution_state__assets WHERE execution_rid = :execution_rid AND key > :after AND status <> 'uploaded'
ORDER BY key LIMIT :limit;

-- name: select_keys_of_unsent_assets
-- Keys of the files that are not in the catalog yet.
SELECT key FROM execution_state__assets WHERE execution_rid = :execution_rid AND status <> 'uploaded';

-- name: select_paths_of_assets
-- Where the registered files lie in the staging folder.
SELECT path FROM execution_state__assets WHERE execution_rid = :execution_rid;

-- name: select_paths_of_unsealed_assets
-- Those that were never hashed.
SELECT path FROM execution_state__assets WHERE execution_rid = :execution_rid AND status <> 'uploaded' AND md5 IS NULL;

-- name: select_types_of_unsent_assets
-- The lists of asset types that they have.
SELECT DISTINCT asset_types FROM execution_state__assets WHERE execution_rid = :execution_rid AND status <> 'uploaded';

-- name: measure_waiting_assets
-- Files to be uploaded and their bytes, and those of them whose bytes are in the object store.
SELECT count(*), coalesce(sum(a.length), 0), coalesce(sum(e.state = 'delivered'), 0),
    coalesce(sum(CASE WHEN e.state = 'delivered' THEN a.length END), 0)
FROM execution_state__assets AS a LEFT JOIN execution_state__effects AS e
    ON e.execution_rid = a.execution_rid AND e.key = 'bytes/' || a.key
WHERE a.execution_rid = :execution_rid AND a.status NOT IN ('uploaded', 'wanting');

-- name: count_unsent_assets
-- How many are not in the catalog yet.
SELECT count(*) FROM execution_state__assets WHERE execution_rid = :execution_rid AND status <> 'uploaded';

-- name: write_asset_description
-- Metadata columns, types and description, changed after registration; what was uploaded is pending again.
UPDATE execution_state__assets SET metadata = :metadata, asset_types = :asset_types, description = :description,
    updated_at = :now WHERE execution_rid = :execution_rid AND key = :key;

-- name: seal_asset
-- The bytes are final: length, checksum, and what tells a later change.
UPDATE execution_state__assets SET length = :length, md5 = :md5, modified_ns = :modified_ns, inode = :inode,
    updated_at = :now WHERE execution_rid = :execution_rid AND key = :key;

-- name: mark_asset_uploaded
-- Bytes, row and associations are in the catalog.
UPDATE execution_state__assets SET status = 'uploaded', url = :url, rid = :rid, error = NULL, updated_at = :now
WHERE execution_rid = :execution_rid AND key = :key;

-- name: write_asset_problem
-- It was not delivered, or cannot be, for this reason.
UPDATE execution_state__assets SET status = :status, error = :error, updated_at = :now
WHERE execution_rid = :execution_rid AND key = :key AND status <> 'uploaded';

-- name: clear_wanting
-- What could not be uploaded as it was is looked at anew.
UPDATE execution_state__assets SET status = 'pending', error = NULL
WHERE execution_rid = :execution_rid AND status = 'wanting';

-- name: delete_asset
-- The file is not to be uploaded after all.
DELETE FROM execution_state__assets WHERE execution_rid = :execution_rid AND key = :key AND status <> 'uploaded';

-- name: insert_feature
-- A feature that values are staged of.
INSERT INTO execution_state__features (execution_rid, feature_table, feature_name, target_table)
VALUES (:execution_rid, :feature_table, :feature_name, :target_table)
ON CONFLICT (execution_rid, feature_table) DO NOTHING;

-- name: select_feature
-- Its number.
SELECT number FROM execution_state__features WHERE execution_rid = :execution_rid AND feature_table = :feature_table;

-- name: insert_feature_value
-- Stage one value (feature, target, record); what is staged for the target already stays. There may be very many:
-- words without names are bound faster.
INSERT INTO execution_state__feature_values (feature, target, record_json) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING;

-- name: select_last_feature_value
-- The stage id that was given last.
SELECT coalesce(max(stage_id), 0) FROM execution_state__feature_values;

-- name: select_feature_value
-- What is staged for a target.
SELECT record_json FROM execution_state__feature_values WHERE feature = :feature AND target = :target;

-- name: insert_feature_batch
-- Values that were staged together.
INSERT INTO execution_state__feature_batches (feature, first, last, rows, status, created_at)
VALUES (:feature, :first, :last, :rows, 'Pending', :now);

-- name: select_unsent_targets
-- Targets of one feature's values that are not in the catalog.
SELECT target FROM execution_state__feature_records
WHERE execution_rid = :execution_rid AND feature_table = :feature_table AND status <> 'Uploaded';

-- name: delete_feature
-- Forget a staged value that is not in the catalog.
DELETE FROM execution_state__feature_values WHERE stage_id IN (SELECT stage_id FROM execution_state__feature_records
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table AND target = :target
    AND status <> 'Uploaded');

-- name: recount_feature_batches
-- The batches of a feature know how many values they have.
UPDATE execution_state__feature_batches SET rows = (SELECT count(*) FROM execution_state__feature_values AS v
    WHERE v.feature = execution_state__feature_batches.feature AND v.stage_id BETWEEN first AND last)
WHERE status <> 'Uploaded' AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: delete_empty_feature_batches
-- Batches of which no value is left.
DELETE FROM execution_state__feature_batches WHERE rows = 0 AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: count_features
-- How many staged values are not in the catalog.
SELECT coalesce(sum(b.rows), 0) FROM execution_state__feature_batches AS b
JOIN execution_state__features AS f ON f.number = b.feature
WHERE f.execution_rid = :execution_rid AND b.status <> 'Uploaded';

-- name: summarize_features
-- Staged values by feature and status.
SELECT f.feature_table, f.feature_name, f.target_table, b.status, sum(b.rows) AS rows
FROM execution_state__feature_batches AS b JOIN execution_state__features AS f ON f.number = b.feature
WHERE f.execution_rid = :execution_rid GROUP BY f.number, b.status ORDER BY f.feature_table, b.status;

-- name: select_unsent_batches
-- What of one feature is not in the catalog, in the order of staging.
SELECT b.first, b.last, b.rows FROM execution_state__feature_batches AS b
JOIN execution_state__features AS f ON f.number = b.feature
WHERE f.execution_rid = :execution_rid AND f.feature_table = :feature_table AND b.status <> 'Uploaded'
ORDER BY b.first;

-- name: select_feature_range
-- The values between two stage ids, as one list: a text is read faster than its rows.
SELECT '[' || coalesce(group_concat(record_json), '') || ']' FROM (
    SELECT record_json FROM execution_state__feature_values
    WHERE stage_id BETWEEN :first AND :last AND feature = (SELECT number FROM execution_state__features
        WHERE execution_rid = :execution_rid AND feature_table = :feature_table)
    ORDER BY stage_id);

-- name: select_features_of_targets
-- Staged values of one feature for some targets (a JSON list), each with the status of its batch.
SELECT v.stage_id, v.target, v.record_json, (SELECT b.status FROM execution_state__feature_batches AS b
    WHERE b.feature = v.feature AND b.first <= v.stage_id ORDER BY b.first DESC LIMIT 1) AS status
FROM json_each(:targets) AS t CROSS JOIN execution_state__feature_values AS v -- one look-up a target, in this order
ON v.target = t.value AND v.feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: select_sent_batches
-- What of one feature is in the catalog, in the order of staging.
SELECT b.first, b.last, b.rows FROM execution_state__feature_batches AS b
JOIN execution_state__features AS f ON f.number = b.feature
WHERE f.execution_rid = :execution_rid AND f.feature_table = :feature_table AND b.status = 'Uploaded'
ORDER BY b.first;

-- name: select_features_of_batch
-- The values of one batch, each with its target.
SELECT stage_id, target, record_json, 'Uploaded' AS status FROM execution_state__feature_values
WHERE stage_id BETWEEN :first AND :last AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table)
ORDER BY stage_id;

-- name: select_feature_span
-- First and last stage id of the values of one feature.
SELECT min(b.first) AS first, max(b.last) AS last FROM execution_state__feature_batches AS b
JOIN execution_state__features AS f ON f.number = b.feature
WHERE f.execution_rid = :execution_rid AND f.feature_table = :feature_table;

-- name: select_middle_feature_value
-- Stage id and target of the n-th value between two stage ids, counted from 0.
SELECT stage_id, target FROM execution_state__feature_values
WHERE stage_id BETWEEN :first AND :last AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table)
ORDER BY stage_id LIMIT 1 OFFSET :skipped;

-- name: add_cut_feature_batch
-- The part of a batch from a stage id on is to be a batch of its own.
INSERT INTO execution_state__feature_batches (feature, first, last, rows, status, error, created_at)
SELECT feature, :middle, last, rows, status, error, created_at FROM execution_state__feature_batches
WHERE first < :middle AND last >= :middle AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: shorten_cut_feature_batch
-- And no longer of the one that it was in.
UPDATE execution_state__feature_batches SET last = :middle - 1
WHERE first < :middle AND last >= :middle AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: recount_cut_feature_batches
-- The two parts know how many values they have.
UPDATE execution_state__feature_batches SET rows = (SELECT count(*) FROM execution_state__feature_values AS v
    WHERE v.feature = execution_state__feature_batches.feature AND v.stage_id BETWEEN first AND last)
WHERE (first = :middle OR last = :middle - 1) AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: mark_features_uploaded
-- The values between two stage ids are in the catalog.
UPDATE execution_state__feature_batches SET status = 'Uploaded', error = NULL, uploaded_at = :now
WHERE first >= :first AND last <= :last AND feature = (SELECT number FROM execution_state__features
    WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: mark_features_failed
-- They were refused, and stay staged.
UPDATE execution_state__feature_batches SET status = 'Failed', error = :error
WHERE first >= :first AND last <= :last AND status <> 'Uploaded'
    AND feature = (SELECT number FROM execution_state__features
        WHERE execution_rid = :execution_rid AND feature_table = :feature_table);

-- name: insert_effect
-- Plan an effect; planning the same again keeps what is known of it, unless its payload changed.
INSERT INTO execution_state__effects (execution_rid, key, position, payload, size, state, attempts, planned_at)
VALUES (:execution_rid, :key, :position, :payload, :size, 'planned', 0, :now)
ON CONFLICT (execution_rid, key) DO UPDATE SET payload = excluded.payload, size = excluded.size, state = 'planned',
    progress = NULL, receipt = NULL, error = NULL, planned_at = excluded.planned_at
WHERE execution_state__effects.payload <> excluded.payload;

-- name: select_effect
-- One effect with its state and receipt.
SELECT * FROM execution_state__effects WHERE execution_rid = :execution_rid AND key = :key;

-- name: select_undelivered_effects
-- Effects that have no receipt, in order.
SELECT * FROM execution_state__effects WHERE execution_rid = :execution_rid AND state <> 'delivered'
ORDER BY position, key;

-- name: select_delivered_keys
-- Effects of one kind that have a receipt, in order.
SELECT key FROM execution_state__effects
WHERE execution_rid = :execution_rid AND state = 'delivered' AND position = :position ORDER BY key;

-- name: select_bytes_without_row
-- Receipts of bytes whose row is not in the catalog yet.
SELECT e.* FROM execution_state__effects AS e JOIN execution_state__assets AS a
ON a.execution_rid = e.execution_rid AND e.key = 'bytes/' || a.key
WHERE e.execution_rid = :execution_rid AND e.state = 'delivered' AND e.position = 1 AND a.status <> 'uploaded'
ORDER BY e.key;

-- name: drop_undelivered_rows
-- Rows that were planned and not delivered: what is still wanted of them is planned anew.
DELETE FROM execution_state__effects WHERE execution_rid = :execution_rid AND state <> 'delivered' AND position > :position;

-- name: drop_effect
-- A planned effect that is replaced by others.
DELETE FROM execution_state__effects WHERE execution_rid = :execution_rid AND key = :key AND state <> 'delivered';

-- name: write_effect_progress
-- Where to take an effect up again.
UPDATE execution_state__effects SET progress = :progress WHERE execution_rid = :execution_rid AND key = :key;

-- name: mark_effect_delivered
-- The receipt.
UPDATE execution_state__effects SET state = 'delivered', receipt = :receipt, error = NULL, delivered_at = :now,
    attempts = attempts + 1 WHERE execution_rid = :execution_rid AND key = :key;

-- name: mark_effect_failed
-- Not delivered this time.
UPDATE execution_state__effects SET state = 'failed', error = :error, attempts = attempts + 1
WHERE execution_rid = :execution_rid AND key = :key AND state <> 'delivered';

-- name: count_effects
-- Effects by state.
SELECT state, count(*) AS effects, sum(size) AS bytes FROM execution_state__effects
WHERE execution_rid = :execution_rid GROUP BY state;

-- name: upsert_input
-- A dataset or an asset that the execution reads.
INSERT INTO execution_state__inputs (execution_rid, kind, rid, facts) VALUES (:execution_rid, :kind, :rid, :facts)
ON CONFLICT (execution_rid, kind, rid) DO UPDATE SET facts = json_patch(execution_state__inputs.facts, excluded.facts);

-- name: select_inputs
-- What the execution reads.
SELECT kind, rid, facts FROM execution_state__inputs WHERE execution_rid = :execution_rid ORDER BY kind, rid;

-- name: select_input_assets
-- Every single asset that an execution of the workspace has read.
SELECT execution_rid, rid, json_extract(facts, '$.md5') AS md5 FROM execution_state__inputs WHERE kind = 'asset';

-- name: bind_flow_run
-- The execution that an attempt of a flow run works on.
INSERT INTO execution_state__flow_runs (flow_run_id, attempt, execution_rid, bound_at)
VALUES (:flow_run_id, :attempt, :execution_rid, :now) ON CONFLICT DO NOTHING;

-- name: select_flow_run
-- Executions of a flow run, first attempt first.
SELECT attempt, execution_rid FROM execution_state__flow_runs WHERE flow_run_id = :flow_run_id ORDER BY attempt;

-- name: select_flow_runs
-- All flow runs, the one that was begun last first.
SELECT flow_run_id FROM execution_state__flow_runs GROUP BY flow_run_id ORDER BY max(bound_at) DESC;

-- name: select_flow_runs_of
-- The flow runs of an execution: the one that began it, and those that went on with its upload.
SELECT flow_run_id FROM execution_state__flow_runs WHERE execution_rid = :execution_rid ORDER BY bound_at;

-- name: select_left
-- Executions that flow runs have begun, whose code has finished and whose outputs wait, with those runs; the newest first.
SELECT e.rid, f.flow_run_id FROM execution_state__executions AS e
JOIN execution_state__flow_runs AS f ON f.execution_rid = e.rid
WHERE e.user_code = 'finished' AND e.status IN ('Stopped', 'Failed', 'Pending_Upload')
ORDER BY e.created_at DESC, e.rid DESC, f.bound_at;

-- name: insert_lease
-- The token, before the catalog is asked.
INSERT INTO execution_state__leases (token, purpose, at) VALUES (:token, :purpose, :now) ON CONFLICT (purpose) DO NOTHING;

-- name: select_lease
-- Token and, once known, RID for a purpose.
SELECT token, rid FROM execution_state__leases WHERE purpose = :purpose;

-- name: write_lease
-- The RID that the catalog leased for the token.
UPDATE execution_state__leases SET rid = :rid WHERE token = :token;

-- name: drop_lease
-- The purpose is done with.
DELETE FROM execution_state__leases WHERE purpose = :purpose;
