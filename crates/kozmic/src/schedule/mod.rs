//! What happens by the clock: hooks whose time has come.
//!
//! The store knows when each is due next, also over a restart, so a time that was missed
//! is caught up as soon as somebody looks, once however many were missed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use crate::github::Client;
use crate::intake::{self, AskError, FindError};
use crate::model::{GitRef, Timestamp, Trigger};
use crate::shutdown::Shutdown;
use crate::store::{Asked, AskedHooks, Schedule, Store, StoreError};

/// Schedules of one look, and those of them under way at once: each asks GitHub.
const AT_ONE_LOOK: i64 = 100;
const AT_ONCE: usize = 4;
/// What could not be made is tried again after as long as it was tried in vain, within
/// these bounds.
const AGAIN: Duration = Duration::from_mins(1);
const AGAIN_AT_LAST: Duration = Duration::from_hours(1);
/// The clock may be set meanwhile, and another process may change a hook.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Makes the builds of hooks whose time has come. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    pub store: Store,
    pub github: Client,
    pub clock: Clock,
}

/// Runs until shutdown: sleeps until something is due, or a hook has changed.
pub async fn run(scheduler: Scheduler, shutdown: Shutdown) {
    loop {
        let changed = scheduler.store.schedules_changed();
        let next = tokio::select! {
            () = shutdown.requested() => return,
            next = scheduler.run_due() => next,
        };
        let pause = match next {
            Ok(None) => LONGEST_SLEEP,
            Ok(Some(next)) => next.since((scheduler.clock)()).min(LONGEST_SLEEP),
            Err(error) => {
                tracing::error!(%error, "what is due could not be looked for");
                AGAIN
            }
        };
        tokio::select! {
            () = shutdown.requested() => return,
            () = changed => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Scheduler {
    /// Makes what is due now; when something is due next.
    pub async fn run_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let due = self.store.schedules_due((self.clock)(), AT_ONE_LOOK).await?;
        let runs = futures_util::stream::iter(&due);
        runs.for_each_concurrent(AT_ONCE, async |schedule| {
            let (hook, line) = (&schedule.title, &schedule.line);
            match self.run_one(schedule).await {
                Ok(Some(what)) => tracing::info!(hook, %line, what, "a hook's time has come"),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(hook, %line, %error, "a hook's time was not noted");
                }
            }
        })
        .await;
        self.store.next_schedule().await
    }

    /// What became of it, in words; none when another process has it.
    async fn run_one(&self, schedule: &Schedule) -> Result<Option<String>, StoreError> {
        let Some(project) = self.store.project(schedule.project).await? else { return Ok(None) };
        let branch = schedule.line.branch.as_ref();
        let branch = branch.unwrap_or(&project.repository.default_branch);
        let git_ref = match GitRef::branch(branch) {
            Ok(git_ref) => git_ref,
            Err(problem) => return self.skip(schedule, problem.to_string()).await.map(Some),
        };
        let commit = match intake::head_of(&self.store, &self.github, &project, &git_ref).await {
            Ok(commit) => commit,
            Err(FindError::Unknown(_)) => {
                let why = format!("GitHub has no branch {branch} any more");
                return self.skip(schedule, why).await.map(Some);
            }
            Err(FindError::Ask(AskError::Store(error))) => return Err(error),
            Err(error) => return self.postpone(schedule, &error).await.map(Some),
        };
        let asked = Asked {
            git_ref,
            commit,
            trigger: Trigger::Cron,
            by: None,
            hooks: AskedHooks::Named(vec![schedule.hook]),
            variables: std::collections::BTreeMap::new(),
        };
        match self.store.schedule_ran(schedule, &asked, (self.clock)()).await {
            Ok(made) => Ok(made.map(|made| format!("build #{}", made.number))),
            // Its hook was deleted a moment ago.
            Err(StoreError::Refused(why)) => Ok(Some(why)),
            Err(error) => Err(error),
        }
    }

    async fn skip(&self, schedule: &Schedule, why: String) -> Result<String, StoreError> {
        self.store.schedule_skipped(schedule, &why, (self.clock)()).await?;
        Ok(why)
    }

    async fn postpone(&self, schedule: &Schedule, error: &FindError) -> Result<String, StoreError> {
        let now = (self.clock)();
        let asked_to_wait = match error {
            FindError::Ask(AskError::Github(error)) => error.retry_after().unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let pause = now.since(schedule.next_at).clamp(AGAIN, AGAIN_AT_LAST).max(asked_to_wait);
        let why = error.to_string();
        self.store.schedule_postponed(schedule, &why, now.plus(pause)).await?;
        Ok(why)
    }
}
