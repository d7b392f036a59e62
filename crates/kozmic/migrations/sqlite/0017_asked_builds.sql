-- Builds that no delivery asked for: by hand, by the clock, and tries.

ALTER TABLE builds ADD COLUMN asked_by TEXT; -- the login of who did, by hand or for a try
ALTER TABLE builds ADD COLUMN variables TEXT NOT NULL DEFAULT '{}'; -- given to its scripts, as JSON
ALTER TABLE builds ADD COLUMN is_partial BIGINT NOT NULL DEFAULT 0; -- hooks were chosen: it does not speak for its commit
ALTER TABLE builds ADD COLUMN cron_line TEXT; -- what made it, by the clock
ALTER TABLE builds ADD COLUMN due_at BIGINT; -- and when that was due

-- When a hook runs by the clock: one row for each of its lines.
CREATE TABLE schedules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hook_id BIGINT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    line TEXT NOT NULL, -- fields, time zone and branch
    next_at BIGINT NOT NULL, -- when it is due; whoever moves it has the run
    wake_at BIGINT NOT NULL, -- when to look: next_at, or later after a failure
    last_due_at BIGINT, -- of the last run that was made or given up
    last_ended_at BIGINT, -- when that was
    last_build_id BIGINT REFERENCES builds (id) ON DELETE SET NULL,
    trouble TEXT, -- why the last one was not made, or is tried again
    UNIQUE (hook_id, line)
);
CREATE INDEX schedules_by_wake ON schedules (wake_at);

-- Trees that people sent to be tried. A row outlives its project and its build, so
-- that its object is removed.
CREATE TABLE trees (
    object TEXT NOT NULL PRIMARY KEY,
    project_id BIGINT NOT NULL,
    build_id BIGINT UNIQUE, -- none while it is sent
    bytes BIGINT NOT NULL, -- as it is kept
    created_at BIGINT NOT NULL
);
