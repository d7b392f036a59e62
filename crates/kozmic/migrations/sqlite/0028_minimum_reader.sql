-- The oldest Kozmic that may still work on this schema: the number of its newest migration.
-- One row. A migration that takes something away from older ones raises it:
-- UPDATE minimum_reader SET migration = 31;
-- None before this one looks here.
CREATE TABLE minimum_reader (
    migration BIGINT NOT NULL
);
INSERT INTO minimum_reader (migration) VALUES (28);
