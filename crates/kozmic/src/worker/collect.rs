//! Between a script's end and its container's removal: what the script left to be
//! read and to be kept is taken. A script that failed, stalled or was cancelled has
//! left something, too; what can't be taken is a note and changes no job's end.

use std::time::Duration;

use super::execute::Outcome;
use super::lease::Lease;
use super::run::asked_to_stop;
use super::{Progress, Stop, Worker};
use crate::engine::{Container, Engine, EngineError, Found, Step};
use crate::model::{Collected, ErrorKind, JobEnd, JobUuid, Timestamp};
use crate::report_files::{ReportLimits, read_reports};
use crate::store::{ClaimedJob, StoreError};

/// Folders in the volume that the script finds, and may write to.
pub(super) const REPORTS: &str = "/kozmic/reports";
pub(super) const ARTIFACTS: &str = "/kozmic/artifacts";

/// How long the reports of a job may take in all.
const REPORTS_TIME: Duration = Duration::from_mins(2);

/// Names the two folders to the script.
pub fn folder_variables() -> [(String, String); 2] {
    [("KOZMIC_REPORTS", REPORTS), ("KOZMIC_ARTIFACTS", ARTIFACTS)]
        .map(|(name, path)| (name.to_owned(), path.to_owned()))
}

/// Whether a script that ended like this may have left anything that can be taken.
fn has_left_files(end: &JobEnd) -> bool {
    !matches!(end, JobEnd::Error(ErrorKind::EngineAway | ErrorKind::LostEngine, _))
}

/// Takes what the script has left, under the lease. What can't be taken is no reason
/// for another end; a lease that is lost, and a worker that stops, leave it to others.
pub(super) async fn before_end(
    worker: &Worker,
    job: &ClaimedJob,
    end: JobEnd,
    lease: &Lease,
) -> Outcome {
    if !has_left_files(&end)
        || matches!(worker.store.is_collected(job.id, job.attempt).await, Ok(true))
    {
        return Outcome::Ended(end);
    }
    lease.tell(Progress::Builds("the script has ended; taking what it left".into()));
    let mut stop = lease.stop();
    let collecting = async {
        match collect(&worker.engine, job.uuid, job.attempt).await {
            Ok(Some(collected)) => keep(worker, job, &collected).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(job = %job.uuid, %error, "what a script left could not be taken");
            }
        }
    };
    let told_to = async {
        loop {
            match asked_to_stop(&mut stop).await {
                // Its end is decided already.
                Stop::Cancel(_) => {
                    if stop.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                stop => break stop,
            }
        }
    };
    tokio::select! {
        () = collecting => Outcome::Ended(end),
        stop = told_to => match stop {
            Stop::Shutdown => Outcome::Unattended,
            stop => Outcome::Stopped(stop),
        },
    }
}

async fn keep(worker: &Worker, job: &ClaimedJob, collected: &Collected) {
    let kept = worker.store.job_collected(job.id, job.attempt, collected, Timestamp::now()).await;
    match kept {
        Ok(()) => {}
        Err(StoreError::Stale) => {
            tracing::warn!(job = %job.uuid, attempt = job.attempt, "what it left came too late");
        }
        Err(error) => {
            tracing::error!(job = %job.uuid, %error, "what a script left could not be kept");
        }
    }
}

/// What this attempt's build script has left; none when it was not started.
pub async fn collect(
    engine: &Engine,
    job: JobUuid,
    attempt: i64,
) -> Result<Option<Collected>, EngineError> {
    let Found::Started(found) = engine.unattended(job, attempt).await? else { return Ok(None) };
    if found.step != Step::Build {
        return Ok(None);
    }
    let mut collected = Collected::default();
    let reading = take_reports(&found.container, &mut collected);
    match tokio::time::timeout(REPORTS_TIME, reading).await {
        Ok(read) => read?,
        Err(_) => collected.notes.push(format!(
            "the test reports were not read: it took longer than {} s",
            REPORTS_TIME.as_secs()
        )),
    }
    Ok(Some(collected))
}

async fn take_reports(
    container: &Container<'_>,
    collected: &mut Collected,
) -> Result<(), EngineError> {
    let Some(folder) = container.download(REPORTS).await? else {
        // It took its folder away.
        return Ok(());
    };
    match read_reports(folder, ReportLimits::default()).await {
        Ok(reports) => {
            collected.cases = reports.cases;
            collected.notes.extend(reports.notes);
        }
        Err(error) => collected.notes.push(format!("the test reports were not read: {error}")),
    }
    Ok(())
}
