-- Who caused the delivery that made the build: the login of who pushed, as GitHub calls it. None:
-- no delivery made it, or it is older than this column.
ALTER TABLE builds ADD COLUMN sender TEXT;
