//! A project's builds as people look for them: by branch, author, status and words, from
//! one place of the list to both sides.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Build, BuildMark, Columns as _, Result, Store, failed, words};
use crate::model::{BuildStatus, GitRef, ProjectId};

/// What builds are wanted; all of what is given.
#[derive(Debug, Clone, Default)]
pub struct BuildFilter {
    /// In full.
    pub git_ref: Option<String>,
    pub author: Option<String>,
    pub status: Option<BuildStatus>,
    /// Beginnings of words of its message, author, ref, commit id or pull request's title.
    /// Nothing that can be typed is an error; a text without a letter or a digit finds
    /// nothing.
    pub text: Option<String>,
}

/// Where a page of a history lies, by builds' numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Newest,
    /// The newest that are older than this one.
    Before(i64),
    /// The oldest that are newer than this one.
    After(i64),
}

/// Some builds in a row, the newest first.
#[derive(Debug)]
pub struct HistoryPart {
    pub builds: Vec<Build>,
    pub has_newer: bool,
    pub has_older: bool,
}

/// Conditions of a query, with the values of the places from `$4` on.
struct Conditions {
    text: String,
    values: Vec<String>,
}

impl BuildFilter {
    pub fn is_empty(&self) -> bool {
        self.git_ref.is_none()
            && self.author.is_none()
            && self.status.is_none()
            && self.text.is_none()
    }
}

impl Store {
    /// A part of a project's history, at most `limit` builds.
    pub async fn history(
        &self,
        project: ProjectId,
        filter: &BuildFilter,
        place: Place,
        limit: i64,
    ) -> Result<HistoryPart> {
        let nothing = HistoryPart { builds: Vec::new(), has_newer: false, has_older: false };
        let Some(conditions) = self.conditions(project, filter) else { return Ok(nothing) };
        let (range, order) = match place {
            Place::Newest => ("number <= $2", "DESC"),
            Place::Before(_) => ("number < $2", "DESC"),
            Place::After(_) => ("number > $2", "ASC"),
        };
        let from = match place {
            Place::Newest => i64::MAX,
            Place::Before(number) | Place::After(number) => number,
        };
        let wanted = limit.saturating_add(1);
        let rows = self.builds_in(&conditions, project, "*", (range, order), from, wanted).await?;
        let mut builds: Vec<Build> = rows.iter().map(Build::read).collect::<Result<_>>()?;
        let has_more = builds.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        builds.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        if order == "ASC" {
            builds.reverse();
        }
        // On the other side there is what the way here came from, most of the time.
        let behind = match place {
            Place::Newest => false,
            Place::Before(_) => {
                let newest = builds.first().map_or(from.saturating_sub(1), |build| build.number);
                let range = ("number > $2", "ASC");
                !self.builds_in(&conditions, project, "id", range, newest, 1).await?.is_empty()
            }
            Place::After(_) => {
                let oldest = builds.last().map_or(from.saturating_add(1), |build| build.number);
                let range = ("number < $2", "DESC");
                !self.builds_in(&conditions, project, "id", range, oldest, 1).await?.is_empty()
            }
        };
        let (has_newer, has_older) =
            if order == "ASC" { (has_more, behind) } else { (behind, has_more) };
        Ok(HistoryPart { builds, has_newer, has_older })
    }

    /// The builds up to this number as bars of a chart, the oldest first, at most `limit`.
    pub async fn history_marks(
        &self,
        project: ProjectId,
        filter: &BuildFilter,
        newest: i64,
        limit: i64,
    ) -> Result<Vec<BuildMark>> {
        let Some(conditions) = self.conditions(project, filter) else { return Ok(Vec::new()) };
        let columns = "id, number, status, created_at, started_at, finished_at";
        let range = ("number <= $2", "DESC");
        let rows = self.builds_in(&conditions, project, columns, range, newest, limit).await?;
        rows.iter().rev().map(BuildMark::read).collect()
    }

    /// Refs, in their short form, and authors of a project's last builds, at most so many, each once.
    pub async fn recent_refs_and_authors(
        &self,
        project: ProjectId,
        builds: i64,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let rows = sqlx::query(
            "SELECT DISTINCT gh_commit_ref, gh_commit_author FROM builds WHERE project_id = $1 \
             AND number > (SELECT MAX(number) FROM builds WHERE project_id = $1) - $2",
        )
        .bind(project.0)
        .bind(builds)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list recent refs and authors"))?;
        let (mut refs, mut authors) = (BTreeSet::new(), BTreeSet::new());
        for row in &rows {
            refs.insert(row.text("gh_commit_ref")?.parse::<GitRef>()?.to_string());
            authors.insert(row.text("gh_commit_author")?);
        }
        Ok((refs, authors))
    }

    /// None when no build can be wanted.
    fn conditions(&self, project: ProjectId, filter: &BuildFilter) -> Option<Conditions> {
        let mut conditions = Conditions { text: String::new(), values: Vec::new() };
        let columns = [
            ("gh_commit_ref", filter.git_ref.clone()),
            ("gh_commit_author", filter.author.clone()),
            ("status", filter.status.map(|status| status.as_str().to_owned())),
        ];
        for (column, value) in columns {
            let Some(value) = value else { continue };
            // PostgreSQL has no text with one, so no build has.
            if value.contains('\0') {
                return None;
            }
            conditions.values.push(value);
            let place = conditions.values.len() + 3;
            let _ = write!(conditions.text, " AND {column} = ${place}");
        }
        if let Some(text) = &filter.text {
            let words = words::of(text);
            if words.is_empty() {
                return None;
            }
            conditions.values.push(self.dialect.words_query(&[project], &words));
            let place = conditions.values.len() + 3;
            let _ = write!(conditions.text, " AND id IN ({})", self.dialect.with_words(place));
        }
        Some(conditions)
    }

    async fn builds_in(
        &self,
        conditions: &Conditions,
        project: ProjectId,
        columns: &'static str,
        (range, order): (&'static str, &'static str),
        from: i64,
        limit: i64,
    ) -> Result<Vec<sqlx::any::AnyRow>> {
        let query = format!(
            "SELECT {columns} FROM builds WHERE project_id = $1 AND {range}{} \
             ORDER BY number {order} LIMIT $3",
            conditions.text
        );
        let mut query =
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(project.0).bind(from).bind(limit);
        for value in &conditions.values {
            query = query.bind(value);
        }
        query.fetch_all(&self.pool).await.map_err(failed("list a project's builds"))
    }
}
