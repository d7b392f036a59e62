//! What GitHub delivered, and what became of it, in one transaction.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::commits::{self, Came};
use super::dialect::Dialect;
use super::many::{at_once, rows, typed_rows};
use super::together::{self, Together, Write};
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
    pub payload: Arc<str>,
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

/// A delivery that asks for a build.
#[derive(Debug, Clone)]
pub(super) struct Call {
    delivery: Delivery,
    build: NewBuild,
    now: Timestamp,
}

impl Write for Call {
    type Kept = Recorded;

    const WHAT: &'static str = "record a delivery";

    fn waiting(store: &Store) -> &Together<Self> {
        &store.calls
    }

    async fn keep(store: &Store, calls: &[Self]) -> Result<Vec<Result<Recorded>>> {
        let mut tx = store.begin_as_ever().await?;
        let projects: BTreeSet<ProjectId> =
            calls.iter().map(|call| call.delivery.project).collect();
        for project in projects {
            store.lock_project(&mut tx, project).await?;
        }
        let kept = record(&mut tx, calls, store.dialect).await?;
        commit(tx).await?;
        for recorded in &kept {
            store.wake_for(recorded);
        }
        Ok(kept.into_iter().map(Ok).collect())
    }
}

/// What becomes of each call.
async fn record(tx: &mut Transaction, calls: &[Call], dialect: Dialect) -> Result<Vec<Recorded>> {
    let deliveries: Vec<_> = calls.iter().map(|call| (&call.delivery, "", call.now)).collect();
    let mut records = keep(tx, &deliveries).await?;
    // One that came twice in the same moment is new once.
    let records: Vec<Option<i64>> =
        deliveries.iter().map(|(delivery, ..)| records.remove(&key(delivery))).collect();
    let new = || calls.iter().zip(&records).filter_map(|(call, id)| Some((call, (*id)?)));
    // A release does not say that its tag's own push arrived.
    let tell_of_heads = new().filter(|(call, _)| call.build.trigger != Trigger::Release);
    let heads = tell_of_heads.map(|(call, _)| (call.delivery.project, call.build.head(), call.now));
    seen_heads::saw_all(tx, &heads.collect::<Vec<_>>()).await?;
    let came = new().map(|(Call { delivery, build, now }, _)| {
        let project = delivery.project;
        Came { project, build, delivery: Some(delivery), dialect, now: *now }
    });
    let taken = commits::take_all(tx, &came.collect::<Vec<_>>()).await?;
    let outcomes: Vec<_> = new().map(|(_, id)| id).zip(&taken).collect();
    keep_outcomes(tx, &outcomes).await?;
    let mut taken = taken.into_iter();
    let mut recorded = Vec::with_capacity(calls.len());
    for (call, id) in calls.iter().zip(&records) {
        let is_new = id.and_then(|_| taken.next());
        recorded.push(match is_new {
            Some(recorded) => recorded,
            None => {
                let Delivery { hook, guid, .. } = &call.delivery;
                Recorded::Seen(outcome(&mut **tx, *hook, guid).await?.unwrap_or_default())
            }
        });
    }
    Ok(recorded)
}

fn key(delivery: &Delivery) -> (i64, String) {
    (delivery.hook.0, delivery.guid.clone())
}

async fn keep_outcomes(tx: &mut Transaction, outcomes: &[(i64, &Recorded)]) -> Result<()> {
    for some in at_once(outcomes, 3) {
        let text = format!(
            "UPDATE deliveries SET outcome = column2, build_id = column3 \
             FROM (VALUES {}) AS became WHERE deliveries.id = column1",
            typed_rows(some.len(), &["BIGINT", "TEXT", "BIGINT"])
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (id, recorded) in some {
            query = query.bind(id).bind(recorded.sentence());
            query = query.bind(recorded.build().map(|build| build.0));
        }
        query.execute(&mut **tx).await.map_err(failed("keep deliveries' outcomes"))?;
    }
    Ok(())
}

impl Store {
    /// The sentence that answered this delivery, when it was taken before.
    pub async fn delivery_outcome(&self, hook: HookId, guid: &str) -> Result<Option<String>> {
        outcome(&self.pool, hook, guid).await
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
        keep(&mut tx, &[(delivery, why, now)]).await?;
        if let Some(head) = head {
            seen_heads::saw(&mut tx, delivery.project, head, now).await?;
        }
        commit(tx).await
    }

    /// GitHub called a hook for a commit. Calls that come at the same time are kept together. The first call makes the build and
    /// the jobs of *all* active hooks that want it; later calls find them.
    pub async fn hook_called(
        &self,
        delivery: &Delivery,
        build: &NewBuild,
        now: Timestamp,
    ) -> Result<Recorded> {
        let call = Call { delivery: delivery.clone(), build: build.clone(), now };
        together::keep(self, self.dialect.group_of(delivery.project), call).await
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

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Built { number, .. }
            | Self::Waits { number, .. }
            | Self::Joined { number, .. }
            | Self::Attached { number, .. }
            | Self::NotRun { number, .. }
            | Self::BeforeHook { number } => Some(*number),
            Self::NotWanted(_) | Self::Seen(_) => None,
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

async fn outcome(
    database: impl sqlx::Executor<'_, Database = sqlx::Any>,
    hook: HookId,
    guid: &str,
) -> Result<Option<String>> {
    let row = sqlx::query("SELECT outcome FROM deliveries WHERE hook_id = $1 AND guid = $2")
        .bind(hook.0)
        .bind(guid)
        .fetch_optional(database)
        .await
        .map_err(failed("find a delivery"))?;
    row.map(|row| row.text("outcome")).transpose()
}

/// The records of these deliveries that were not known, by hook and delivery id.
async fn keep(
    tx: &mut Transaction,
    deliveries: &[(&Delivery, &str, Timestamp)],
) -> Result<HashMap<(i64, String), i64>> {
    let mut records = HashMap::with_capacity(deliveries.len());
    for some in at_once(deliveries, 5) {
        let text = format!(
            "INSERT INTO deliveries (hook_id, guid, event, outcome, received_at) VALUES {} \
             ON CONFLICT (hook_id, guid) DO NOTHING RETURNING id, hook_id, guid",
            rows(some.len(), 5)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (delivery, outcome, now) in some {
            query = query.bind(delivery.hook.0).bind(&delivery.guid).bind(&delivery.event);
            query = query.bind(outcome).bind(now.0);
        }
        for row in &query.fetch_all(&mut **tx).await.map_err(failed("record deliveries"))? {
            records.insert((row.int("hook_id")?, row.text("guid")?), row.int("id")?);
        }
    }
    Ok(records)
}
