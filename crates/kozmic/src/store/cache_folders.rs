//! Cache folders: which volumes there are, whose they are, and which job has which.

use sqlx::any::AnyRow;

use super::{ClaimedJob, Columns as _, Result, Store, commit, failed, whole_rows};
use crate::model::{Action, CacheFolder, Event, JobUuid, ProjectId, Timestamp};

/// That the job which has a folder is not over: nobody else gets it.
const HELD: &str = "EXISTS (SELECT 1 FROM jobs WHERE jobs.uuid = cache_folders.job_uuid \
                    AND jobs.attempt = cache_folders.attempt AND jobs.status = 'pending')";

/// A volume that is kept between jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFolder {
    pub id: i64,
    pub project: ProjectId,
    pub project_name: String,
    pub job_title: String,
    pub name: String,
    /// From a fork; none: of the project's own builds.
    pub pull_request: Option<i64>,
    pub volume: String,
    /// After its last job; none: that has not been.
    pub bytes: Option<u64>,
    pub used_at: Timestamp,
    /// By a job that is not over.
    pub is_used: bool,
}

/// A volume that a job has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenFolder {
    pub volume: String,
    /// Bytes, and when a job had it last; none: it is new.
    pub before: Option<(u64, Timestamp)>,
}

impl Store {
    /// A job gets the volume of one of its hook's cache folders at an engine: that which was
    /// used last and is free, or a new one. One job at a time has it, and those of a fork's
    /// pull request have their own. None when the hook was deleted.
    pub async fn cache_folder_taken(
        &self,
        engine: &str,
        job: &ClaimedJob,
        folder: &CacheFolder,
        now: Timestamp,
    ) -> Result<Option<TakenFolder>> {
        let pull_request = job.pull_request.filter(|_| job.is_from_fork).unwrap_or(0);
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, job.project.id).await?;
        let hook = sqlx::query(
            "SELECT hooks.id FROM jobs JOIN hook_calls ON hook_calls.id = jobs.hook_call_id \
             JOIN hooks ON hooks.id = hook_calls.hook_id WHERE jobs.id = $1",
        )
        .bind(job.id.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("find a job's hook"))?;
        let Some(hook) = hook else { return Ok(None) };
        let hook = hook.int("id")?;
        // That which this attempt has already, from a worker before this one, first.
        let free = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT id, volume, bytes, used_at FROM cache_folders WHERE engine = $1 \
             AND hook_id = $2 AND job_title = $3 AND name = $4 AND pull_request = $5 \
             AND ((job_uuid = $6 AND attempt = $7) OR NOT {HELD}) \
             ORDER BY CASE WHEN job_uuid = $6 THEN 0 ELSE 1 END, used_at DESC, id LIMIT 1"
        )))
        .bind(engine)
        .bind(hook)
        .bind(&job.title)
        .bind(folder.name.as_str())
        .bind(pull_request)
        .bind(job.uuid.to_string())
        .bind(job.attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("look for a cache folder"))?;
        let taken = if let Some(row) = free {
            sqlx::query(
                "UPDATE cache_folders SET job_uuid = $1, attempt = $2, used_at = $3 WHERE id = $4",
            )
            .bind(job.uuid.to_string())
            .bind(job.attempt)
            .bind(now.0)
            .bind(row.int("id")?)
            .execute(&mut *tx)
            .await
            .map_err(failed("take a cache folder"))?;
            let bytes = row.int_or_null("bytes")?.and_then(|bytes| u64::try_from(bytes).ok());
            let used_at = Timestamp(row.int("used_at")?);
            TakenFolder { volume: row.text("volume")?, before: bytes.map(|it| (it, used_at)) }
        } else {
            let volume = format!("kozmic-folder-{}", JobUuid::random());
            sqlx::query(
                "INSERT INTO cache_folders (engine, project_id, hook_id, job_title, name, \
                 pull_request, volume, job_uuid, attempt, created_at, used_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
            )
            .bind(engine)
            .bind(job.project.id.0)
            .bind(hook)
            .bind(&job.title)
            .bind(folder.name.as_str())
            .bind(pull_request)
            .bind(&volume)
            .bind(job.uuid.to_string())
            .bind(job.attempt)
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note a cache folder"))?;
            TakenFolder { volume, before: None }
        };
        commit(tx).await?;
        Ok(Some(taken))
    }

    /// A job that has a folder has ended, and this is how large it is.
    pub async fn cache_folder_measured(
        &self,
        engine: &str,
        volume: &str,
        (job, attempt): (JobUuid, i64),
        bytes: u64,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE cache_folders SET bytes = $1, used_at = $2 \
             WHERE engine = $3 AND volume = $4 AND job_uuid = $5 AND attempt = $6",
        )
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(now.0)
        .bind(engine)
        .bind(volume)
        .bind(job.to_string())
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note how large a cache folder is"))?;
        Ok(())
    }

    /// No job gets this volume any more; the sweep removes it once nobody uses it.
    pub async fn cache_folder_dropped(&self, engine: &str, volume: &str) -> Result<()> {
        sqlx::query("DELETE FROM cache_folders WHERE engine = $1 AND volume = $2")
            .bind(engine)
            .bind(volume)
            .execute(&self.writer)
            .await
            .map_err(failed("drop a cache folder"))?;
        Ok(())
    }

    /// The same, unless a job has it. False when one has, or it is dropped already.
    pub async fn idle_cache_folder_dropped(&self, engine: &str, volume: &str) -> Result<bool> {
        let dropped = sqlx::query(sqlx::AssertSqlSafe(format!(
            "DELETE FROM cache_folders WHERE engine = $1 AND volume = $2 AND NOT {HELD}"
        )))
        .bind(engine)
        .bind(volume)
        .execute(&self.writer)
        .await
        .map_err(failed("drop a cache folder"))?;
        Ok(dropped.rows_affected() > 0)
    }

    /// The same, as a manager of its project asks for it. None when it is not there.
    pub async fn cache_folder_dropped_by(
        &self,
        project: ProjectId,
        id: i64,
    ) -> Result<Option<String>> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "DELETE FROM cache_folders WHERE project_id = $1 AND id = $2 RETURNING name",
        )
        .bind(project.0)
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("drop a cache folder"))?;
        let Some(row) = row else { return Ok(None) };
        let name = row.text("name")?;
        let event = Event::of(Action::CacheFolderDropped, "cache folder", Some(id), &name);
        self.note(&mut tx, event.in_project(project)).await?;
        commit(tx).await?;
        self.wakes.leavings.notify_one();
        Ok(Some(name))
    }

    /// Folders that no job had since then go: those of forks' pull requests, and all others.
    pub async fn old_cache_folders_dropped(
        &self,
        of_forks: Timestamp,
        others: Timestamp,
    ) -> Result<u64> {
        let mut tx = self.begin().await?;
        let dropped = sqlx::query(sqlx::AssertSqlSafe(format!(
            "DELETE FROM cache_folders WHERE ((pull_request <> 0 AND used_at < $1) \
             OR used_at < $2) AND NOT {HELD}"
        )))
        .bind(of_forks.0)
        .bind(others.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("drop old cache folders"))?;
        let count = dropped.rows_affected();
        if count > 0 {
            let event = Event::of(Action::CacheFolderDropped, "cache folder", None, "unused ones");
            self.note(&mut tx, event.with("count", count)).await?;
        }
        commit(tx).await?;
        Ok(count)
    }

    /// All folders of an engine.
    pub async fn cache_folders_at(&self, engine: &str) -> Result<Vec<KeptFolder>> {
        let rows = whole_rows(sqlx::AssertSqlSafe(listed("cache_folders.engine = $1")))
            .bind(engine)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list cache folders"))?;
        rows.iter().map(read).collect()
    }

    /// All folders of a project, by job, name, pull request and last use.
    pub async fn cache_folders_of(&self, project: ProjectId) -> Result<Vec<KeptFolder>> {
        let rows = whole_rows(sqlx::AssertSqlSafe(listed("cache_folders.project_id = $1")))
            .bind(project.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list cache folders"))?;
        rows.iter().map(read).collect()
    }
}

fn listed(condition: &str) -> String {
    format!(
        "SELECT cache_folders.*, projects.gh_full_name, CASE WHEN {HELD} THEN 1 ELSE 0 END AS is_used \
         FROM cache_folders JOIN projects ON projects.id = cache_folders.project_id \
         WHERE {condition} ORDER BY job_title, name, pull_request, used_at DESC, cache_folders.id"
    )
}

fn read(row: &AnyRow) -> Result<KeptFolder> {
    Ok(KeptFolder {
        id: row.int("id")?,
        project: ProjectId(row.int("project_id")?),
        project_name: row.text("gh_full_name")?,
        job_title: row.text("job_title")?,
        name: row.text("name")?,
        pull_request: Some(row.int("pull_request")?).filter(|number| *number != 0),
        volume: row.text("volume")?,
        bytes: row.int_or_null("bytes")?.and_then(|bytes| u64::try_from(bytes).ok()),
        used_at: Timestamp(row.int("used_at")?),
        is_used: row.flag("is_used")?,
    })
}
