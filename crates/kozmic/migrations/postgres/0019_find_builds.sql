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

-- The words of each build. The project is one of them, so that a search of one project
-- reads no more than that project has: with a colon, which nobody can look for.
CREATE TABLE build_words (
    build_id BIGINT NOT NULL PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    words TSVECTOR NOT NULL
);
CREATE INDEX build_words_by_word ON build_words USING gin (words);
CREATE VIEW build_texts AS SELECT id, project_id,
    gh_commit_sha || ' ' || gh_commit_author || ' ' ||
    CASE WHEN substr(gh_commit_ref, 1, 11) = 'refs/heads/' THEN substr(gh_commit_ref, 12)
         WHEN substr(gh_commit_ref, 1, 10) = 'refs/tags/' THEN substr(gh_commit_ref, 11)
         ELSE gh_commit_ref END || ' ' ||
    COALESCE(pull_request_title, '') || ' ' || substr(gh_commit_message, 1, 10000) AS said
FROM builds;
-- Words end where ASCII has neither a letter nor a digit. The parser of full-text search
-- would take paths, hosts and numbers like 12e5 for one word, and a long one for an error.
CREATE FUNCTION words_of(project BIGINT, said TEXT) RETURNS TSVECTOR LANGUAGE sql IMMUTABLE AS $$
    SELECT array_to_tsvector(array_agg(DISTINCT left(word, 100))) FROM (
        SELECT ':' || project AS word
        UNION ALL
        SELECT regexp_split_to_table(lower(said), '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f]+')
    ) AS each WHERE word <> ''
$$;
INSERT INTO build_words (build_id, words) SELECT id, words_of(project_id, said) FROM build_texts;

CREATE FUNCTION build_made() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE projects SET built_at = GREATEST(built_at, NEW.created_at) WHERE id = NEW.project_id;
    INSERT INTO build_words (build_id, words)
        SELECT id, words_of(project_id, said) FROM build_texts WHERE id = NEW.id;
    RETURN NULL;
END
$$;
CREATE FUNCTION build_titled() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE build_words SET words = words_of(project_id, said)
        FROM build_texts WHERE build_id = NEW.id AND id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER build_made AFTER INSERT ON builds FOR EACH ROW EXECUTE FUNCTION build_made();
CREATE TRIGGER build_titled AFTER UPDATE OF pull_request_title ON builds
    FOR EACH ROW EXECUTE FUNCTION build_titled();
