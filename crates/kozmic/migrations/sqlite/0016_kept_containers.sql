-- Containers of failed jobs that are kept for a while, so that people can look into them.
CREATE TABLE kept_containers (
    job_id BIGINT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    engine TEXT NOT NULL, -- that has it
    container TEXT NOT NULL, -- its id there
    kept_at BIGINT NOT NULL,
    kept_until BIGINT NOT NULL,
    held_until BIGINT NOT NULL DEFAULT 0, -- somebody uses it; renewed as long as they do
    gone_because TEXT -- why it was removed; none: it was not
);
-- Who looked into them.
CREATE TABLE kept_openings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    what TEXT NOT NULL, -- shell, pull
    by_login TEXT NOT NULL,
    opened_at BIGINT NOT NULL
);
CREATE INDEX kept_openings_by_job ON kept_openings (job_id);
