//! Jobs that wait for others of their build: held until those are green, skipped when
//! one of them is not, and held again when that one runs again.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Transaction, failed, phases, read_options};
use crate::model::{BuildId, JobEnd, JobId, JobStatus, Timestamp};

/// A job as the others of its build see it.
struct Job {
    id: JobId,
    call: i64,
    title: String,
    status: JobStatus,
    is_skipped: bool,
    is_held: bool,
    /// The hook calls whose jobs are to be green before it.
    after: BTreeSet<i64>,
}

/// What is to become of one that waits.
#[derive(PartialEq, Eq)]
enum Next {
    Ready,
    Held,
    Skipped(String),
}

impl Job {
    /// As the others stand; none when it does not wait.
    fn next(&self, all: &[Self], awaits_approval: bool) -> Option<Next> {
        if self.status != JobStatus::Enqueued && !self.is_skipped {
            return None;
        }
        let before = || all.iter().filter(|other| self.after.contains(&other.call));
        let bad = |other: &&Self| other.status.is_finished() && other.status != JobStatus::Success;
        Some(if let Some(bad) = before().find(bad) {
            Next::Skipped(bad.why_not())
        } else if awaits_approval || before().any(|other| !other.status.is_finished()) {
            Next::Held
        } else {
            Next::Ready
        })
    }

    fn is(&self) -> Next {
        match (self.is_skipped, self.is_held) {
            (true, _) => Next::Skipped(String::new()),
            (false, true) => Next::Held,
            (false, false) => Next::Ready,
        }
    }

    /// Why those do not run that wait for it.
    fn why_not(&self) -> String {
        let title = &self.title;
        match self.status {
            JobStatus::Failure => format!("`{title}` failed"),
            JobStatus::Cancelled if self.is_skipped => format!("`{title}` was not run"),
            JobStatus::Cancelled => format!("`{title}` was cancelled"),
            _ => format!("`{title}` ended with an error"),
        }
    }
}

/// Lets the jobs of a build wait, run or be skipped as the others of it stand. Call it
/// after every change of a job, in the same transaction and with the build locked.
pub(super) async fn settle(tx: &mut Transaction, build: BuildId, now: Timestamp) -> Result<()> {
    let (mut jobs, awaits_approval) = read(tx, build).await?;
    // One that is skipped has others skipped, and so on.
    loop {
        let next = |job: &Job| {
            let next = job.next(&jobs, awaits_approval)?;
            let is_same = match (&next, job.is()) {
                (Next::Skipped(_), Next::Skipped(_)) => true,
                (next, is) => *next == is,
            };
            (!is_same).then_some(next)
        };
        let Some((index, next)) =
            jobs.iter().enumerate().find_map(|(index, job)| Some((index, next(job)?)))
        else {
            return Ok(());
        };
        let job = &mut jobs[index];
        apply(tx, job, &next, now).await?;
        (job.is_skipped, job.is_held) =
            (matches!(next, Next::Skipped(_)), matches!(next, Next::Held));
        job.status = if job.is_skipped { JobStatus::Cancelled } else { JobStatus::Enqueued };
    }
}

async fn read(tx: &mut Transaction, build: BuildId) -> Result<(Vec<Job>, bool)> {
    let rows = sqlx::query(
        "SELECT jobs.id, hook_call_id, hook_title, jobs.title, jobs.status, cause, is_held, \
         jobs.options, replaced_by_id, hooks.title AS title_now, builds.approval FROM jobs \
         JOIN builds ON builds.id = jobs.build_id \
         JOIN hook_calls ON hook_calls.id = jobs.hook_call_id \
         LEFT JOIN hooks ON hooks.id = hook_calls.hook_id \
         WHERE jobs.build_id = $1 ORDER BY hook_call_id, place, jobs.id",
    )
    .bind(build.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed("read what a build's jobs wait for"))?;
    let mut calls = Vec::new();
    let mut awaits_approval = false;
    for row in &rows {
        let call = row.int("hook_call_id")?;
        // A hook may have been given another title since, and be restarted under it.
        calls.push((row.text("hook_title")?, call));
        calls.extend(row.text_or_null("title_now")?.map(|title| (title, call)));
        awaits_approval |= row.text("approval")? == "awaited";
    }
    let mut jobs = Vec::new();
    for row in &rows {
        if row.int_or_null("replaced_by_id")?.is_none() {
            jobs.push(read_job(row, &calls)?);
        }
    }
    Ok((jobs, awaits_approval))
}

fn read_job(row: &AnyRow, calls: &[(String, i64)]) -> Result<Job> {
    let status: JobStatus = row.text("status")?.parse()?;
    let is_skipped = row.text_or_null("cause")?.as_deref() == Some(JobEnd::SKIPPED);
    let call = row.int("hook_call_id")?;
    let waits = status == JobStatus::Enqueued || is_skipped;
    // One that can't be read is found when a worker takes it.
    let titles = if waits { read_options(row).unwrap_or_default().after } else { BTreeSet::new() };
    let after = calls.iter().filter(|(title, of)| titles.contains(title) && *of != call);
    Ok(Job {
        id: JobId(row.int("id")?),
        call,
        title: row.text("title")?,
        status,
        is_skipped,
        is_held: row.flag("is_held")?,
        after: after.map(|(_, call)| *call).collect(),
    })
}

async fn apply(tx: &mut Transaction, job: &Job, next: &Next, now: Timestamp) -> Result<()> {
    if let Next::Skipped(why) = next {
        let end = JobEnd::Skipped(why.clone());
        sqlx::query(
            "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4, is_held = 0 \
             WHERE id = $5",
        )
        .bind(end.status().as_str())
        .bind(end.to_string())
        .bind(end.cause())
        .bind(now.0)
        .bind(job.id.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("skip a job"))?;
        return Ok(());
    }
    let is_held = *next == Next::Held;
    if job.is_skipped {
        sqlx::query(
            "UPDATE jobs SET status = 'enqueued', reason = 'waiting for a worker', cause = NULL, \
             started_at = NULL, finished_at = NULL, is_held = $1 WHERE id = $2",
        )
        .bind(i64::from(is_held))
        .bind(job.id.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("let a skipped job wait again"))?;
        return phases::waits(tx, job.id, now).await;
    }
    sqlx::query("UPDATE jobs SET is_held = $1 WHERE id = $2")
        .bind(i64::from(is_held))
        .bind(job.id.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("hold a job"))?;
    if is_held {
        return Ok(());
    }
    phases::may_run(tx, job.id, now).await
}

/// The latest jobs that a job waits for and that are not green yet, by title.
pub(super) async fn waited_for(
    tx: &mut Transaction,
    build: BuildId,
    job: JobId,
) -> Result<Vec<String>> {
    let (jobs, _) = read(tx, build).await?;
    let Some(of) = jobs.iter().find(|of| of.id == job) else { return Ok(Vec::new()) };
    let open = |other: &&Job| of.after.contains(&other.call) && !other.status.is_finished();
    Ok(jobs.iter().filter(open).map(|other| other.title.clone()).collect())
}
