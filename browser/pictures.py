"""What the pictures of the documentation need, and no test could wait for: a past.

`pictures.py past DB` puts builds of the last weeks into a server's database, before it has any;
`pictures.py age DB` gives those that really ran times, durations and commits that are the same
each time the pictures are made.
"""

import hashlib
import sqlite3
import sys
import time

MINUTE, HOUR = 60_000, 3_600_000
MESSAGES = [
    ("Interpolate the table of nutation", "mara", "main"),
    ("Refract light by the temperature of the air", "jonas", "main"),
    ("Name what a function returns", "priya", "docs/units"),
    ("Correct for the speed of light", "mara", "main"),
    ("Read ephemerides of JPL", "jonas", "ephemerides"),
    ("Test against the almanac of 2026", "priya", "main"),
    ("Hold a planet's elements in one structure", "mara", "elements"),
    ("Find the next eclipse of the Moon", "jonas", "eclipses"),
    ("Reduce angles before their sine is taken", "mara", "main"),
    ("Tell an observer's height above the geoid", "priya", "observer-height"),
    ("Speed the inner loop up by a third", "jonas", "main"),
]
# Of every eight builds; what fails is mended by the next one.
STATUSES = ["success", "success", "failure", "success", "success", "success", "cancelled", "success"]


def digits(*words):
    """Numbers that depend on nothing but the words."""
    return int(hashlib.sha1(" ".join(map(str, words)).encode()).hexdigest(), 16)


def sha(*words):
    return hashlib.sha1(" ".join(map(str, words)).encode()).hexdigest()


def past(db, now):
    for project, name in db.execute("SELECT id, gh_full_name FROM projects").fetchall():
        count, apart = (46, 7 * HOUR) if name.endswith("/orbit") else (12, 31 * HOUR)
        for number in range(1, count + 1):
            message, author, branch = MESSAGES[(number * 7 + project) % len(MESSAGES)]
            created = now - (count - number + 1) * apart - digits(name, number) % (2 * HOUR)
            took = 70_000 + digits("took", name, number) % 110_000
            status = STATUSES[(number + project) % len(STATUSES)]
            db.execute(
                "INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author, "
                "gh_commit_message, triggered_by, is_from_fork, status, created_at, started_at, finished_at) "
                "VALUES (?, ?, ?, ?, ?, ?, 'push', 0, ?, ?, ?, ?)",
                (project, number, f"refs/heads/{branch}", sha(name, number), author, message, status,
                 created, created + 2_000, created + 2_000 + took))


def age(db, now):
    real = db.execute("SELECT id, number, triggered_by, gh_commit_message FROM builds WHERE id IN "
                      "(SELECT build_id FROM jobs) ORDER BY id DESC").fetchall()
    for back, (id, number, trigger, message) in enumerate(real):
        # Half a unit more than is told, so that what is told stays the same for a while.
        minutes = [4, 11, 19, 27, 38, 52][back] if back < 6 else 60 * (back - 4) + 30
        created = now - minutes * MINUTE - 30_000
        if trigger == "manual":
            # Those that somebody started would all be of one commit.
            message, author, _ = MESSAGES[(number * 5) % len(MESSAGES)]
            db.execute("UPDATE builds SET gh_commit_message = ?, gh_commit_author = ? WHERE id = ?", (message, author, id))
        db.execute("UPDATE builds SET created_at = ? WHERE id = ?", (created, id))
        db.execute("UPDATE OR IGNORE builds SET gh_commit_sha = ? WHERE id = ?", (sha(message), id))
        longest = 0
        for job, title, attempt in db.execute("SELECT id, title, attempt FROM jobs WHERE build_id = ?", (id,)).fetchall():
            took = 21_000 + digits("job", title, message) % 90_000
            began = created + 3_000
            db.execute("UPDATE jobs SET created_at = ?, started_at = started_at + (? - started_at), "
                       "finished_at = finished_at + (? - finished_at) WHERE id = ?", (created, began, began + took, job))
            at = created
            for phase, length in [("queue", 3_000), ("fetch", 1_400), ("image", 600), ("install", 9_000),
                                  ("services", 2_000), ("build", took - 2_500), ("collect", 500)]:
                found = db.execute("UPDATE phases SET started_at = ?, finished_at = finished_at + (? - finished_at) "
                                   "WHERE job_id = ? AND phase = ?", (at, at + length, job, phase))
                at += length if found.rowcount else 0
            longest = max(longest, took)
        db.execute("UPDATE builds SET started_at = started_at + (? - started_at), finished_at = finished_at + "
                   "(? - finished_at) WHERE id = ?", (created + 3_000, created + 3_000 + longest, id))


if __name__ == "__main__":
    what, path = sys.argv[1:]
    with sqlite3.connect(path, timeout=30) as connection:
        # The index of words may need a newer SQLite than Python's: it stays as it is.
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        {"past": past, "age": age}[what](connection, int(time.time() * 1000))
        for _, sql in triggers:
            connection.execute(sql)
