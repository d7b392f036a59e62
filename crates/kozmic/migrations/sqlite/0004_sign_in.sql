-- Who signed in, who may look, and which key the sealed values are sealed with.

-- Of KOZMIC_SECRET_KEY, as the sealed values carry it; none until the first start with a key.
ALTER TABLE installation ADD COLUMN key_id TEXT;
-- The allowed organization whose membership let the user in, if it was one, and when GitHub
-- was asked about it.
ALTER TABLE users ADD COLUMN admitted_by TEXT;
ALTER TABLE users ADD COLUMN admitted_at BIGINT;
-- Whether anyone may see the project's builds and logs.
ALTER TABLE projects ADD COLUMN is_visible_to_all BIGINT NOT NULL DEFAULT 0;
CREATE INDEX sessions_by_end ON sessions (expires_at);
