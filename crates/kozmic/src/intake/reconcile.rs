//! What no delivery told of: branches, tags and open pull requests are compared with what
//! was seen, at start and again and again. What was missed is built, the newest commit of
//! each head only; what stood there before the project had a hook is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::ask::{Ask, AskError};
use super::decide::{self, Decision, Differences, Wish};
use super::missed::Failures;
use crate::github::{Client, GithubError, KnownRepository, Listed, OpenPullRequest};
use crate::model::{
    Change, Commit, CommitSha, GitRef, Head, HookEvent, Invalid, Timestamp, Trigger,
};
use crate::shutdown::Shutdown;
use crate::store::{Hook, NewBuild, Project, Store, StoreError};

/// Builds that one comparison of a project makes; the next one makes more.
const MOST_BUILDS: usize = 50;
/// Heads whose commit GitHub does not tell; then the rest waits for the next comparison.
const MOST_UNKNOWN: usize = 3;
/// A delivery may be under way, and GitHub gives it 10 s.
const GRACE: Duration = Duration::from_secs(10);
/// Between two projects, at most.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("GitHub did not tell the commit of {}", .0.join(", "))]
    HalfKnown(Vec<String>),
}

/// Compares all projects with GitHub.
#[derive(Clone)]
pub struct Reconciler {
    pub store: Store,
    pub github: Client,
    /// From one comparison to the next.
    pub interval: Duration,
}

/// Runs until shutdown.
pub async fn run(reconciler: Reconciler, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = reconciler.compare_all() => {}
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(reconciler.interval) => {}
        }
    }
}

/// Notes where a project's heads stand, tags with `tags`, unless that is known: nothing of
/// it is built. Called before a first hook is told of anything.
pub async fn begin(
    store: &Store,
    github: &Client,
    project: &Project,
    tags: bool,
) -> Result<(), StoreError> {
    let looked_at = Timestamp::now();
    match Standing::ask(Ask::of(store, github, project), tags).await {
        Ok(standing) => standing.begin(store, project, looked_at).await.map(drop),
        Err(AskError::Store(error)) => Err(error),
        // Whoever adds the webhook will learn that nobody has a token.
        Err(AskError::Github(GithubError::NoToken)) => Ok(()),
        // The first comparison does it.
        Err(error) => {
            tracing::warn!(%error, "the heads at GitHub are not known yet");
            Ok(())
        }
    }
}

impl Reconciler {
    async fn compare_all(&self) {
        let projects = match self.store.projects_with_hooks().await {
            Ok(projects) => projects,
            Err(error) => return tracing::error!(%error, "no project could be compared"),
        };
        let count = u32::try_from(projects.len()).unwrap_or(u32::MAX).max(1);
        for (index, project) in projects.iter().enumerate() {
            if index > 0 {
                tokio::time::sleep((self.interval / count).min(PAUSE)).await;
            }
            let problem = match self.compare(project).await {
                Ok(()) => None,
                Err(error) => {
                    let (name, problem) = (&project.repository.full_name, error.to_string());
                    tracing::warn!(project = %name, %problem, "GitHub could not be compared with");
                    Some(problem)
                }
            };
            let noted = self.store.compared(project.id, problem.as_deref(), Timestamp::now()).await;
            if let Err(error) = noted {
                tracing::error!(%error, "a comparison could not be noted");
            }
        }
    }

    async fn compare(&self, project: &Project) -> Result<(), ReconcileError> {
        let hooks = self.store.hooks(project.id).await?;
        let tags = hooks.iter().any(|hook| hook.spec.options.wanted.wants_event(HookEvent::Tag));
        let looked_at = Timestamp::now();
        let ask = Ask::of(&self.store, &self.github, project);
        let standing = Standing::ask(ask, tags).await?;
        if standing.tags.is_none()
            && self.store.comparison(project.id).await?.tags_known_at.is_some()
        {
            self.store.tags_forgotten(project.id).await?;
        }
        if standing.begin(&self.store, project, looked_at).await? {
            return Ok(());
        }
        let seen = self.store.seen_heads(project.id).await?;
        for name in standing.gone(&seen) {
            self.store.head_gone(project.id, name, looked_at).await?;
        }
        let is_new = |head: &Head| {
            head.sha.as_ref().map(CommitSha::as_str) != seen.get(&head.name).map(String::as_str)
        };
        let mut missed: Vec<Found> = standing.found().filter(|found| is_new(&found.head)).collect();
        if missed.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(GRACE.min(self.interval)).await;
        let now_seen = self.store.seen_heads(project.id).await?;
        missed.retain(|found| now_seen.get(&found.head.name) == seen.get(&found.head.name));
        missed.truncate(MOST_BUILDS);
        let catch_up = CatchUp { store: &self.store, ask, project, hooks: &hooks };
        catch_up.build(&missed, &seen).await
    }
}

/// Where everything stands at GitHub.
struct Standing {
    branches: Listed<Head>,
    /// None when no hook wants tags.
    tags: Option<Listed<Head>>,
    pulls: Listed<OpenPullRequest>,
}

/// A head, and the pull request that it is of.
struct Found<'a> {
    head: Head,
    pull: Option<&'a OpenPullRequest>,
}

impl Standing {
    async fn ask(ask: Ask<'_>, tags: bool) -> Result<Self, AskError> {
        ask.github(|repository| Self::of(repository, tags)).await
    }

    async fn of(repository: KnownRepository, tags: bool) -> Result<Self, GithubError> {
        Ok(Self {
            branches: repository.branches().await?,
            tags: if tags { Some(repository.tags().await?) } else { None },
            pulls: repository.open_pull_requests().await?,
        })
    }

    fn found(&self) -> impl Iterator<Item = Found<'_>> {
        let tags = self.tags.iter().flat_map(|tags| &tags.all);
        let heads = self.branches.all.iter().chain(tags).cloned();
        let pulls = self.pulls.all.iter().filter_map(|pull| {
            let name = GitRef::pull_request(pull.number).as_full().to_owned();
            let head = Head { name, sha: Some(pull.body.head.sha.parse().ok()?) };
            Some(Found { head, pull: Some(pull) })
        });
        // A pull request finds the build of its branch, so branches go first.
        heads.map(|head| Found { head, pull: None }).chain(pulls)
    }

    /// Notes what is seen for the first time as known; whether all of it is new.
    async fn begin(
        &self,
        store: &Store,
        project: &Project,
        looked_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = store.comparison(project.id).await?;
        if let Some(tags) = self.tags.as_ref().filter(|_| known.tags_known_at.is_none()) {
            store.heads_known(project.id, &tags.all, true, looked_at).await?;
        }
        if known.heads_known_at.is_none() {
            let heads: Vec<Head> = self
                .found()
                .map(|found| found.head)
                .filter(|head| !head.name.starts_with("refs/tags/"))
                .collect();
            store.heads_known(project.id, &heads, false, looked_at).await?;
        }
        Ok(known.heads_known_at.is_none())
    }

    /// Which of the seen heads are no more.
    fn gone<'a>(&self, seen: &'a BTreeMap<String, String>) -> Vec<&'a str> {
        let there: BTreeSet<String> = self.found().map(|found| found.head.name).collect();
        let is_listed = |name: &str| {
            if name.starts_with("refs/heads/") {
                self.branches.is_whole
            } else if name.starts_with("refs/tags/") {
                self.tags.as_ref().is_some_and(|tags| tags.is_whole)
            } else {
                self.pulls.is_whole
            }
        };
        seen.keys()
            .map(String::as_str)
            .filter(|name| is_listed(name) && !there.contains(*name))
            .collect()
    }
}

/// One project's missed heads becoming builds.
struct CatchUp<'a> {
    store: &'a Store,
    ask: Ask<'a>,
    project: &'a Project,
    hooks: &'a [Hook],
}

impl CatchUp<'_> {
    async fn build(
        &self,
        missed: &[Found<'_>],
        seen: &BTreeMap<String, String>,
    ) -> Result<(), ReconcileError> {
        let Self { store, ask, project, hooks } = *self;
        let forks = store.project_options(project.id).await?.forks;
        let mut unknown = Vec::new();
        let mut failures = Failures::new(ask, project.repository.gh_id, hooks);
        for found in missed {
            let before = seen.get(&found.head.name).and_then(|sha| sha.parse().ok());
            let decision = match found.pull {
                Some(pull) => {
                    decide::pull_request(pull.number, &pull.body, project.repository.gh_id, forks)
                }
                None => of_head(&found.head, before),
            };
            let decision = decision.unwrap_or_else(|problem| Decision::Refuse(problem.to_string()));
            let decision = match decision {
                Decision::Build(mut wish) => {
                    if !ask.complete(&mut wish).await? {
                        unknown.push(found.head.name.clone());
                        if unknown.len() == MOST_UNKNOWN {
                            break;
                        }
                        continue;
                    }
                    decide::passed_over(&wish.build, &[&wish.build.commit.message])
                        .unwrap_or(Decision::Build(wish))
                }
                other => other,
            };
            let (now, name) = (Timestamp::now(), &found.head.name);
            let outcome = match decision {
                Decision::Build(mut wish) => {
                    wish.build.trigger = Trigger::Reconciliation;
                    wish.build.missed_because = Some(failures.reason(&found.head).await);
                    store.commit_missed(project.id, &wish.build, now).await?.sentence()
                }
                Decision::PassOver { why, .. } | Decision::Ignore(why) | Decision::Refuse(why) => {
                    store.head_passed_over(project.id, &found.head, now).await?;
                    why
                }
                Decision::Pong | Decision::Release(_) => continue,
            };
            tracing::info!(project = %project.repository.full_name, head = %name, outcome, "found by reconciliation");
        }
        if unknown.is_empty() { Ok(()) } else { Err(ReconcileError::HalfKnown(unknown)) }
    }
}

/// What a branch or a tag that moved asks for.
fn of_head(head: &Head, before: Option<CommitSha>) -> Result<Decision, Invalid> {
    let git_ref: GitRef = head.name.parse()?;
    let Some(sha) = head.sha.clone() else {
        return Ok(Decision::Ignore(format!("{git_ref} is gone.")));
    };
    let (event, name) = match git_ref.tag_name() {
        Some(tag) => (HookEvent::Tag, tag.to_owned()),
        None => (HookEvent::Push, git_ref.branch_name().unwrap_or_default().to_owned()),
    };
    let differences = match before {
        _ if event == HookEvent::Tag => Differences::AsKnown,
        Some(before) => Differences::Since(before),
        None => Differences::SinceDefaultBranch,
    };
    let build = NewBuild {
        git_ref,
        commit: Commit { sha, author: String::new(), message: String::new() },
        trigger: Trigger::Reconciliation,
        pull_request: None,
        asks_first: false,
        missed_because: None,
        sender: None,
        change: Change { event, name, paths: None },
    };
    Ok(Decision::Build(Box::new(Wish { build, needs_commit: true, differences })))
}
