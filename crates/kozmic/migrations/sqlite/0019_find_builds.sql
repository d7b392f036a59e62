-- What lists of projects and of builds are ordered and searched by.

-- When a project's latest build was made; 0: it has none.
ALTER TABLE projects ADD COLUMN built_at BIGINT NOT NULL DEFAULT 0;
UPDATE projects SET built_at =
    COALESCE((SELECT MAX(created_at) FROM builds WHERE builds.project_id = projects.id), 0);
CREATE INDEX projects_by_built ON projects (built_at DESC, gh_full_name);

CREATE INDEX builds_by_ref ON builds (project_id, gh_commit_ref, number);
CREATE INDEX builds_by_author ON builds (project_id, gh_commit_author, number);
CREATE INDEX builds_by_status ON builds (project_id, status, number);
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
-- The jobs that a restart has replaced.
CREATE INDEX jobs_by_replacement ON jobs (replaced_by_id) WHERE replaced_by_id IS NOT NULL;

-- The words of each build, by the build's id; the project is a word of its own column, so
-- that a search of one project reads no more than that project has. The words themselves
-- stand in builds alone.
CREATE VIRTUAL TABLE build_words USING fts5 (
    project, words, content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 0', prefix = '1 2 3'
);
CREATE VIEW build_texts AS SELECT id, project_id,
    gh_commit_sha || ' ' || gh_commit_author || ' ' ||
    CASE WHEN substr(gh_commit_ref, 1, 11) = 'refs/heads/' THEN substr(gh_commit_ref, 12)
         WHEN substr(gh_commit_ref, 1, 10) = 'refs/tags/' THEN substr(gh_commit_ref, 11)
         ELSE gh_commit_ref END || ' ' ||
    COALESCE(pull_request_title, '') || ' ' || substr(gh_commit_message, 1, 10000) AS said
FROM builds;
INSERT INTO build_words (rowid, project, words) SELECT id, project_id, said FROM build_texts;

CREATE TRIGGER build_made AFTER INSERT ON builds BEGIN
    UPDATE projects SET built_at = MAX(built_at, NEW.created_at) WHERE id = NEW.project_id;
    INSERT INTO build_words (rowid, project, words)
        SELECT id, project_id, said FROM build_texts WHERE id = NEW.id;
END;
CREATE TRIGGER build_titled AFTER UPDATE OF pull_request_title ON builds BEGIN
    DELETE FROM build_words WHERE rowid = OLD.id;
    INSERT INTO build_words (rowid, project, words)
        SELECT id, project_id, said FROM build_texts WHERE id = NEW.id;
END;
CREATE TRIGGER build_removed AFTER DELETE ON builds BEGIN
    DELETE FROM build_words WHERE rowid = OLD.id;
END;
