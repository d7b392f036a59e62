//! The variables of a job's scripts. None of them is a secret.

use super::collect::folder_variables;
use crate::store::ClaimedJob;

pub(super) fn environment(job: &ClaimedJob, public_url: &str) -> Vec<(String, String)> {
    let build_url = format!("{public_url}/projects/{}/builds/{}/", job.project.id, job.build);
    let mut variables = vec![
        ("CI", "true".to_owned()),
        ("KOZMIC", "true".to_owned()),
        ("KOZMIC_BUILD_ID", job.build.to_string()),
        ("KOZMIC_BUILD_NUMBER", job.build_number.to_string()),
        ("KOZMIC_BUILD_PROJECT", job.project.repository.full_name.to_string()),
        ("KOZMIC_BUILD_REF", job.git_ref.to_string()),
        ("KOZMIC_BUILD_SHA", job.sha.to_string()),
        ("KOZMIC_BUILD_TRIGGER", job.trigger.as_str().to_owned()),
        ("KOZMIC_JOB_ID", job.id.to_string()),
        ("KOZMIC_JOB_TITLE", job.title.clone()),
        ("KOZMIC_JOB_ATTEMPT", job.attempt.to_string()),
        ("KOZMIC_JOB_URL", format!("{build_url}jobs/{}/", job.id)),
        ("KOZMIC_BUILD_URL", build_url),
    ];
    if let Some(number) = job.pull_request {
        variables.push(("KOZMIC_BUILD_PULL_REQUEST", number.to_string()));
    }
    let own = job.options.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    // Kozmic's last: neither a project nor a hook speaks for it.
    let kozmic = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    let terminal = ("TERM".to_owned(), "xterm".to_owned());
    std::iter::once(terminal).chain(own).chain(kozmic).chain(folder_variables()).collect()
}
