-- compatible-with: 002
-- The oldest version that may use this schema, by the newest migration that it knows. A server that runs while a newer
-- one migrates finds out here, in the row that it reads first in every transaction.
ALTER TABLE head ADD COLUMN oldest integer NOT NULL DEFAULT 0;

-- The servers on this store. Whoever joins, leaves or is expelled raises `head.generation` in the same transaction, which
-- locks `head` as every writing transaction does: nobody is expelled in the middle of a write. `expires` is by this
-- database's clock. `place` is where it listens: nobody else can be there before it has gone. `seen` is the generation
-- of the last view whose losses this member has stopped working on.
ALTER TABLE head ADD COLUMN generation bigint NOT NULL DEFAULT 0;

CREATE TABLE members (
    id text COLLATE "C" PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    address text NOT NULL,
    place text NOT NULL DEFAULT '',
    since timestamptz NOT NULL,
    expires timestamptz NOT NULL,
    takes_shares boolean NOT NULL,
    seen bigint NOT NULL DEFAULT 0
);

-- What members tell each other. `posted` counts each member's own batches, which are committed one after the other: who
-- has read up to one of them has missed none. A value that is NULL was taken down. A crash of the database empties this.
CREATE UNLOGGED TABLE bulletin (
    member text COLLATE "C" NOT NULL REFERENCES members ON DELETE CASCADE,
    topic text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    posted bigint NOT NULL,
    value text,
    PRIMARY KEY (member, topic, key)
);
CREATE INDEX bulletin_by_posted ON bulletin (member, posted);
