//! What became of a hook: who changed what in it and when, line by line.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::App;
use super::hook_form;
use super::page::{Page, Sidebar, Time, TokenTrouble, render, token_trouble};
use super::visitor::{Access, Visitor};
use super::words::hook as words;
use crate::model::{HookId, Timestamp};
use crate::store::{HookChange, Project};

/// Changes of a page.
const ON_PAGE: usize = 10;
/// Lines around what differs.
const AROUND: usize = 3;
/// Lines of one part that are shown.
const LINES: usize = 400;
/// Bytes of one line that are shown.
const LINE: usize = 1000;
/// Then the differences are found less well, and as fast as they may be.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Template)]
#[template(path = "hook_changes.html")]
struct ChangesPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    hook: HookId,
    title: String,
    changes: Vec<Shown>,
    /// The newest of the older ones.
    older: Option<i64>,
    is_first: bool,
}

struct Shown {
    id: i64,
    by: String,
    action: String,
    at: Time,
    parts: Vec<Part>,
    /// It is what the hook is now.
    is_latest: bool,
}

struct Part {
    name: &'static str,
    lines: Vec<Line>,
    /// Lines that are left out.
    more: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Same(String),
    Added(String),
    Removed(String),
    /// What is the same lies between.
    Gap,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// The newest change to be shown; none: the newest that there is.
    from: Option<i64>,
}

pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
    Path((_, hook)): Path<(i64, i64)>,
    Query(wanted): Query<Wanted>,
) -> Page {
    let hook = hook_form::find(&app, &project, hook).await?;
    // One more, for the oldest to differ from.
    let limit = i64::try_from(ON_PAGE).unwrap_or(i64::MAX).saturating_add(1);
    let changes = app.store.changes_of_hook(hook.id, wanted.from, limit).await?;
    let now = Timestamp::now();
    let latest = match wanted.from {
        None => changes.first().map(|change| change.id),
        Some(_) => {
            let newest = app.store.changes_of_hook(hook.id, None, 1).await?;
            newest.first().map(|change| change.id)
        }
    };
    let earlier = changes.iter().skip(1).map(Some).chain([None]);
    let shown = changes.iter().zip(earlier).take(ON_PAGE).map(|(change, before)| Shown {
        id: change.id,
        by: change.by.clone(),
        action: change.action.clone(),
        at: Time::new(change.at, now),
        parts: parts(change, before),
        is_latest: latest == Some(change.id),
    });
    // A diff of large scripts takes its time.
    let shown: Vec<Shown> = tokio::task::block_in_place(|| shown.collect());
    render(&ChangesPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        project,
        hook: hook.id,
        title: hook.spec.title,
        changes: shown,
        older: changes.get(ON_PAGE).map(|change| change.id),
        is_first: wanted.from.is_none(),
    })
}

/// What differs; of the first one, all of it.
fn parts(change: &HookChange, before: Option<&HookChange>) -> Vec<Part> {
    let old = before.map(HookChange::written);
    let mut parts = Vec::new();
    for (index, (name, new)) in change.written().into_iter().enumerate() {
        let old = old.as_ref().map_or("", |old| old[index].1.as_str());
        if old != new {
            let (lines, more) = differences(old, &new);
            parts.push(Part { name, lines, more });
        }
    }
    parts
}

fn differences(old: &str, new: &str) -> (Vec<Line>, usize) {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    // Of parts that are no lines, a title say, the end tells nothing.
    let tells_end = !old.is_empty() && old.ends_with('\n') != new.ends_with('\n');
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if index > 0 {
            lines.push(Line::Gap);
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let mut text = shortened(change.value());
            if tells_end && change.missing_newline() {
                text.push_str(words::NO_LINE_END);
            }
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Same(text),
                ChangeTag::Insert => Line::Added(text),
                ChangeTag::Delete => Line::Removed(text),
            });
        }
    }
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    (lines, more)
}

fn shortened(line: &str) -> String {
    let line = line.trim_end_matches('\n');
    let mut end = line.len().min(LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    if end < line.len() { format!("{}…", &line[..end]) } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &str, new: &str) -> String {
        let (lines, more) = differences(old, new);
        assert_eq!(more, 0);
        let line = |line: &Line| match line {
            Line::Same(text) => format!(" {text}\n"),
            Line::Added(text) => format!("+{text}\n"),
            Line::Removed(text) => format!("-{text}\n"),
            Line::Gap => "~\n".into(),
        };
        lines.iter().map(line).collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let old = (1..=20).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        let new = old.replace("line 2\n", "").replace("line 18\n", "line 18\nand more\n");
        assert_eq!(
            lines(&old, &new),
            " line 1\n-line 2\n line 3\n line 4\n line 5\n~\n line 16\n line 17\n line 18\n\
             +and more\n line 19\n line 20\n"
        );
        assert_eq!(lines("", "a"), "+a\n");
        assert_eq!(lines("a\n", "a"), "-a\n+a  (no line end)\n");
        assert_eq!(lines("a", "b"), "-a\n+b\n");
    }

    #[test]
    fn what_is_long_is_cut_and_takes_no_time() {
        let script = |word: &str| {
            let lines = (0..100_000).map(|n| format!("{word} {}\n", n * 7919 % 10_007));
            lines.collect::<Vec<_>>().concat()
        };
        let (lines, more) = differences(&script("a"), &script("b"));
        assert_eq!((lines.len(), lines.len() + more), (LINES, 200_000));
        let (lines, _) = differences("", &"ä".repeat(LINE));
        assert_eq!(lines, [Line::Added(format!("{}…", "ä".repeat(LINE / 2)))]);
    }
}
