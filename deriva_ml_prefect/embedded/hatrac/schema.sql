-- Names (namespaces and objects), versions of objects, and upload jobs. `path` is kept as it was sent, escapes and all.
-- A deleted name keeps its row, so it is never used again.

CREATE TABLE IF NOT EXISTS name (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES name (id),
    is_object INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    acl TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS name_parent ON name (parent, path);

-- `link` is the version that this one was renamed to: it then has no content of its own.
CREATE TABLE IF NOT EXISTS version (
    id INTEGER PRIMARY KEY,
    name INTEGER NOT NULL REFERENCES name (id),
    version TEXT NOT NULL,
    content TEXT,
    length INTEGER NOT NULL,
    md5 BLOB,
    sha256 BLOB,
    metadata TEXT NOT NULL,
    acl TEXT NOT NULL,
    link INTEGER REFERENCES version (id),
    is_deleted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (name, version)
);

CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL UNIQUE,
    name INTEGER NOT NULL REFERENCES name (id),
    chunk_length INTEGER NOT NULL,
    content_length INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    owner TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS job_name ON job (name);

CREATE TABLE IF NOT EXISTS chunk (
    job INTEGER NOT NULL REFERENCES job (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;

-- Content whose last mention was deleted in the same transaction; the file is removed right after, or at the next start.
CREATE TABLE IF NOT EXISTS garbage (content TEXT PRIMARY KEY) WITHOUT ROWID;
