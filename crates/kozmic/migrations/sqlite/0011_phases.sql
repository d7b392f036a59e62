-- The parts of a job, and when: each attempt has its own.
CREATE TABLE phases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    phase TEXT NOT NULL, -- queue, fetch, image, install, build
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    is_interrupted BIGINT NOT NULL DEFAULT 0 -- its attempt was given up
);
CREATE INDEX phases_by_job ON phases (job_id);
