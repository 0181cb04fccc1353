-- A journal of version 1, where each staged value carried what became of it, in the form of version 2.

ALTER TABLE execution_state__feature_records RENAME TO version_1_records;

DROP INDEX feature_records_target;

DROP INDEX feature_records_status;

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

INSERT INTO execution_state__features (execution_rid, feature_table, feature_name, target_table)
SELECT execution_rid, feature_table, min(feature_name), min(target_table) FROM version_1_records
GROUP BY execution_rid, feature_table;

INSERT INTO execution_state__feature_values (stage_id, feature, target, record_json)
SELECT o.stage_id, f.number, o.target, o.record_json FROM version_1_records AS o
JOIN execution_state__features AS f USING (execution_rid, feature_table);

INSERT INTO execution_state__feature_batches (feature, first, last, rows, status, error, created_at, uploaded_at)
SELECT feature, min(stage_id), max(stage_id), count(*), status, min(error), min(created_at), max(uploaded_at)
FROM (
    -- values that follow each other with the same status have the same difference of these two numbers
    SELECT f.number AS feature, o.*, row_number() OVER (PARTITION BY f.number ORDER BY o.stage_id)
        - row_number() OVER (PARTITION BY f.number, o.status ORDER BY o.stage_id) AS island
    FROM version_1_records AS o JOIN execution_state__features AS f USING (execution_rid, feature_table))
GROUP BY feature, status, island;

DROP TABLE version_1_records;
