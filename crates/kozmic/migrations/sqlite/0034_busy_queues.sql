-- What is sent by somebody, and when it is anybody's again.
CREATE INDEX outbox_claimed ON outbox (claimed_until) WHERE version > sent_version;
-- What a newer build of its ref may supersede.
CREATE INDEX builds_not_over ON builds (project_id, gh_commit_ref, approval, number)
WHERE finished_at IS NULL;
