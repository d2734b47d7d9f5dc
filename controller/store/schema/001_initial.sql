-- compatible-with: 001
-- Facts about the file itself: `uid` names its history, `compacted` is the revision up to which history was dropped.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

-- The objects as they are. `schema` is the shape that the body was written in.
CREATE TABLE objects (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    schema INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, name)
);

-- What has changed lately, one row a revision, without gaps. `at` is in microseconds since 1970.
CREATE TABLE history (
    revision INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    announce TEXT,
    schema INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- One row for each command that has output, with the bytes of both streams. The command is NULL once it is deleted;
-- the rows of its output go later, a few at a time.
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    command TEXT UNIQUE,
    stdout INTEGER NOT NULL,
    stderr INTEGER NOT NULL
);

-- Output in the order in which it was read. `position` counts the bytes of both streams, `start` those of its own.
CREATE TABLE output (
    log INTEGER NOT NULL,
    position INTEGER NOT NULL,
    stream TEXT NOT NULL,
    start INTEGER NOT NULL,
    at INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX output_in_read_order ON output (log, position);
CREATE UNIQUE INDEX output_by_stream ON output (log, stream, start);
