//! Compares every project with GitHub from time to time.

use std::time::Duration;

use super::Upkeep;
use crate::model::Timestamp;
use crate::shutdown::Shutdown;

/// Between two looks for projects that are due, at the most.
const LOOK: Duration = Duration::from_mins(1);
/// Projects at one look, so that GitHub is not asked for all of them at once.
const AT_ONCE: i64 = 20;

/// Runs until shutdown; each project is compared again after `interval`.
pub async fn run(upkeep: Upkeep, interval: Duration, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(LOOK.min(interval));
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = upkeep.synchronize_due(interval) => {}
        }
    }
}

impl Upkeep {
    async fn synchronize_due(&self, interval: Duration) {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(Timestamp::now().0.saturating_sub(interval));
        let due = match self.store.projects_to_synchronize(before, AT_ONCE).await {
            Ok(due) => due,
            Err(error) => return tracing::error!(%error, "projects could not be looked for"),
        };
        for project in due {
            let name = &project.repository.full_name;
            match self.synchronize(&project).await {
                Ok(troubles) => {
                    for trouble in troubles {
                        tracing::warn!(project = %name, trouble, "GitHub did not tell all of a project");
                    }
                }
                Err(error) => {
                    tracing::warn!(project = %name, %error, "a project could not be compared with GitHub");
                    // Not first in line again at the next look.
                    let now = Timestamp::now();
                    if let Err(error) = self.store.project_looked_at(project.id, now).await {
                        tracing::error!(%error, "that a project was looked at could not be noted");
                    }
                }
            }
        }
    }
}
