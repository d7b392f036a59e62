//! What jobs wait for, looked up when it is asked: it changes with every other job.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::listing::{QUEUE, VISIBLE};
use super::many::{at_once, places};
use super::queue::{Limited, Line, limited};
use super::{Columns as _, Job, Listed, Result, Store, WorkerState, failed, order, whole_rows};
use crate::model::{Approval, BuildId, JobId, JobStatus, Labels, ProjectId, Timestamp, Waiting};

/// Jobs whose places in the queue are counted at once.
const COUNTED: usize = 32;

/// What holds for all jobs that wait now.
struct Queue {
    workers: Vec<WorkerState>,
    limited: HashMap<ProjectId, Limited>,
    lines: Vec<Counted>,
}

/// Jobs of a line that may run, as many as are before each of some jobs.
struct Counted {
    line: Line,
    before: Vec<JobId>,
    count: i64,
}

impl Queue {
    /// The workers that could take a job which needs these.
    fn fit(&self, labels: &Labels) -> impl Iterator<Item = &WorkerState> {
        self.workers.iter().filter(|worker| worker.labels.include(labels))
    }

    /// The project's limit, where it is reached.
    fn reached(&self, project: ProjectId) -> Option<i64> {
        let limited = self.limited.get(&project).filter(|limited| limited.is_reached());
        limited.map(|limited| limited.limit)
    }

    /// The jobs that a worker which could take this one, with these labels, takes first.
    fn ahead_of(&self, job: JobId, labels: &Labels) -> i64 {
        let is_taken = |line: &Line| {
            self.fit(labels).any(|worker| worker.labels.include(&line.labels))
                && self.reached(line.project).is_none()
        };
        let before = self.lines.iter().filter(|counted| counted.before.contains(&job));
        before.filter(|counted| is_taken(&counted.line)).map(|counted| counted.count).sum()
    }
}

fn waits(job: &Job) -> bool {
    job.status == JobStatus::Enqueued
}

impl Store {
    /// Writes into each of the jobs that wait what it waits for.
    pub async fn tell_why_they_wait(&self, jobs: &mut [Job], now: Timestamp) -> Result<()> {
        if !jobs.iter().any(waits) {
            return Ok(());
        }
        let mut queue = Queue {
            workers: self.workers(now).await?,
            limited: limited(&self.pool).await?,
            lines: Vec::new(),
        };
        let mut waiting: Vec<JobId> =
            jobs.iter().filter(|job| waits(job)).map(|job| job.id).collect();
        waiting.sort_unstable();
        for some in waiting.chunks(COUNTED) {
            queue.lines.extend(self.counted(some).await?);
        }
        for job in jobs {
            if !waits(job) {
                continue;
            }
            let waits_for = self.what_it_waits_for(job, &queue).await?;
            job.reason = waits_for.after(&job.reason);
            job.waiting = Some(waits_for);
        }
        Ok(())
    }

    async fn what_it_waits_for(&self, job: &Job, queue: &Queue) -> Result<Waiting> {
        if job.is_held
            && let Some(waiting) = self.what_holds(job.id, job.build).await?
        {
            return Ok(waiting);
        }
        let Line { project, labels } = Line::read(&job.line)?;
        if queue.fit(&labels).next().is_none() {
            let none = queue.workers.is_empty();
            return Ok(if none { Waiting::NoWorker } else { Waiting::Labels(labels) });
        }
        if let Some(limit) = queue.reached(project) {
            return Ok(Waiting::ProjectLimit(limit));
        }
        let troubles: Option<Vec<&String>> =
            queue.fit(&labels).map(|worker| worker.trouble.as_ref()).collect();
        if let Some(trouble) = troubles.and_then(|troubles| troubles.first().copied().cloned()) {
            return Ok(Waiting::Disk(trouble));
        }
        let ahead = queue.ahead_of(job.id, &labels);
        Ok(Waiting::Queue { labels, ahead })
    }

    /// The approval or the jobs that a job is held for. None when neither is open any more.
    async fn what_holds(&self, job: JobId, build: BuildId) -> Result<Option<Waiting>> {
        let mut tx = self.pool.begin().await.map_err(failed("begin to read"))?;
        let row = sqlx::query("SELECT approval, fork_owner FROM builds WHERE id = $1")
            .bind(build.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("look for an approval"))?;
        if row.text("approval")? == Approval::Awaited.as_str() {
            let fork_owner = row.text_or_null("fork_owner")?.unwrap_or_default();
            return Ok(Some(Waiting::Approval { fork_owner }));
        }
        let titles = order::waited_for(&mut tx, build, job).await?;
        Ok((!titles.is_empty()).then_some(Waiting::Jobs(titles)))
    }

    /// How many jobs of each line may run and are before each of these, which are in order;
    /// what is before one of them is not counted for the next one again.
    async fn counted(&self, jobs: &[JobId]) -> Result<Vec<Counted>> {
        let Some(last) = jobs.last() else { return Ok(Vec::new()) };
        let mut place = String::from("CASE");
        for (index, _) in jobs.iter().enumerate() {
            let _ = write!(place, " WHEN id < ${} THEN CAST({index} AS BIGINT)", index + 2);
        }
        let query = format!(
            "SELECT line, place, COUNT(*) AS count FROM (SELECT line, {place} END AS place FROM jobs \
             WHERE status = 'enqueued' AND is_held = 0 AND id < $1) AS ahead GROUP BY line, place"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(last.0);
        for job in jobs {
            query = query.bind(job.0);
        }
        let rows = query.fetch_all(&self.pool).await.map_err(failed("count the queue"))?;
        let mut counted = Vec::with_capacity(rows.len());
        for row in &rows {
            let place = usize::try_from(row.int("place")?).unwrap_or(usize::MAX);
            let Some(before) = jobs.get(place..) else { continue };
            let line = Line::read(&row.text("line")?)?;
            counted.push(Counted { line, before: before.to_vec(), count: row.int("count")? });
        }
        Ok(counted)
    }

    /// Those of these jobs that there are.
    pub async fn jobs_with(&self, ids: &[JobId]) -> Result<Vec<Job>> {
        let mut jobs = Vec::with_capacity(ids.len());
        for ids in at_once(ids, 1) {
            let query = format!("SELECT * FROM jobs WHERE id IN ({})", places(0, ids.len()));
            let mut query = whole_rows(sqlx::AssertSqlSafe(query));
            for id in ids {
                query = query.bind(id.0);
            }
            let rows = query.fetch_all(&self.pool).await.map_err(failed("find jobs"))?;
            for row in &rows {
                jobs.push(Job::read(row)?);
            }
        }
        Ok(jobs)
    }

    /// The jobs that run or wait in these projects, each with its project's number and
    /// name, the longest-waiting first, at most `limit`, those after `after`. Those that wait say what for.
    pub async fn queued(
        &self,
        of: Listed,
        after: JobId,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<(ProjectId, String, Job)>> {
        let [all, visible, user] = of.parameters();
        let jobs = |status: &str| {
            format!(
                "SELECT * FROM (SELECT * FROM jobs WHERE status = '{status}' AND id > $6 \
                 ORDER BY id LIMIT $4) AS {status}"
            )
        };
        let query = format!(
            "SELECT chosen.*, projects.id AS project_id, projects.gh_full_name \
             FROM ({} UNION ALL {}) AS chosen \
             JOIN builds ON builds.id = chosen.build_id JOIN projects ON projects.id = builds.project_id \
             WHERE {VISIBLE} ORDER BY chosen.id LIMIT $5",
            jobs("pending"),
            jobs("enqueued")
        );
        let rows = whole_rows(sqlx::AssertSqlSafe(query))
            .bind(all)
            .bind(visible)
            .bind(user)
            .bind(QUEUE)
            .bind(limit)
            .bind(after.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the queue"))?;
        let (mut projects, mut jobs) = (Vec::new(), Vec::new());
        for row in &rows {
            projects.push((ProjectId(row.int("project_id")?), row.text("gh_full_name")?));
            jobs.push(Job::read(row)?);
        }
        self.tell_why_they_wait(&mut jobs, now).await?;
        let queued = projects.into_iter().zip(jobs).map(|((id, name), job)| (id, name, job));
        Ok(queued.collect())
    }
}
