-- What scripts left behind: test reports, as they were read, and artifacts, as they are kept.

-- That a job's files were collected, once; what is read of them counts when this is there.
CREATE TABLE collections (
    job_id BIGINT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL, -- which found them
    passed BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    flaky BIGINT NOT NULL, -- failed first and passed then, by the report's own word
    duration_ms BIGINT NOT NULL, -- the sum of its tests'
    notes TEXT NOT NULL, -- what was left out and why, as JSON
    artifact_count BIGINT NOT NULL,
    artifact_bytes BIGINT NOT NULL,
    artifacts_removed_at BIGINT, -- when they were removed
    artifacts_removed_because TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX collections_with_artifacts ON collections (created_at)
    WHERE artifact_count > 0 AND artifacts_removed_at IS NULL;

-- A test is known by its project and a digest of its hook, suite, class and name.
CREATE TABLE tests (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    test_key BIGINT NOT NULL,
    hook_title TEXT NOT NULL,
    suite TEXT NOT NULL,
    class TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (project_id, test_key)
);

CREATE TABLE test_results (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    seq BIGINT NOT NULL, -- counts in the order of the reports
    test_key BIGINT NOT NULL,
    outcome TEXT NOT NULL, -- passed, failed, error, skipped, flaky
    duration_ms BIGINT,
    place TEXT, -- file and line; as what follows, of tests that did not just pass
    message TEXT,
    details TEXT,
    output TEXT,
    PRIMARY KEY (job_id, attempt, seq)
);
CREATE INDEX test_results_by_test ON test_results (test_key, job_id);
CREATE INDEX test_results_not_passed ON test_results (job_id) WHERE outcome <> 'passed';

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    path TEXT NOT NULL, -- below /kozmic/artifacts
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    object TEXT NOT NULL, -- where its bytes are
    UNIQUE (job_id, path)
);

-- Objects below this prefix may be there without a row that names them: an upload is
-- under way, or its end was never written, or they are to be removed.
CREATE TABLE artifact_leftovers (
    prefix TEXT NOT NULL PRIMARY KEY,
    job_uuid TEXT, -- whose attempt may still be at work
    attempt BIGINT
);
