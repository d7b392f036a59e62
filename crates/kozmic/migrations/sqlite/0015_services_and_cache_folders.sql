-- What ran beside jobs, and what outlives them.

-- What a service of a job wrote; gone with the job's log.
CREATE TABLE service_logs (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name TEXT NOT NULL, -- its host name
    image TEXT NOT NULL,
    ended TEXT, -- how it ended by itself; none: with its job
    size BIGINT NOT NULL,
    object TEXT NOT NULL, -- where its bytes are
    PRIMARY KEY (job_id, name)
);

-- When an image was a service's last.
CREATE TABLE service_images (
    image TEXT NOT NULL PRIMARY KEY,
    used_at BIGINT NOT NULL
);

-- A volume of an engine, which one job at a time has.
CREATE TABLE cache_folders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    engine TEXT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    hook_id BIGINT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    job_title TEXT NOT NULL, -- of the jobs that it is for
    name TEXT NOT NULL,
    pull_request BIGINT NOT NULL, -- from a fork; 0: of the project's own builds
    volume TEXT NOT NULL,
    job_uuid TEXT, -- who has it, or had it last
    attempt BIGINT,
    bytes BIGINT, -- after its last job
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    UNIQUE (engine, volume)
);
CREATE INDEX cache_folders_by_hook ON cache_folders (hook_id);
CREATE INDEX cache_folders_by_project ON cache_folders (project_id);
