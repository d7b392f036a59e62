//! Compares every project with GitHub from time to time.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Upkeep, UpkeepError};
use crate::model::Timestamp;
use crate::shutdown::Shutdown;
use crate::store::Project;

/// Between two looks for projects that are due, at the most.
const LOOK: Duration = Duration::from_mins(1);
/// Projects at one look, at the least.
const FEWEST: i64 = 20;
/// Projects under way at the same time. GitHub asks for few calls at once ("Best
/// practices for using the REST API"), and they are most often made with one token.
const AT_ONCE: usize = 4;
/// A project that GitHub was not there for is due again after this time.
const AGAIN: Duration = Duration::from_mins(5);

/// Runs until shutdown; each project is compared again after `interval`, the one that
/// was compared longest ago first.
pub async fn run(upkeep: Upkeep, interval: Duration, shutdown: Shutdown) {
    let look = LOOK.min(interval);
    let mut timer = tokio::time::interval(look);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = upkeep.synchronize_due(look, interval) => {}
        }
    }
}

/// How many projects have their turn at one look: so many that all had it once before
/// three quarters of the interval are over, and no more, so that GitHub is not asked for
/// all of them at once.
fn share(projects: i64, look: Duration, interval: Duration) -> i64 {
    let (look, time) = (look.as_millis(), (interval.as_millis() * 3 / 4).max(1));
    let projects = u128::try_from(projects).unwrap_or(0);
    i64::try_from((projects * look).div_ceil(time)).unwrap_or(i64::MAX).max(FEWEST)
}

/// When a project that could not be compared is due again: soon, when GitHub was away or
/// asked to wait; else, since the same would happen again, with all others.
fn due_again(error: &UpkeepError, interval: Duration) -> Duration {
    match error {
        UpkeepError::Github(error) => error.retry_after().map(|pause| pause.max(AGAIN)),
        _ => None,
    }
    .map_or(interval, |pause| pause.min(interval))
}

impl Upkeep {
    async fn synchronize_due(&self, look: Duration, interval: Duration) {
        let before = Timestamp::now().minus(interval);
        let due = async {
            let share = share(self.store.projects_counted().await?, look, interval);
            self.store.projects_to_synchronize(before, share).await
        };
        match due.await {
            Ok(due) => {
                let compared = futures_util::stream::iter(due);
                compared.for_each_concurrent(AT_ONCE, |due| self.compare(due, interval)).await;
            }
            Err(error) => tracing::error!(%error, "projects could not be looked for"),
        }
    }

    async fn compare(&self, project: Project, interval: Duration) {
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
                let looked_at = Timestamp::now().minus(interval).plus(due_again(&error, interval));
                if let Err(error) = self.store.project_looked_at(project.id, looked_at).await {
                    tracing::error!(%error, "that a project was looked at could not be noted");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::GithubError;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn however_many_projects_there_are_each_has_its_turn_in_time() {
        for (projects, interval) in [(1, HOUR), (1_000, HOUR), (20_000, HOUR), (1_000, LOOK / 2)] {
            let look = LOOK.min(interval);
            let looks = i64::try_from(interval.as_millis() / look.as_millis()).unwrap();
            assert!(share(projects, look, interval) * looks >= projects, "{projects}");
        }
        assert_eq!(share(1_000, LOOK, HOUR), 23, "not all of them at once");
        assert_eq!(share(0, LOOK, HOUR), FEWEST);
        assert!(share(i64::MAX, LOOK, Duration::ZERO) > 0);
    }

    #[test]
    fn what_github_was_not_there_for_is_asked_again_soon() {
        let github = |error| UpkeepError::Github(error);
        let call = || "GET /x".to_owned();
        let away = github(GithubError::Away { call: call(), problem: "x".into() });
        let limited = |minutes| {
            let pause = Duration::from_mins(minutes);
            github(GithubError::RateLimited { call: call(), pause })
        };
        assert_eq!(due_again(&away, HOUR), AGAIN);
        assert_eq!(due_again(&limited(20), HOUR), Duration::from_mins(20));
        assert_eq!(due_again(&limited(20), LOOK), LOOK);
        let bad = github(GithubError::BadToken { call: call() });
        assert_eq!(due_again(&bad, HOUR), HOUR);
        assert_eq!(due_again(&UpkeepError::Refused(String::new()), HOUR), HOUR);
    }
}
