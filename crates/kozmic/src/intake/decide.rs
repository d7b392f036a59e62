//! What a delivery asks for. Pure: the same event always decides the same.

use crate::github::{Event, PullRequestEvent, PushEvent};
use crate::model::{Commit, CommitSha, GitRef, PullRequest, Trigger};
use crate::store::NewBuild;

/// In a commit's message, or in a pull request's title or body, in any case.
const SKIP_WORDS: [&str; 4] = ["[ci skip]", "[skip ci]", "skip_ci", "ci_skip"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Pong,
    /// `needs_commit`: the payload does not tell the commit's author and message.
    Build {
        build: NewBuild,
        needs_commit: bool,
    },
    /// Nothing to build, and why.
    Ignore(String),
    /// Not meant for this hook, or not understood.
    Refuse(String),
}

/// `repository` and `webhook` are GitHub's ids; a webhook whose id is not known
/// yet is just being made.
pub fn decide(event: &Event, repository: i64, webhook: Option<i64>) -> Decision {
    match event {
        Event::Ping { hook_id } if webhook.is_none_or(|ours| ours == *hook_id) => Decision::Pong,
        Event::Ping { hook_id } => {
            Decision::Refuse(format!("This address belongs to another webhook than {hook_id}."))
        }
        Event::Push(push) => {
            of_repository(push.repository.id, repository).unwrap_or_else(|| push_decision(push))
        }
        Event::PullRequest(pull) => of_repository(pull.repository.id, repository)
            .unwrap_or_else(|| pull_request_decision(pull)),
        Event::Other => Decision::Ignore("Nothing is built for this kind of event.".into()),
    }
}

fn of_repository(named: i64, ours: i64) -> Option<Decision> {
    (named != ours)
        .then(|| Decision::Refuse(format!("This hook belongs to another repository than {named}.")))
}

fn push_decision(push: &PushEvent) -> Decision {
    if push.git_ref.starts_with("refs/tags/") {
        return Decision::Ignore("Tags are not built.".into());
    }
    let (git_ref, after) = match (push.git_ref.parse::<GitRef>(), push.after.parse::<CommitSha>()) {
        (Ok(git_ref), Ok(after)) => (git_ref, after),
        (Err(problem), _) | (_, Err(problem)) => return Decision::Refuse(problem.to_string()),
    };
    if push.deleted || after.is_null() {
        return Decision::Ignore(format!("{git_ref} was deleted; there is nothing to build."));
    }
    // GitHub sends no head commit when the branch moved to one it had before.
    let head = push.head_commit.as_ref().filter(|head| head.id == after.as_str());
    let (author, message) = head.map_or_else(Default::default, |head| {
        let author = head.author.clone();
        (
            author.and_then(|author| author.name.or(author.username)).unwrap_or_default(),
            head.message.clone(),
        )
    });
    if let Some(why) = skip_reason(&[&message]) {
        return Decision::Ignore(why);
    }
    Decision::Build {
        needs_commit: head.is_none(),
        build: NewBuild {
            git_ref,
            commit: Commit { sha: after, author, message },
            trigger: Trigger::Push,
            pull_request: None,
        },
    }
}

fn pull_request_decision(event: &PullRequestEvent) -> Decision {
    if !matches!(event.action.as_str(), "opened" | "synchronize" | "reopened") {
        return Decision::Ignore(format!("A pull request that was {} is not built.", event.action));
    }
    let pull = &event.pull_request;
    let from_fork = pull.head.repo.as_ref().is_none_or(|head| head.id != event.repository.id);
    let git_ref = if from_fork {
        Ok(GitRef::pull_request(event.number))
    } else {
        GitRef::branch(&pull.head.git_ref)
    };
    let (git_ref, sha) = match (git_ref, pull.head.sha.parse::<CommitSha>()) {
        (Ok(git_ref), Ok(sha)) => (git_ref, sha),
        (Err(problem), _) | (_, Err(problem)) => return Decision::Refuse(problem.to_string()),
    };
    if let Some(why) = skip_reason(&[&pull.title, pull.body.as_deref().unwrap_or_default()]) {
        return Decision::Ignore(why);
    }
    let author = pull.user.as_ref().map(|user| user.login.clone()).unwrap_or_default();
    Decision::Build {
        needs_commit: true,
        build: NewBuild {
            git_ref,
            commit: Commit { sha, author: author.clone(), message: pull.title.clone() },
            trigger: Trigger::PullRequest,
            pull_request: Some(PullRequest {
                number: event.number,
                title: pull.title.clone(),
                author,
                from_fork,
            }),
        },
    }
}

/// The sentence that names the skip word found in one of these texts.
pub(super) fn skip_reason(texts: &[&str]) -> Option<String> {
    let found = texts.iter().find_map(|text| {
        let text = text.to_lowercase();
        SKIP_WORDS.into_iter().find(|word| text.contains(word))
    })?;
    Some(format!("Skipped, as `{found}` asks."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "payloads read better by value")]

    use serde_json::{Value, json};

    use super::*;
    use crate::github::parse;

    const SHA: &str = "1111111111111111111111111111111111111111";

    fn on(event: &str, payload: &Value) -> Decision {
        decide(&parse(event, payload.to_string().as_bytes()).unwrap(), 7, Some(3))
    }

    fn push(git_ref: &str, message: &str) -> Value {
        json!({"ref": git_ref, "after": SHA, "repository": {"id": 7},
               "head_commit": {"id": SHA, "message": message, "author": {"name": "Ada"}}})
    }

    fn pull(action: &str, head_repository: Value, title: &str, body: Value) -> Value {
        json!({"action": action, "number": 5, "repository": {"id": 7},
               "pull_request": {"title": title, "body": body, "user": {"login": "ada"},
                                "head": {"ref": "main", "sha": SHA, "repo": head_repository}}})
    }

    fn built(decision: Decision) -> NewBuild {
        match decision {
            Decision::Build { build, .. } => build,
            other => panic!("expected a build, got {other:?}"),
        }
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
        let Decision::Build { needs_commit, .. } = on("push", &payload) else { panic!() };
        assert!(needs_commit);
    }

    #[test]
    fn tags_deletions_and_other_events_are_ignored_with_a_sentence() {
        let mut deleted = push("refs/heads/main", "x");
        deleted["after"] = json!("0".repeat(40));
        deleted["head_commit"] = Value::Null;
        for (event, payload) in [
            ("push", push("refs/tags/v1", "x")),
            ("push", deleted),
            ("pull_request", pull("closed", json!({"id": 7}), "t", Value::Null)),
            ("star", json!({})),
        ] {
            let decision = on(event, &payload);
            assert!(
                matches!(&decision, Decision::Ignore(why) if why.ends_with('.')),
                "{decision:?}"
            );
        }
    }

    #[test]
    fn skip_words_are_found_in_any_case_and_place() {
        for word in ["[ci skip]", "[Skip CI]", "SKIP_CI", "ci_skip"] {
            let message = format!("Fix\n\nnot now {word}");
            assert!(
                matches!(on("push", &push("refs/heads/main", &message)), Decision::Ignore(_)),
                "{word}"
            );
            let in_title = pull("opened", json!({"id": 7}), word, Value::Null);
            let in_body = pull("opened", json!({"id": 7}), "t", json!(word));
            for payload in [in_title, in_body] {
                assert!(matches!(on("pull_request", &payload), Decision::Ignore(_)), "{word}");
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
            assert!(!build.pull_request.unwrap().from_fork);
        }
    }

    #[test]
    fn a_fork_s_main_is_its_pull_request() {
        for head in [json!({"id": 8}), Value::Null] {
            let build = built(on("pull_request", &pull("opened", head, "t", Value::Null)));
            assert_eq!(build.git_ref, GitRef::pull_request(5));
            assert!(build.pull_request.unwrap().from_fork);
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
