//! What a person asks for: a branch, a tag or a commit, as they write it.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{AskError, ask_github};
use crate::github::{Client, GithubError, KnownRepository};
use crate::model::{
    Change, Commit, GitRef, HookEvent, HookId, HookSpec, Invalid, Timestamp, Trigger,
    parse_own_variable,
};
use crate::store::{Asked, AskedBuild, AskedHooks, Project, Store, StoreError};

/// Branches that are looked at for a commit that is in the default branch's history no more.
const MOST_BRANCHES: usize = 30;
/// Variables of one build, and their bytes in all: they become part of a container's
/// configuration.
const MOST_VARIABLES: usize = 100;
const MOST_BYTES: usize = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// As a sentence.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Ask(#[from] AskError),
}

/// A build as a person asks for it.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// A branch, a tag, or a commit's id of seven digits at the least; empty: the default
    /// branch.
    pub reference: String,
    /// The titles of hooks; none: those that run for a push to there.
    pub hooks: Vec<String>,
    /// Each as `NAME=VALUE`.
    pub variables: Vec<String>,
}

/// Makes the build of `start`, for the person with this login.
pub async fn start(
    store: &Store,
    github: &Client,
    project: &Project,
    start: &Start,
    by: &str,
    now: Timestamp,
) -> Result<AskedBuild, FindError> {
    let unknown = |problem: Invalid| FindError::Unknown(format!("{problem}."));
    let variables = variables(&start.variables).map_err(unknown)?;
    let named = hooks_titled(store, project, &start.hooks).await?;
    let (git_ref, commit) = find(store, github, project, start.reference.trim()).await?;
    let hooks = if named.is_empty() {
        AskedHooks::Wanting(change_of(&git_ref))
    } else {
        AskedHooks::Named(named)
    };
    let by = Some(by.to_owned());
    let asked = Asked { git_ref, commit, trigger: Trigger::Manual, by, hooks, variables };
    made(store.build_asked(project.id, &asked, now).await)
}

/// A hook as somebody has written it, to be tried.
#[derive(Debug, Clone)]
pub struct Typed {
    pub spec: HookSpec,
    /// The hook that it is to become.
    pub of: Option<HookId>,
    /// As [`Start`] has it.
    pub reference: String,
}

/// Makes a build that tries `typed`, for the person with this login. Nothing of it is kept
/// as a hook, and nobody is told.
pub async fn try_typed(
    store: &Store,
    github: &Client,
    project: &Project,
    typed: &Typed,
    by: &str,
    now: Timestamp,
) -> Result<AskedBuild, FindError> {
    let (git_ref, commit) = find(store, github, project, typed.reference.trim()).await?;
    let asked = Asked {
        git_ref,
        commit,
        trigger: Trigger::Try,
        by: Some(by.to_owned()),
        hooks: AskedHooks::Typed(Box::new(typed.spec.clone()), typed.of),
        variables: BTreeMap::new(),
    };
    made(store.build_asked(project.id, &asked, now).await)
}

/// What can't be is told to who asked.
fn made(made: Result<AskedBuild, StoreError>) -> Result<AskedBuild, FindError> {
    made.map_err(|error| match error {
        StoreError::Refused(why) => FindError::Unknown(why),
        other => FindError::Ask(other.into()),
    })
}

/// The project's hooks with these titles.
pub async fn hooks_titled(
    store: &Store,
    project: &Project,
    titles: &[String],
) -> Result<Vec<HookId>, FindError> {
    if titles.is_empty() {
        return Ok(Vec::new());
    }
    let hooks = store.hooks(project.id).await.map_err(AskError::from)?;
    let mut ids = BTreeSet::new();
    for title in titles {
        let hook = hooks.iter().find(|hook| hook.spec.title == *title).ok_or_else(|| {
            let known: Vec<&str> = hooks.iter().map(|hook| hook.spec.title.as_str()).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            FindError::Unknown(format!("The project has no hook `{title}`. Its hooks: {known}."))
        })?;
        ids.insert(hook.id.0);
    }
    Ok(ids.into_iter().map(HookId).collect())
}

/// Checks variables given by hand, each as `NAME=VALUE`.
pub fn variables(given: &[String]) -> Result<BTreeMap<String, String>, Invalid> {
    if given.len() > MOST_VARIABLES || given.iter().map(String::len).sum::<usize>() > MOST_BYTES {
        return Err(Invalid::new(format!(
            "at most {MOST_VARIABLES} variables of {} KiB in all are taken",
            MOST_BYTES >> 10
        )));
    }
    let mut variables = BTreeMap::new();
    for text in given {
        let (name, value) = parse_own_variable(text)
            .map_err(|problem| Invalid::new(format!("the variable `{text}`: {problem}")))?;
        if variables.insert(name.clone(), value).is_some() {
            return Err(Invalid::new(format!("the variable {name} was given twice")));
        }
    }
    Ok(variables)
}

/// What a push to there would be.
fn change_of(git_ref: &GitRef) -> Change {
    let (event, name) = match git_ref.tag_name() {
        Some(tag) => (HookEvent::Tag, tag),
        None => (HookEvent::Push, git_ref.branch_name().unwrap_or_default()),
    };
    Change { event, name: name.to_owned(), paths: None }
}

/// The commit at which a branch or a tag stands.
pub async fn head_of(
    store: &Store,
    github: &Client,
    project: &Project,
    git_ref: &GitRef,
) -> Result<Commit, FindError> {
    let asked = ask_github(store, github, project, |repository| async move {
        repository.commit_of_ref(git_ref).await
    });
    asked.await.map_err(|error| {
        if is_missing(&error) {
            FindError::Unknown(format!("GitHub has no {git_ref}."))
        } else {
            FindError::Ask(error)
        }
    })
}

/// A branch by this name, or else a tag, or else a commit.
async fn find(
    store: &Store,
    github: &Client,
    project: &Project,
    reference: &str,
) -> Result<(GitRef, Commit), FindError> {
    let default = &project.repository.default_branch;
    let reference = if reference.is_empty() { default } else { reference };
    let is_ours = reference.starts_with("refs/heads/") || reference.starts_with("refs/tags/");
    if reference.starts_with("refs/") && !is_ours {
        return Err(FindError::Unknown(format!(
            "{reference} can't be started: only branches, tags and commits of the repository can"
        )));
    }
    let candidates = if is_ours {
        vec![reference.parse()]
    } else {
        vec![GitRef::branch(reference), GitRef::tag(reference)]
    };
    for git_ref in candidates.into_iter().flatten() {
        match head_of(store, github, project, &git_ref).await {
            Ok(commit) => return Ok((git_ref, commit)),
            Err(FindError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let is_id = (7..=64).contains(&reference.len())
        && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let missing = || {
        FindError::Unknown(format!(
            "{} has no branch, tag or commit `{reference}`.",
            project.repository.full_name
        ))
    };
    if !is_id {
        return Err(missing());
    }
    let id = &reference.to_ascii_lowercase();
    let asked = ask_github(store, github, project, |repository| async move {
        commit_with_branch(&repository, id, default).await
    });
    match asked.await {
        Ok((commit, Some(branch))) => {
            let git_ref = GitRef::branch(&branch)
                .map_err(|problem| FindError::Unknown(format!("{problem}.")))?;
            Ok((git_ref, commit))
        }
        // GitHub shows a fork's commits in the repository that it was forked from.
        Ok((commit, None)) => Err(FindError::Unknown(format!(
            "{} is in the history of no branch that was looked at; it may be a fork's. Push a \
             branch or a tag that has it, and start that.",
            commit.sha
        ))),
        Err(error) if is_missing(&error) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// A commit, and a branch that has it in its history: the default branch, or else one that
/// ends with it, or else one of the first others.
async fn commit_with_branch(
    repository: &KnownRepository,
    id: &str,
    default: &str,
) -> Result<(Commit, Option<String>), GithubError> {
    let commit = repository.commit_called(id).await?;
    if repository.has_in_history(default, &commit.sha).await? {
        return Ok((commit, Some(default.to_owned())));
    }
    let heads = repository.branches().await?.all;
    let name = |full: &str| full.trim_start_matches("refs/heads/").to_owned();
    if let Some(head) = heads.iter().find(|head| head.sha.as_ref() == Some(&commit.sha)) {
        let branch = name(&head.name);
        return Ok((commit, Some(branch)));
    }
    for head in heads.iter().take(MOST_BRANCHES) {
        let branch = name(&head.name);
        if branch != default && repository.has_in_history(&branch, &commit.sha).await? {
            return Ok((commit, Some(branch)));
        }
    }
    Ok((commit, None))
}

/// Whether GitHub knows the repository, and not this of it. An empty one is 409.
fn is_missing(error: &AskError) -> bool {
    match error {
        AskError::Github(GithubError::NotFound { call }) => call.contains("/commits/"),
        AskError::Github(GithubError::Refused { status: 409 | 422, .. }) => true,
        _ => false,
    }
}
