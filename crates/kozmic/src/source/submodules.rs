//! Submodules, level by level: each URL is looked at before it is fetched,
//! because it is the server that fetches it.

use std::path::{Path, PathBuf};

use super::git::{Failed, Git};
use super::refusal;
use super::ssh::{self, Keys};
use super::{DEPTH, Result, SourceError, Wanted};

/// Submodules in submodules, at the most.
const LEVELS: usize = 10;

pub(super) async fn update(checkout: &Path, keys: &Keys, wanted: &Wanted) -> Result<()> {
    let failed = |failed: Failed| refusal::of_submodules(&failed, wanted);
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
        let session = keys.session(wanted)?;
        Git::in_folder(&folder)
            .with_key(session.as_ref())
            .trusting(keys.authorities())
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
    let theirs = ssh::Address::of(url);
    let own = [wanted.https_url.as_str(), wanted.clone_url()];
    if theirs.is_some() && own.iter().any(|own| ssh::Address::of(own) == theirs) {
        return Ok(());
    }
    Err(SourceError::Submodules(format!(
        "a pull request from a fork may use submodules of the project's own host only, not {url}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(ssh: Option<&str>, is_from_fork: bool) -> Wanted {
        Wanted { is_from_fork, ..refusal::tests::wanted(ssh) }
    }

    #[test]
    fn a_fork_reaches_the_project_s_host_only() {
        for url in ["../library.git", "./library.git", "https://github.com/octo/library.git"] {
            assert!(check(url, &wanted(None, true)).is_ok(), "{url}");
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
            assert!(check(url, &wanted(None, true)).is_err(), "{url}");
            assert!(check(url, &wanted(None, false)).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_fork_of_a_private_project_reaches_its_host_by_ssh_too() {
        let private = wanted(Some("git@github.com:octo/orbit.git"), true);
        for url in [
            "../library.git",
            "git@github.com:octo/library.git",
            "ssh://git@github.com/octo/library.git",
            "ssh://git@github.com:22/octo/library.git",
            "https://github.com/octo/library.git",
        ] {
            assert!(check(url, &private).is_ok(), "{url}");
        }
        for url in [
            "git@evil.example:octo/library.git",
            "ssh://git@github.com:2222/octo/library.git",
            "ssh://git@github.com:22@evil.example/octo/library.git",
            "http://github.com/octo/library.git",
        ] {
            assert!(check(url, &private).is_err(), "{url}");
        }
    }
}
