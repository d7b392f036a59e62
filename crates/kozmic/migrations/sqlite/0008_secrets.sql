-- Who set it last: a login, or what else it came by.
ALTER TABLE secrets ADD COLUMN updated_by TEXT NOT NULL DEFAULT '';

-- That secrets were changed, and by whom; never to what.
CREATE TABLE secret_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    hook_title TEXT, -- none: for all hooks
    name TEXT NOT NULL,
    action TEXT NOT NULL, -- added, changed, removed
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);
CREATE INDEX secret_changes_by_project ON secret_changes (project_id);

-- What a running job was given, so that whoever goes on with it hides the same; removed
-- when it does not run any more.
CREATE TABLE job_secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id BIGINT NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
    value BLOB NOT NULL -- sealed: names and values as JSON
);
