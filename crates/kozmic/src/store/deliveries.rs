//! What GitHub delivered, and what became of it, in one transaction.

use super::commits::Came;
use super::{Columns as _, NewBuild, Result, Store, Transaction, commit, failed, seen_heads};
use crate::model::{BuildId, Head, HookId, ProjectId, Timestamp, Trigger};

/// One verified delivery of a webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub hook: HookId,
    pub project: ProjectId,
    /// `X-GitHub-Delivery`: the same again when GitHub redelivers.
    pub guid: String,
    pub event: String,
    /// The body as it was signed.
    pub payload: String,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// A new build with its jobs.
    Built { build: BuildId, number: i64, jobs: usize },
    /// A new build whose jobs wait for a manager's approval.
    Waits { build: BuildId, number: i64 },
    /// The build was there; the call now has its payload.
    Attached { build: BuildId, number: i64 },
    /// The build was there, without these jobs.
    Joined { build: BuildId, number: i64, jobs: usize },
    /// The build was there, and this hook is no part of it, for this reason.
    NotRun { number: i64, reason: String },
    /// No hook wants it, each for its reason.
    NotWanted(String),
    /// The build was made before this hook was added, so it has no job of it.
    BeforeHook { number: i64 },
    /// This very delivery was taken before; this sentence answered it.
    Seen(String),
}

impl Store {
    /// The sentence that answered this delivery, when it was taken before.
    pub async fn delivery_outcome(&self, hook: HookId, guid: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT outcome FROM deliveries WHERE hook_id = $1 AND guid = $2")
            .bind(hook.0)
            .bind(guid)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a delivery"))?;
        row.map(|row| row.text("outcome")).transpose()
    }

    /// A delivery that makes nothing, why, and where it said that a head stands.
    pub async fn delivery_ignored(
        &self,
        delivery: &Delivery,
        why: &str,
        head: Option<&Head>,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        record(&mut tx, delivery, why, now).await?;
        if let Some(head) = head {
            seen_heads::saw(&mut tx, delivery.project, head, now).await?;
        }
        commit(tx).await
    }

    /// GitHub called a hook for a commit. The first call makes the build and
    /// the jobs of *all* active hooks that want it; later calls find them.
    pub async fn hook_called(
        &self,
        delivery: &Delivery,
        build: &NewBuild,
        now: Timestamp,
    ) -> Result<Recorded> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, delivery.project).await?;
        let Some(record_id) = record(&mut tx, delivery, "", now).await? else {
            drop(tx);
            let outcome = self.delivery_outcome(delivery.hook, &delivery.guid).await?;
            return Ok(Recorded::Seen(outcome.unwrap_or_default()));
        };
        // A release does not say that its tag's own push arrived.
        if build.trigger != Trigger::Release {
            seen_heads::saw(&mut tx, delivery.project, &build.head(), now).await?;
        }
        let (project, dialect) = (delivery.project, self.dialect);
        let came = Came { project, build, delivery: Some(delivery), dialect, now };
        let recorded = came.take(&mut tx).await?;
        sqlx::query("UPDATE deliveries SET outcome = $1, build_id = $2 WHERE id = $3")
            .bind(recorded.sentence())
            .bind(recorded.build().map(|build| build.0))
            .bind(record_id)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep a delivery's outcome"))?;
        commit(tx).await?;
        self.wake_for(&recorded);
        Ok(recorded)
    }

    pub(super) fn wake_for(&self, recorded: &Recorded) {
        if let Recorded::Built { .. } | Recorded::Waits { .. } | Recorded::Joined { .. } = recorded
        {
            self.wakes.jobs.notify_one();
            self.wakes.outbox.notify_one();
            self.wakes.leases.send_replace(());
        }
    }
}

impl Recorded {
    pub fn build(&self) -> Option<BuildId> {
        match self {
            Self::Built { build, .. }
            | Self::Waits { build, .. }
            | Self::Joined { build, .. }
            | Self::Attached { build, .. } => Some(*build),
            Self::BeforeHook { .. } | Self::NotRun { .. } | Self::NotWanted(_) | Self::Seen(_) => {
                None
            }
        }
    }

    /// The answer to GitHub, shown on its page of recent deliveries.
    pub fn sentence(&self) -> String {
        match self {
            Self::Built { number, jobs: 1, .. } => {
                format!("Build #{number} with 1 job is enqueued.")
            }
            Self::Built { number, jobs, .. } => {
                format!("Build #{number} with {jobs} jobs is enqueued.")
            }
            Self::Waits { number, .. } => {
                format!("Build #{number} waits for a manager's approval.")
            }
            Self::Joined { number, jobs: 1, .. } => {
                format!("Build #{number} of this commit has 1 more job.")
            }
            Self::Joined { number, jobs, .. } => {
                format!("Build #{number} of this commit has {jobs} more jobs.")
            }
            Self::NotRun { number, reason } => {
                format!("Build #{number} of this commit does not run this hook: {reason}.")
            }
            Self::NotWanted(reasons) => format!("Not wanted by any hook. {reasons}."),
            Self::Attached { number, .. } => {
                format!("Build #{number} of this commit exists already.")
            }
            Self::BeforeHook { number } => format!(
                "Build #{number} of this commit was made before this hook was added; the next commit includes it."
            ),
            Self::Seen(outcome) => format!("This delivery was taken before: {outcome}"),
        }
    }
}

/// None when this delivery is known already.
async fn record(
    tx: &mut Transaction,
    delivery: &Delivery,
    outcome: &str,
    now: Timestamp,
) -> Result<Option<i64>> {
    let row = sqlx::query(
        "INSERT INTO deliveries (hook_id, guid, event, outcome, received_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (hook_id, guid) DO NOTHING RETURNING id",
    )
    .bind(delivery.hook.0)
    .bind(&delivery.guid)
    .bind(&delivery.event)
    .bind(outcome)
    .bind(now.0)
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("record a delivery"))?;
    row.map(|row| row.int("id")).transpose()
}
