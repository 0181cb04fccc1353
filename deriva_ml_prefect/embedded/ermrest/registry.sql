-- All catalogs and aliases of one data folder. A catalog's file is named by its serial; a deleted id stays taken.
CREATE TABLE IF NOT EXISTS catalog (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    is_alias INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL,        -- JSON list of roles; for an alias, who may change it
    metadata TEXT NOT NULL,     -- JSON object: is_persistent, name, description, clone_source, alias_target
    created TEXT NOT NULL,
    deleted TEXT
);
