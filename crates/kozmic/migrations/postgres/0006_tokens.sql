-- Since when GitHub does not take a user's token; none: it does, as far as is known.
ALTER TABLE users ADD COLUMN gh_token_refused_at BIGINT;
