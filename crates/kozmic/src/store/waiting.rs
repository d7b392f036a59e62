//! What jobs wait for, looked up when it is asked: it changes with every other job.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::listing::{QUEUE, VISIBLE};
use super::many::{at_once, places};
use super::queue::{Head, Line, Turn, heads};
use super::{Columns as _, Job, Listed, Result, Store, WorkerState, failed, order, whole_rows};
use crate::model::{Approval, BuildId, JobId, JobStatus, Labels, ProjectId, Timestamp, Waiting};

/// Jobs whose places in the queue are counted at once.
const COUNTED: usize = 32;

/// What holds for all jobs that wait now.
struct Queue {
    workers: Vec<WorkerState>,
    lines: Vec<Counted>,
    /// How many of its own project's jobs are before a job, by their line.
    before: HashMap<JobId, Vec<(Line, i64)>>,
}

/// A line with its jobs that may run.
struct Counted {
    head: Head,
    count: i64,
}

impl Queue {
    /// The workers that could take a job which needs these.
    fn fit(&self, labels: &Labels) -> impl Iterator<Item = &WorkerState> {
        self.workers.iter().filter(|worker| worker.labels.include(labels))
    }

    /// No worker could take a job which needs these.
    fn nobody_takes(&self, labels: &Labels) -> Option<Waiting> {
        let none_fits = self.fit(labels).next().is_none();
        let waiting = if self.workers.is_empty() {
            Waiting::NoWorker
        } else {
            Waiting::Labels(labels.clone())
        };
        none_fits.then_some(waiting)
    }

    fn of_project(&self, project: ProjectId) -> Option<&Head> {
        self.lines.iter().map(|line| &line.head).find(|head| head.line.project == project)
    }

    /// The project's limit, where it is reached.
    fn reached(&self, project: ProjectId) -> Option<i64> {
        self.of_project(project).filter(|head| head.is_full())?.limit
    }

    /// The jobs that would be started before this one, if none ended and workers which could
    /// take it had places one after the other.
    fn ahead_of(&self, job: JobId, project: ProjectId, labels: &Labels) -> i64 {
        let is_taken =
            |line: &Line| self.fit(labels).any(|worker| worker.labels.include(&line.labels));
        let before = self.before.get(&job).into_iter().flatten();
        let own: i64 = before.filter(|(line, _)| is_taken(line)).map(|(_, count)| count).sum();
        let Some(turn) = self.of_project(project).map(|head| head.turn) else { return own };
        let mut others: HashMap<ProjectId, (&Head, i64)> = HashMap::new();
        for Counted { head, count } in &self.lines {
            if head.line.project != project && is_taken(&head.line) {
                others.entry(head.line.project).or_insert((head, 0)).1 += count;
            }
        }
        let others = others.values().map(|(head, count)| {
            let most = head.limit.map_or(*count, |limit| (limit - head.turn.running).min(*count));
            turns_before(head.turn, turn, own).min(most).max(0)
        });
        own + others.sum::<i64>()
    }
}

/// How often a project has its turn before another one has had so many and one more.
fn turns_before(of: Turn, other: Turn, had: i64) -> i64 {
    // Each turn is a job more that runs, and who runs fewer goes first. Of those that run as many, who
    // came to that by turns came later than who ran as many from the start.
    let is_first =
        if of.running == other.running { of < other } else { of.running > other.running };
    other.running + had - of.running + i64::from(is_first)
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
        let workers = self.workers(now).await?;
        let mut queue = Queue { workers, lines: Vec::new(), before: HashMap::new() };
        // A long queue is looked through only for those that somebody could take.
        let mut takeable = Vec::new();
        for job in jobs.iter().filter(|job| waits(job) && !job.is_held) {
            let line = Line::read(&job.line)?;
            if queue.nobody_takes(&line.labels).is_none() {
                takeable.push((line.project, job.rank, job.id));
            }
        }
        if !takeable.is_empty() {
            queue.lines = self.lines().await?;
        }
        takeable.retain(|(project, ..)| queue.reached(*project).is_none());
        takeable.sort_unstable();
        for of_project in takeable.chunk_by(|(one, ..), (other, ..)| one == other) {
            for some in of_project.chunks(COUNTED) {
                self.count_before(&mut queue, some).await?;
            }
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
        if let Some(waiting) = queue.nobody_takes(&labels) {
            return Ok(waiting);
        }
        if let Some(limit) = queue.reached(project) {
            return Ok(Waiting::ProjectLimit(limit));
        }
        let troubles: Option<Vec<&String>> =
            queue.fit(&labels).map(|worker| worker.trouble.as_ref()).collect();
        if let Some(trouble) = troubles.and_then(|troubles| troubles.first().copied().cloned()) {
            return Ok(Waiting::Disk(trouble));
        }
        let ahead = queue.ahead_of(job.id, project, &labels);
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

    /// The lines of the queue, each with how many jobs of it may run.
    async fn lines(&self) -> Result<Vec<Counted>> {
        let (heads, _) = heads(&self.pool, "").await?;
        let rows = sqlx::query(
            "SELECT line, COUNT(*) AS count FROM jobs WHERE status = 'enqueued' AND is_held = 0 \
             GROUP BY line",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("count the queue"))?;
        let mut counts = HashMap::new();
        for row in &rows {
            counts.insert(row.text("line")?, row.int("count")?);
        }
        let counted = |head: Head| {
            let count = counts.get(&head.line.to_string()).copied().unwrap_or(1);
            Counted { head, count }
        };
        Ok(heads.into_iter().map(counted).collect())
    }

    /// Counts what is before each of these jobs of one project, which are in order; what is
    /// before one of them is not counted for the next one again.
    async fn count_before(
        &self,
        queue: &mut Queue,
        jobs: &[(ProjectId, i64, JobId)],
    ) -> Result<()> {
        let Some((project, last_rank, last)) = jobs.last() else { return Ok(()) };
        let lines: Vec<String> = queue
            .lines
            .iter()
            .filter(|counted| counted.head.line.project == *project)
            .map(|counted| counted.head.line.to_string())
            .collect();
        let mut place = String::from("CASE");
        for (index, _) in jobs.iter().enumerate() {
            let (rank, id) = (2 * index + 3, 2 * index + 4);
            let _ = write!(
                place,
                " WHEN (queue_rank, id) < (${rank}, ${id}) THEN CAST({index} AS BIGINT)"
            );
        }
        let text = format!(
            "SELECT line, place, COUNT(*) AS count FROM (SELECT line, {place} END AS place FROM jobs \
             WHERE status = 'enqueued' AND is_held = 0 AND (queue_rank, id) < ($1, $2) \
             AND line IN ({})) AS ahead GROUP BY line, place",
            places(2 * jobs.len() + 2, lines.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(last_rank).bind(last.0);
        for (_, rank, id) in jobs {
            query = query.bind(rank).bind(id.0);
        }
        let query = lines.iter().fold(query, sqlx::query::Query::bind);
        let rows = query.fetch_all(&self.pool).await.map_err(failed("count the queue"))?;
        for row in &rows {
            let place = usize::try_from(row.int("place")?).unwrap_or(usize::MAX);
            let (line, count) = (Line::read(&row.text("line")?)?, row.int("count")?);
            for (.., job) in jobs.get(place..).unwrap_or_default() {
                queue.before.entry(*job).or_default().push((line.clone(), count));
            }
        }
        Ok(())
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
