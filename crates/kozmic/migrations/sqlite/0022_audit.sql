-- Nothing was ever written into the one before.
DROP TABLE audit;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    user_id BIGINT, -- no reference: what somebody did is told when they are gone
    actor TEXT NOT NULL, -- a login as it was then, kozmic, cli:<user of the machine>, nobody
    via TEXT NOT NULL, -- session, token, cli, kozmic, request
    via_id BIGINT, -- which session or token
    address TEXT,
    project_id BIGINT, -- no reference: what was done to a project is told when it is gone
    project TEXT, -- its name as it was then
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject_id BIGINT,
    subject TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX audit_by_project ON audit (project_id, id);
CREATE INDEX audit_by_time ON audit (at);

-- What an administrator sees of a worker, lost or not.
ALTER TABLE workers ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
