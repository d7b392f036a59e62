-- What is sent by somebody, and when it is anybody's again.
CREATE INDEX outbox_claimed ON outbox (claimed_until) WHERE version > sent_version;
-- What a newer build of its ref may supersede.
CREATE INDEX builds_not_over ON builds (project_id, gh_commit_ref, approval, number)
WHERE finished_at IS NULL;

-- Builds that are made by one statement are noted by one: their project's row is written once.
DROP TRIGGER build_made ON builds;
CREATE OR REPLACE FUNCTION build_made() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE projects SET built_at = latest.at
        FROM (SELECT project_id, MAX(created_at) AS at FROM made GROUP BY project_id) AS latest
        WHERE projects.id = latest.project_id AND projects.built_at < latest.at;
    INSERT INTO build_words (build_id, words)
        SELECT build_texts.id, words_of(build_texts.project_id, said)
        FROM build_texts JOIN made ON made.id = build_texts.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER build_made AFTER INSERT ON builds REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION build_made();

-- Rows that are changed several times each have room for that on their page: what is in no index
-- is changed without a new entry in each of them (storage parameter fillfactor, "HOT updates").
ALTER TABLE builds SET (fillfactor = 70);
ALTER TABLE jobs SET (fillfactor = 70);
ALTER TABLE outbox SET (fillfactor = 70);
ALTER TABLE phases SET (fillfactor = 80);
