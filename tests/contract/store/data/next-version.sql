-- compatible-with: 002
-- What a next version may do while this one runs: add columns that have a default, tables, and indexes.
ALTER TABLE head ADD COLUMN hint text;
ALTER TABLE objects ADD COLUMN shard integer NOT NULL DEFAULT 0;
ALTER TABLE history ADD COLUMN author text;
ALTER TABLE logs ADD COLUMN compressed boolean NOT NULL DEFAULT false;
ALTER TABLE output ADD COLUMN checksum bytea;
ALTER TABLE members ADD COLUMN zone text;
CREATE INDEX history_by_author ON history (author);
CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entry text NOT NULL);
