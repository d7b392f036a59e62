//! What GitHub delivered, and the builds it made: hook call, build, jobs and
//! first statuses in one transaction.

use std::collections::BTreeSet;

use super::builds::{self, NewBuild};
use super::{Columns as _, Result, Store, Transaction, commit, failed, hooks, jobs, outbox};
use crate::model::{BuildId, HookId, JobEnd, ProjectId, Timestamp};

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
    /// The build was there; the call now has its payload.
    Attached { build: BuildId, number: i64 },
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

    /// A delivery that makes nothing, and why.
    pub async fn delivery_ignored(
        &self,
        delivery: &Delivery,
        why: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        record(&mut tx, delivery, why, now).await?;
        commit(tx).await
    }

    /// GitHub called a hook for a commit. The first call makes the build and
    /// the jobs of *all* active hooks; later calls find them.
    pub async fn hook_called(
        &self,
        delivery: &Delivery,
        build: &NewBuild,
        now: Timestamp,
    ) -> Result<Recorded> {
        let mut tx = self.begin().await?;
        sqlx::query(self.dialect.lock_project())
            .bind(delivery.project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("lock a project"))?;
        let Some(record_id) = record(&mut tx, delivery, "", now).await? else {
            drop(tx);
            let outcome = self.delivery_outcome(delivery.hook, &delivery.guid).await?;
            return Ok(Recorded::Seen(outcome.unwrap_or_default()));
        };
        let recorded = match builds::of_commit(&mut tx, delivery.project, build).await? {
            Some((id, number)) => attach(&mut tx, delivery, build, id, number).await?,
            None => make_build(&mut tx, delivery, build, now).await?,
        };
        sqlx::query("UPDATE deliveries SET outcome = $1, build_id = $2 WHERE id = $3")
            .bind(recorded.sentence())
            .bind(recorded.build().map(|build| build.0))
            .bind(record_id)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep a delivery's outcome"))?;
        commit(tx).await?;
        if let Recorded::Built { .. } = recorded {
            self.wakes.jobs.notify_one();
            self.wakes.outbox.notify_one();
            self.wakes.leases.send_replace(());
        }
        Ok(recorded)
    }
}

impl Recorded {
    pub fn build(&self) -> Option<BuildId> {
        match self {
            Self::Built { build, .. } | Self::Attached { build, .. } => Some(*build),
            Self::BeforeHook { .. } | Self::Seen(_) => None,
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

async fn attach(
    tx: &mut Transaction,
    delivery: &Delivery,
    build: &NewBuild,
    id: BuildId,
    number: i64,
) -> Result<Recorded> {
    // A push may have made the build before its pull request was opened.
    builds::belongs_to_pull_request(tx, id, build).await?;
    let call = sqlx::query(
        "UPDATE hook_calls SET gh_payload = COALESCE(gh_payload, $1) WHERE build_id = $2 AND hook_id = $3",
    )
    .bind(&delivery.payload)
    .bind(id.0)
    .bind(delivery.hook.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("attach a payload"))?;
    Ok(match call.rows_affected() {
        0 => Recorded::BeforeHook { number },
        _ => Recorded::Attached { build: id, number },
    })
}

async fn make_build(
    tx: &mut Transaction,
    delivery: &Delivery,
    build: &NewBuild,
    now: Timestamp,
) -> Result<Recorded> {
    let (id, number) = builds::insert(tx, delivery.project, build, now).await?;
    let active = sqlx::query(
        "SELECT hooks.id, title, docker_image, install_script, build_script, options, \
         projects.env AS project_env FROM hooks \
         JOIN projects ON projects.id = hooks.project_id \
         WHERE project_id = $1 AND (is_active = 1 OR hooks.id = $2) ORDER BY hooks.id",
    )
    .bind(delivery.project.0)
    // GitHub calls it, so it is active, whoever was cut off before noting so.
    .bind(delivery.hook.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed("list the active hooks"))?;
    for hook in &active {
        let hook_id = hook.int("id")?;
        let payload = (hook_id == delivery.hook.0).then_some(&delivery.payload);
        let call = sqlx::query(
            "INSERT INTO hook_calls (build_id, hook_id, gh_payload, created_at) VALUES ($1, $2, $3, $4) RETURNING id",
        )
        .bind(id.0)
        .bind(hook_id)
        .bind(payload)
        .bind(now.0)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("keep a hook call"))?;
        let tracked = hooks::tracked_paths(&mut **tx, HookId(hook_id)).await?.join("\n");
        let call = call.int("id")?;
        jobs::enqueue(tx, id, call, hook, &tracked, "waiting for a worker", now).await?;
    }
    outbox::build_changed(tx, id, now).await?;
    supersede(tx, delivery.project, build, number, now).await?;
    Ok(Recorded::Built { build: id, number, jobs: active.len() })
}

/// Where the project wants it: older builds of the same ref are stopped.
async fn supersede(
    tx: &mut Transaction,
    project: ProjectId,
    build: &NewBuild,
    number: i64,
    now: Timestamp,
) -> Result<()> {
    let older = "SELECT builds.id FROM builds JOIN projects ON projects.id = builds.project_id \
                 WHERE projects.id = $2 AND projects.cancels_superseded = 1 \
                 AND builds.gh_commit_ref = $3 AND builds.number < $4 \
                 AND builds.status IN ('enqueued', 'pending', 'failure', 'error')";
    let why = format!("superseded by build #{number}");
    let running = format!(
        "UPDATE jobs SET cancel_reason = COALESCE(cancel_reason, $1), reason = 'being stopped' \
         WHERE status = 'pending' AND build_id IN ({older})"
    );
    sqlx::query(sqlx::AssertSqlSafe(running))
        .bind(&why)
        .bind(project.0)
        .bind(build.git_ref.as_full())
        .bind(number)
        .execute(&mut **tx)
        .await
        .map_err(failed("stop superseded jobs"))?;
    let end = JobEnd::Cancelled(why);
    let waiting = format!(
        "UPDATE jobs SET reason = $1, status = $5, cause = $6, finished_at = $7 \
         WHERE status = 'enqueued' AND build_id IN ({older}) RETURNING build_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(waiting))
        .bind(end.to_string())
        .bind(project.0)
        .bind(build.git_ref.as_full())
        .bind(number)
        .bind(end.status().as_str())
        .bind(end.cause())
        .bind(now.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("cancel superseded jobs"))?;
    let builds: BTreeSet<i64> =
        rows.iter().map(|row| row.int("build_id")).collect::<Result<_>>()?;
    for id in builds {
        builds::recompute(tx, BuildId(id)).await?;
        outbox::build_changed(tx, BuildId(id), now).await?;
    }
    Ok(())
}
