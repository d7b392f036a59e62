-- What became of the install step of a job's latest attempt.
CREATE TABLE install_steps (
    job_id BIGINT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    cache_id TEXT NOT NULL,
    outcome TEXT NOT NULL, -- found, made, unfinished
    because TEXT NOT NULL,
    started_from TEXT, -- the cache id of the older image that it started from
    made_at BIGINT, -- the image
    took BIGINT -- milliseconds that making the image took
);
CREATE INDEX install_steps_by_cache_id ON install_steps (cache_id);

-- Cached images that no job may use any more: those made before.
CREATE TABLE dropped_images (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    cache_id TEXT NOT NULL,
    dropped_by TEXT NOT NULL,
    dropped_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, cache_id)
);
