-- The whole vocabulary. The same tables, columns and names stand in
-- migrations/postgres; a test compares the two. Times are milliseconds since
-- 1970 in UTC, flags are 0 or 1, sealed values carry their key's id.

-- One row: which installation this is. Containers and volumes carry it, so
-- that none is ever taken for another installation's.
CREATE TABLE installation (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    instance TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    gh_id BIGINT NOT NULL UNIQUE,
    gh_login TEXT NOT NULL UNIQUE,
    gh_name TEXT NOT NULL,
    gh_avatar_url TEXT,
    gh_access_token BLOB, -- sealed
    email TEXT,
    repos_last_synchronized_at BIGINT,
    created_at BIGINT NOT NULL
);

-- Kept per user: two people of one organization may administer different repositories.
CREATE TABLE organizations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    gh_id BIGINT NOT NULL,
    gh_login TEXT NOT NULL,
    gh_name TEXT NOT NULL,
    UNIQUE (user_id, gh_id)
);

CREATE TABLE user_repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    gh_id BIGINT NOT NULL,
    gh_name TEXT NOT NULL,
    gh_full_name TEXT NOT NULL,
    gh_ssh_clone_url TEXT NOT NULL,
    gh_https_clone_url TEXT NOT NULL,
    is_public BIGINT NOT NULL,
    is_archived BIGINT NOT NULL,
    UNIQUE (user_id, gh_id)
);

CREATE TABLE organization_repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id BIGINT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    gh_id BIGINT NOT NULL,
    gh_name TEXT NOT NULL,
    gh_full_name TEXT NOT NULL,
    gh_ssh_clone_url TEXT NOT NULL,
    gh_https_clone_url TEXT NOT NULL,
    is_public BIGINT NOT NULL,
    is_archived BIGINT NOT NULL,
    UNIQUE (organization_id, gh_id)
);

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id BIGINT NOT NULL REFERENCES users (id),
    gh_id BIGINT NOT NULL UNIQUE,
    gh_login TEXT NOT NULL,
    gh_name TEXT NOT NULL,
    gh_full_name TEXT NOT NULL,
    gh_ssh_clone_url TEXT NOT NULL,
    gh_https_clone_url TEXT NOT NULL,
    gh_default_branch TEXT NOT NULL,
    is_public BIGINT NOT NULL,
    cancels_superseded BIGINT NOT NULL, -- a newer push to a ref cancels older builds of it
    created_at BIGINT NOT NULL
);
CREATE INDEX projects_by_owner ON projects (owner_id);
CREATE INDEX projects_by_full_name ON projects (gh_full_name);

CREATE TABLE memberships (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    allows_management BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE deploy_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL UNIQUE REFERENCES projects (id) ON DELETE CASCADE,
    gh_id BIGINT,
    private_key BLOB NOT NULL, -- sealed
    public_key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE hooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    gh_id BIGINT, -- of the webhook; none until GitHub has made it
    title TEXT NOT NULL,
    docker_image TEXT NOT NULL,
    install_script TEXT,
    build_script TEXT NOT NULL,
    options TEXT NOT NULL, -- limits and variables, as JSON
    secret BLOB NOT NULL, -- sealed; signs the webhook's deliveries
    is_active BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, title)
);

CREATE TABLE tracked_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook_id BIGINT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    UNIQUE (hook_id, path)
);

-- Who changed what in a hook, and when; outlives the hook.
CREATE TABLE hook_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    hook_id BIGINT REFERENCES hooks (id) ON DELETE SET NULL,
    hook_title TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    action TEXT NOT NULL, -- added, edited, deleted
    content TEXT NOT NULL -- the hook after the change, as JSON
);
CREATE INDEX hook_changes_by_project ON hook_changes (project_id, id);

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    gh_commit_ref TEXT NOT NULL, -- in full: refs/heads/main, refs/pull/7/head
    gh_commit_sha TEXT NOT NULL,
    gh_commit_author TEXT NOT NULL,
    gh_commit_message TEXT NOT NULL,
    triggered_by TEXT NOT NULL, -- push, pull_request, reconciliation, manual, cron, try
    pull_request_number BIGINT,
    pull_request_title TEXT,
    pull_request_author TEXT,
    is_from_fork BIGINT NOT NULL,
    status TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT, -- earliest start of its jobs
    finished_at BIGINT, -- latest finish of its jobs
    UNIQUE (project_id, number)
);
CREATE UNIQUE INDEX builds_once_per_commit ON builds (project_id, gh_commit_ref, gh_commit_sha)
    WHERE triggered_by IN ('push', 'pull_request', 'reconciliation');
CREATE INDEX builds_by_sha ON builds (project_id, gh_commit_sha);

CREATE TABLE hook_calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    hook_id BIGINT REFERENCES hooks (id) ON DELETE SET NULL,
    gh_payload TEXT, -- none when nothing was delivered, or not yet
    created_at BIGINT NOT NULL,
    UNIQUE (build_id, hook_id)
);
CREATE INDEX hook_calls_by_hook ON hook_calls (hook_id);

-- What GitHub delivered, so that nothing is taken twice.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook_id BIGINT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    guid TEXT NOT NULL, -- X-GitHub-Delivery
    event TEXT NOT NULL,
    outcome TEXT NOT NULL, -- the sentence that answered it
    build_id BIGINT REFERENCES builds (id) ON DELETE SET NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (hook_id, guid)
);
CREATE INDEX deliveries_by_build ON deliveries (build_id);

-- The jobs table is the queue. What a job runs is copied from its hook, so
-- that it stays what it was whatever becomes of the hook.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    hook_call_id BIGINT NOT NULL REFERENCES hook_calls (id) ON DELETE CASCADE,
    replaced_by_id BIGINT REFERENCES jobs (id) ON DELETE SET NULL, -- the restart of this job
    title TEXT NOT NULL,
    docker_image TEXT NOT NULL,
    install_script TEXT,
    build_script TEXT NOT NULL,
    options TEXT NOT NULL,
    tracked_paths TEXT NOT NULL, -- one a line
    status TEXT NOT NULL,
    reason TEXT NOT NULL, -- why it is where it is, one sentence
    cause TEXT, -- how it ended, as a word
    return_code BIGINT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    attempt BIGINT NOT NULL, -- the fence: a write with an older attempt is refused
    script_started BIGINT NOT NULL, -- in this attempt
    lost BIGINT NOT NULL, -- how many attempts were lost after their script had started
    lease_owner TEXT,
    lease_until BIGINT,
    cancel_reason TEXT -- set when it is to be stopped
);
CREATE INDEX jobs_by_build ON jobs (build_id);
CREATE INDEX jobs_by_hook_call ON jobs (hook_call_id);
CREATE INDEX jobs_waiting ON jobs (id) WHERE status = 'enqueued';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE status = 'pending';

-- What the outside world must learn. One row per subject (`key`): a newer
-- state replaces an older one that was not sent yet, so the latest always
-- arrives and never out of order.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, -- status
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    payload TEXT NOT NULL, -- JSON
    version BIGINT NOT NULL, -- counts the states
    sent_version BIGINT NOT NULL, -- the last one that arrived or was given up
    attempts BIGINT NOT NULL, -- failed ones since the last success
    next_attempt_at BIGINT NOT NULL,
    failure TEXT, -- why the last attempt failed
    updated_at BIGINT NOT NULL
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE version > sent_version;
CREATE INDEX outbox_by_build ON outbox (build_id);
CREATE INDEX outbox_by_project ON outbox (project_id);

CREATE TABLE secrets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    hook_id BIGINT REFERENCES hooks (id) ON DELETE CASCADE, -- none: for all hooks
    name TEXT NOT NULL,
    value BLOB NOT NULL, -- sealed
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX secrets_of_project ON secrets (project_id, name) WHERE hook_id IS NULL;
CREATE UNIQUE INDEX secrets_of_hook ON secrets (hook_id, name) WHERE hook_id IS NOT NULL;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL, -- a login, or what acted by itself
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
