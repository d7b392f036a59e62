//! Tests of jobs, and the history of each.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::many::{at_once, rows};
use super::{Columns as _, Result, Store, StoreError, failed, whole_rows};
use crate::model::{BuildId, JobId, PastResult, ProjectId, TestOutcome, Timestamp};

/// Results of a test that say whether it is flaky.
const HISTORY: i64 = 50;
/// Builds that are looked at for flaky tests, and such tests.
const RECENT_BUILDS: i64 = 50;
const RECENT_TESTS: i64 = 200;
/// Builds among which one with tests is looked for.
const SEARCHED_BUILDS: i64 = 1_000;

/// A test of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    pub key: i64,
    pub hook: String,
    pub suite: String,
    pub class: String,
    pub name: String,
}

/// A test as it ended in one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    pub test: Test,
    pub outcome: TestOutcome,
    /// Milliseconds.
    pub duration: Option<i64>,
    pub place: String,
    pub message: String,
    pub details: String,
    pub output: String,
}

/// A test as it ended in one of many builds.
#[derive(Debug, Clone)]
pub struct TestRun {
    pub past: PastResult,
    pub duration: Option<i64>,
    pub message: String,
    pub job: JobId,
    pub build: BuildId,
    pub build_number: i64,
    pub finished_at: Option<Timestamp>,
}

/// Which of a job's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Failed, or could not be carried out.
    Bad,
    All,
}

impl Store {
    /// Of a job's tests, those that failed first, then in the order of its reports;
    /// without the first `skip`, at most `limit`.
    pub async fn test_results(
        &self,
        job: JobId,
        which: Which,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<TestResult>> {
        let rows = match which {
            Which::Bad => whole_rows(
                "SELECT test_results.*, tests.* FROM test_results \
                 JOIN collections ON collections.job_id = test_results.job_id \
                 AND collections.attempt = test_results.attempt \
                 JOIN jobs ON jobs.id = test_results.job_id JOIN builds ON builds.id = jobs.build_id \
                 JOIN tests ON tests.project_id = builds.project_id \
                 AND tests.test_key = test_results.test_key \
                 WHERE test_results.job_id = $1 AND outcome <> 'passed' \
                 AND outcome IN ('failed', 'error') ORDER BY seq LIMIT $2 OFFSET $3",
            ),
            Which::All => whole_rows(
                "SELECT test_results.*, tests.* FROM test_results \
                 JOIN collections ON collections.job_id = test_results.job_id \
                 AND collections.attempt = test_results.attempt \
                 JOIN jobs ON jobs.id = test_results.job_id JOIN builds ON builds.id = jobs.build_id \
                 JOIN tests ON tests.project_id = builds.project_id \
                 AND tests.test_key = test_results.test_key \
                 WHERE test_results.job_id = $1 ORDER BY CASE outcome WHEN 'failed' THEN 0 \
                 WHEN 'error' THEN 0 WHEN 'flaky' THEN 1 ELSE 2 END, seq LIMIT $2 OFFSET $3",
            ),
        }
        .bind(job.0)
        .bind(limit)
        .bind(skip)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a job's tests"))?;
        rows.iter().map(read_result).collect()
    }

    pub async fn test(&self, project: ProjectId, key: i64) -> Result<Option<Test>> {
        let row = whole_rows("SELECT * FROM tests WHERE project_id = $1 AND test_key = $2")
            .bind(project.0)
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a test"))?;
        row.as_ref().map(read_test).transpose()
    }

    /// The latest results of a test, the newest first, at most `limit`.
    pub async fn test_history(
        &self,
        project: ProjectId,
        key: i64,
        limit: i64,
    ) -> Result<Vec<TestRun>> {
        let rows = sqlx::query(
            "SELECT test_results.outcome, test_results.duration_ms, test_results.message, \
             test_results.job_id, jobs.finished_at, builds.id AS build_id, builds.number, \
             builds.gh_commit_ref, builds.gh_commit_sha FROM test_results \
             JOIN collections ON collections.job_id = test_results.job_id \
             AND collections.attempt = test_results.attempt \
             JOIN jobs ON jobs.id = test_results.job_id JOIN builds ON builds.id = jobs.build_id \
             WHERE test_results.test_key = $1 AND builds.project_id = $2 AND builds.triggered_by <> 'try' \
             ORDER BY test_results.job_id DESC, test_results.seq DESC LIMIT $3",
        )
        .bind(key)
        .bind(project.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read a test's history"))?;
        rows.iter().map(read_run).collect()
    }

    /// Whether each of these tests is flaky, by its latest results.
    pub async fn which_are_flaky(&self, project: ProjectId, keys: &[i64]) -> Result<Vec<i64>> {
        let mut past: BTreeMap<i64, Vec<PastResult>> = BTreeMap::new();
        for keys in at_once(keys, 1) {
            // As in a test's history, for all of them together.
            let query = format!(
                "SELECT test_results.test_key, test_results.outcome, builds.gh_commit_ref, \
                 builds.gh_commit_sha FROM (VALUES {}) AS wanted \
                 JOIN test_results ON test_results.test_key = wanted.column1 \
                 AND test_results.job_id IN (SELECT latest.job_id FROM test_results AS latest \
                     WHERE latest.test_key = wanted.column1 ORDER BY latest.job_id DESC LIMIT {HISTORY}) \
                 JOIN collections ON collections.job_id = test_results.job_id \
                 AND collections.attempt = test_results.attempt \
                 JOIN jobs ON jobs.id = test_results.job_id JOIN builds ON builds.id = jobs.build_id \
                 WHERE builds.project_id = ${} AND builds.triggered_by <> 'try' \
                 ORDER BY test_results.job_id DESC, test_results.seq DESC",
                rows(keys.len(), 1),
                keys.len() + 1
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(query));
            for key in keys {
                query = query.bind(key);
            }
            let found = query.bind(project.0).fetch_all(&self.pool).await;
            for row in &found.map_err(failed("read the history of tests"))? {
                past.entry(row.int("test_key")?).or_default().push(read_past(row)?);
            }
        }
        let flaky = past.iter().filter(|(_, past)| crate::model::is_flaky(past));
        Ok(flaky.map(|(key, _)| *key).collect())
    }

    /// Tests that are flaky, by the project's latest builds: those that did not just pass
    /// in one of them are looked at.
    pub async fn flaky_tests(&self, project: ProjectId) -> Result<Vec<Test>> {
        let rows = whole_rows(
            "SELECT tests.* FROM tests WHERE project_id = $1 AND test_key IN (\
             SELECT test_key FROM test_results JOIN jobs ON jobs.id = test_results.job_id \
             JOIN builds ON builds.id = jobs.build_id \
             WHERE builds.project_id = $1 AND outcome <> 'passed' AND outcome <> 'skipped' \
             AND builds.number > (SELECT number - $2 FROM builds WHERE project_id = $1 \
                                  ORDER BY number DESC LIMIT 1)) \
             ORDER BY hook_title, suite, class, name LIMIT $3",
        )
        .bind(project.0)
        .bind(RECENT_BUILDS)
        .bind(RECENT_TESTS)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for flaky tests"))?;
        let tests: Vec<Test> = rows.iter().map(read_test).collect::<Result<_>>()?;
        let keys: Vec<i64> = tests.iter().map(|test| test.key).collect();
        let flaky = self.which_are_flaky(project, &keys).await?;
        Ok(tests.into_iter().filter(|test| flaky.contains(&test.key)).collect())
    }

    /// The slowest tests of the project's newest build that has any, among its latest ones, and
    /// that build's number.
    pub async fn slowest_tests(
        &self,
        project: ProjectId,
        limit: i64,
    ) -> Result<Option<(i64, Vec<TestResult>)>> {
        let newest = sqlx::query(
            "SELECT builds.id, builds.number FROM builds JOIN jobs ON jobs.build_id = builds.id \
             JOIN collections ON collections.job_id = jobs.id \
             WHERE builds.project_id = $1 AND passed + failed + errors + flaky > 0 \
             AND builds.number > (SELECT number - $2 FROM builds WHERE project_id = $1 \
                                  ORDER BY number DESC LIMIT 1) \
             ORDER BY builds.number DESC LIMIT 1",
        )
        .bind(project.0)
        .bind(SEARCHED_BUILDS)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a build with tests"))?;
        let Some(newest) = newest else { return Ok(None) };
        let rows = whole_rows(
            "SELECT test_results.*, tests.* FROM test_results \
             JOIN collections ON collections.job_id = test_results.job_id \
             AND collections.attempt = test_results.attempt \
             JOIN jobs ON jobs.id = test_results.job_id \
             JOIN tests ON tests.project_id = $1 AND tests.test_key = test_results.test_key \
             WHERE jobs.build_id = $2 AND jobs.replaced_by_id IS NULL AND test_results.duration_ms IS NOT NULL \
             ORDER BY test_results.duration_ms DESC, seq LIMIT $3",
        )
        .bind(project.0)
        .bind(newest.int("id")?)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the slowest tests"))?;
        let results = rows.iter().map(read_result).collect::<Result<_>>()?;
        Ok(Some((newest.int("number")?, results)))
    }
}

fn read_test(row: &AnyRow) -> Result<Test> {
    Ok(Test {
        key: row.int("test_key")?,
        hook: row.text("hook_title")?,
        suite: row.text("suite")?,
        class: row.text("class")?,
        name: row.text("name")?,
    })
}

fn read_result(row: &AnyRow) -> Result<TestResult> {
    let text = |column| Ok::<_, StoreError>(row.text_or_null(column)?.unwrap_or_default());
    Ok(TestResult {
        test: read_test(row)?,
        outcome: row.text("outcome")?.parse()?,
        duration: row.int_or_null("duration_ms")?,
        place: text("place")?,
        message: text("message")?,
        details: text("details")?,
        output: text("output")?,
    })
}

fn read_past(row: &AnyRow) -> Result<PastResult> {
    Ok(PastResult {
        outcome: row.text("outcome")?.parse()?,
        git_ref: row.text("gh_commit_ref")?,
        sha: row.text("gh_commit_sha")?,
    })
}

fn read_run(row: &AnyRow) -> Result<TestRun> {
    Ok(TestRun {
        past: read_past(row)?,
        duration: row.int_or_null("duration_ms")?,
        message: row.text_or_null("message")?.unwrap_or_default(),
        job: JobId(row.int("job_id")?),
        build: BuildId(row.int("build_id")?),
        build_number: row.int("number")?,
        finished_at: row.int_or_null("finished_at")?.map(Timestamp),
    })
}
