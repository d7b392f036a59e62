-- What Kozmic has put on disks, as far as the disks themselves don't tell.

-- Images that Kozmic pulled under a name that was free: nobody else's.
CREATE TABLE pulled_images (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    engine TEXT NOT NULL, -- which engine has it
    image_id TEXT NOT NULL,
    name TEXT NOT NULL, -- under which it was pulled; it may have moved on since
    pulled_at BIGINT NOT NULL,
    UNIQUE (engine, image_id, name)
);

-- When the log was removed to make room.
ALTER TABLE jobs ADD COLUMN log_removed_at BIGINT;
CREATE INDEX jobs_by_image ON jobs (docker_image, started_at);
CREATE INDEX jobs_with_log ON jobs (finished_at) WHERE log_removed_at IS NULL;
