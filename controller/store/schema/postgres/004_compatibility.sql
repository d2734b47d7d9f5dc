-- compatible-with: 002
-- The oldest version that may use this schema, by the newest migration that it knows. A server that runs while a newer
-- one migrates finds out here, in the row that it reads first in every transaction.
ALTER TABLE head ADD COLUMN oldest integer NOT NULL DEFAULT 0;
