-- compatible-with: 001
-- One row. Every writing transaction locks it first and moves it last, so revisions become visible in their order:
-- a number that was taken is committed, or nobody has ever seen it, before the next one is given out.
CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    uid text NOT NULL,
    -- The newest revision, and the one up to which history was dropped.
    revision bigint NOT NULL DEFAULT 0,
    compacted bigint NOT NULL DEFAULT 0,
    -- Counts transactions that stored output, which makes no revision.
    appended bigint NOT NULL DEFAULT 0,
    -- Bytes of all bodies that ever were in the history.
    bytes bigint NOT NULL DEFAULT 0
);

-- The last batch that each running server has committed: how it learns what became of a commit without an answer.
CREATE TABLE commits (
    server uuid PRIMARY KEY,
    batch bigint NOT NULL,
    at timestamptz NOT NULL
);

-- The objects as they are. `schema` is the shape that the body was written in.
CREATE TABLE objects (
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    schema integer NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (kind, name)
);

-- What has changed lately, one row a revision, without gaps. `bytes` is what `head.bytes` was then.
CREATE TABLE history (
    revision bigint PRIMARY KEY,
    type text NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    announce text,
    schema integer NOT NULL,
    bytes bigint NOT NULL,
    body bytea NOT NULL
) PARTITION BY RANGE (revision);

-- One row for each command that has output, with the bytes of both streams, and `head.appended` of its last output.
-- The command is NULL once it is deleted; its output goes later, with its partition.
CREATE TABLE logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command text COLLATE "C" UNIQUE,
    stdout bigint NOT NULL,
    stderr bigint NOT NULL,
    changed bigint NOT NULL
);
CREATE INDEX logs_by_change ON logs (changed);

-- Output in the order in which it was read. `position` counts the bytes of both streams, `start` those of its own.
CREATE TABLE output (
    log bigint NOT NULL,
    position bigint NOT NULL,
    stream text NOT NULL,
    start bigint NOT NULL,
    at timestamptz NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (log, position)
) PARTITION BY RANGE (log);
CREATE UNIQUE INDEX output_by_stream ON output (log, stream, start);
