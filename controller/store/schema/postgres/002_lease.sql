-- compatible-with: 002
-- Who serves. Taking the lease raises the epoch; a write under an older epoch is refused. It is in `head` because every
-- writing transaction locks that row anyway: nobody can take the lease in the middle of one. It is free when `expires`
-- is NULL or past by this database's clock.
ALTER TABLE head
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN holder text,
    ADD COLUMN since timestamptz,
    ADD COLUMN expires timestamptz;
