-- Bytes that the archive of the job's log takes; none until there is one.
ALTER TABLE jobs ADD COLUMN log_bytes BIGINT;
-- Why the log was removed, after "it was removed"; none: to free disk space.
ALTER TABLE jobs ADD COLUMN log_removed_because TEXT;
-- For how many days, and up to how many bytes, logs are kept; none: no bound.
ALTER TABLE projects ADD COLUMN keep_logs_days BIGINT;
ALTER TABLE projects ADD COLUMN keep_logs_bytes BIGINT;
