//! A bare repository per project: what was fetched once is not fetched again.

use std::path::{Path, PathBuf};

use super::git::Git;
use super::{DEPTH, Result, SourceError, Wanted, on_disk};
use crate::model::CommitSha;

/// The ref under which a mirror keeps a commit from being pruned.
pub(super) fn kept_ref(sha: &CommitSha) -> String {
    format!("refs/kozmic/{sha}")
}

/// The mirror, with the wanted commit in it.
pub(super) async fn fetch(mirrors: &Path, wanted: &Wanted) -> Result<PathBuf> {
    let mirror = mirrors.join(format!("{}.git", wanted.project));
    ensure(&mirror).await?;
    if has_commit(&mirror, &wanted.sha).await? {
        return Ok(mirror);
    }
    // By its id first: the branch may have moved on since.
    let by_id = fetch_refspec(&mirror, wanted, wanted.sha.as_str()).await?;
    if let Err(failed) = by_id {
        let refused = ["not our ref", "unadvertised object", "couldn't find remote ref"];
        if !refused.iter().any(|words| failed.stderr.contains(words)) {
            return Err(SourceError::Fetch {
                url: wanted.clone_url.clone(),
                problem: failed.problem(),
            });
        }
        // A server may refuse to serve by id what its ref would give.
        let by_ref = Git::in_folder(&mirror)
            .args(["fetch", "--quiet", "--force", &format!("--depth={DEPTH}"), &wanted.clone_url])
            .args([wanted.git_ref.as_full()])
            .run()
            .await?;
        if by_ref.is_err() || !has_commit(&mirror, &wanted.sha).await? {
            return Err(SourceError::CommitVanished {
                sha: wanted.sha.clone(),
                git_ref: wanted.git_ref.clone(),
            });
        }
        let kept = Git::in_folder(&mirror)
            .args(["update-ref", &kept_ref(&wanted.sha), wanted.sha.as_str()])
            .run()
            .await?;
        kept.map_err(|failed| SourceError::Fetch {
            url: wanted.clone_url.clone(),
            problem: failed.problem(),
        })?;
    }
    Ok(mirror)
}

async fn fetch_refspec(
    mirror: &Path,
    wanted: &Wanted,
    what: &str,
) -> Result<std::result::Result<String, super::git::Failed>> {
    Git::in_folder(mirror)
        .args(["fetch", "--quiet", "--force", &format!("--depth={DEPTH}"), &wanted.clone_url])
        .args([format!("+{what}:{}", kept_ref(&wanted.sha))])
        .run()
        .await
}

async fn ensure(mirror: &Path) -> Result<()> {
    if mirror.join("HEAD").exists() {
        return Ok(());
    }
    tokio::fs::create_dir_all(mirror).await.map_err(on_disk(mirror))?;
    let made = Git::in_folder(mirror).args(["init", "--quiet", "--bare"]).run().await?;
    made.map(|_| ()).map_err(|failed| SourceError::Disk {
        path: mirror.display().to_string(),
        source: std::io::Error::other(failed.problem()),
    })
}

/// Whether the commit was fetched whole: it is kept under its ref.
async fn has_commit(mirror: &Path, sha: &CommitSha) -> Result<bool> {
    let found =
        Git::in_folder(mirror).args(["cat-file", "-e", &format!("{sha}^{{commit}}")]).run().await?;
    Ok(found.is_ok())
}
