-- What is wrong with a project's repository at GitHub, as a sentence; none: nothing is.
ALTER TABLE projects ADD COLUMN gh_trouble TEXT;
-- When the project was last compared with GitHub.
ALTER TABLE projects ADD COLUMN synchronized_at BIGINT;

-- What deleted projects have left on disks, until a sweep has removed it.
CREATE TABLE leavings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, -- project: its mirror and its cached images; log: of a job
    name TEXT NOT NULL -- the project's number, or the job's uuid
);
