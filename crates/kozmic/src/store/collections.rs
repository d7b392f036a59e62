//! What was collected of a job, kept once and by the attempt that holds the job.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Arguments as _, AssertSqlSafe};

use super::{
    Columns as _, Result, Store, StoreError, Transaction, commit, failed, read_json, to_json,
    whole_rows,
};
use crate::model::{
    BuildId, Collected, Invalid, JobId, ProjectId, TestCase, TestCounts, Timestamp,
};

/// Rows of one statement.
const AT_ONCE: usize = 50;
/// Rows of one transaction: others want to write as well.
const IN_ONE: usize = 5_000;
/// What was collected of a job.
#[derive(Debug, Clone)]
pub struct Collection {
    pub tests: TestCounts,
    /// Of its tests together, in milliseconds.
    pub duration: i64,
    /// What was left out and why.
    pub notes: Vec<String>,
    pub artifact_count: i64,
    /// Bytes.
    pub artifact_bytes: i64,
    /// When its artifacts were removed, and why.
    pub artifacts_removed: Option<(Timestamp, String)>,
}

impl Store {
    /// Whether this attempt's files were collected already.
    pub async fn is_collected(&self, job: JobId, attempt: i64) -> Result<bool> {
        let row =
            sqlx::query("SELECT 1 AS one FROM collections WHERE job_id = $1 AND attempt = $2")
                .bind(job.0)
                .bind(attempt)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("look for what was collected"))?;
        Ok(row.is_some())
    }

    /// A script's files were collected: from now on they are shown. An attempt that does
    /// not hold the job any more leaves nothing.
    pub async fn job_collected(
        &self,
        job: JobId,
        attempt: i64,
        collected: &Collected,
        now: Timestamp,
    ) -> Result<()> {
        // Results are not shown before the last transaction, so they may come in several.
        let mut tx = self.begin().await?;
        fence(&mut tx, job, attempt).await?;
        sqlx::query("DELETE FROM test_results WHERE job_id = $1 AND attempt = $2")
            .bind(job.0)
            .bind(attempt)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove what came of it before"))?;
        commit(tx).await?;
        for (index, cases) in collected.cases.chunks(IN_ONE).enumerate() {
            let mut tx = self.begin().await?;
            let (project, hook) = fence(&mut tx, job, attempt).await?;
            for (part, cases) in cases.chunks(AT_ONCE).enumerate() {
                let first = index * IN_ONE + part * AT_ONCE;
                insert(&mut tx, (job, attempt), (project, &hook), first, cases).await?;
            }
            commit(tx).await?;
        }
        let mut tx = self.begin().await?;
        fence(&mut tx, job, attempt).await?;
        for earlier in [
            "DELETE FROM test_results WHERE job_id = $1 AND attempt <> $2",
            "DELETE FROM collections WHERE job_id = $1 AND attempt <= $2",
            "DELETE FROM artifacts WHERE job_id = $1 AND $2 > 0",
        ] {
            sqlx::query(earlier)
                .bind(job.0)
                .bind(attempt)
                .execute(&mut *tx)
                .await
                .map_err(failed("replace what was collected earlier"))?;
        }
        insert_collection(&mut tx, job, attempt, collected, now).await?;
        super::artifacts::keep(&mut tx, job, attempt, &collected.artifacts).await?;
        commit(tx).await
    }

    pub async fn collection(&self, job: JobId) -> Result<Option<Collection>> {
        let row = whole_rows("SELECT * FROM collections WHERE job_id = $1")
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read what was collected"))?;
        row.as_ref().map(read_collection).transpose()
    }

    /// The tests of each of a build's jobs that has any.
    pub async fn test_counts(&self, build: BuildId) -> Result<Vec<(JobId, TestCounts)>> {
        let rows = whole_rows(
            "SELECT collections.* FROM collections JOIN jobs ON jobs.id = collections.job_id \
             WHERE jobs.build_id = $1",
        )
        .bind(build.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("count a build's tests"))?;
        let counts = rows.iter().map(|row| Ok((JobId(row.int("job_id")?), read_counts(row)?)));
        let counts: Vec<_> = counts.collect::<Result<_>>()?;
        Ok(counts.into_iter().filter(|(_, counts)| counts.total() > 0).collect())
    }
}

/// The project and the hook's title, if this attempt holds the job still.
async fn fence(tx: &mut Transaction, job: JobId, attempt: i64) -> Result<(ProjectId, String)> {
    // Written, and so kept from others until the transaction ends, on both databases.
    let held = sqlx::query(
        "UPDATE jobs SET attempt = attempt WHERE id = $1 AND attempt = $2 AND status = 'pending' \
         RETURNING title, build_id",
    )
    .bind(job.0)
    .bind(attempt)
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("look whether a job is held"))?
    .ok_or(StoreError::Stale)?;
    let build = sqlx::query("SELECT project_id FROM builds WHERE id = $1")
        .bind(held.int("build_id")?)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("find a job's project"))?;
    Ok((ProjectId(build.int("project_id")?), held.text("title")?))
}

async fn insert(
    tx: &mut Transaction,
    (job, attempt): (JobId, i64),
    (project, hook): (ProjectId, &str),
    first: usize,
    cases: &[TestCase],
) -> Result<()> {
    let mut tests = AnyArguments::default();
    let mut results = AnyArguments::default();
    for (index, case) in cases.iter().enumerate() {
        let key = case.key(project, hook);
        let seq = i64::try_from(first + index).unwrap_or(i64::MAX);
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let added = (|| {
            tests.add(project.0)?;
            tests.add(key)?;
            tests.add(hook.to_owned())?;
            tests.add(case.suite.clone())?;
            tests.add(case.class.clone())?;
            tests.add(case.name.clone())?;
            results.add(job.0)?;
            results.add(attempt)?;
            results.add(seq)?;
            results.add(key)?;
            results.add(case.outcome.as_str())?;
            results.add(case.duration)?;
            results.add(text(&case.place))?;
            results.add(text(&case.message))?;
            results.add(text(&case.details))?;
            results.add(text(&case.output))
        })();
        added.map_err(|error| StoreError::Corrupt(Invalid::new(error.to_string())))?;
    }
    let into = "INSERT INTO tests (project_id, test_key, hook_title, suite, class, name) VALUES ";
    let text = format!("{into}{} ON CONFLICT DO NOTHING", places(cases.len(), 6));
    sqlx::query_with(AssertSqlSafe(text), tests)
        .execute(&mut **tx)
        .await
        .map_err(failed("note tests"))?;
    let into = "INSERT INTO test_results (job_id, attempt, seq, test_key, outcome, duration_ms, \
                place, message, details, output) VALUES ";
    sqlx::query_with(AssertSqlSafe(format!("{into}{}", places(cases.len(), 10))), results)
        .execute(&mut **tx)
        .await
        .map_err(failed("keep test results"))?;
    Ok(())
}

/// `($1, $2), ($3, $4)`: so many rows of so many columns.
fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let places: Vec<String> =
            (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

async fn insert_collection(
    tx: &mut Transaction,
    job: JobId,
    attempt: i64,
    collected: &Collected,
    now: Timestamp,
) -> Result<()> {
    let counts = TestCounts::of(&collected.cases);
    let bytes: u64 = collected.artifacts.iter().map(|artifact| artifact.size).sum();
    sqlx::query(
        "INSERT INTO collections (job_id, attempt, passed, failed, errors, skipped, flaky, duration_ms, \
         notes, artifact_count, artifact_bytes, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(job.0)
    .bind(attempt)
    .bind(counts.passed)
    .bind(counts.failed)
    .bind(counts.errors)
    .bind(counts.skipped)
    .bind(counts.flaky)
    .bind(collected.cases.iter().filter_map(|case| case.duration).fold(0, i64::saturating_add))
    .bind(to_json(&collected.notes, "notes")?)
    .bind(i64::try_from(collected.artifacts.len()).unwrap_or(i64::MAX))
    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note what was collected"))?;
    Ok(())
}

/// What the tests of a job say, after its end's own words; nothing when none failed.
pub(super) async fn verdict(tx: &mut Transaction, job: i64) -> Result<Option<String>> {
    let row = whole_rows("SELECT * FROM collections WHERE job_id = $1")
        .bind(job)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("count a job's tests"))?;
    let counts = row.as_ref().map(read_counts).transpose()?;
    Ok(counts.filter(|counts| counts.bad() > 0).map(|counts| counts.to_string()))
}

fn read_counts(row: &AnyRow) -> Result<TestCounts> {
    Ok(TestCounts {
        passed: row.int("passed")?,
        failed: row.int("failed")?,
        errors: row.int("errors")?,
        skipped: row.int("skipped")?,
        flaky: row.int("flaky")?,
    })
}

fn read_collection(row: &AnyRow) -> Result<Collection> {
    let removed_at = row.int_or_null("artifacts_removed_at")?.map(Timestamp);
    let because = row.text_or_null("artifacts_removed_because")?.unwrap_or_default();
    Ok(Collection {
        tests: read_counts(row)?,
        duration: row.int("duration_ms")?,
        notes: read_json(row, "notes")?,
        artifact_count: row.int("artifact_count")?,
        artifact_bytes: row.int("artifact_bytes")?,
        artifacts_removed: removed_at.map(|at| (at, because)),
    })
}
