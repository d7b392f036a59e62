//! `kozmic hooks apply` and `kozmic hooks export`

pub(super) mod files;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;

use super::{find_project, open_store, say, upkeep};
use crate::config::Settings;
use crate::model::{FullName, HookSpec, in_order};
use crate::store::Project;
use crate::upkeep::Upkeep;

/// Who changes hooks from this command line, in the history of changes.
const BY: &str = "command line";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add and change a project's hooks so that they are as in the files; others stay
    Apply {
        /// The project, as owner/name
        project: FullName,
        /// Folder of scripts: NAME.sh builds, NAME.install.sh beside it installs
        dir: PathBuf,
    },
    /// Write a project's hooks as files
    Export {
        /// The project, as owner/name
        project: FullName,
        /// Folder to write to; made when it is not there
        dir: PathBuf,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Apply { project, dir } => apply(settings, &project, &dir).await,
        Command::Export { project, dir } => export(settings, &project, &dir).await,
    }
}

async fn apply(settings: &Settings, name: &FullName, dir: &std::path::Path) -> anyhow::Result<()> {
    // All files are read before anything is changed.
    let wanted = files::read(dir)?;
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    let present = store.hooks(project.id).await?;
    let upkeep = upkeep(settings, &store)?;
    let untouched: Vec<&HookSpec> = present
        .iter()
        .map(|hook| &hook.spec)
        .filter(|spec| !wanted.iter().any(|wanted| wanted.title == spec.title))
        .collect();
    let all: Vec<&HookSpec> = wanted.iter().chain(untouched.iter().copied()).collect();
    // Each after those it waits for, so that what is saved fits together at any time.
    let ordered = in_order(&all).with_context(|| format!("nothing of {name} was changed"))?;
    let is_wanted = |spec: &&HookSpec| wanted.iter().any(|wanted| wanted.title == spec.title);
    for spec in ordered.into_iter().filter(is_wanted) {
        match present.iter().find(|hook| hook.spec.title == spec.title) {
            Some(hook) if hook.gh_id.is_none() => {
                // Left by an apply that was cut off before GitHub answered.
                store.hook_abandoned(hook.id).await?;
                add(&upkeep, &project, spec).await?;
            }
            Some(hook) if hook.spec == *spec => say(&format!("unchanged  {}", spec.title)),
            Some(hook) => {
                upkeep.edit_hook(&project, hook, spec, BY).await?;
                say(&format!("changed    {}", spec.title));
            }
            None => add(&upkeep, &project, spec).await?,
        }
    }
    for spec in untouched {
        say(&format!("untouched  {} (not in {})", spec.title, dir.display()));
    }
    store.close().await;
    Ok(())
}

async fn add(upkeep: &Upkeep, project: &Project, spec: &HookSpec) -> anyhow::Result<()> {
    let id = upkeep.add_hook(project, spec, BY).await;
    let id = id.with_context(|| format!("the hook `{}` was not added", spec.title))?;
    let hook = upkeep.store.hook(id).await?.context("the hook was deleted meanwhile")?;
    let webhook = hook.gh_id.map_or_else(String::new, |gh_id| format!(" {gh_id}"));
    let url = upkeep.hook_url(id);
    say(&format!("added      {} (webhook{webhook} at GitHub calls {url})", spec.title));
    Ok(())
}

async fn export(settings: &Settings, name: &FullName, dir: &std::path::Path) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    let hooks = store.hooks(project.id).await?;
    store.close().await;
    let specs: Vec<HookSpec> = hooks.into_iter().map(|hook| hook.spec).collect();
    for path in files::write(dir, &specs)? {
        say(&path.display().to_string());
    }
    Ok(())
}
