-- Hooks that are tried as somebody has written them, before they are saved.
ALTER TABLE builds ADD COLUMN is_of_commit BIGINT NOT NULL DEFAULT 0; -- a try of the commit itself: no files were sent
ALTER TABLE hook_calls ADD COLUMN is_typed BIGINT NOT NULL DEFAULT 0; -- its jobs ran what was typed, not what the hook is
