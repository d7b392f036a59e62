-- Projects take turns, and a hook's jobs have a priority.

-- Whose job it is: its build's.
ALTER TABLE jobs ADD COLUMN queue_project BIGINT NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';
-- Where it stands among those of its project: less goes first.
ALTER TABLE jobs ADD COLUMN queue_rank BIGINT NOT NULL DEFAULT 0;
UPDATE jobs SET queue_rank = created_at,
    queue_project = (SELECT builds.project_id FROM builds WHERE builds.id = jobs.build_id);

DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (line, queue_rank, id) WHERE status = 'enqueued' AND is_held = 0;
-- How many of a project run, and when one was started last.
CREATE INDEX jobs_running_of_project ON jobs (queue_project) WHERE status = 'pending';
CREATE INDEX jobs_started ON jobs (queue_project, started_at) WHERE started_at IS NOT NULL;

-- Of a job that an older program makes, which runs on beside this one for a while.
CREATE TRIGGER job_queues AFTER INSERT ON jobs WHEN NEW.queue_project = 0
BEGIN
    UPDATE jobs SET queue_rank = NEW.created_at,
        queue_project = (SELECT builds.project_id FROM builds WHERE builds.id = NEW.build_id)
    WHERE id = NEW.id;
END;
