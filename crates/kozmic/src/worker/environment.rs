//! The variables of a job's scripts. None of them is a secret.

use std::collections::BTreeMap;

use super::collect::folder_variables;
use crate::model::{Script, Variant};
use crate::store::ClaimedJob;

/// The variables of the build script.
pub(super) fn of_build(job: &ClaimedJob, public_url: &str) -> Vec<(String, String)> {
    environment(job, public_url, &of_variant(job))
}

/// The variables of the install script, and those of the variant among them. It is given
/// only those that it names: variants whose variables it does not name share its image.
pub(super) fn of_install(
    job: &ClaimedJob,
    script: &Script,
    public_url: &str,
) -> (Vec<(String, String)>, BTreeMap<String, String>) {
    let mut named = of_variant(job);
    named.retain(|name, _| script.names(name));
    (environment(job, public_url, &named), named)
}

/// What a job is told of its variant.
fn of_variant(job: &ClaimedJob) -> BTreeMap<String, String> {
    let Some(variant) = job.options.variants.first() else { return BTreeMap::new() };
    let mut variables = variant.env.clone();
    variables.insert(Variant::NAMED_BY.to_owned(), variant.name.clone());
    variables
}

fn environment(
    job: &ClaimedJob,
    public_url: &str,
    of_variant: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let build_url = format!("{public_url}/projects/{}/builds/{}/", job.project.id, job.build);
    let mut variables = vec![
        ("CI", "true".to_owned()),
        ("KOZMIC", "true".to_owned()),
        ("KOZMIC_BUILD_ID", job.build.to_string()),
        ("KOZMIC_BUILD_NUMBER", job.build_number.to_string()),
        ("KOZMIC_BUILD_PROJECT", job.project.repository.full_name.to_string()),
        ("KOZMIC_BUILD_REF", job.git_ref.to_string()),
        ("KOZMIC_BUILD_SHA", job.sha.to_string()),
        ("KOZMIC_JOB_ID", job.id.to_string()),
        ("KOZMIC_JOB_TITLE", job.title.clone()),
        ("KOZMIC_JOB_ATTEMPT", job.attempt.to_string()),
        ("KOZMIC_JOB_URL", format!("{build_url}jobs/{}/", job.id)),
        ("KOZMIC_BUILD_URL", build_url),
    ];
    if let Some(number) = job.pull_request {
        variables.push(("KOZMIC_BUILD_PULL_REQUEST", number.to_string()));
    }
    let mut own = job.options.env.clone();
    own.extend(of_variant.clone());
    // Kozmic's last: neither a project nor a hook speaks for it.
    let kozmic = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
    let terminal = ("TERM".to_owned(), "xterm".to_owned());
    std::iter::once(terminal).chain(own).chain(kozmic).chain(folder_variables()).collect()
}
