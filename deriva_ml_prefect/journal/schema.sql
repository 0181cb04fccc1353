-- The journal of one workspace. The version of this schema is PRAGMA user_version.

CREATE TABLE execution_state__executions (
    rid            TEXT PRIMARY KEY,
    address        TEXT NOT NULL,             -- JSON of values.address.Address
    workflow_rid   TEXT,
    description    TEXT NOT NULL,
    configuration  TEXT NOT NULL,             -- JSON of config.execution.ExecutionSpec, scrubbed
    registered     INTEGER NOT NULL,          -- 1 once the catalog's row is known to be there
    status         TEXT NOT NULL,
    status_detail  TEXT,
    catalog_status TEXT,                      -- last status that the catalog confirmed, as the catalog spells it
    outcome        TEXT NOT NULL,             -- unknown, completed, failed, killed
    user_code      TEXT NOT NULL,             -- idle, started, finished
    error          TEXT,
    attempt        INTEGER NOT NULL,
    supersedes     TEXT,
    superseded_by  TEXT,
    owner          TEXT,                      -- token of the process that may write
    facts          TEXT NOT NULL,             -- JSON: durations in seconds, workflow facts, messages once given
    created_at     TEXT NOT NULL,
    started_at     TEXT,
    stopped_at     TEXT,
    uploaded_at    TEXT,
    last_activity  TEXT NOT NULL
) STRICT;

CREATE TABLE execution_state__status_history (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_rid TEXT NOT NULL,
    status        TEXT NOT NULL,
    detail        TEXT,
    at            TEXT NOT NULL,
    sent          INTEGER NOT NULL
) STRICT;
CREATE INDEX status_history_unsent ON execution_state__status_history (execution_rid, sent, number);

CREATE TABLE execution_state__assets (
    execution_rid TEXT NOT NULL,
    key           TEXT NOT NULL,              -- <Table>/<file name>
    schema        TEXT NOT NULL,
    asset_table   TEXT NOT NULL,
    file_name     TEXT NOT NULL,
    mode          TEXT NOT NULL,              -- new, symlink, copy
    path          TEXT NOT NULL,              -- in the staging folder
    source        TEXT,                       -- file that was registered, where there was one
    asset_types   TEXT NOT NULL,              -- JSON list
    metadata      TEXT NOT NULL,              -- JSON object
    description   TEXT NOT NULL,
    status        TEXT NOT NULL,              -- pending, uploaded, failed
    length        INTEGER,                    -- bytes, md5, time and inode: set when the file is sealed
    md5           TEXT,
    modified_ns   INTEGER,
    inode         INTEGER,
    url           TEXT,
    rid           TEXT,
    error         TEXT,
    created_at    TEXT NOT NULL,
    updated_at    TEXT NOT NULL,
    PRIMARY KEY (execution_rid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX assets_status ON execution_state__assets (execution_rid, status);

CREATE TABLE execution_state__features (      -- features that an execution stages values of
    number        INTEGER PRIMARY KEY,
    execution_rid TEXT NOT NULL,
    feature_table TEXT NOT NULL,              -- <schema>.<table>
    feature_name  TEXT NOT NULL,
    target_table  TEXT NOT NULL,
    UNIQUE (execution_rid, feature_table)
) STRICT;

CREATE TABLE execution_state__feature_values (
    stage_id    INTEGER PRIMARY KEY,
    feature     INTEGER NOT NULL,
    target      TEXT NOT NULL,                -- key of the target row
    record_json TEXT NOT NULL,
    UNIQUE (feature, target)
) STRICT;

CREATE TABLE execution_state__feature_batches ( -- values staged together, which share what became of them
    feature     INTEGER NOT NULL,
    first       INTEGER NOT NULL,             -- their stage ids, both ends included
    last        INTEGER NOT NULL,
    rows        INTEGER NOT NULL,
    status      TEXT NOT NULL,                -- Pending, Uploaded, Failed
    error       TEXT,
    created_at  TEXT NOT NULL,
    uploaded_at TEXT,
    PRIMARY KEY (feature, first)
) STRICT, WITHOUT ROWID;

CREATE VIEW execution_state__feature_records AS -- each staged value with what became of it, to be looked at
SELECT v.stage_id, f.execution_rid, f.feature_table, f.feature_name, f.target_table, v.target, v.record_json,
    b.status, b.error, b.created_at, b.uploaded_at
FROM execution_state__feature_values AS v
JOIN execution_state__features AS f ON f.number = v.feature
JOIN execution_state__feature_batches AS b ON b.feature = v.feature AND b.first = (
    SELECT max(first) FROM execution_state__feature_batches WHERE feature = v.feature AND first <= v.stage_id);

CREATE TABLE execution_state__effects (
    execution_rid TEXT NOT NULL,
    key           TEXT NOT NULL,
    position      INTEGER NOT NULL,           -- values.effects.Order
    payload       TEXT NOT NULL,
    size          INTEGER NOT NULL,
    state         TEXT NOT NULL,              -- planned, delivered, failed
    attempts      INTEGER NOT NULL,
    progress      TEXT,                       -- JSON: upload job taken up again
    receipt       TEXT,
    error         TEXT,
    planned_at    TEXT NOT NULL,
    delivered_at  TEXT,
    PRIMARY KEY (execution_rid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX effects_state ON execution_state__effects (execution_rid, state);

CREATE TABLE execution_state__inputs (
    execution_rid TEXT NOT NULL,
    kind          TEXT NOT NULL,              -- dataset, asset
    rid           TEXT NOT NULL,
    facts         TEXT NOT NULL,              -- JSON: version, snapshot, path, checksum …
    PRIMARY KEY (execution_rid, kind, rid)
) STRICT, WITHOUT ROWID;

CREATE TABLE execution_state__flow_runs (
    flow_run_id   TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    execution_rid TEXT NOT NULL,
    bound_at      TEXT NOT NULL,
    PRIMARY KEY (flow_run_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE execution_state__leases (
    token   TEXT PRIMARY KEY,                 -- stored before the catalog is asked for a RID
    purpose TEXT NOT NULL UNIQUE,
    rid     TEXT,
    at      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
