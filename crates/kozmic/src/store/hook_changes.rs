//! Who changed what in a project's hooks, and when; it outlives the hooks.

use serde::Deserialize as _;
use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, Transaction, failed, whole_rows};
use crate::model::{
    HookId, HookOptions, HookSpec, Invalid, ProjectId, Script, Timestamp, TrackedPath,
};

#[derive(Debug, Clone, PartialEq)]
pub struct HookChange {
    pub id: i64,
    pub title: String,
    /// A login, or what else it came by.
    pub by: String,
    pub at: Timestamp,
    /// added, edited, deleted
    pub action: String,
    /// The hook after it.
    pub content: serde_json::Value,
}

/// The parts of a hook, as they are kept and as people call them.
const PARTS: [(&str, &str); 6] = [
    ("title", "title"),
    ("docker_image", "Docker image"),
    ("install_script", "install script"),
    ("tracked", "tracked files"),
    ("build_script", "build script"),
    ("options", "options"),
];

impl HookChange {
    fn read(row: &AnyRow) -> Result<Self> {
        let content = serde_json::from_str(&row.text("content")?)
            .map_err(|error| Invalid::new(format!("a hook's change: {error}")))?;
        Ok(Self {
            id: row.int("id")?,
            title: row.text("hook_title")?,
            by: row.text("changed_by")?,
            at: Timestamp(row.int("changed_at")?),
            action: row.text("action")?,
            content,
        })
    }

    /// What is another than after the change before, in words.
    pub fn parts_changed(&self, before: &Self) -> Vec<&'static str> {
        let differs = |(part, _): &(&str, &str)| self.content[part] != before.content[part];
        PARTS.into_iter().filter(differs).map(|(_, name)| name).collect()
    }

    /// The parts of the hook after it, each by its name for people, as it is written in a
    /// form.
    pub fn written(&self) -> [(&'static str, String); 6] {
        PARTS.map(|(part, name)| (name, written(part, &self.content[part])))
    }
}

/// Lists are lines. What an earlier version kept and this one can't read is shown as it is.
fn written(part: &str, value: &serde_json::Value) -> String {
    use serde_json::Value;
    match (part, value) {
        (_, Value::Null) => String::new(),
        (_, Value::String(text)) => text.clone(),
        ("tracked", Value::Array(paths)) => {
            let paths: Vec<&str> = paths.iter().filter_map(Value::as_str).collect();
            paths.join("\n")
        }
        ("options", options) => match HookOptions::deserialize(options) {
            Ok(options) => options.lines(),
            Err(_) => format!("{options:#}"),
        },
        (_, other) => format!("{other:#}"),
    }
}

impl Store {
    /// The newest changes of a project's hooks, newest first.
    pub async fn hook_changes(&self, project: ProjectId, limit: i64) -> Result<Vec<HookChange>> {
        let rows = whole_rows(
            "SELECT * FROM hook_changes WHERE project_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(project.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the changes of hooks"))?;
        rows.iter().map(HookChange::read).collect()
    }

    /// The newest changes of one hook up to this one, newest first; none: of all.
    pub async fn changes_of_hook(
        &self,
        hook: HookId,
        up_to: Option<i64>,
        limit: i64,
    ) -> Result<Vec<HookChange>> {
        let rows = whole_rows(
            "SELECT * FROM hook_changes WHERE hook_id = $1 AND id <= $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(hook.0)
        .bind(up_to.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the changes of a hook"))?;
        rows.iter().map(HookChange::read).collect()
    }

    /// One change of a hook.
    pub async fn change_of_hook(&self, hook: HookId, change: i64) -> Result<Option<HookChange>> {
        let found = self.changes_of_hook(hook, Some(change), 1).await?.pop();
        Ok(found.filter(|found| found.id == change))
    }
}

pub(super) async fn remember(
    tx: &mut Transaction,
    project: ProjectId,
    hook: HookId,
    spec: &HookSpec,
    action: &str,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    let content = serde_json::json!({
        "title": spec.title,
        "docker_image": spec.image.as_str(),
        "install_script": spec.install_script.as_ref().map(Script::as_str),
        "tracked": spec.tracked.iter().map(TrackedPath::as_str).collect::<Vec<_>>(),
        "build_script": spec.build_script.as_str(),
        "options": spec.options,
    });
    sqlx::query(
        "INSERT INTO hook_changes (project_id, hook_id, hook_title, changed_by, changed_at, action, content) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(project.0)
    .bind(hook.0)
    .bind(&spec.title)
    .bind(by)
    .bind(now.0)
    .bind(action)
    .bind(content.to_string())
    .execute(&mut **tx)
    .await
    .map_err(failed("keep a hook's change"))?;
    Ok(())
}
