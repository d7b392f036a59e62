-- Which jobs may run now, and who could take them.

-- The hook's title as the job was made: a job of a variant has a title of its own.
ALTER TABLE jobs ADD COLUMN hook_title TEXT NOT NULL DEFAULT '';
-- Where its variant stands among the hook's.
ALTER TABLE jobs ADD COLUMN place BIGINT NOT NULL DEFAULT 0;
-- Where it queues: `project:label,label`. Who may take the first of a line may take all.
ALTER TABLE jobs ADD COLUMN line TEXT NOT NULL DEFAULT '';
-- It waits for an approval or for other jobs, and no worker may take it.
ALTER TABLE jobs ADD COLUMN is_held BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET hook_title = title,
    line = (SELECT CAST(builds.project_id AS TEXT) FROM builds WHERE builds.id = jobs.build_id) || ':',
    is_held = CASE WHEN status = 'enqueued' AND EXISTS (
        SELECT 1 FROM builds WHERE builds.id = jobs.build_id AND builds.approval = 'awaited'
    ) THEN 1 ELSE 0 END;
CREATE INDEX jobs_ready ON jobs (line, id) WHERE status = 'enqueued' AND is_held = 0;

ALTER TABLE projects ADD COLUMN jobs_at_once BIGINT; -- none: as many as the workers take

-- Workers that run, as they say themselves from time to time.
CREATE TABLE workers (
    name TEXT NOT NULL PRIMARY KEY,
    labels TEXT NOT NULL, -- with commas between them
    concurrency BIGINT NOT NULL,
    trouble TEXT, -- why it takes no job
    seen_at BIGINT NOT NULL
);
