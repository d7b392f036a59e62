-- How much is kept of each project, so that a list of them need not sum up their jobs. The
-- triggers keep it right whoever writes, and make it anew where rows are copied.
CREATE TABLE project_sizes (
    project_id BIGINT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    log_bytes BIGINT NOT NULL DEFAULT 0, -- archived logs that were not removed
    artifact_bytes BIGINT NOT NULL DEFAULT 0
);
INSERT INTO project_sizes (project_id, log_bytes, artifact_bytes)
SELECT projects.id,
    COALESCE((SELECT SUM(jobs.log_bytes) FROM jobs JOIN builds ON builds.id = jobs.build_id
              WHERE builds.project_id = projects.id AND jobs.log_removed_at IS NULL), 0),
    COALESCE((SELECT SUM(collections.artifact_bytes) FROM collections
              JOIN jobs ON jobs.id = collections.job_id JOIN builds ON builds.id = jobs.build_id
              WHERE builds.project_id = projects.id AND collections.artifacts_removed_at IS NULL), 0)
FROM projects;

CREATE TRIGGER project_sized AFTER INSERT ON projects BEGIN
    INSERT INTO project_sizes (project_id) VALUES (NEW.id);
END;
CREATE TRIGGER log_came AFTER INSERT ON jobs WHEN NEW.log_bytes > 0 AND NEW.log_removed_at IS NULL BEGIN
    UPDATE project_sizes SET log_bytes = log_bytes + NEW.log_bytes
        WHERE project_id = (SELECT project_id FROM builds WHERE id = NEW.build_id);
END;
CREATE TRIGGER log_changed AFTER UPDATE OF log_bytes, log_removed_at ON jobs BEGIN
    UPDATE project_sizes SET log_bytes = log_bytes
        + CASE WHEN NEW.log_removed_at IS NULL THEN COALESCE(NEW.log_bytes, 0) ELSE 0 END
        - CASE WHEN OLD.log_removed_at IS NULL THEN COALESCE(OLD.log_bytes, 0) ELSE 0 END
        WHERE project_id = (SELECT project_id FROM builds WHERE id = NEW.build_id);
END;
CREATE TRIGGER artifacts_came AFTER INSERT ON collections
WHEN NEW.artifact_bytes > 0 AND NEW.artifacts_removed_at IS NULL BEGIN
    UPDATE project_sizes SET artifact_bytes = artifact_bytes + NEW.artifact_bytes
        WHERE project_id = (SELECT project_id FROM builds JOIN jobs ON jobs.build_id = builds.id WHERE jobs.id = NEW.job_id);
END;
CREATE TRIGGER artifacts_went AFTER UPDATE OF artifacts_removed_at ON collections
WHEN OLD.artifacts_removed_at IS NULL AND NEW.artifacts_removed_at IS NOT NULL BEGIN
    UPDATE project_sizes SET artifact_bytes = artifact_bytes - OLD.artifact_bytes
        WHERE project_id = (SELECT project_id FROM builds JOIN jobs ON jobs.build_id = builds.id WHERE jobs.id = OLD.job_id);
END;
-- A later attempt's replace them.
CREATE TRIGGER artifacts_replaced AFTER DELETE ON collections
WHEN OLD.artifact_bytes > 0 AND OLD.artifacts_removed_at IS NULL BEGIN
    UPDATE project_sizes SET artifact_bytes = artifact_bytes - OLD.artifact_bytes
        WHERE project_id = (SELECT project_id FROM builds JOIN jobs ON jobs.build_id = builds.id WHERE jobs.id = OLD.job_id);
END;
