//! What jobs wait for, looked up when it is asked: it changes with every other job.

use std::collections::HashMap;

use super::queue::{Limited, Line, limited};
use super::{Columns as _, Job, Listed, Result, Store, WorkerState, failed, order};
use crate::model::{Approval, BuildId, JobId, JobStatus, Labels, ProjectId, Timestamp, Waiting};

/// What holds for all jobs that wait now.
struct Queue {
    workers: Vec<WorkerState>,
    limited: HashMap<ProjectId, Limited>,
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
        let queue =
            Queue { workers: self.workers(now).await?, limited: limited(&self.pool).await? };
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
        let ahead = self.ahead_of(job.id, &labels, queue).await?;
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

    /// The jobs that a worker which could take this one takes first.
    async fn ahead_of(&self, job: JobId, labels: &Labels, queue: &Queue) -> Result<i64> {
        let rows = sqlx::query(
            "SELECT line, COUNT(*) AS ahead FROM jobs \
             WHERE status = 'enqueued' AND is_held = 0 AND id < $1 GROUP BY line",
        )
        .bind(job.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("count the queue"))?;
        let mut ahead = 0;
        for row in &rows {
            let line = Line::read(&row.text("line")?)?;
            let is_taken = queue.fit(labels).any(|worker| worker.labels.include(&line.labels));
            if is_taken && queue.reached(line.project).is_none() {
                ahead += row.int("ahead")?;
            }
        }
        Ok(ahead)
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
        // No user has the number 0.
        let user = if let Listed::Of(user) = of { user.0 } else { 0 };
        let rows = sqlx::query(
            "SELECT jobs.*, projects.id AS project_id, projects.gh_full_name FROM jobs \
             JOIN builds ON builds.id = jobs.build_id JOIN projects ON projects.id = builds.project_id \
             WHERE jobs.status IN ('enqueued', 'pending') \
             AND ($1 = 1 OR ($2 = 1 AND is_visible_to_all = 1) OR owner_id = $3 \
             OR projects.id IN (SELECT project_id FROM memberships WHERE user_id = $3)) \
             AND jobs.id > $4 ORDER BY jobs.id LIMIT $5",
        )
        .bind(i64::from(of == Listed::All))
        .bind(i64::from(of == Listed::VisibleToAll))
        .bind(user)
        .bind(after.0)
        .bind(limit)
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
