//! A bare repository per project, with the whole history of what was built: what
//! was fetched once is not fetched again. (A shallow one has a boundary that
//! every fetch moves, for all of its commits.)

use std::path::{Path, PathBuf};

use super::git::{Failed, Git};
use super::ssh::Keys;
use super::{Result, SourceError, Wanted, on_disk, refusal};
use crate::model::{CommitSha, ProjectId};

/// What a server says of a commit or ref that it does not have.
const NOT_THERE: [&str; 3] = ["not our ref", "unadvertised object", "couldn't find remote ref"];

/// Where a mirror's refs lie.
pub(super) const KEPT_REFS: &str = "refs/kozmic/";

/// The ref under which a mirror keeps a commit that was fetched whole.
pub(super) fn kept_ref(sha: &CommitSha) -> String {
    format!("{KEPT_REFS}{sha}")
}

/// The folder of a project's mirror.
pub(super) fn folder(mirrors: &Path, project: ProjectId) -> PathBuf {
    mirrors.join(format!("{project}.git"))
}

/// The mirror, with the wanted commit in it. One at a time per mirror.
pub(super) async fn fetch(mirrors: &Path, keys: &Keys, wanted: &Wanted) -> Result<PathBuf> {
    let mirror = folder(mirrors, wanted.project);
    ensure(&mirror).await?;
    if is_kept(&mirror, &wanted.sha).await? {
        return Ok(mirror);
    }
    remove_stale_locks(&mirror);
    let failed = |failed: Failed| refusal::of_fetch(&failed, wanted);
    let is_missing = |failed: &Failed| NOT_THERE.iter().any(|words| failed.stderr.contains(words));
    let vanished =
        || SourceError::CommitVanished { sha: wanted.sha.clone(), git_ref: wanted.git_ref.clone() };
    let session = keys.session(wanted)?;
    let fetch = async |what: String| {
        let arguments = ["fetch", "--quiet", "--force", wanted.clone_url(), what.as_str()];
        let git = Git::in_folder(&mirror).with_key(session.as_ref()).trusting(keys.authorities());
        git.args(arguments).run().await
    };
    // By its id first: the branch may have moved on since.
    let kept = kept_ref(&wanted.sha);
    match fetch(format!("+{}:{kept}", wanted.sha)).await? {
        Ok(_) => return Ok(mirror),
        // A server may refuse to serve by id what its ref would give.
        Err(refused) if is_missing(&refused) => {}
        Err(refused) => return Err(failed(refused)),
    }
    match fetch(wanted.git_ref.as_full().to_owned()).await? {
        Ok(_) => {}
        Err(refused) if is_missing(&refused) => return Err(vanished()),
        Err(refused) => return Err(failed(refused)),
    }
    // Fails when the ref no longer leads to the commit.
    let keep = ["update-ref", kept.as_str(), wanted.sha.as_str()];
    Git::in_folder(&mirror).args(keep).run().await?.map_err(|_| vanished())?;
    Ok(mirror)
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

async fn is_kept(mirror: &Path, sha: &CommitSha) -> Result<bool> {
    let arguments = ["rev-parse", "--quiet", "--verify", &kept_ref(sha)];
    Ok(Git::in_folder(mirror).args(arguments).run().await?.is_ok())
}

/// A git that was killed leaves its locks, and the next one would wait for an
/// owner that is gone. Nobody else works in this mirror now.
fn remove_stale_locks(mirror: &Path) {
    for folder in ["", "refs/kozmic", "objects/pack"] {
        let Ok(entries) = std::fs::read_dir(mirror.join(folder)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_lock = path.extension().is_some_and(|extension| extension == "lock");
            let is_part =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"tmp_"));
            if is_lock || is_part {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
