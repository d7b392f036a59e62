//! `commit-comparison`.

use serde_json::{Value, json};

use super::{api, commit};
use crate::{
    git::commits::{ChangedFile, Commit},
    state::{World, repositories::Repository},
};

/// Two commits, and what git says about the way from one to the other.
pub(crate) struct Comparison<'a> {
    /// As it was asked for.
    pub(crate) basehead: &'a str,
    pub(crate) base: &'a Commit,
    /// Where the two parted.
    pub(crate) parting: &'a Commit,
    pub(crate) head: &'a str,
    pub(crate) ahead_by: usize,
    pub(crate) behind_by: usize,
    /// One page of the commits of `head`, oldest first.
    pub(crate) shown: &'a [Commit],
    pub(crate) files: &'a [ChangedFile],
}

/// Follows <https://docs.github.com/rest/commits/commits#compare-two-commits>.
pub(crate) fn comparison(world: &World, repository: &Repository, of: &Comparison<'_>) -> Value {
    let name = repository.full_name();
    let html = format!("{}/{name}", world.base);
    let url = format!("{}/repos/{name}", api(world));
    let basehead = of.basehead;
    let page = format!("{html}/compare/{basehead}");
    let short = |sha: &str| sha.chars().take(7).collect::<String>();
    let owner = &repository.owner_login;
    let status = match (of.ahead_by, of.behind_by) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let shape = |one: &Commit| commit::commit(world, repository, one, None);
    let commits: Vec<Value> = of.shown.iter().map(shape).collect();
    let entry = |file| commit::diff_entry(&html, &url, of.head, file);
    let files: Vec<Value> = of.files.iter().map(entry).collect();
    json!({
        "url": format!("{url}/compare/{basehead}"),
        "html_url": page,
        "permalink_url": format!(
            "{html}/compare/{owner}:{}...{owner}:{}", short(&of.base.sha), short(of.head)
        ),
        "diff_url": format!("{page}.diff"),
        "patch_url": format!("{page}.patch"),
        "base_commit": shape(of.base),
        "merge_base_commit": shape(of.parting),
        "status": status,
        "ahead_by": of.ahead_by,
        "behind_by": of.behind_by,
        "total_commits": of.ahead_by,
        "commits": commits,
        "files": files,
    })
}
