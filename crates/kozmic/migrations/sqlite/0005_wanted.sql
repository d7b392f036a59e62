-- Which builds there are to be: pull requests from forks, what hooks want, and what
-- was missed.

-- Pull requests from forks: build, ask, never.
ALTER TABLE projects ADD COLUMN fork_policy TEXT NOT NULL DEFAULT 'ask';
-- Since when branches and pull requests, and tags, are compared with GitHub; what was
-- there before is not built.
ALTER TABLE projects ADD COLUMN heads_known_at BIGINT;
ALTER TABLE projects ADD COLUMN tags_known_at BIGINT;
ALTER TABLE projects ADD COLUMN compared_at BIGINT;
ALTER TABLE projects ADD COLUMN compare_problem TEXT; -- why the last comparison failed

-- not_needed, awaited, given
ALTER TABLE builds ADD COLUMN approval TEXT NOT NULL DEFAULT 'not_needed';
ALTER TABLE builds ADD COLUMN approved_by TEXT;
ALTER TABLE builds ADD COLUMN approved_at BIGINT;
ALTER TABLE builds ADD COLUMN pull_request_author_id BIGINT; -- GitHub's
ALTER TABLE builds ADD COLUMN fork_owner TEXT;
ALTER TABLE builds ADD COLUMN fork_owner_id BIGINT; -- GitHub's
-- How reconciliation came upon it.
ALTER TABLE builds ADD COLUMN missed_because TEXT;

-- Who approved what, and when. With trusts_author it holds for all that the author
-- sends from forks of the same owner, until it is withdrawn.
CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    build_id BIGINT REFERENCES builds (id) ON DELETE SET NULL,
    gh_commit_ref TEXT NOT NULL,
    gh_commit_sha TEXT NOT NULL,
    author TEXT NOT NULL,
    author_id BIGINT, -- GitHub's
    fork_owner TEXT NOT NULL,
    fork_owner_id BIGINT, -- GitHub's
    trusts_author BIGINT NOT NULL,
    approved_by TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    withdrawn_at BIGINT
);
CREATE INDEX approvals_by_author ON approvals (project_id, author_id, fork_owner_id);

-- Hooks that have no job in a build, and why.
CREATE TABLE hooks_not_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    hook_id BIGINT REFERENCES hooks (id) ON DELETE SET NULL,
    title TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (build_id, hook_id)
);
CREATE INDEX hooks_not_run_by_hook ON hooks_not_run (hook_id);

-- The commit at which each branch, tag and pull request was seen last, built or not.
CREATE TABLE seen_heads (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name TEXT NOT NULL, -- refs/heads/main, refs/tags/v1; each pull request as refs/pull/7/head
    sha TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

DROP INDEX builds_once_per_commit;
CREATE UNIQUE INDEX builds_once_per_commit ON builds (project_id, gh_commit_ref, gh_commit_sha)
    WHERE triggered_by IN ('push', 'pull_request', 'release', 'reconciliation');
