//! `kozmic hooks apply` and `kozmic hooks export`

mod files;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use secrecy::SecretString;

use super::{find_project, now, open_store, say};
use crate::config::Settings;
use crate::github::{Client, HookConfig};
use crate::intake;
use crate::model::{FullName, HookEvent, HookId, HookSpec};
use crate::seal::random_hex;
use crate::store::{Hook, Project, Store};

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
    for spec in &wanted {
        match present.iter().find(|hook| hook.spec.title == spec.title) {
            Some(hook) if hook.gh_id.is_none() => {
                // Left by an apply that was cut off before GitHub answered.
                store.hook_abandoned(hook.id).await?;
                add(settings, &store, &project, spec).await?;
            }
            Some(hook) if hook.spec == *spec => say(&format!("unchanged  {}", spec.title)),
            Some(hook) => {
                listen(settings, &store, &project, hook, spec).await?;
                store.hook_edited(hook, spec, BY, now()).await?;
                say(&format!("changed    {}", spec.title));
            }
            None => add(settings, &store, &project, spec).await?,
        }
    }
    for hook in
        present.iter().filter(|hook| !wanted.iter().any(|spec| spec.title == hook.spec.title))
    {
        say(&format!("untouched  {} (not in {})", hook.spec.title, dir.display()));
    }
    store.close().await;
    Ok(())
}

async fn add(
    settings: &Settings,
    store: &Store,
    project: &Project,
    spec: &HookSpec,
) -> anyhow::Result<()> {
    let secret = random_hex()?.into();
    let id = store.hook_added(project.id, spec, &secret, BY, now()).await?;
    let url = settings.page_url(&format!("/_hooks/hook/{id}/"));
    let hook = HookConfig { url, secret, events: spec.options.wanted.webhook_events() };
    let tags = spec.options.wanted.wants_event(HookEvent::Tag);
    match connect(settings, store, project, id, &hook, tags).await {
        Ok(gh_id) => {
            say(&format!(
                "added      {} (webhook {gh_id} at GitHub calls {})",
                spec.title, hook.url
            ));
            Ok(())
        }
        Err(error) => {
            // Without its webhook nothing would ever call it.
            store.hook_abandoned(id).await?;
            Err(error.context(format!("the hook `{}` was not added", spec.title)))
        }
    }
}

async fn connect(
    settings: &Settings,
    store: &Store,
    project: &Project,
    id: HookId,
    hook: &HookConfig,
    tags: bool,
) -> anyhow::Result<i64> {
    let token = token(settings, store, project).await?;
    let github = Client::new(&settings.github_api_url)?;
    intake::begin_comparison(store, &github, project, &token, tags).await?;
    let gh_id = github.create_hook(&token, &project.repository.full_name, hook).await?;
    store.hook_connected(id, gh_id).await?;
    Ok(gh_id)
}

async fn token(
    settings: &Settings,
    store: &Store,
    project: &Project,
) -> anyhow::Result<SecretString> {
    let owner = store.user(project.owner).await?.and_then(|owner| owner.token);
    owner
        .or_else(|| settings.github_token.clone())
        .context("the project's owner has no GitHub token")
}

/// Has GitHub tell of what the hook wants from now on. Before the hook is changed here,
/// so that the same command does it again when GitHub does not answer.
async fn listen(
    settings: &Settings,
    store: &Store,
    project: &Project,
    hook: &Hook,
    spec: &HookSpec,
) -> anyhow::Result<()> {
    let (before, after) = (&hook.spec.options.wanted, &spec.options.wanted);
    let Some(gh_id) = hook.gh_id.filter(|_| before.events != after.events) else { return Ok(()) };
    let token = token(settings, store, project).await?;
    let github = Client::new(&settings.github_api_url)?;
    let tags = after.wants_event(HookEvent::Tag);
    intake::begin_comparison(store, &github, project, &token, tags).await?;
    let events = after.webhook_events();
    let told = github.hook_listens(&token, &project.repository.full_name, gh_id, &events).await;
    told.with_context(|| format!("the hook `{}` was not changed", spec.title))
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
