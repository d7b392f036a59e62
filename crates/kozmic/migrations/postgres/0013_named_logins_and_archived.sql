-- Logins that the settings name, and repositories that are archived.

-- Which account the settings mean by a login: the first that had it. GitHub gives a login
-- that was freed to whoever asks for it.
CREATE TABLE named_logins (
    login TEXT NOT NULL PRIMARY KEY, -- in lower case
    gh_id BIGINT NOT NULL, -- of the account
    named_at BIGINT NOT NULL
);

-- Archived at GitHub: nothing of it can be changed there.
ALTER TABLE projects ADD COLUMN is_archived BIGINT NOT NULL DEFAULT 0;
