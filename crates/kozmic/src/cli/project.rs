//! `kozmic project add`, `kozmic project set` and `kozmic project show`

mod deploy_key;
mod show;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Subcommand};

use super::{find_project, now, open_store, say};
use crate::config::Settings;
use crate::github::Client;
use crate::model::{ForkPolicy, FullName, ProjectId, RemoteRepository, parse_own_variable};
use crate::store::{Project, ProjectChange};
use deploy_key::{KeyRefused, Keys};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Turn a repository into a project, owned by whoever KOZMIC_GITHUB_TOKEN belongs to
    Add {
        /// The repository, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
    },
    /// Change how a project is built; jobs that exist keep what they were made with
    #[command(group(ArgGroup::new("change").required(true).multiple(true)))]
    Set {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
        /// Whether a newer push to a branch cancels the older builds of it
        #[arg(long, group = "change", value_name = "on|off", value_parser = on_or_off)]
        cancel_superseded: Option<bool>,
        /// What becomes of pull requests from forks: built, built once a manager agrees, or not
        #[arg(long, group = "change", value_name = "build|ask|never")]
        forks: Option<ForkPolicy>,
        /// An author whose pull requests are to need approval again. May be repeated
        #[arg(long, group = "change", value_name = "LOGIN")]
        distrust: Vec<String>,
        /// A plain variable of all its scripts, shown to whoever may see a log: not for
        /// secrets. A hook's own of the same name goes before it. May be repeated
        #[arg(long, group = "change", value_name = "NAME=VALUE", value_parser = parse_own_variable)]
        env: Vec<(String, String)>,
        /// Take such a variable away. May be repeated
        #[arg(long, group = "change", value_name = "NAME")]
        unset_env: Vec<String>,
    },
    /// Show a project: its repository, its hooks, and what was set for it
    Show {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
    },
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".into()),
    }
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { name } => add(settings, &name).await,
        Command::Set { name, cancel_superseded, forks, distrust, env, unset_env } => {
            let change = change_of(cancel_superseded, env, unset_env)?;
            set(settings, &name, &ProjectChange { forks, distrust, ..change }).await
        }
        Command::Show { name } => show::run(settings, &name).await,
    }
}

/// What was asked for, when it can be meant so.
fn change_of(
    cancels_superseded: Option<bool>,
    env: Vec<(String, String)>,
    unset_env: Vec<String>,
) -> anyhow::Result<ProjectChange> {
    let mut change = ProjectChange { cancels_superseded, ..ProjectChange::default() };
    for (name, value) in env {
        if unset_env.contains(&name) {
            bail!("the variable {name} can't be both set and unset");
        }
        if change.env.insert(name.clone(), value).is_some() {
            bail!("the variable {name} was given twice");
        }
    }
    change.unset_env = unset_env;
    change.unset_env.sort();
    change.unset_env.dedup();
    Ok(change)
}

async fn set(settings: &Settings, name: &FullName, change: &ProjectChange) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    let changed = store.project_options_changed(project.id, change, now()).await;
    changed.with_context(|| format!("{name} was not changed"))?;
    store.close().await;
    if let Some(cancels) = change.cancels_superseded {
        let word = if cancels { "cancels" } else { "leaves alone" };
        say(&format!("A newer push to a branch of {name} now {word} its older builds."));
    }
    if let Some(forks) = change.forks {
        let become_of = match forks {
            ForkPolicy::Build => "are built",
            ForkPolicy::Ask => "wait for a manager's approval",
            ForkPolicy::Never => "are not built",
        };
        say(&format!("Pull requests from forks of {name} now {become_of}."));
    }
    for login in &change.distrust {
        say(&format!("Pull requests of {login} need approval again."));
    }
    for variable in change.env.keys() {
        say(&format!("Jobs of {name} made from now on have the variable {variable}."));
    }
    for variable in &change.unset_env {
        say(&format!("Jobs of {name} made from now on don't have the project's {variable}."));
    }
    Ok(())
}

/// Adds a project; one that is there already is brought up to what GitHub says of
/// its repository.
async fn add(settings: &Settings, name: &FullName) -> anyhow::Result<()> {
    let token = settings.github_token.clone().context(
        "set KOZMIC_GITHUB_TOKEN to a GitHub token with the scope `repo` of the project's owner",
    )?;
    let github = Client::new(&settings.github_api_url)?;
    let owner = github.user(&token).await?;
    let repository = github.repository(&token, name).await?;
    let store = open_store(settings).await?;
    let owner_id = store.user_signed_in(&owner, &token, now()).await?;
    let keys = Keys { settings, store: &store, github: &github, token: &token };
    let name = &repository.full_name;
    let told = match store.project_of_repository(repository.gh_id).await? {
        Some(project) => bring_up_to_date(&keys, &project, &repository).await?,
        None => {
            let project = store.project_added(&repository, owner_id, now()).await?;
            let key = if repository.is_public {
                ""
            } else {
                add_key(&keys, project, name).await?;
                " It is private: a deploy key that can only read was registered at GitHub."
            };
            format!("Added {name} as project {project}, owned by {}.{key}", owner.login)
        }
    };
    store.close().await;
    say(&told);
    Ok(())
}

/// The project goes again when GitHub refuses its key: nothing could be built. It
/// stays when the same command may succeed later, and finds GitHub with the key.
async fn add_key(keys: &Keys<'_>, project: ProjectId, name: &FullName) -> anyhow::Result<()> {
    let Err(error) = keys.ensure(project, name).await else { return Ok(()) };
    if let Some(KeyRefused::Never { .. }) = error.downcast_ref() {
        keys.store.project_abandoned(project).await?;
        return Err(error.context(format!("{name} was not added")));
    }
    Err(error)
}

async fn bring_up_to_date(
    keys: &Keys<'_>,
    project: &Project,
    repository: &RemoteRepository,
) -> anyhow::Result<String> {
    let name = &repository.full_name;
    let has_changed = project.repository != *repository;
    if has_changed {
        keys.store.repository_changed(project.id, repository).await?;
    }
    if repository.is_public && keys.remove(project.id, name).await? {
        return Ok(format!("{name} is public now; its deploy key was removed."));
    }
    if !repository.is_public && keys.ensure(project.id, name).await? {
        return Ok(format!("{name} was given a deploy key, which can only read."));
    }
    if has_changed {
        return Ok(format!("What GitHub says of {name} has changed, and was noted."));
    }
    bail!("{name} is a project already")
}
