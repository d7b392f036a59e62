//! `pull-request-simple`, `pull-request` and the payload of `pull_request`.

use serde_json::{Value, json};

use super::{api, extend, node_id, repository, user};
use crate::state::{World, pull_requests::PullRequest, stamp};

/// `pull-request-simple`, as in the list of pull requests.
pub(crate) fn simple(world: &World, pull: &PullRequest) -> Value {
    let number = pull.number;
    let name = world
        .repositories
        .by_id(pull.base_repository)
        .map(crate::state::repositories::Repository::full_name)
        .unwrap_or_default();
    let repo = format!("{}/repos/{name}", api(world));
    let html = format!("{}/{name}/pull/{number}", world.base);
    let url = format!("{repo}/pulls/{number}");
    let issue = format!("{repo}/issues/{number}");
    let comments = format!("{issue}/comments");
    let statuses = format!("{repo}/statuses/{}", pull.head_sha);
    let links = json!({
        "self": {"href": url},
        "html": {"href": html},
        "issue": {"href": issue},
        "comments": {"href": comments},
        "review_comments": {"href": format!("{url}/comments")},
        "review_comment": {"href": format!("{repo}/pulls/comments{{/number}}")},
        "commits": {"href": format!("{url}/commits")},
        "statuses": {"href": statuses},
    });
    let mut shape = json!({
        "_links": links,
        "url": url,
        "id": pull.id,
        "node_id": node_id("PR", pull.id),
        "html_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "issue_url": issue,
        "number": number,
        "state": if pull.open { "open" } else { "closed" },
        "locked": false,
        "title": pull.title,
        "user": user::by_id(world, pull.author),
        "body": pull.body,
        "created_at": stamp(pull.created_at),
        "updated_at": stamp(pull.updated_at),
        "closed_at": pull.closed_at.map(stamp),
        "commits_url": format!("{url}/commits"),
        "review_comments_url": format!("{url}/comments"),
        "review_comment_url": format!("{repo}/pulls/comments{{/number}}"),
        "comments_url": comments,
        "statuses_url": statuses,
        "head": end(world, pull.head_repository, &pull.head, &pull.head_sha),
        "base": end(world, pull.base_repository, &pull.base, &pull.base_sha),
        "author_association": association(world, pull),
        "auto_merge": null,
        "active_lock_reason": null,
    });
    extend(
        &mut shape,
        json!({
            "merged_at": pull.merged.map(|merged| stamp(merged.at)),
            "merge_commit_sha": pull.merged.map(|_| &pull.head_sha),
            "assignee": null,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [],
            "milestone": null,
            "draft": pull.draft,
        }),
    );
    shape
}

/// `pull-request`, the answer about one pull request.
/// Follows <https://docs.github.com/rest/pulls/pulls#get-a-pull-request>.
pub(crate) fn full(world: &World, pull: &PullRequest) -> Value {
    let mut shape = simple(world, pull);
    extend(
        &mut shape,
        json!({
            "merged": pull.merged.is_some(),
            // GitHub says so until it has tried the merge; a caller must be ready for it.
            "mergeable": null,
            "rebaseable": null,
            "mergeable_state": "unknown",
            "merged_by": pull.merged.map_or(Value::Null, |merged| user::by_id(world, merged.by)),
            "comments": 0,
            "review_comments": 0,
            "maintainer_can_modify": pull.head_repository != pull.base_repository,
            "commits": pull.size.commits,
            "additions": pull.size.additions,
            "deletions": pull.size.deletions,
            "changed_files": pull.size.changed_files,
        }),
    );
    shape
}

/// The payload of `pull_request`; `more` are the fields of one action, as `before` and `after`
/// of `synchronize`.
/// Follows <https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request>.
pub(crate) fn payload(
    world: &World,
    action: &str,
    pull: &PullRequest,
    sender: u64,
    more: Value,
) -> Value {
    let base = world
        .repositories
        .by_id(pull.base_repository)
        .map_or(Value::Null, |base| repository::plain(world, base));
    let mut shape = json!({
        "action": action,
        "number": pull.number,
        "pull_request": full(world, pull),
        "repository": base,
        "sender": user::by_id(world, sender),
    });
    extend(&mut shape, more);
    shape
}

/// `head` or `base`.
fn end(world: &World, id: u64, branch: &str, sha: &str) -> Value {
    let found = world.repositories.by_id(id);
    let owner = found.map(|found| found.owner_login.as_str()).unwrap_or_default();
    json!({
        "label": format!("{owner}:{branch}"),
        "ref": branch,
        "sha": sha,
        "user": found.map_or(Value::Null, |found| user::by_id(world, found.owner)),
        "repo": found.map_or(Value::Null, |found| repository::plain(world, found)),
    })
}

fn association(world: &World, pull: &PullRequest) -> &'static str {
    let Some(base) = world.repositories.by_id(pull.base_repository) else {
        return "NONE";
    };
    if base.owner == pull.author {
        "OWNER"
    } else if base.collaborators.iter().any(|(id, _)| *id == pull.author) {
        "COLLABORATOR"
    } else {
        "NONE"
    }
}
