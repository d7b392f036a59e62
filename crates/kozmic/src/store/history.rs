//! A project's builds as people look for them: by branch, author, status and words, from
//! one place of the list to both sides.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sqlx::any::AnyRow;

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
    /// Builds are found by their words, which the index has by builds' ids.
    by_words: bool,
}

/// A side of a project's builds, as seen from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// This number and older ones, the newest first.
    UpTo(i64),
    /// Newer ones, the oldest first.
    Above(i64),
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
        let side = match place {
            Place::Newest => Side::UpTo(i64::MAX),
            Place::Before(number) => Side::UpTo(number.saturating_sub(1)),
            Place::After(number) => Side::Above(number),
        };
        let wanted = limit.saturating_add(1);
        let rows = self.builds_in(&conditions, project, "builds.*", side, wanted).await?;
        let mut builds: Vec<Build> = rows.iter().map(Build::read).collect::<Result<_>>()?;
        let has_more = builds.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        builds.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        if let Side::Above(_) = side {
            builds.reverse();
        }
        // On the other side there is what the way here came from, most of the time.
        let behind = match (place, side) {
            (Place::Newest, _) => None,
            (_, Side::UpTo(number)) => {
                Some(Side::Above(builds.first().map_or(number, |newest| newest.number)))
            }
            (_, Side::Above(number)) => {
                Some(Side::UpTo(builds.last().map_or(number, |oldest| oldest.number - 1)))
            }
        };
        let is_behind = match behind {
            Some(side) => {
                !self.builds_in(&conditions, project, "builds.id", side, 1).await?.is_empty()
            }
            None => false,
        };
        let (has_newer, has_older) = match side {
            Side::UpTo(_) => (is_behind, has_more),
            Side::Above(_) => (has_more, is_behind),
        };
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
        let columns = "builds.id, number, status, builds.created_at, started_at, finished_at";
        let side = Side::UpTo(newest);
        let rows = self.builds_in(&conditions, project, columns, side, limit).await?;
        rows.iter().rev().map(BuildMark::read).collect()
    }

    /// Refs, in their short form, and authors of a project's last builds, at most so many, each once.
    pub async fn recent_refs_and_authors(
        &self,
        project: ProjectId,
        builds: i64,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let rows = sqlx::query(
            "SELECT DISTINCT gh_commit_ref, gh_commit_author FROM \
             (SELECT gh_commit_ref, gh_commit_author FROM builds WHERE project_id = $1 \
              ORDER BY number DESC LIMIT $2) AS recent",
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
        let mut conditions =
            Conditions { text: String::new(), values: Vec::new(), by_words: filter.text.is_some() };
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
            let _ = write!(conditions.text, " AND {}", self.dialect.has_words(place));
        }
        Some(conditions)
    }

    async fn builds_in(
        &self,
        conditions: &Conditions,
        project: ProjectId,
        columns: &'static str,
        side: Side,
        limit: i64,
    ) -> Result<Vec<AnyRow>> {
        let (from, by, bound) = if conditions.by_words {
            let (from, id) = self.dialect.builds_with_words();
            (from, id, self.id_beside(project, side).await?)
        } else {
            let (Side::UpTo(number) | Side::Above(number)) = side;
            ("builds", "number", number)
        };
        let (than, order) = match side {
            Side::UpTo(_) => ("<=", "DESC"),
            Side::Above(_) => (">", "ASC"),
        };
        let query = format!(
            "SELECT {columns} FROM {from} WHERE project_id = $1 AND {by} {than} $2{} \
             ORDER BY {by} {order} LIMIT $3",
            conditions.text
        );
        // Whole rows are as `whole_rows` reads them.
        // How words are best looked for depends on the words: PostgreSQL is to plan for these.
        let _turn = if conditions.by_words { Some(self.searches.turn().await?) } else { None };
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .persistent(!conditions.by_words && !columns.contains('*'));
        let mut query = query.bind(project.0).bind(bound).bind(limit);
        for value in &conditions.values {
            query = query.bind(value);
        }
        query.fetch_all(&self.pool).await.map_err(failed("list a project's builds"))
    }

    /// The id at which a side of a project's builds begins. Both ids and numbers are given
    /// with the project locked, so that they grow together.
    async fn id_beside(&self, project: ProjectId, side: Side) -> Result<i64> {
        let (Side::UpTo(number) | Side::Above(number)) = side;
        if number == i64::MAX {
            return Ok(i64::MAX);
        }
        let row = sqlx::query(
            "SELECT id FROM builds WHERE project_id = $1 AND number <= $2 \
             ORDER BY number DESC LIMIT 1",
        )
        .bind(project.0)
        .bind(number)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a place in a project's builds"))?;
        row.map_or(Ok(0), |row| row.int("id"))
    }
}
