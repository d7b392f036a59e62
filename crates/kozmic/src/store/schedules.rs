//! When hooks run by the clock: which of them is due, and what became of the last time.
//!
//! Whoever moves a schedule's `next_at` has the run, in the transaction that makes the
//! build: however many processes look, each time is run once.

use sqlx::any::AnyRow;

use super::{
    Asked, AskedBuild, Columns as _, Result, Store, Transaction, commit, failed, whole_rows,
};
use crate::model::{BuildId, CronLine, HookId, HookSpec, ProjectId, Timestamp};

/// One line of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    id: i64,
    pub hook: HookId,
    pub title: String,
    pub project: ProjectId,
    pub line: CronLine,
    pub next_at: Timestamp,
    /// Later than `next_at` when that could not be made yet.
    pub wake_at: Timestamp,
    /// When the last one was due that was made or given up.
    pub last_due_at: Option<Timestamp>,
    pub last_build: Option<BuildId>,
    /// Why the last one was not made, or is tried again.
    pub trouble: Option<String>,
}

const COLUMNS: &str = "schedules.*, hooks.title, hooks.project_id FROM schedules \
                       JOIN hooks ON hooks.id = schedules.hook_id AND hooks.is_active = 1";

impl Store {
    /// Schedules that are to be looked at now, the longest-waiting first.
    pub async fn schedules_due(&self, now: Timestamp, limit: i64) -> Result<Vec<Schedule>> {
        let text =
            format!("SELECT {COLUMNS} WHERE wake_at <= $1 ORDER BY wake_at, schedules.id LIMIT $2");
        let rows = whole_rows(sqlx::AssertSqlSafe(text))
            .bind(now.0)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("look for what is due"))?;
        rows.iter().map(read).collect()
    }

    /// When to look the next time; none without a schedule.
    pub async fn next_schedule(&self) -> Result<Option<Timestamp>> {
        let row = sqlx::query(
            "SELECT MIN(wake_at) AS at FROM schedules \
             JOIN hooks ON hooks.id = schedules.hook_id AND hooks.is_active = 1",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(failed("look for what is due next"))?;
        Ok(row.int_or_null("at")?.map(Timestamp))
    }

    /// A project's schedules, by hook.
    pub async fn schedules(&self, project: ProjectId) -> Result<Vec<Schedule>> {
        let text =
            format!("SELECT {COLUMNS} WHERE hooks.project_id = $1 ORDER BY hook_id, schedules.id");
        let rows = whole_rows(sqlx::AssertSqlSafe(text))
            .bind(project.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the schedules"))?;
        rows.iter().map(read).collect()
    }

    /// A schedule's time has come, and its build is made; none when another process was
    /// faster, or the schedule is gone. However many times were missed, this is the one.
    pub async fn schedule_ran(
        &self,
        schedule: &Schedule,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Option<AskedBuild>> {
        let mut tx = self.begin().await?;
        if !step(&mut tx, schedule, None, now).await? {
            return Ok(None);
        }
        let made = self.make_asked(&mut tx, schedule.project, asked, now).await?;
        sqlx::query("UPDATE builds SET cron_line = $1, due_at = $2 WHERE id = $3")
            .bind(schedule.line.to_string())
            .bind(schedule.next_at.0)
            .bind(made.build.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what a build was due for"))?;
        sqlx::query("UPDATE schedules SET last_build_id = $1 WHERE id = $2")
            .bind(made.build.0)
            .bind(schedule.id)
            .execute(&mut *tx)
            .await
            .map_err(failed("note a schedule's build"))?;
        commit(tx).await?;
        self.woken_by_build();
        Ok(Some(made))
    }

    /// A schedule's time has come, and nothing is made of it, for this reason.
    pub async fn schedule_skipped(
        &self,
        schedule: &Schedule,
        why: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        step(&mut tx, schedule, Some(why), now).await?;
        commit(tx).await
    }

    /// It could not be made now, for this reason, and is tried again at `at`.
    pub async fn schedule_postponed(
        &self,
        schedule: &Schedule,
        why: &str,
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE schedules SET wake_at = $1, trouble = $2 WHERE id = $3 AND next_at = $4",
        )
        .bind(at.0)
        .bind(why)
        .bind(schedule.id)
        .bind(schedule.next_at.0)
        .execute(&self.writer)
        .await
        .map_err(failed("postpone a schedule"))?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<Schedule> {
    Ok(Schedule {
        id: row.int("id")?,
        hook: HookId(row.int("hook_id")?),
        title: row.text("title")?,
        project: ProjectId(row.int("project_id")?),
        line: row.text("line")?.parse()?,
        next_at: Timestamp(row.int("next_at")?),
        wake_at: Timestamp(row.int("wake_at")?),
        last_due_at: row.int_or_null("last_due_at")?.map(Timestamp),
        last_build: row.int_or_null("last_build_id")?.map(BuildId),
        trouble: row.text_or_null("trouble")?,
    })
}

/// On to the next time after now; false when it was not where it was seen.
async fn step(
    tx: &mut Transaction,
    schedule: &Schedule,
    trouble: Option<&str>,
    now: Timestamp,
) -> Result<bool> {
    let next = next_after(&schedule.line, now.max(schedule.next_at));
    let moved = sqlx::query(
        "UPDATE schedules SET next_at = $1, wake_at = $1, last_due_at = next_at, last_ended_at = $2, \
         last_build_id = NULL, trouble = $3 WHERE id = $4 AND next_at = $5",
    )
    .bind(next)
    .bind(now.0)
    .bind(trouble)
    .bind(schedule.id)
    .bind(schedule.next_at.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("move a schedule on"))?;
    Ok(moved.rows_affected() > 0)
}

/// One that never comes again waits for ever.
fn next_after(line: &CronLine, now: Timestamp) -> i64 {
    line.next_after(now).map_or(i64::MAX, |next| next.0)
}

/// A hook has these lines from now on. Those that it had before go on as they were.
pub(super) async fn set(
    tx: &mut Transaction,
    hook: HookId,
    spec: &HookSpec,
    now: Timestamp,
) -> Result<()> {
    let rows = sqlx::query("SELECT id, line FROM schedules WHERE hook_id = $1")
        .bind(hook.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list a hook's schedules"))?;
    let lines: Vec<String> = spec.options.cron.iter().map(ToString::to_string).collect();
    for row in rows {
        if !lines.contains(&row.text("line")?) {
            sqlx::query("DELETE FROM schedules WHERE id = $1")
                .bind(row.int("id")?)
                .execute(&mut **tx)
                .await
                .map_err(failed("end a schedule"))?;
        }
    }
    for (line, text) in spec.options.cron.iter().zip(lines) {
        sqlx::query(
            "INSERT INTO schedules (hook_id, line, next_at, wake_at) VALUES ($1, $2, $3, $3) \
             ON CONFLICT (hook_id, line) DO NOTHING",
        )
        .bind(hook.0)
        .bind(text)
        .bind(next_after(line, now))
        .execute(&mut **tx)
        .await
        .map_err(failed("begin a schedule"))?;
    }
    Ok(())
}
