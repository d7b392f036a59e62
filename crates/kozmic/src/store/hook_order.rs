//! Hooks that wait for each other: what of that can be saved.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use super::hook_changes::remember;
use super::{
    Columns as _, Result, Store, StoreError, Transaction, failed, hooks, read_options, to_json,
    whole_rows,
};
use crate::model::{HookId, HookSpec, ProjectId, Script, Timestamp, in_order};

/// What is to become of a project's hooks.
#[derive(Clone, Copy)]
pub enum HookPlan<'a> {
    Add(&'a HookSpec),
    Edit(HookId, &'a HookSpec),
    Delete(HookId),
}

impl Store {
    /// Refused when the hooks would not fit together: see [`in_order`].
    pub async fn hooks_would_fit(&self, project: ProjectId, plan: HookPlan<'_>) -> Result<()> {
        let mut tx = self.pool.begin().await.map_err(failed("begin to read"))?;
        fit(&mut tx, project, plan).await
    }
}

/// As [`Store::hooks_would_fit`], within the transaction that does it.
pub(super) async fn fit(
    tx: &mut Transaction,
    project: ProjectId,
    plan: HookPlan<'_>,
) -> Result<()> {
    let mut hooks = read(tx, project).await?;
    match plan {
        HookPlan::Add(spec) => hooks.push((HookId(0), spec.clone())),
        HookPlan::Edit(id, new) => {
            let before = hooks.iter().find(|(other, _)| *other == id);
            let before = before.map(|(_, spec)| spec.title.clone()).unwrap_or_default();
            for (other, spec) in &mut hooks {
                if *other == id {
                    *spec = new.clone();
                } else if spec.options.after.remove(&before) {
                    // They follow it to its new title.
                    spec.options.after.insert(new.title.clone());
                }
            }
        }
        HookPlan::Delete(id) => {
            let Some(at) = hooks.iter().position(|(other, _)| *other == id) else { return Ok(()) };
            let (_, gone) = hooks.remove(at);
            let waits = |(_, spec): &&(HookId, HookSpec)| spec.options.after.contains(&gone.title);
            if let Some((_, waits)) = hooks.iter().find(waits) {
                return Err(StoreError::Refused(format!(
                    "`{}` waits for `{}`; take `after = {}` out of its options first",
                    waits.title, gone.title, gone.title
                )));
            }
            return Ok(());
        }
    }
    let specs: Vec<&HookSpec> = hooks.iter().map(|(_, spec)| spec).collect();
    let mut titles = BTreeSet::new();
    if let Some(twice) = specs.iter().find(|spec| !titles.insert(&spec.title)) {
        return Err(title_taken(&twice.title));
    }
    match in_order(&specs) {
        Ok(_) => Ok(()),
        Err(problem) => Err(StoreError::Refused(problem.to_string())),
    }
}

/// Hooks that wait for one of this title wait for it under its new title.
pub(super) async fn retitled(
    tx: &mut Transaction,
    project: ProjectId,
    (before, after): (&str, &str),
    by: &str,
    now: Timestamp,
) -> Result<()> {
    for (id, mut spec) in read(tx, project).await? {
        if !spec.options.after.remove(before) {
            continue;
        }
        spec.options.after.insert(after.to_owned());
        sqlx::query("UPDATE hooks SET options = $1 WHERE id = $2")
            .bind(to_json(&spec.options, "options")?)
            .bind(id.0)
            .execute(&mut **tx)
            .await
            .map_err(failed("let a hook wait for another title"))?;
        remember(tx, project, id, &spec, "edited", by, now).await?;
    }
    Ok(())
}

async fn read(tx: &mut Transaction, project: ProjectId) -> Result<Vec<(HookId, HookSpec)>> {
    let rows = whole_rows("SELECT * FROM hooks WHERE project_id = $1 ORDER BY id")
        .bind(project.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list the hooks"))?;
    let mut hooks = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = HookId(row.int("id")?);
        let tracked = hooks::tracked_paths(&mut **tx, id).await?;
        hooks.push((id, read_spec(row, &tracked)?));
    }
    Ok(hooks)
}

/// A hook as a person wrote it, from its row and the paths it tracks.
pub(super) fn read_spec(row: &AnyRow, tracked: &[String]) -> Result<HookSpec> {
    let install_script = row.text_or_null("install_script")?;
    Ok(HookSpec {
        title: row.text("title")?,
        image: row.text("docker_image")?.parse()?,
        install_script: install_script.as_deref().map(Script::parse).transpose()?,
        tracked: tracked.iter().map(|path| Ok(path.parse()?)).collect::<Result<_>>()?,
        build_script: Script::parse(&row.text("build_script")?)?,
        options: read_options(row)?,
    })
}

pub(super) fn title_taken(title: &str) -> StoreError {
    StoreError::Refused(format!("the project already has a hook with the title `{title}`"))
}
