//! Which commit a job builds, and where it comes from.

use crate::model::{ErrorKind, JobEnd};
use crate::source::{SshRemote, Wanted};
use crate::store::{ClaimedJob, Store};

/// Of a private project, with its deploy key.
pub(super) async fn wanted(store: &Store, job: &ClaimedJob) -> Result<Wanted, JobEnd> {
    let repository = &job.project.repository;
    let ssh = if repository.is_public { None } else { Some(ssh_remote(store, job).await?) };
    Ok(Wanted {
        project: job.project.id,
        name: repository.full_name.clone(),
        https_url: repository.https_clone_url.clone(),
        ssh,
        git_ref: job.git_ref.clone(),
        sha: job.sha.clone(),
        is_from_fork: job.is_from_fork,
    })
}

async fn ssh_remote(store: &Store, job: &ClaimedJob) -> Result<SshRemote, JobEnd> {
    let repository = &job.project.repository;
    let key = store.deploy_key(job.project.id).await;
    let key = key.map_err(|error| JobEnd::Error(ErrorKind::Internal, error.to_string()))?;
    // One that GitHub does not know yet was left by a `project add` that was cut off.
    match key.filter(|key| key.gh_id.is_some()) {
        Some(key) => {
            let url = repository.ssh_clone_url.clone();
            Ok(SshRemote { url, private_key: key.private_key })
        }
        None => Err(JobEnd::Error(
            ErrorKind::KeyRefused,
            format!(
                "{0} is private and has no deploy key yet; `kozmic project add {0}` makes one",
                repository.full_name
            ),
        )),
    }
}
