-- Several processes tell GitHub: who sends a report now, and until when it is theirs.
ALTER TABLE outbox ADD COLUMN claimed_by TEXT;
ALTER TABLE outbox ADD COLUMN claimed_until BIGINT NOT NULL DEFAULT 0;

-- The worker that has, or had, the last attempt: its disk holds the log until that is archived.
ALTER TABLE jobs ADD COLUMN worker TEXT;

-- What only one process does at a time, and until when it is theirs.
CREATE TABLE turns (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
