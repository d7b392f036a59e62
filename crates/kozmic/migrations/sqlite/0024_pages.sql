-- What pages ask of a million builds.

-- With all that a history can be filtered by, so that what does not fit is passed over in
-- the index.
DROP INDEX builds_by_ref;
DROP INDEX builds_by_author;
DROP INDEX builds_by_status;
CREATE INDEX builds_by_ref ON builds (project_id, gh_commit_ref, number, status, gh_commit_author);
CREATE INDEX builds_by_author ON builds (project_id, gh_commit_author, number, status);
CREATE INDEX builds_by_status ON builds (project_id, status, number, gh_commit_ref, gh_commit_author);

-- Builds that speak for their commit: the latest one is what badges and links are about, however
-- many were made by the clock or tried since.
CREATE INDEX builds_speaking ON builds (project_id, number)
    WHERE is_partial = 0 AND triggered_by <> 'try';
CREATE INDEX builds_speaking_by_ref ON builds (project_id, gh_commit_ref, number)
    WHERE is_partial = 0 AND triggered_by <> 'try';

-- What runs, in the order of the queue; whose log was removed lately; whose jobs at once are limited.
CREATE INDEX jobs_running ON jobs (id) WHERE status = 'pending';
CREATE INDEX jobs_by_log_removal ON jobs (log_removed_at) WHERE log_removed_at IS NOT NULL;
CREATE INDEX projects_limited ON projects (id) WHERE jobs_at_once IS NOT NULL;

-- What is still to be reported of a project, however much was.
CREATE INDEX outbox_due_by_project ON outbox (project_id, next_attempt_at) WHERE version > sent_version;
