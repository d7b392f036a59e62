//! What follows from a change: the events GitHub makes of it, in the order it makes them.
//!
//! Follows <https://docs.github.com/webhooks/webhook-events-and-payloads>. A push makes one
//! `push` event per reference; then the pull requests it touches change and make theirs.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    app::App,
    git::{
        GitError,
        bare::{Bare, NO_COMMIT, Refs},
    },
    shape::{
        self,
        push::{self, Push},
    },
    state::pull_requests::PullRequest,
};

/// GitHub makes no tag events for a push of more tags than this.
const MOST_TAGS: usize = 3;

struct Change {
    reference: String,
    before: String,
    after: String,
}

/// A push has been received: tells webhooks and moves pull requests.
pub(crate) async fn refs_changed(
    app: &App,
    repository: u64,
    pusher: u64,
    before: &Refs,
    after: &Refs,
) -> Result<(), GitError> {
    let changes = changes(before, after);
    if changes.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let bare = {
        let mut world = app.world();
        world.repositories.pushed(repository, now);
        let Some(found) = world.repositories.by_id(repository) else {
            return Ok(());
        };
        app.bare(found)
    };
    let is_tag = |change: &Change| change.reference.starts_with("refs/tags/");
    let too_many_tags = changes.iter().filter(|change| is_tag(change)).count() > MOST_TAGS;
    for change in &changes {
        if is_tag(change) && too_many_tags {
            continue;
        }
        let push = describe(&bare, change, before).await?;
        let payload = {
            let world = app.world();
            let found = world.repositories.by_id(repository);
            found.map(|found| push::payload(&world, found, pusher, &push))
        };
        if let Some(payload) = payload {
            app.tell(repository, "push", None, &payload);
        }
    }
    for change in &changes {
        if let Some(branch) = change.reference.strip_prefix("refs/heads/") {
            head_moved(app, repository, branch, pusher, change).await?;
            base_moved(app, repository, branch, pusher, change).await?;
        }
    }
    Ok(())
}

fn changes(before: &Refs, after: &Refs) -> Vec<Change> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |refs: &Refs, name: &String| {
        refs.get(name).cloned().unwrap_or_else(|| NO_COMMIT.to_owned())
    };
    names
        .into_iter()
        .map(|name| Change {
            reference: name.clone(),
            before: value(before, name),
            after: value(after, name),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

async fn describe(bare: &Bare, change: &Change, before: &Refs) -> Result<Push, GitError> {
    let mut push = Push {
        reference: change.reference.clone(),
        before: change.before.clone(),
        after: change.after.clone(),
        forced: false,
        base_ref: None,
        commits: Vec::new(),
        head: None,
    };
    if change.after == NO_COMMIT {
        return Ok(push);
    }
    // Of an annotated tag, `after` is the tag object; a tag of a blob has no commit at all.
    let Some(new) = bare.verify(&format!("{}^{{commit}}", change.after)).await? else {
        return Ok(push);
    };
    let heads: Vec<String> = before
        .iter()
        .filter(|(name, _)| name.starts_with("refs/heads/"))
        .map(|(_, sha)| sha.clone())
        .collect();
    let distinct = bare.commits(&new, &heads).await?;
    let distinct_ids: HashSet<String> = distinct.iter().map(|commit| commit.sha.clone()).collect();
    let is_distinct = |sha: &str| distinct_ids.contains(sha);
    let head = bare.commit(&new).await?;
    push.head = Some((head, is_distinct(&new)));
    let commits = if change.before == NO_COMMIT {
        push.base_ref = before
            .iter()
            .find(|(name, sha)| name.starts_with("refs/heads/") && **sha == new)
            .map(|(name, _)| name.clone());
        distinct
    } else if let Some(old) = bare.verify(&format!("{}^{{commit}}", change.before)).await? {
        push.forced = !bare.is_ancestor(&old, &new).await?;
        bare.commits(&new, &[old]).await?
    } else {
        push.forced = true;
        distinct
    };
    push.commits = commits
        .into_iter()
        .map(|commit| {
            let distinct = is_distinct(&commit.sha);
            (commit, distinct)
        })
        .collect();
    Ok(push)
}

/// The open pull requests from this branch follow it, and close when it is gone.
async fn head_moved(
    app: &App,
    repository: u64,
    branch: &str,
    pusher: u64,
    change: &Change,
) -> Result<(), GitError> {
    let touched = app.world().pull_requests.open_from(repository, branch);
    for pull in touched {
        if change.after == NO_COMMIT {
            close(app, &pull, pusher, None);
        } else if follow_head(app, &pull).await? {
            let more = json!({"before": change.before, "after": change.after});
            tell_about(app, &pull, "synchronize", pusher, more);
        }
    }
    Ok(())
}

/// The open pull requests into this branch are merged once it contains their head.
async fn base_moved(
    app: &App,
    repository: u64,
    branch: &str,
    pusher: u64,
    change: &Change,
) -> Result<(), GitError> {
    if change.after == NO_COMMIT {
        return Ok(());
    }
    let (touched, bare) = {
        let world = app.world();
        let Some(base) = world.repositories.by_id(repository) else {
            return Ok(());
        };
        (world.pull_requests.open_into(repository, branch), app.bare(base))
    };
    for pull in touched {
        if bare.is_ancestor(&pull.head_sha, &change.after).await? {
            close(app, &pull, pusher, Some(pusher));
        }
    }
    Ok(())
}

/// Brings a pull request, and `refs/pull/<n>/head` in its base repository, to where its head
/// branch is now. `false` when either branch is gone.
pub(crate) async fn follow_head(app: &App, pull: &PullRequest) -> Result<bool, GitError> {
    let (base, head) = {
        let world = app.world();
        let of = |id| world.repositories.by_id(id).map(|found| app.bare(found));
        match (of(pull.base_repository), of(pull.head_repository)) {
            (Some(base), Some(head)) => (base, head),
            _ => return Ok(false),
        }
    };
    let head_sha = head.verify(&format!("refs/heads/{}", pull.head)).await?;
    let base_sha = base.verify(&format!("refs/heads/{}", pull.base)).await?;
    let (Some(head_sha), Some(base_sha)) = (head_sha, base_sha) else {
        return Ok(false);
    };
    base.fetch(&head, &[&head_sha]).await?;
    base.set(&format!("refs/pull/{}/head", pull.number), &head_sha).await?;
    let size = base.size_of_change(&base_sha, &head_sha).await?;
    let now = Timestamp::now();
    let mut world = app.world();
    if let Some(known) = world.pull_requests.get_mut(pull.base_repository, pull.number) {
        known.moved(head_sha, base_sha, size, now);
    }
    Ok(true)
}

/// Closes a pull request and tells about it.
pub(crate) fn close(app: &App, pull: &PullRequest, actor: u64, merged_by: Option<u64>) {
    let now = Timestamp::now();
    {
        let mut world = app.world();
        let Some(known) = world.pull_requests.get_mut(pull.base_repository, pull.number) else {
            return;
        };
        if !known.open {
            return;
        }
        known.close(merged_by, now);
    }
    tell_about(app, pull, "closed", actor, json!({}));
}

/// Delivers `pull_request` with the request as it is now.
pub(crate) fn tell_about(app: &App, pull: &PullRequest, action: &str, sender: u64, more: Value) {
    let payload = {
        let world = app.world();
        let known = world.pull_requests.get(pull.base_repository, pull.number);
        known.map(|known| shape::pull_request::payload(&world, action, known, sender, more))
    };
    if let Some(payload) = payload {
        app.tell(pull.base_repository, "pull_request", Some(action), &payload);
    }
}
