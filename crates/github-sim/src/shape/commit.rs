//! `commit`, `short-branch`, `branch-with-protection` and `git-ref`.

use serde_json::{Value, json};

use super::{api, node_id, user};
use crate::{
    git::commits::{ChangedFile, Commit, Person},
    state::{World, repositories::Repository, stamp},
};

/// `commit`, with its files when they were asked for.
/// Follows <https://docs.github.com/rest/commits/commits#get-a-commit>.
pub(crate) fn commit(
    world: &World,
    repository: &Repository,
    commit: &Commit,
    files: Option<&[ChangedFile]>,
) -> Value {
    let name = repository.full_name();
    let api = format!("{}/repos/{name}", api(world));
    let html = format!("{}/{name}", world.base);
    let sha = &commit.sha;
    let parents: Vec<Value> = commit
        .parents
        .iter()
        .map(|parent| {
            json!({
                "sha": parent,
                "url": format!("{api}/commits/{parent}"),
                "html_url": format!("{html}/commit/{parent}"),
            })
        })
        .collect();
    let mut shape = json!({
        "sha": sha,
        "node_id": node_id("C", sha),
        "commit": {
            "author": git_user(&commit.author),
            "committer": git_user(&commit.committer),
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": format!("{api}/git/trees/{}", commit.tree)},
            "url": format!("{api}/git/commits/{sha}"),
            "comment_count": 0,
            "verification": {
                "verified": false,
                "reason": "unsigned",
                "signature": null,
                "payload": null,
                "verified_at": null,
            },
        },
        "url": format!("{api}/commits/{sha}"),
        "html_url": format!("{html}/commit/{sha}"),
        "comments_url": format!("{api}/commits/{sha}/comments"),
        "author": known_user(world, &commit.author),
        "committer": known_user(world, &commit.committer),
        "parents": parents,
    });
    if let Some(files) = files {
        let additions: u64 = files.iter().map(|file| file.additions).sum();
        let deletions: u64 = files.iter().map(|file| file.deletions).sum();
        let files: Vec<Value> =
            files.iter().map(|file| diff_entry(&html, &api, sha, file)).collect();
        super::extend(
            &mut shape,
            json!({
                "stats": {
                    "total": additions + deletions,
                    "additions": additions,
                    "deletions": deletions,
                },
                "files": files,
            }),
        );
    }
    shape
}

/// `diff-entry`; `commit` is where the file is shown.
pub(crate) fn diff_entry(html: &str, api: &str, commit: &str, file: &ChangedFile) -> Value {
    let path = &file.path;
    json!({
        "sha": file.sha,
        "filename": path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": format!("{html}/blob/{commit}/{path}"),
        "raw_url": format!("{html}/raw/{commit}/{path}"),
        "contents_url": format!("{api}/contents/{path}?ref={commit}"),
    })
}

fn git_user(person: &Person) -> Value {
    json!({"name": person.name, "email": person.email, "date": stamp(person.at)})
}

/// The user with this address; `null` for anyone else, as GitHub answers.
fn known_user(world: &World, person: &Person) -> Value {
    world.users.by_email(&person.email).map_or(Value::Null, |known| user::simple(world, known))
}

/// `short-branch`, as in the list of branches.
pub(crate) fn short_branch(world: &World, repository: &Repository, name: &str, sha: &str) -> Value {
    let api = format!("{}/repos/{}", api(world), repository.full_name());
    json!({
        "name": name,
        "commit": {"sha": sha, "url": format!("{api}/commits/{sha}")},
        "protected": false,
    })
}

/// `branch-with-protection`.
/// Follows <https://docs.github.com/rest/branches/branches#get-a-branch>.
pub(crate) fn branch(world: &World, repository: &Repository, name: &str, head: &Commit) -> Value {
    let full_name = repository.full_name();
    let url = format!("{}/repos/{full_name}/branches/{name}", api(world));
    json!({
        "name": name,
        "commit": commit(world, repository, head, None),
        "_links": {
            "self": url,
            "html": format!("{}/{full_name}/tree/{name}", world.base),
        },
        "protected": false,
        "protection": {
            "enabled": false,
            "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
        },
        "protection_url": format!("{url}/protection"),
    })
}

/// `git-ref`; `name` is without `refs/`.
/// Follows <https://docs.github.com/rest/git/refs#get-a-reference>.
pub(crate) fn reference(
    world: &World,
    repository: &Repository,
    name: &str,
    sha: &str,
    kind: &str,
) -> Value {
    let api = format!("{}/repos/{}", api(world), repository.full_name());
    json!({
        "ref": format!("refs/{name}"),
        "node_id": node_id("REF", format!("{}_{name}", repository.id)),
        "url": format!("{api}/git/refs/{name}"),
        "object": {
            "sha": sha,
            "type": kind,
            "url": format!("{api}/git/{kind}s/{sha}"),
        },
    })
}
