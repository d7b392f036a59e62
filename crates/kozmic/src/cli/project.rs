//! `kozmic project add`, `set`, `sync`, `delete` and `show`

mod show;

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Subcommand};

use super::{find_project, now, open_store, say, upkeep};
use crate::config::Settings;
use crate::github::Client;
use crate::model::{
    AtOnce, Bound, ForkPolicy, FullName, RemoteRepository, UserId, parse_days, parse_log_bytes,
    parse_own_variable, readable_bytes,
};
use crate::store::{Project, ProjectChange};
use crate::upkeep::{Ensured, TurnedOn, Upkeep};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Turn a repository into a project, owned by whoever KOZMIC_GITHUB_TOKEN belongs to
    Add {
        /// The repository, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
        /// Let anyone see its builds and logs, without signing in
        #[arg(long)]
        visible_to_all: bool,
    },
    /// Change how a project is built, and who may see it; jobs that exist keep what they
    /// were made with
    #[command(group(ArgGroup::new("change").required(true).multiple(true)))]
    Set {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
        /// Whether a newer push to a branch cancels the older builds of it
        #[arg(long, group = "change", value_name = "on|off", value_parser = on_or_off)]
        cancel_superseded: Option<bool>,
        /// Whether anyone may see its builds and logs, without signing in
        #[arg(long, group = "change", value_name = "on|off", value_parser = on_or_off)]
        visible_to_all: Option<bool>,
        /// What becomes of pull requests from forks: built, built once a manager agrees, or not
        #[arg(long, group = "change", value_name = "build|ask|never")]
        forks: Option<ForkPolicy>,
        /// Days for which logs are kept after their job's end; those of the newest build stay
        #[arg(long, group = "change", value_name = "DAYS|off", value_parser = parse_days)]
        keep_logs_days: Option<Bound>,
        /// Bytes of all logs that are kept, as they lie packed, like 500M or 10G; the oldest go
        #[arg(long, group = "change", value_name = "SIZE|off", value_parser = parse_log_bytes)]
        keep_logs_size: Option<Bound>,
        /// Most of its jobs that run at the same time, on all workers together
        #[arg(long, group = "change", value_name = "NUMBER|off")]
        jobs_at_once: Option<AtOnce>,
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
    /// Compare a project with GitHub now: its name, its deploy key, its webhooks, its members
    Sync {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
    },
    /// Delete a project with its builds, logs, cached images and mirror, and its webhooks
    /// and key at GitHub
    Delete {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
        /// Do it; nothing asks again
        #[arg(long)]
        yes: bool,
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
        Command::Add { name, visible_to_all } => add(settings, &name, visible_to_all).await,
        Command::Set {
            name,
            cancel_superseded,
            visible_to_all,
            forks,
            keep_logs_days,
            keep_logs_size,
            jobs_at_once,
            distrust,
            env,
            unset_env,
        } => {
            let change = ProjectChange {
                cancels_superseded: cancel_superseded,
                is_visible_to_all: visible_to_all,
                forks,
                keep_logs_days,
                keep_logs_bytes: keep_logs_size,
                jobs_at_once,
                distrust,
                ..variables(env, unset_env)?
            };
            set(settings, &name, &change).await
        }
        Command::Sync { name } => sync(settings, &name).await,
        Command::Delete { name, yes } => delete(settings, &name, yes).await,
        Command::Show { name } => show::run(settings, &name).await,
    }
}

/// What becomes of variables, when it can be meant so.
fn variables(env: Vec<(String, String)>, unset_env: Vec<String>) -> anyhow::Result<ProjectChange> {
    let mut change = ProjectChange::default();
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
    if let Some(is_visible) = change.is_visible_to_all {
        say(&seen_by(name, is_visible));
    }
    if let Some(forks) = change.forks {
        say(&format!("Pull requests from forks of {name} now {}.", forks.in_words()));
    }
    if let Some(Bound(days)) = change.keep_logs_days {
        let how_long = days.map_or("for good".into(), |days| format!("for {days} days"));
        say(&format!("Logs of {name} are kept {how_long}."));
    }
    if let Some(Bound(bytes)) = change.keep_logs_bytes {
        let how_many = bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(readable_bytes);
        let how_many = how_many.map_or("without a bound".into(), |bytes| format!("up to {bytes}"));
        say(&format!("Logs of {name} are kept {how_many}."));
    }
    if let Some(at_once) = change.jobs_at_once {
        say(&format!("Jobs of {name} at once: {at_once}."));
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

fn seen_by(name: &FullName, all: bool) -> String {
    let who = if all { "Anyone may see" } else { "Only its members see" };
    format!("{who} the builds and logs of {name}.")
}

/// Adds a project; one that is there already is brought up to what GitHub says of
/// its repository.
async fn add(settings: &Settings, name: &FullName, visible_to_all: bool) -> anyhow::Result<()> {
    let token = settings.github_token.clone().context(
        "set KOZMIC_GITHUB_TOKEN to a GitHub token with the scopes `repo` and `read:org`, of somebody \
         who administers the repository",
    )?;
    let github = Client::new(&settings.github_api_url, &settings.trust)?;
    let owner = github.user(&token).await?;
    let repository = github.repository(&token, name).await?.repository;
    let store = open_store(settings).await?;
    let owner_id = store.user_signed_in(&owner, &token, now()).await?;
    let upkeep = upkeep(settings, &store)?;
    let told = match store.project_of_repository(repository.gh_id).await? {
        Some(project) => bring_up_to_date(&upkeep, project, &repository).await?,
        None => turn_on(&upkeep, owner_id, &owner.login, &repository.full_name).await?,
    };
    if visible_to_all {
        let change = ProjectChange { is_visible_to_all: Some(true), ..ProjectChange::default() };
        let project = find_project(&store, name).await?;
        store.project_options_changed(project.id, &change, now()).await?;
    }
    store.close().await;
    say(&told);
    if visible_to_all {
        say(&seen_by(name, true));
    }
    Ok(())
}

async fn turn_on(
    upkeep: &Upkeep,
    owner: UserId,
    login: &str,
    name: &FullName,
) -> anyhow::Result<String> {
    let added = upkeep.turn_on(owner, name).await;
    let TurnedOn { project, has_deploy_key, troubles } =
        added.with_context(|| format!("{name} was not added"))?;
    let key = if has_deploy_key {
        " It is private: a deploy key that can only read was registered at GitHub."
    } else {
        ""
    };
    let mut told = format!("Added {name} as project {project}, owned by {login}.{key}");
    for trouble in troubles {
        let _ = write!(told, "\nwarning: GitHub did not tell {trouble}");
    }
    Ok(told)
}

async fn bring_up_to_date(
    upkeep: &Upkeep,
    mut project: Project,
    repository: &RemoteRepository,
) -> anyhow::Result<String> {
    let name = &repository.full_name;
    let has_changed = project.repository != *repository;
    if has_changed {
        upkeep.store.repository_changed(project.id, repository, now()).await?;
        project.repository = repository.clone();
    }
    if upkeep.follow_visibility(&project).await? {
        return Ok(if repository.is_public {
            format!("{name} is public now; its deploy key was removed.")
        } else {
            format!("{name} was given a deploy key, which can only read.")
        });
    }
    if has_changed {
        return Ok(format!("What GitHub says of {name} has changed, and was noted."));
    }
    bail!("{name} is a project already")
}

async fn sync(settings: &Settings, name: &FullName) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    let upkeep = upkeep(settings, &store)?;
    let troubles = upkeep.synchronize(&project).await?;
    let project = store.project(project.id).await?.context("it was deleted meanwhile")?;
    for hook in store.hooks(project.id).await? {
        match upkeep.ensure_hook(&project, &hook).await? {
            Ensured::AsItMustBe => {}
            Ensured::Made => say(&format!("made the webhook of `{}` at GitHub", hook.spec.title)),
            Ensured::Repaired(what) => {
                say(&format!("repaired the webhook of `{}`: {}", hook.spec.title, what.join(", ")));
            }
        }
    }
    for member in store.members(project.id).await? {
        say(&format!("{:<8}  {}", member.role.as_str(), member.login));
    }
    store.close().await;
    for trouble in &troubles {
        say(&format!("warning: {trouble}"));
    }
    Ok(())
}

async fn delete(settings: &Settings, name: &FullName, yes: bool) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    if !yes {
        bail!(
            "this deletes {name} with its builds, logs, cached images and mirror, and its webhooks \
             and key at GitHub; say --yes to do it"
        );
    }
    let deleted = upkeep(settings, &store)?.delete_project(&project).await;
    let deleted = deleted.with_context(|| format!("{name} was not deleted"))?;
    store.close().await;
    say(&format!("Deleted {name}."));
    for left in deleted.left_at_github {
        say(&format!("Left at GitHub, to be removed there: {left}"));
    }
    Ok(())
}
