//! Commit statuses.

use super::{ReportError, Reporter};
use crate::github::{GithubError, NewStatus};
use crate::model::Timestamp;
use crate::store::Report;

pub(super) async fn post(reporter: &Reporter, report: &Report) -> Result<(), ReportError> {
    let project = reporter.store.project(report.project).await?.ok_or(ReportError::NoProject)?;
    let status = NewStatus {
        state: report.status.state.as_str(),
        target_url: format!("{}{}", reporter.public_url, report.status.path),
        description: report.status.description.clone(),
        context: report.status.context.clone(),
    };
    let holders = reporter.store.token_holders(project.id, Timestamp::now()).await?;
    let (sha, status) = (&report.status.sha, &status);
    let tried = reporter
        .github
        .by_any_of(&holders, &project.repository, |repository| async move {
            // The attempt before may have arrived, and only its answer not.
            if report.attempts > 0 && repository.has_status(sha, status).await? {
                return Ok(());
            }
            repository.create_status(sha, status).await
        })
        .await;
    reporter.store.tokens_tried(&tried.refused, tried.accepted, Timestamp::now()).await?;
    match tried.answer {
        // Who is left may not do it, but somebody may who has to sign in again.
        Err(GithubError::NotFound { .. } | GithubError::Refused { status: 403, .. })
            if reporter.store.awaits_sign_in(project.id).await? =>
        {
            Err(GithubError::NoToken.into())
        }
        answer => Ok(answer?),
    }
}
