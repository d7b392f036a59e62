//! Between a script's end and its container's removal: what the script left to be
//! read and to be kept is taken. A script that failed, stalled or was cancelled has
//! left something, too; what can't be taken is a note and changes no job's end.

use std::sync::Arc;
use std::time::Duration;

use super::execute::Outcome;
use super::lease::Lease;
use super::run::asked_to_stop;
use super::{Progress, Stop, Worker};
use crate::engine::{Container, Engine, EngineError, Found, Step};
use crate::log::Masks;
use crate::model::{Collected, ErrorKind, JobEnd, JobUuid, Phase, Timestamp};
use crate::report_files::{ArtifactLimits, ReportLimits, Shelf, keep_artifacts, read_reports};
use crate::store::{ClaimedJob, StoreError, prefix_of_attempt};

/// Folders in the volume that the script finds, and may write to.
pub(super) const REPORTS: &str = "/kozmic/reports";
pub(super) const ARTIFACTS: &str = "/kozmic/artifacts";

/// How long the reports of a job may take in all.
const REPORTS_TIME: Duration = Duration::from_mins(2);
/// And the artifacts of a job.
const ARTIFACTS_TIME: Duration = Duration::from_mins(15);

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
    masks: &Masks,
    end: JobEnd,
    lease: &Lease,
) -> Outcome {
    if !has_left_files(&end)
        || matches!(worker.store.is_collected(job.id, job.attempt).await, Ok(true))
    {
        return Outcome::Ended(end);
    }
    lease.tell(Progress::Over(Phase::Build));
    lease.tell(Progress::Begins(Phase::Collect));
    lease.tell(Progress::Builds("the script has ended; taking what it left".into()));
    let mut stop = lease.stop();
    let collecting = async {
        let prefix = prefix_of_attempt(job.project.id, job.uuid, job.attempt);
        // Noted before the first byte: whatever comes of this, it is found again.
        if let Err(error) = worker.store.upload_begins(&prefix, job.uuid, job.attempt).await {
            tracing::error!(job = %job.uuid, %error, "what a script left can't be kept");
            return;
        }
        let shelf = Shelf::Objects { objects: worker.logs.objects().clone(), prefix };
        let shelf = (&shelf, worker.artifacts.limits);
        match collect(&worker.engine, (job.uuid, job.attempt), masks, Some(shelf)).await {
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
            // A sweep may have been here before the last of them was uploaded.
            let prefix = prefix_of_attempt(job.project.id, job.uuid, job.attempt);
            if let Err(error) = worker.store.upload_begins(&prefix, job.uuid, job.attempt).await {
                tracing::warn!(job = %job.uuid, %error, "artifacts of a stale attempt stay");
            }
        }
        Err(error) => {
            tracing::error!(job = %job.uuid, %error, "what a script left could not be kept");
        }
    }
}

/// What this attempt's build script has left; none when it was not started. Artifacts
/// are left alone without a shelf.
pub async fn collect(
    engine: &Engine,
    (job, attempt): (JobUuid, i64),
    masks: &Masks,
    shelf: Option<(&Shelf, ArtifactLimits)>,
) -> Result<Option<Collected>, EngineError> {
    let Found::Started(found) = engine.unattended(job, attempt).await? else { return Ok(None) };
    if found.step != Step::Build {
        return Ok(None);
    }
    let mut collected = Collected::default();
    let reading = take_reports(&found.container, masks, &mut collected);
    match tokio::time::timeout(REPORTS_TIME, reading).await {
        Ok(read) => read?,
        Err(_) => collected.notes.push(format!(
            "the test reports were not read: it took longer than {} s",
            REPORTS_TIME.as_secs()
        )),
    }
    if let Some((shelf, limits)) = shelf {
        let taking = take_artifacts(&found.container, shelf, limits, &mut collected);
        match tokio::time::timeout(ARTIFACTS_TIME, taking).await {
            Ok(taken) => taken?,
            Err(_) => collected.notes.push(format!(
                "artifacts: none was kept: it took longer than {} min",
                ARTIFACTS_TIME.as_secs() / 60
            )),
        }
    }
    // What a log hides is hidden here, too.
    if !masks.is_empty() {
        let masks = masks.clone();
        let hidden = tokio::task::spawn_blocking(move || hide(&masks, collected));
        collected = hidden.await.unwrap_or_default();
    }
    Ok(Some(collected))
}

fn hide(masks: &Masks, mut collected: Collected) -> Collected {
    for case in &mut collected.cases {
        let texts = [
            &mut case.suite,
            &mut case.class,
            &mut case.name,
            &mut case.place,
            &mut case.message,
            &mut case.details,
            &mut case.output,
        ];
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            *text = masks.hide_text(text);
        }
    }
    for note in &mut collected.notes {
        *note = masks.hide_text(note);
    }
    collected
}

async fn take_artifacts(
    container: &Container<'_>,
    shelf: &Shelf,
    limits: ArtifactLimits,
    collected: &mut Collected,
) -> Result<(), EngineError> {
    let Some(folder) = container.download(ARTIFACTS).await? else { return Ok(()) };
    let kept = keep_artifacts(folder, limits, shelf).await;
    collected.artifacts = kept.artifacts;
    collected.notes.extend(kept.notes);
    Ok(())
}

async fn take_reports(
    container: &Container<'_>,
    masks: &Masks,
    collected: &mut Collected,
) -> Result<(), EngineError> {
    let masks = masks.clone();
    let hide = Arc::new(move |text: &str| masks.hide_text(text));
    let Some(folder) = container.download(REPORTS).await? else {
        // It took its folder away.
        return Ok(());
    };
    match read_reports(folder, ReportLimits::default(), hide).await {
        Ok(reports) => {
            collected.cases = reports.cases;
            collected.notes.extend(reports.notes);
        }
        Err(error) => collected.notes.push(format!("the test reports were not read: {error}")),
    }
    Ok(())
}
