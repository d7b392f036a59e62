//! Submodules, level by level: each URL is looked at before it is fetched,
//! because it is the server that fetches it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::git::{Failed, Git};
use super::refusal;
use super::ssh::{self, Keys};
use super::{DEPTH, Result, SourceError, Wanted};
use crate::model::CommitSha;

/// Submodules in submodules, at the most.
pub(super) const LEVELS: usize = 10;

/// Checks out the submodules of a checkout; its folder and theirs.
pub(super) async fn update(checkout: &Path, keys: &Keys, wanted: &Wanted) -> Result<Vec<PathBuf>> {
    let failed = |failed: Failed| refusal::of_submodules(&failed, wanted);
    let mut all = Vec::new();
    let mut folders = vec![(checkout.to_owned(), 0)];
    while let Some((folder, level)) = folders.pop() {
        all.push(folder.clone());
        if !has_any(&folder) {
            continue;
        }
        if level >= LEVELS {
            return Err(too_deep());
        }
        for (_, url) in entries(&folder, "url").await? {
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
        // As git has them: what `.gitmodules` says may lead out of the checkout. Not those that
        // the commit wants left alone.
        let links = links(&folder).await?;
        let checked_out = links.iter().map(|(path, _)| folder.join(path));
        let checked_out = checked_out.filter(|it| is_file(it, ".git"));
        folders.extend(checked_out.map(|path| (path, level + 1)));
    }
    Ok(all)
}

pub(super) fn too_deep() -> SourceError {
    SourceError::Submodules(format!("more than {LEVELS} levels of submodules"))
}

/// How many of these trees a folder lies in.
pub(super) fn level(folder: &Path, trees: &[(PathBuf, String)]) -> usize {
    trees.iter().filter(|(tree, _)| *tree != folder && folder.starts_with(tree)).count()
}

/// Whether a folder's commit has submodules.
pub(super) fn has_any(folder: &Path) -> bool {
    is_file(folder, ".gitmodules")
}

/// A link could lead out of the checkout.
fn is_file(folder: &Path, name: &str) -> bool {
    folder.join(name).symlink_metadata().is_ok_and(|found| found.is_file())
}

/// The submodules that a folder's index names: where they lie below it, and at which commit.
pub(super) async fn links(folder: &Path) -> Result<Vec<(PathBuf, CommitSha)>> {
    let listed = Git::in_folder(folder).args(["ls-files", "--stage", "-z"]).run_bytes().await?;
    let listed = listed.map_err(|failed| SourceError::NotATree {
        path: folder.display().to_string(),
        problem: failed.problem(),
    })?;
    // `<mode> <object> <stage>TAB<path>`, each ended by NUL (git-ls-files(1), "OUTPUT").
    let links = listed.split(|byte| *byte == 0).filter_map(|entry| {
        let about = entry.strip_prefix(b"160000 ")?;
        let tab = about.iter().position(|byte| *byte == b'\t')?;
        let sha = std::str::from_utf8(&about[..tab]).ok()?.split(' ').next()?.parse().ok()?;
        Some((PathBuf::from(OsStr::from_bytes(&about[tab + 1..])), sha))
    });
    Ok(links.collect())
}

/// Whether a folder's commit wants the submodule at this path left alone (gitmodules(5),
/// "submodule.<name>.update").
pub(super) async fn is_left_alone(folder: &Path, path: &Path) -> Result<bool> {
    let entries = entries(folder, "(path|update)").await?;
    let value = |name: &str, key: &str| {
        let key = format!("{name}.{key}");
        entries.iter().rfind(|entry| entry.0 == key).map(|entry| entry.1.as_str())
    };
    let mut names = entries.iter().filter_map(|(key, at)| {
        let name = key.strip_suffix(".path")?;
        (Path::new(at) == path).then_some(name)
    });
    Ok(names.any(|name| value(name, "update") == Some("none")))
}

/// The names and values of all `submodule.*.<keys>` in a `.gitmodules`.
async fn entries(folder: &Path, keys: &str) -> Result<Vec<(String, String)>> {
    let pattern = format!(r"^submodule\..*\.{keys}$");
    let arguments = ["config", "--null", "--file", ".gitmodules", "--get-regexp", &pattern];
    let listed = Git::in_folder(folder).args(arguments).run().await?;
    // git answers 1 when there is none.
    let listed = listed.unwrap_or_default();
    let entries = listed.split_terminator('\0').filter_map(|entry| entry.split_once('\n'));
    Ok(entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
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
    use crate::model::KnownHosts;

    fn wanted(ssh: Option<&str>, is_from_fork: bool) -> Wanted {
        Wanted { is_from_fork, ..refusal::tests::wanted(ssh) }
    }

    #[tokio::test]
    async fn no_commit_leads_out_of_its_checkout() {
        let folder = tempfile::tempdir().unwrap();
        let [checkout, other] = ["checkout", "other"].map(|name| folder.path().join(name));
        for (place, path) in [(&checkout, "../other"), (&other, "none")] {
            std::fs::create_dir(place).unwrap();
            Git::in_folder(place).args(["init", "--quiet"]).run().await.unwrap().unwrap();
            let text = format!("[submodule \"s\"]\n\tpath = {path}\n\turl = ../s\n");
            std::fs::write(place.join(".gitmodules"), text).unwrap();
        }
        // As that of another job's submodule.
        std::fs::rename(other.join(".git"), folder.path().join("git")).unwrap();
        std::fs::write(other.join(".git"), "gitdir: ../git\n").unwrap();
        let keys = Keys::new(&folder.path().join("keys"), &KnownHosts::with("").unwrap());
        let found = update(&checkout, &keys, &wanted(None, false)).await.unwrap();
        assert_eq!(found, [checkout]);
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
