//! Compares every project with GitHub from time to time.

use std::time::Duration;

use super::Upkeep;
use crate::model::Timestamp;
use crate::shutdown::Shutdown;

/// A project is compared again after this time.
const EVERY: Duration = Duration::from_hours(1);
/// Between two looks for projects that are due.
const LOOK: Duration = Duration::from_mins(1);
/// Projects at one look, so that GitHub is not asked for all of them at once.
const AT_ONCE: i64 = 20;

/// Runs until shutdown.
pub async fn run(upkeep: Upkeep, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = upkeep.synchronize_due() => {}
        }
    }
}

impl Upkeep {
    async fn synchronize_due(&self) {
        let before = Timestamp(Timestamp::now().0 - i64::try_from(EVERY.as_millis()).unwrap_or(0));
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
