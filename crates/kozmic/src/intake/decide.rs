//! What a delivery asks for. Pure: the same event always decides the same.

use crate::github::{Event, PullRequestBody, PullRequestEvent, PushEvent, ReleaseEvent};
use crate::model::{
    Change, Commit, CommitSha, Fork, ForkPolicy, GitRef, Head, HookEvent, Invalid, PullRequest,
    Trigger,
};
use crate::store::NewBuild;

/// In a commit's message, or in a pull request's title or body, in any case.
const SKIP_WORDS: [&str; 4] = ["[ci skip]", "[skip ci]", "skip_ci", "ci_skip"];
const NO_FORKS: &str = "Pull requests from forks are not built in this project.";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Pong,
    Build(Box<Wish>),
    /// The commit of a published release's tag, which the payload does not tell.
    Release(GitRef),
    /// Nothing to build of what a head has come to, and why.
    PassOver {
        head: Head,
        why: String,
    },
    /// Nothing to build, and why.
    Ignore(String),
    /// Not meant for this hook, or not understood.
    Refuse(String),
}

/// A build, and what the payload leaves open of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub build: NewBuild,
    /// The payload does not tell the commit's author and message.
    pub needs_commit: bool,
    /// Where to ask for the changed paths, when the payload does not tell them all.
    pub differences: Differences,
}

impl Wish {
    /// Something of it may have to be asked for.
    pub(super) fn asks_github(&self) -> bool {
        self.needs_commit || self.needs_paths()
    }

    /// The changed paths are not known, and can be.
    pub(super) fn needs_paths(&self) -> bool {
        self.build.change.paths.is_none() && self.differences != Differences::AsKnown
    }
}

/// Which paths count as changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differences {
    /// Those that are known, or none can be.
    AsKnown,
    /// Since this commit. The way back counts as well: a forced push may drop commits.
    Since(CommitSha),
    /// Since a new branch parted from the default branch.
    SinceDefaultBranch,
    OfPullRequest(i64),
}

/// `repository` and `webhook` are GitHub's ids; a webhook whose id is not known
/// yet is just being made.
pub fn decide(event: &Event, repository: i64, webhook: Option<i64>, forks: ForkPolicy) -> Decision {
    let named = match event {
        Event::Ping { hook_id } if webhook.is_none_or(|ours| ours == *hook_id) => {
            return Decision::Pong;
        }
        Event::Ping { hook_id } => {
            return Decision::Refuse(format!(
                "This address belongs to another webhook than {hook_id}."
            ));
        }
        Event::Push(push) => push.repository.id,
        Event::PullRequest(pull) => pull.repository.id,
        Event::Release(release) => release.repository.id,
        Event::Other => {
            return Decision::Ignore("Nothing is built for this kind of event.".into());
        }
    };
    if named != repository {
        return Decision::Refuse(format!("This hook belongs to another repository than {named}."));
    }
    let decided = match event {
        Event::Push(push) => push_decision(push),
        Event::PullRequest(pull) => pull_request_decision(pull, forks),
        Event::Release(release) => release_decision(release),
        Event::Ping { .. } | Event::Other => return Decision::Pong,
    };
    decided.unwrap_or_else(|problem| Decision::Refuse(problem.to_string()))
}

fn push_decision(push: &PushEvent) -> Result<Decision, Invalid> {
    let git_ref: GitRef = push.git_ref.parse()?;
    let after: CommitSha = push.after.parse()?;
    let tag = git_ref.tag_name().map(str::to_owned);
    if tag.is_none() && git_ref.branch_name().is_none() {
        return Ok(Decision::Ignore(format!("{git_ref} is neither a branch nor a tag.")));
    }
    if push.deleted || after.is_null() {
        let head = Head { name: git_ref.as_full().to_owned(), sha: None };
        let why = format!("{git_ref} was deleted; there is nothing to build.");
        return Ok(Decision::PassOver { head, why });
    }
    // GitHub sends no head commit when the branch moved to one it had before; that of an
    // annotated tag is not the tag itself.
    let head = push.head_commit.as_ref().filter(|head| tag.is_some() || head.id == after.as_str());
    let sha = match (&tag, head) {
        (None, _) => after,
        (Some(_), Some(head)) => head.id.parse()?,
        (Some(_), None) => {
            return Ok(Decision::Ignore(format!("{git_ref} names no commit.")));
        }
    };
    let (author, message) = head.map_or_else(Default::default, |head| {
        let author = head.author.clone();
        (
            author.and_then(|author| author.name.or(author.username)).unwrap_or_default(),
            head.message.clone(),
        )
    });
    let (event, name) = match &tag {
        Some(tag) => (HookEvent::Tag, tag.clone()),
        None => (HookEvent::Push, git_ref.branch_name().unwrap_or_default().to_owned()),
    };
    let paths = if tag.is_none() { paths_of(push) } else { None };
    let differences = match push.before.parse::<CommitSha>() {
        _ if tag.is_some() || paths.is_some() => Differences::AsKnown,
        Ok(before) if !before.is_null() => Differences::Since(before),
        Ok(_) => Differences::SinceDefaultBranch,
        Err(_) => Differences::AsKnown,
    };
    let build = NewBuild {
        git_ref,
        commit: Commit { sha, author, message },
        trigger: Trigger::Push,
        pull_request: None,
        asks_first: false,
        missed_because: None,
        sender: None,
        change: Change { event, name, paths },
    };
    Ok(passed_over(&build, &[&build.commit.message]).unwrap_or_else(|| {
        Decision::Build(Box::new(Wish { build, needs_commit: head.is_none(), differences }))
    }))
}

/// None when the payload does not list every commit since the branch was pushed last.
fn paths_of(push: &PushEvent) -> Option<Vec<String>> {
    let is_whole = !push.created
        && !push.forced
        && push.commits.len() < PushEvent::MOST_COMMITS
        && push.commits.last().is_some_and(|last| last.id == push.after);
    is_whole.then(|| {
        let of = |commit: &crate::github::PushedCommit| {
            [&commit.added, &commit.removed, &commit.modified].map(Clone::clone).concat()
        };
        push.commits.iter().flat_map(of).collect()
    })
}

fn pull_request_decision(event: &PullRequestEvent, forks: ForkPolicy) -> Result<Decision, Invalid> {
    if event.action == "closed" {
        let head =
            Head { name: GitRef::pull_request(event.number).as_full().to_owned(), sha: None };
        let why = "A pull request that was closed is not built.".into();
        return Ok(Decision::PassOver { head, why });
    }
    if !matches!(event.action.as_str(), "opened" | "synchronize" | "reopened") {
        let why = format!("A pull request that was {} is not built.", event.action);
        return Ok(Decision::Ignore(why));
    }
    pull_request(event.number, &event.pull_request, event.repository.id, forks)
}

/// What an open pull request asks for, as an event or a list of GitHub's shows it.
pub(super) fn pull_request(
    number: i64,
    pull: &PullRequestBody,
    repository: i64,
    forks: ForkPolicy,
) -> Result<Decision, Invalid> {
    let sha: CommitSha = pull.head.sha.parse()?;
    let author = pull.user.as_ref().map(|user| user.login.clone()).unwrap_or_default();
    let is_ours = pull.head.repo.as_ref().is_some_and(|head| head.id == repository);
    let (git_ref, fork) = if is_ours {
        (GitRef::branch(&pull.head.git_ref)?, None)
    } else {
        let owner = pull.head.user.clone();
        let owner_id = owner.as_ref().and_then(|owner| owner.id);
        let owner = owner.map_or_else(|| author.clone(), |owner| owner.login);
        (GitRef::pull_request(number), Some(Fork { owner, owner_id }))
    };
    let build = NewBuild {
        git_ref,
        commit: Commit { sha, author: author.clone(), message: pull.title.clone() },
        trigger: Trigger::PullRequest,
        asks_first: fork.is_some() && forks == ForkPolicy::Ask,
        pull_request: Some(PullRequest {
            number,
            title: pull.title.clone(),
            author,
            author_id: pull.user.as_ref().and_then(|user| user.id),
            fork,
        }),
        missed_because: None,
        sender: None,
        change: Change {
            event: HookEvent::PullRequest,
            name: pull.base.as_ref().map(|base| base.git_ref.clone()).unwrap_or_default(),
            paths: None,
        },
    };
    let is_from_fork = build.pull_request.as_ref().is_some_and(|pull| pull.fork.is_some());
    if is_from_fork && forks == ForkPolicy::Never {
        return Ok(Decision::PassOver { head: build.head(), why: NO_FORKS.into() });
    }
    let texts = [pull.title.as_str(), pull.body.as_deref().unwrap_or_default()];
    Ok(passed_over(&build, &texts).unwrap_or_else(|| {
        let differences = Differences::OfPullRequest(number);
        Decision::Build(Box::new(Wish { build, needs_commit: true, differences }))
    }))
}

fn release_decision(event: &ReleaseEvent) -> Result<Decision, Invalid> {
    if event.action != "published" {
        let why = format!("A release that was {} is not built.", event.action);
        return Ok(Decision::Ignore(why));
    }
    Ok(Decision::Release(GitRef::tag(&event.release.tag_name)?))
}

/// Whether one of these texts asks for no build.
pub(super) fn passed_over(build: &NewBuild, texts: &[&str]) -> Option<Decision> {
    let found = texts.iter().find_map(|text| {
        let text = text.to_lowercase();
        SKIP_WORDS.into_iter().find(|word| text.contains(word))
    })?;
    Some(Decision::PassOver { head: build.head(), why: format!("Skipped, as `{found}` asks.") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "payloads read better by value")]

    use serde_json::{Value, json};

    use super::*;
    use crate::github::parse;

    const SHA: &str = "1111111111111111111111111111111111111111";

    fn on(event: &str, payload: &Value) -> Decision {
        with(event, payload, ForkPolicy::Ask)
    }

    fn with(event: &str, payload: &Value, forks: ForkPolicy) -> Decision {
        decide(&parse(event, payload.to_string().as_bytes()).unwrap(), 7, Some(3), forks)
    }

    fn push(git_ref: &str, message: &str) -> Value {
        json!({"ref": git_ref, "after": SHA, "repository": {"id": 7},
               "head_commit": {"id": SHA, "message": message, "author": {"name": "Ada"}}})
    }

    fn pull(action: &str, head_repository: Value, title: &str, body: Value) -> Value {
        json!({"action": action, "number": 5, "repository": {"id": 7},
               "pull_request": {"title": title, "body": body, "user": {"login": "ada", "id": 9},
                                "base": {"ref": "stable"},
                                "head": {"ref": "main", "sha": SHA, "repo": head_repository}}})
    }

    fn wish(decision: Decision) -> Wish {
        match decision {
            Decision::Build(wish) => *wish,
            other => panic!("expected a build, got {other:?}"),
        }
    }

    fn built(decision: Decision) -> NewBuild {
        wish(decision).build
    }

    #[test]
    fn a_push_to_a_branch_is_built() {
        let build = built(on("push", &push("refs/heads/a/b", "Fix")));
        assert_eq!(build.git_ref.to_string(), "a/b");
        assert_eq!((build.commit.author.as_str(), build.commit.message.as_str()), ("Ada", "Fix"));
    }

    #[test]
    fn a_branch_that_moved_back_has_its_commit_asked_for() {
        let mut payload = push("refs/heads/main", "x");
        payload["head_commit"] = Value::Null;
        assert!(wish(on("push", &payload)).needs_commit);
    }

    #[test]
    fn deletions_and_other_events_are_ignored_with_a_sentence() {
        let mut deleted = push("refs/heads/main", "x");
        deleted["after"] = json!("0".repeat(40));
        deleted["head_commit"] = Value::Null;
        for (event, payload) in [
            ("push", push("refs/notes/x", "x")),
            ("push", deleted),
            ("pull_request", pull("closed", json!({"id": 7}), "t", Value::Null)),
            ("pull_request", pull("labeled", json!({"id": 7}), "t", Value::Null)),
            (
                "release",
                json!({"action": "created", "release": {"tag_name": "v1"},
                               "repository": {"id": 7}}),
            ),
            ("star", json!({})),
        ] {
            let (Decision::Ignore(why) | Decision::PassOver { why, .. }) = on(event, &payload)
            else {
                panic!("{payload}")
            };
            assert!(why.ends_with('.'), "{why}");
        }
    }

    #[test]
    fn a_tag_is_the_commit_it_names() {
        let mut annotated = push("refs/tags/v1", "x");
        annotated["after"] = json!("2".repeat(40));
        let build = built(on("push", &annotated));
        assert_eq!((build.commit.sha.as_str(), build.git_ref.as_full()), (SHA, "refs/tags/v1"));
        assert_eq!((build.change.event, build.change.name.as_str()), (HookEvent::Tag, "v1"));
        annotated["head_commit"] = Value::Null;
        assert!(matches!(on("push", &annotated), Decision::Ignore(_)), "a tag of a file");
        let release = json!({"action": "published", "release": {"tag_name": "v1"},
                             "repository": {"id": 7}});
        assert_eq!(on("release", &release), Decision::Release(GitRef::tag("v1").unwrap()));
    }

    #[test]
    fn changed_paths_are_taken_from_a_payload_that_lists_every_commit() {
        let mut payload = push("refs/heads/main", "x");
        payload["before"] = json!("3".repeat(40));
        payload["commits"] = json!([{"id": "4".repeat(40), "added": ["a"], "removed": ["b"]},
                                    {"id": SHA, "modified": ["c"]}]);
        let found = wish(on("push", &payload));
        assert_eq!(found.build.change.paths.unwrap(), ["a", "b", "c"]);
        assert_eq!(found.differences, Differences::AsKnown);
        let since = Differences::Since("3".repeat(40).parse().unwrap());
        let changed = |field: &str, value: Value| {
            let mut payload = payload.clone();
            payload["created"] = json!(field == "before");
            payload[field] = value;
            let found = wish(on("push", &payload));
            assert_eq!(found.build.change.paths, None);
            found.differences
        };
        assert_eq!(changed("forced", json!(true)), since);
        let commit = json!({"id": SHA, "added": ["a"]});
        assert_eq!(changed("commits", json!(vec![commit; 2048])), since, "GitHub's cap");
        assert_eq!(changed("commits", json!([])), since);
        assert_eq!(changed("before", json!("0".repeat(40))), Differences::SinceDefaultBranch);
    }

    #[test]
    fn skip_words_are_found_in_any_case_and_place() {
        for word in ["[ci skip]", "[Skip CI]", "SKIP_CI", "ci_skip"] {
            let message = format!("Fix\n\nnot now {word}");
            assert!(
                matches!(on("push", &push("refs/heads/main", &message)), Decision::PassOver { .. }),
                "{word}"
            );
            let in_title = pull("opened", json!({"id": 7}), word, Value::Null);
            let in_body = pull("opened", json!({"id": 7}), "t", json!(word));
            for payload in [in_title, in_body] {
                let decision = on("pull_request", &payload);
                assert!(matches!(decision, Decision::PassOver { .. }), "{word}");
            }
        }
        built(on("push", &push("refs/heads/main", "skip this ci")));
    }

    #[test]
    fn a_pull_request_of_the_repository_itself_is_its_branch() {
        for action in ["opened", "synchronize", "reopened"] {
            let build =
                built(on("pull_request", &pull(action, json!({"id": 7}), "t", Value::Null)));
            assert_eq!(build.git_ref, GitRef::branch("main").unwrap());
            assert_eq!((build.asks_first, &build.change.name[..]), (false, "stable"));
            assert_eq!(build.head().name, "refs/pull/5/head");
            assert_eq!(build.pull_request.unwrap().fork, None);
        }
    }

    #[test]
    fn a_fork_s_main_is_its_pull_request() {
        for head in [json!({"id": 8}), Value::Null] {
            let payload = pull("opened", head, "t", Value::Null);
            let build = built(on("pull_request", &payload));
            assert_eq!(build.git_ref, GitRef::pull_request(5));
            assert!(build.asks_first);
            assert_eq!(build.pull_request.unwrap().fork.unwrap().owner, "ada");
            assert!(!built(with("pull_request", &payload, ForkPolicy::Build)).asks_first);
            let never = with("pull_request", &payload, ForkPolicy::Never);
            assert!(matches!(never, Decision::PassOver { why, .. } if why == NO_FORKS));
        }
    }

    #[test]
    fn what_is_meant_for_others_is_refused() {
        let mut other = push("refs/heads/main", "x");
        other["repository"]["id"] = json!(8);
        assert!(matches!(on("push", &other), Decision::Refuse(_)));
        assert_eq!(on("ping", &json!({"hook_id": 3})), Decision::Pong);
        assert!(matches!(on("ping", &json!({"hook_id": 4})), Decision::Refuse(_)));
    }

    #[test]
    fn hostile_refs_and_ids_are_refused() {
        assert!(matches!(on("push", &push("refs/heads/../../x", "x")), Decision::Refuse(_)));
        let mut payload = push("refs/heads/main", "x");
        payload["after"] = json!("--upload-pack=x");
        assert!(matches!(on("push", &payload), Decision::Refuse(_)));
    }
}
