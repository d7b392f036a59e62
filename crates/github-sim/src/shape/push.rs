//! The payload of `push`.

use serde_json::{Value, json};

use super::{repository, user};
use crate::{
    git::{
        bare::NO_COMMIT,
        commits::{Commit, Person},
    },
    state::{World, repositories::Repository},
};

/// What happened to one reference, as far as git knows.
#[derive(Debug)]
pub(crate) struct Push {
    /// Full name: `refs/heads/…` or `refs/tags/…`.
    pub(crate) reference: String,
    pub(crate) before: String,
    pub(crate) after: String,
    /// The old commit is not an ancestor of the new one.
    pub(crate) forced: bool,
    /// The branch that a new reference was made from, when it brought no commit of its own.
    pub(crate) base_ref: Option<String>,
    /// New to this reference, oldest first; `true` for those new to the whole repository.
    pub(crate) commits: Vec<(Commit, bool)>,
    /// What the reference stands for now; `None` after a deletion.
    pub(crate) head: Option<(Commit, bool)>,
}

/// Follows <https://docs.github.com/webhooks/webhook-events-and-payloads#push>.
pub(crate) fn payload(world: &World, repo: &Repository, pusher: u64, push: &Push) -> Value {
    let html = format!("{}/{}", world.base, repo.full_name());
    let created = push.before == NO_COMMIT;
    let deleted = push.after == NO_COMMIT;
    let commits: Vec<Value> = push
        .commits
        .iter()
        .map(|(commit, distinct)| commit_shape(world, &html, commit, *distinct))
        .collect();
    let by = world.users.by_id(pusher);
    json!({
        "ref": push.reference,
        "before": push.before,
        "after": push.after,
        "repository": repository::of_push(world, repo),
        "pusher": {
            "name": by.map(|by| by.login.as_str()),
            "email": by.map(crate::state::users::User::email),
        },
        "sender": user::by_id(world, pusher),
        "created": created,
        "deleted": deleted,
        "forced": push.forced,
        "base_ref": push.base_ref,
        "compare": compare(&html, push, created),
        "commits": commits,
        "head_commit": push
            .head
            .as_ref()
            .map(|(commit, distinct)| commit_shape(world, &html, commit, *distinct)),
    })
}

/// The page GitHub links to: one commit, a new reference, or a comparison.
fn compare(html: &str, push: &Push, created: bool) -> String {
    if !created {
        let short = |sha: &str| sha.chars().take(12).collect::<String>();
        return format!("{html}/compare/{}...{}", short(&push.before), short(&push.after));
    }
    if let [(only, _)] = &push.commits[..] {
        return format!("{html}/commit/{}", only.sha);
    }
    let name = push.reference.splitn(3, '/').nth(2).unwrap_or_default();
    format!("{html}/compare/{name}")
}

fn commit_shape(world: &World, html: &str, commit: &Commit, distinct: bool) -> Value {
    json!({
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": distinct,
        "message": commit.message,
        "timestamp": commit.local_time,
        "url": format!("{html}/commit/{}", commit.sha),
        "author": person_shape(world, &commit.author),
        "committer": person_shape(world, &commit.committer),
        "added": commit.added,
        "removed": commit.removed,
        "modified": commit.modified,
    })
}

/// `username` is there only when the address belongs to a user.
fn person_shape(world: &World, person: &Person) -> Value {
    let mut shape = json!({"name": person.name, "email": person.email});
    if let Some(known) = world.users.by_email(&person.email) {
        shape["username"] = json!(known.login);
    }
    shape
}
