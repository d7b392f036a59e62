//! Projects as lists show them: who may see which, what of them was built last, and what
//! runs and waits now.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::many::{places, rows};
use super::{Build, Columns as _, Result, Store, failed, whole_rows, words};
use crate::model::{BuildId, BuildStatus, JobId, JobStatus, ProjectId, Timestamp, UserId};

/// Which projects a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    All,
    /// Those that the user owns or is a member of.
    Of(UserId),
    /// Those that anyone may see.
    VisibleToAll,
}

/// A part of a list of projects, the one that was built last first.
#[derive(Debug, Clone)]
pub struct ProjectsPart<'a> {
    pub of: Listed,
    /// Letters of their names in a row, in any case; empty: all.
    pub named: &'a str,
    pub skip: i64,
    pub limit: i64,
}

/// A project as lists show it.
#[derive(Debug, Clone)]
pub struct ProjectSummary {
    pub id: ProjectId,
    pub full_name: String,
    pub latest: Option<Build>,
}

/// A build as a bar of a chart.
#[derive(Debug, Clone, Copy)]
pub struct BuildMark {
    pub id: BuildId,
    pub number: i64,
    pub status: BuildStatus,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

/// A job that runs or waits.
#[derive(Debug, Clone)]
pub struct JobUnderWay {
    pub id: JobId,
    pub build: BuildId,
    pub build_number: i64,
    pub project: ProjectId,
    pub project_name: String,
    pub title: String,
    pub status: JobStatus,
    pub reason: String,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
}

/// Who may see a project; its parameters are those of [`Listed::parameters`].
pub(super) const VISIBLE: &str = "($1 = 1 OR ($2 = 1 AND projects.is_visible_to_all = 1) OR projects.owner_id = $3 \
     OR EXISTS (SELECT 1 FROM memberships WHERE memberships.project_id = projects.id \
                AND memberships.user_id = $3))";

/// Letters of a name that are looked for; more are left out.
const NAME: usize = 200;
/// Jobs of the queue that are looked through for those that somebody may see.
pub(super) const QUEUE: i64 = 10_000;

impl Listed {
    pub(super) fn parameters(self) -> [i64; 3] {
        // No user has the number 0.
        let user = if let Self::Of(user) = self { user.0 } else { 0 };
        [i64::from(self == Self::All), i64::from(self == Self::VisibleToAll), user]
    }
}

impl ProjectSummary {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: ProjectId(row.int("listed_id")?),
            full_name: row.text("listed_name")?,
            latest: match row.int_or_null("id")? {
                Some(_) => Some(Build::read(row)?),
                None => None,
            },
        })
    }
}

impl BuildMark {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: BuildId(row.int("id")?),
            number: row.int("number")?,
            status: row.text("status")?.parse()?,
            created_at: Timestamp(row.int("created_at")?),
            started_at: row.int_or_null("started_at")?.map(Timestamp),
            finished_at: row.int_or_null("finished_at")?.map(Timestamp),
        })
    }
}

/// As a pattern of `LIKE … ESCAPE '!'`.
fn pattern(named: &str) -> String {
    let mut pattern = String::from("%");
    for letter in named.to_lowercase().chars().filter(|letter| *letter != '\0').take(NAME) {
        if matches!(letter, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

impl Store {
    /// Projects with their latest build, newest build first, those that were never
    /// built at the end.
    pub async fn projects_listed(&self, part: &ProjectsPart<'_>) -> Result<Vec<ProjectSummary>> {
        let [all, visible, user] = part.of.parameters();
        let query = format!(
            "SELECT listed.id AS listed_id, listed.gh_full_name AS listed_name, builds.* FROM \
             (SELECT id, gh_full_name, built_at FROM projects \
              WHERE {VISIBLE} AND LOWER(gh_full_name) LIKE $4 ESCAPE '!' \
              ORDER BY built_at DESC, gh_full_name LIMIT $5 OFFSET $6) AS listed \
             LEFT JOIN builds ON builds.project_id = listed.id AND builds.number = \
             (SELECT latest.number FROM builds AS latest WHERE latest.project_id = listed.id \
              ORDER BY latest.number DESC LIMIT 1) \
             ORDER BY listed.built_at DESC, listed.gh_full_name"
        );
        let rows = whole_rows(sqlx::AssertSqlSafe(query))
            .bind(all)
            .bind(visible)
            .bind(user)
            .bind(pattern(part.named))
            .bind(part.limit)
            .bind(part.skip)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the projects"))?;
        rows.iter().map(ProjectSummary::read).collect()
    }

    /// One project as lists show it.
    pub async fn project_summary(&self, id: ProjectId) -> Result<Option<ProjectSummary>> {
        let row = whole_rows(
            "SELECT projects.id AS listed_id, projects.gh_full_name AS listed_name, builds.* \
             FROM projects LEFT JOIN builds ON builds.project_id = projects.id AND builds.number = \
             (SELECT latest.number FROM builds AS latest WHERE latest.project_id = projects.id \
              ORDER BY latest.number DESC LIMIT 1) \
             WHERE projects.id = $1",
        )
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a project"))?;
        row.as_ref().map(ProjectSummary::read).transpose()
    }

    /// Those of these projects that are in the list.
    pub async fn listed_among(&self, of: Listed, these: &[ProjectId]) -> Result<Vec<ProjectId>> {
        if of == Listed::All || these.is_empty() {
            return Ok(these.to_vec());
        }
        let [all, visible, user] = of.parameters();
        let query = format!(
            "SELECT id FROM projects WHERE {VISIBLE} AND id IN ({})",
            places(3, these.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(all).bind(visible).bind(user);
        for project in these {
            query = query.bind(project.0);
        }
        let rows = query.fetch_all(&self.pool).await.map_err(failed("choose among projects"))?;
        rows.iter().map(|row| Ok(ProjectId(row.int("id")?))).collect()
    }

    /// The list's projects, the one that was built last first, at most `limit`.
    pub async fn listed_ids(&self, of: Listed, limit: i64) -> Result<Vec<ProjectId>> {
        let [all, visible, user] = of.parameters();
        let query = format!(
            "SELECT id FROM projects WHERE {VISIBLE} ORDER BY built_at DESC, gh_full_name LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(all)
            .bind(visible)
            .bind(user)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the projects"))?;
        rows.iter().map(|row| Ok(ProjectId(row.int("id")?))).collect()
    }

    /// The last builds of each project, at most `count`, the oldest first; `latest` has the
    /// projects with the number of their latest build.
    pub async fn latest_marks(
        &self,
        latest: &[(ProjectId, i64)],
        count: i64,
    ) -> Result<BTreeMap<ProjectId, Vec<BuildMark>>> {
        let mut marks: BTreeMap<ProjectId, Vec<BuildMark>> = BTreeMap::new();
        if latest.is_empty() {
            return Ok(marks);
        }
        let query = format!(
            "SELECT builds.id, builds.project_id, builds.number, builds.status, builds.created_at, \
             builds.started_at, builds.finished_at FROM (VALUES {}) AS wanted \
             JOIN builds ON builds.project_id = wanted.column1 AND builds.number > wanted.column2 \
             ORDER BY builds.project_id, builds.number",
            rows(latest.len(), 2)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(query));
        for (project, number) in latest {
            query = query.bind(project.0).bind(number.saturating_sub(count));
        }
        let rows = query.fetch_all(&self.pool).await.map_err(failed("list the latest builds"))?;
        for row in &rows {
            let project = ProjectId(row.int("project_id")?);
            marks.entry(project).or_default().push(BuildMark::read(row)?);
        }
        Ok(marks)
    }

    /// Jobs of the list's projects that run, and that wait, the oldest first, at most
    /// `limit` of each.
    pub async fn jobs_under_way(
        &self,
        of: Listed,
        limit: i64,
    ) -> Result<(Vec<JobUnderWay>, Vec<JobUnderWay>)> {
        let running = self.jobs_that(of, "pending", limit).await?;
        Ok((running, self.jobs_that(of, "enqueued", limit).await?))
    }

    async fn jobs_that(
        &self,
        of: Listed,
        status: &'static str,
        limit: i64,
    ) -> Result<Vec<JobUnderWay>> {
        let [all, visible, user] = of.parameters();
        // The status stands in the text, for the indexes that have only such jobs.
        let query = format!(
            "SELECT chosen.id, chosen.title, chosen.status, chosen.reason, chosen.created_at, chosen.started_at, \
             builds.id AS build_id, builds.number, projects.id AS project_id, \
             projects.gh_full_name FROM \
             (SELECT id, build_id, title, status, reason, created_at, started_at FROM jobs \
              WHERE status = '{status}' ORDER BY id LIMIT $4) AS chosen \
             JOIN builds ON builds.id = chosen.build_id \
             JOIN projects ON projects.id = builds.project_id \
             WHERE {VISIBLE} ORDER BY chosen.id LIMIT $5"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(all)
            .bind(visible)
            .bind(user)
            .bind(QUEUE)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the jobs under way"))?;
        let read = |row: &AnyRow| {
            Ok(JobUnderWay {
                id: JobId(row.int("id")?),
                build: BuildId(row.int("build_id")?),
                build_number: row.int("number")?,
                project: ProjectId(row.int("project_id")?),
                project_name: row.text("gh_full_name")?,
                title: row.text("title")?,
                status: row.text("status")?.parse()?,
                reason: row.text("reason")?,
                created_at: Timestamp(row.int("created_at")?),
                started_at: row.int_or_null("started_at")?.map(Timestamp),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Builds of these projects that have all words of a text, the newest first, at most
    /// `limit`, each with its project's name. Nothing that can be typed is an error; a text
    /// without a letter or a digit finds nothing.
    pub async fn builds_with_words(
        &self,
        projects: &[ProjectId],
        text: &str,
        limit: i64,
    ) -> Result<Vec<(String, Build)>> {
        let words = words::of(text);
        if words.is_empty() || projects.is_empty() {
            return Ok(Vec::new());
        }
        let (from, id) = self.dialect.builds_with_words();
        let query = format!(
            "SELECT projects.gh_full_name, builds.* FROM {from} \
             JOIN projects ON projects.id = builds.project_id \
             WHERE {} ORDER BY {id} DESC LIMIT $2",
            self.dialect.has_words(1)
        );
        let _turn = self.searches.turn().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            // As in a project's history: planned for these words.
            .persistent(false)
            .bind(self.dialect.words_query(projects, &words))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("look for builds"))?;
        rows.iter().map(|row| Ok((row.text("gh_full_name")?, Build::read(row)?))).collect()
    }

    /// What is under way in each project, as a number that is another when that changed, and
    /// when a job of it ended last, of those that ended after `since`.
    pub async fn work_under_way(&self, since: Timestamp) -> Result<BTreeMap<ProjectId, Work>> {
        let open = sqlx::query(
            "SELECT project_id, COUNT(*) AS count, CAST(SUM(id) AS BIGINT) AS ids, \
             CAST(SUM(attempt * 4 + LENGTH(reason)) AS BIGINT) AS states, \
             CAST(SUM(CASE status WHEN 'pending' THEN 1 ELSE 0 END) AS BIGINT) AS running FROM \
             (SELECT (SELECT project_id FROM builds WHERE builds.id = jobs.build_id) AS project_id, \
              id, status, attempt, reason FROM jobs WHERE status = 'pending' \
              UNION ALL \
              SELECT (SELECT project_id FROM builds WHERE builds.id = jobs.build_id), \
              id, status, attempt, reason FROM jobs WHERE status = 'enqueued') AS open \
             GROUP BY project_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look at what is under way"))?;
        let ended = sqlx::query(
            "SELECT builds.project_id, MAX(jobs.finished_at) AS ended FROM jobs \
             JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.finished_at > $1 GROUP BY builds.project_id",
        )
        .bind(since.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look at what has ended"))?;
        let mut work: BTreeMap<ProjectId, Work> = BTreeMap::new();
        for row in &open {
            let [count, ids, states, running] =
                ["count", "ids", "states", "running"].map(|column| row.int(column));
            work.entry(ProjectId(row.int("project_id")?)).or_default().open =
                Some([count?, ids?, states?, running?]);
        }
        for row in &ended {
            work.entry(ProjectId(row.int("project_id")?)).or_default().ended =
                row.int_or_null("ended")?.map(Timestamp);
        }
        Ok(work)
    }
}

/// What is under way in a project; another value when that has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Of its jobs that run and wait; none: there are none.
    open: Option<[i64; 4]>,
    /// When the last job ended.
    ended: Option<Timestamp>,
}

impl Work {
    /// Whether there is something else to see than before; that it is long ago that a job
    /// ended is not.
    pub fn has_changed(self, before: Self) -> bool {
        self.open != before.open || (self.ended.is_some() && self.ended != before.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_a_name_are_no_pattern() {
        assert_eq!(pattern("Octo/50%_!\0"), "%octo/50!%!_!!%");
        assert_eq!(pattern(""), "%%");
        assert!(pattern(&"%".repeat(100_000)).len() <= 2 * NAME + 2);
    }

    #[test]
    fn what_ended_long_ago_is_no_change() {
        let open = Work { open: Some([1, 5, 3, 1]), ended: None };
        let ended = Work { open: None, ended: Some(Timestamp(9)) };
        assert!(open.has_changed(Work::default()));
        assert!(Work::default().has_changed(open));
        assert!(ended.has_changed(open));
        assert!(!Work::default().has_changed(ended));
        assert!(!ended.has_changed(ended));
        // Two jobs that ran, one after the other, between two looks.
        assert!(
            Work { ended: Some(Timestamp(12)), ..open }
                .has_changed(Work { ended: Some(Timestamp(9)), ..open })
        );
    }
}
