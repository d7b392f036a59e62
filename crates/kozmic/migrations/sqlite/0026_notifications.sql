-- What people and other servers are told of builds: mails and webhooks.

-- How the build ended when that was last told; none: it never ended, or nobody was told.
ALTER TABLE builds ADD COLUMN announced TEXT;
-- Whether the end it has now was told. A restart makes it 0 again.
ALTER TABLE builds ADD COLUMN is_announced BIGINT NOT NULL DEFAULT 0;
-- What ended before is no news.
UPDATE builds SET announced = status, is_announced = 1
    WHERE status IN ('success', 'failure', 'error', 'cancelled');

-- Which mails somebody wants: never, own, all; none: as the settings say.
ALTER TABLE users ADD COLUMN mail TEXT;
-- Why the last mail was refused for good, and when; none: it was not.
ALTER TABLE users ADD COLUMN mail_trouble TEXT;
ALTER TABLE users ADD COLUMN mail_trouble_at BIGINT;

-- Where somebody chose otherwise for one project.
CREATE TABLE mail_choices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    choice TEXT NOT NULL, -- never, own, all
    UNIQUE (user_id, project_id)
);
CREATE INDEX mail_choices_by_project ON mail_choices (project_id);

-- Where a project's builds are told of.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    format TEXT NOT NULL, -- json, slack
    host TEXT NOT NULL, -- of the URL, the only part that is shown
    target BLOB, -- sealed: URL and secret as JSON
    events TEXT NOT NULL, -- finished, failed, fixed; with commas between
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhooks_by_project ON webhooks (project_id);

-- Builds that have ended, written in the transaction that ended them; gone as soon as
-- there is a message for everybody who wants one.
CREATE TABLE announcements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    event TEXT NOT NULL, -- finished, failed, fixed
    status TEXT NOT NULL,
    was TEXT, -- how the build before ended, or this one before it was run again
    created_at BIGINT NOT NULL
);
CREATE INDEX announcements_by_build ON announcements (build_id);

-- One row per mail, and per delivery to a webhook.
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE, -- the delivery's id, or part of the mail's
    kind TEXT NOT NULL, -- mail, webhook
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    build_id BIGINT REFERENCES builds (id) ON DELETE CASCADE, -- none: a test
    user_id BIGINT REFERENCES users (id) ON DELETE CASCADE, -- who gets the mail
    webhook_id BIGINT REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL, -- finished, failed, fixed, test; digest
    payload TEXT NOT NULL, -- JSON
    state TEXT NOT NULL, -- waiting, sent, refused
    attempts BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL, -- whoever sends it has it for so long
    answer TEXT, -- what came back last, in words
    code BIGINT, -- of HTTP or SMTP
    took BIGINT, -- milliseconds
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX messages_due ON messages (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX messages_by_webhook ON messages (webhook_id, id);
CREATE INDEX messages_by_user ON messages (user_id, created_at);
CREATE INDEX messages_by_project ON messages (project_id);
CREATE INDEX messages_by_build ON messages (build_id);
