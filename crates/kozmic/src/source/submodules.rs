//! Submodules, level by level: each URL is looked at before it is fetched,
//! because it is the server that fetches it.

use std::path::{Path, PathBuf};

use url::Url;

use super::git::{Failed, Git};
use super::{DEPTH, Result, SourceError, Wanted};

/// Submodules in submodules, at the most.
const LEVELS: usize = 10;

pub(super) async fn update(checkout: &Path, wanted: &Wanted) -> Result<()> {
    let failed = |failed: Failed| SourceError::Submodules(failed.problem());
    let mut folders = vec![(checkout.to_owned(), 0)];
    while let Some((folder, level)) = folders.pop() {
        // A link could lead out of the checkout.
        let is_file = |path: PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_file());
        if !is_file(folder.join(".gitmodules")) {
            continue;
        }
        if level >= LEVELS {
            let problem = format!("more than {LEVELS} levels of submodules");
            return Err(SourceError::Submodules(problem));
        }
        for url in settings(&folder, "url").await? {
            check(&url, wanted)?;
        }
        let depth = format!("--depth={DEPTH}");
        Git::in_folder(&folder)
            .args(["submodule", "--quiet", "update", "--init", &depth])
            .run()
            .await?
            .map_err(failed)?;
        let paths = settings(&folder, "path").await?;
        folders.extend(paths.iter().map(|path| (folder.join(path), level + 1)));
    }
    Ok(())
}

/// All values of `submodule.*.<key>` in a `.gitmodules`.
async fn settings(folder: &Path, key: &str) -> Result<Vec<String>> {
    let pattern = format!(r"^submodule\..*\.{key}$");
    let arguments = ["config", "--null", "--file", ".gitmodules", "--get-regexp", &pattern];
    let listed = Git::in_folder(folder).args(arguments).run().await?;
    // git answers 1 when there is none.
    let listed = listed.unwrap_or_default();
    let values = listed.split_terminator('\0').filter_map(|entry| Some(entry.split_once('\n')?.1));
    Ok(values.map(str::to_owned).collect())
}

/// A fork's commit may name submodules of the project's own host only: whatever
/// else the server can reach is none of a stranger's business.
fn check(url: &str, wanted: &Wanted) -> Result<()> {
    let is_relative = url.starts_with("./") || url.starts_with("../");
    if !wanted.is_from_fork || is_relative {
        return Ok(());
    }
    let origin = |url: &str| url.parse::<Url>().ok().map(|url| url.origin());
    match (origin(url), origin(&wanted.clone_url)) {
        (Some(theirs), Some(ours)) if theirs.is_tuple() && theirs == ours => Ok(()),
        _ => Err(SourceError::Submodules(format!(
            "a pull request from a fork may use submodules of the project's own host only, not {url}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_reaches_the_project_s_host_only() {
        let wanted = |is_from_fork| Wanted {
            project: crate::model::ProjectId(1),
            clone_url: "https://github.com/octo/orbit.git".into(),
            git_ref: crate::model::GitRef::pull_request(1),
            sha: "1".repeat(40).parse().unwrap(),
            is_from_fork,
        };
        for url in ["../library.git", "./library.git", "https://github.com/octo/library.git"] {
            assert!(check(url, &wanted(true)).is_ok(), "{url}");
        }
        for url in [
            "http://127.0.0.1:8080/",
            "http://github.com/octo/library.git",
            "https://github.com:8443/x",
            "https://github.com.evil.example/x",
            "git@github.com:octo/secret.git",
            "ssh://git@github.com/octo/secret",
            "/etc",
        ] {
            assert!(check(url, &wanted(true)).is_err(), "{url}");
            assert!(check(url, &wanted(false)).is_ok(), "{url}");
        }
    }
}
