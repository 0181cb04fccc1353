-- The tables of one catalog's file that are not the user's: its clock, its model through time, and its sequences.
CREATE TABLE IF NOT EXISTS catalog_state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    micros INTEGER NOT NULL,            -- time of the last change, of data or model
    rid_serial INTEGER NOT NULL,        -- last RID given out, as a number
    physical_serial INTEGER NOT NULL,   -- last number given to a SQLite table or column
    amended INTEGER                     -- time of the last amendment of the past; null: none
);
INSERT OR IGNORE INTO catalog_state VALUES (1, 0, 0, 0, NULL);
-- Every transaction that changed something; a snapshot is read at the latest one that is not later than it.
CREATE TABLE IF NOT EXISTS revision (micros INTEGER PRIMARY KEY);
-- How many former versions of rows each of them has put into the history, by which `check` knows that none is missing.
CREATE TABLE IF NOT EXISTS former_rows (micros INTEGER PRIMARY KEY, count INTEGER NOT NULL);
-- Times at which the model changed.
CREATE TABLE IF NOT EXISTS model_version (micros INTEGER PRIMARY KEY);
-- Parts of the model (the catalog itself, a schema, a table with all that belongs to it), each as JSON with the time
-- that it was valid: from `since` until before `until`, or still.
CREATE TABLE IF NOT EXISTS model_part (
    kind TEXT NOT NULL,
    rid TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (kind, rid, since)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS model_part_now ON model_part (kind, rid) WHERE until IS NULL;
-- Sequences of serial2, serial4 and serial8 columns, by their SQLite name.
CREATE TABLE IF NOT EXISTS column_serial (physical TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
