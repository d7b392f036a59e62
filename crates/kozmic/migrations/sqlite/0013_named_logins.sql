-- Which account the settings mean by a login: the first that had it. GitHub gives a login
-- that was freed to whoever asks for it.
CREATE TABLE named_logins (
    login TEXT NOT NULL PRIMARY KEY, -- in lower case
    gh_id BIGINT NOT NULL, -- of the account
    named_at BIGINT NOT NULL
);
