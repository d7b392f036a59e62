-- 1,000 projects with 1,000,000 builds: five with 100,000 each, 95 with 2,000, and 900 with
-- some 340. Ids follow time, as they do where builds are made one after the other. Written once
-- for both databases; what differs is in braces, see mod.rs.

CREATE TEMP TABLE made_up (id BIGINT PRIMARY KEY, word TEXT);
INSERT INTO made_up WITH RECURSIVE counted (i) AS
    (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM counted WHERE i < 2000)
SELECT i, substr({random}, 1, CAST(4 + i % 7 AS INTEGER)) FROM counted;

INSERT INTO projects (id, owner_id, gh_id, gh_login, gh_name, gh_full_name, gh_ssh_clone_url,
    gh_https_clone_url, gh_default_branch, is_public, cancels_superseded, created_at, synchronized_at)
WITH RECURSIVE counted (i) AS
    (SELECT CAST(2 AS BIGINT) UNION ALL SELECT i + 1 FROM counted WHERE i < 1000)
SELECT i, 1, 1000000 + i, 'octo', 'project-' || i, 'octo/project-' || i, '', '', 'main', 1, 0, 1,
    4000000000000 FROM counted;

-- Three hooks each; those with ids below are the first project's own.
INSERT INTO hooks (id, project_id, gh_id, title, docker_image, build_script, options, secret,
    is_active, created_at)
WITH RECURSIVE counted (i) AS
    (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM counted WHERE i < 2999)
SELECT 3 + i, 1 + i / 3, 5000000 + i,
    CASE i % 3 WHEN 0 THEN 'Unit tests' WHEN 1 THEN 'Lints' ELSE 'Documents' END,
    'kozmic/debian:bookworm', '#!/bin/sh' || {newline} || 'make test', '{{}}', {blob}, 0, 1
FROM counted;

-- The project and the number of each build.
CREATE TEMP TABLE planned (i BIGINT PRIMARY KEY, project BIGINT, number BIGINT);
INSERT INTO planned WITH RECURSIVE counted (i) AS
    (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM counted WHERE i + 1 < {builds})
SELECT i,
    CASE WHEN i % 2 = 0 THEN 1 + i / 2 % 5
         WHEN i / 2 % 50 < 19 THEN 6 + (i / 100 * 19 + i / 2 % 50) % 95
         ELSE 101 + (i / 100 * 31 + i / 2 % 50 - 19) % 900 END,
    CASE WHEN i % 2 = 0 THEN 1 + i / 10
         WHEN i / 2 % 50 < 19 THEN 1 + (i / 100 * 19 + i / 2 % 50) / 95
         ELSE 1 + (i / 100 * 31 + i / 2 % 50 - 19) / 900 END
FROM counted;

INSERT INTO builds (id, project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author,
    gh_commit_message, triggered_by, is_from_fork, status, created_at, started_at, finished_at)
SELECT i + 1, project, number,
    CASE WHEN i % 5 < 3 THEN 'refs/heads/main' ELSE 'refs/heads/topic/' || (i * 7919 % 331) END,
    {random} || substr({random}, 1, 8), 'Author ' || (i * 31 % 47),
    CASE i % 3 WHEN 0 THEN 'Fix ' WHEN 1 THEN 'Add ' ELSE 'Merge the ' END
        || (SELECT word FROM made_up WHERE id = i * 7877 % 2000) || ' of '
        || (SELECT word FROM made_up WHERE id = i * 6701 % 1999) || {newline} || {newline}
        || CASE WHEN number = 77 THEN 'needle ' ELSE '' END
        || (SELECT word FROM made_up WHERE id = i * 5501 % 1997) || ' goes with '
        || (SELECT word FROM made_up WHERE id = i * 4999 % 1993),
    'push', 0,
    CASE WHEN i % 20 < 16 THEN 'success' WHEN i % 20 < 18 THEN 'failure'
         WHEN i % 20 = 18 THEN 'error' ELSE 'cancelled' END,
    1750000000000 + i * 30000, 1750000000000 + i * 30000 + 2000,
    1750000000000 + i * 30000 + 2000 + i * 7919 % 300000
FROM planned ORDER BY i;

INSERT INTO deliveries (hook_id, guid, event, outcome, build_id, received_at)
SELECT project_id * 3, {random}, 'push', 'Build #' || number || ' with 1 job is enqueued.', id, created_at
FROM builds;
INSERT INTO hook_calls (id, build_id, hook_id, created_at)
SELECT id, id, project_id * 3, created_at FROM builds;

-- One job each; every tenth build has three, and some have fifty.
CREATE TEMP TABLE places (place BIGINT PRIMARY KEY);
INSERT INTO places WITH RECURSIVE counted (i) AS
    (SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM counted WHERE i < 49)
SELECT i FROM counted;
INSERT INTO jobs (uuid, build_id, hook_call_id, title, hook_title, place, line, queue_project, docker_image,
    build_script, options, tracked_paths, status, reason, cause, return_code, created_at, started_at,
    finished_at, attempt, script_started, lost, log_removed_at)
SELECT substr(r, 1, 8) || '-' || substr(r, 9, 4) || '-4' || substr(r, 14, 3) || '-8' || substr(r, 18, 3)
        || '-' || substr(r, 21, 12),
    id, id, 'Tests' || CASE place WHEN 0 THEN '' ELSE ' (part ' || place || ')' END, 'Tests', place,
    project_id || ':', project_id, 'kozmic/debian:bookworm', '#!/bin/sh' || {newline} || 'make test', '{{}}', '',
    status, 'The script returned 0.', 'exited', CASE status WHEN 'success' THEN 0 ELSE 1 END,
    created_at, started_at, finished_at, 1, 1, 0, finished_at
FROM (SELECT builds.*, place, {random} AS r FROM builds JOIN places ON place <
    CASE WHEN number % 1000 = 500 THEN 50 WHEN number % 10 = 0 THEN 3 ELSE 1 END) AS each
ORDER BY id, place;

INSERT INTO phases (job_id, attempt, phase, started_at, finished_at)
SELECT jobs.id, 1, column1, created_at + column2, created_at + column2 + 1000
FROM jobs CROSS JOIN (VALUES ('queue', 0), ('build', 3000)) AS each
ORDER BY jobs.id, column2;
INSERT INTO install_steps (job_id, cache_id, outcome, because, made_at, took)
SELECT id, 'cache-' || (id % 5000), 'found', 'nothing that it is made from has changed', created_at, 1000
FROM jobs WHERE id % 10 = 0;
INSERT INTO outbox (key, kind, project_id, build_id, payload, version, sent_version, attempts,
    next_attempt_at, updated_at)
SELECT 'build:' || project_id || ':' || gh_commit_sha, 'status', project_id, id,
    '{{"state":"success","sha":"' || gh_commit_sha || '","context":"Kozmic-CI","description":"All jobs passed."}}',
    3, 3, 0, created_at, created_at
FROM builds;
INSERT INTO seen_heads (project_id, name, sha, seen_at)
SELECT project_id, gh_commit_ref, MAX(gh_commit_sha), MAX(created_at) FROM builds GROUP BY project_id, gh_commit_ref;

-- The last 2,000 jobs of the first project have 200 tests each.
INSERT INTO tests (project_id, test_key, hook_title, suite, class, name)
SELECT 1, i, 'Tests', 'suite', 'module ' || (i % 20), 'test number ' || i FROM planned WHERE i < 200;
CREATE TEMP TABLE tested AS SELECT jobs.id, jobs.created_at FROM jobs JOIN builds ON builds.id = build_id
WHERE project_id = 1 ORDER BY jobs.id DESC LIMIT 2000;
INSERT INTO collections (job_id, attempt, passed, failed, errors, skipped, flaky, duration_ms, notes,
    artifact_count, artifact_bytes, created_at)
SELECT id, 1, 198, 2, 0, 0, 0, 20000, '[]', 0, 0, created_at FROM tested;
INSERT INTO test_results (job_id, attempt, seq, test_key, outcome, duration_ms, message)
SELECT id, 1, i, i, CASE WHEN i < 20 AND (id + i) % 10 = 0 THEN 'failed' ELSE 'passed' END, i * 37 % 500,
    CASE WHEN i < 20 AND (id + i) % 10 = 0 THEN 'expected 1, got 2' END
FROM tested CROSS JOIN planned WHERE i < 200 ORDER BY id, i;

-- What waits, for a label that no worker has, and what runs elsewhere.
UPDATE builds SET status = 'enqueued', started_at = NULL, finished_at = NULL
WHERE id IN (SELECT MAX(id) FROM builds WHERE project_id > 100 AND project_id <= 700 GROUP BY project_id);
UPDATE builds SET status = 'pending', finished_at = NULL
WHERE id IN (SELECT MAX(id) FROM builds WHERE project_id > 700 AND project_id <= 750 GROUP BY project_id);
UPDATE jobs SET status = 'enqueued', reason = 'waiting for a worker', cause = NULL, attempt = 0,
    return_code = NULL, started_at = NULL, finished_at = NULL, log_removed_at = NULL,
    line = (SELECT project_id FROM builds WHERE builds.id = build_id) || ':moonlight',
    options = '{{"labels":"moonlight"}}'
WHERE build_id IN (SELECT id FROM builds WHERE status = 'enqueued');
UPDATE jobs SET status = 'pending', reason = 'the script runs', cause = NULL, return_code = NULL,
    finished_at = NULL, log_removed_at = NULL, lease_owner = 'elsewhere', lease_until = 4000000000000,
    line = (SELECT project_id FROM builds WHERE builds.id = build_id) || ':moonlight',
    options = '{{"labels":"moonlight"}}'
WHERE build_id IN (SELECT id FROM builds WHERE status = 'pending');

INSERT INTO user_repositories (user_id, gh_id, gh_name, gh_full_name, gh_ssh_clone_url,
    gh_https_clone_url, is_public, is_archived)
SELECT 1, gh_id, gh_name, gh_full_name, '', '', 1, 0 FROM projects WHERE id > 1;

-- Whose log is read.
UPDATE jobs SET log_removed_at = NULL WHERE id = (SELECT MAX(jobs.id) FROM jobs
    JOIN builds ON builds.id = build_id WHERE project_id = 1 AND jobs.finished_at IS NOT NULL);
