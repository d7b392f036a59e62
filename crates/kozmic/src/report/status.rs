//! Commit statuses.

use super::{ReportError, Reporter};
use crate::github::NewStatus;
use crate::store::Report;

pub(super) async fn post(reporter: &Reporter, report: &Report) -> Result<(), ReportError> {
    let project = reporter.store.project(report.project).await?.ok_or(ReportError::NoProject)?;
    let owner = reporter.store.user(project.owner).await?;
    let token = owner.and_then(|owner| owner.token).ok_or(ReportError::NoToken)?;
    let status = NewStatus {
        state: report.status.state.as_str(),
        target_url: format!("{}{}", reporter.public_url, report.status.path),
        description: report.status.description.clone(),
        context: report.status.context.clone(),
    };
    let name = &project.repository.full_name;
    Ok(reporter.github.create_status(&token, name, &report.status.sha, &status).await?)
}
