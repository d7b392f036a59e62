//! Where finished logs and artifacts are to lie.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{ConfigError, Trust, Values};

/// Object storage, with what it takes to get in.
#[derive(Debug, Clone, Default)]
pub struct ObjectSettings {
    /// `s3://bucket/prefix` or `file:///folder`; none: in the data folder.
    pub url: Option<Url>,
    /// The environment's `AWS_*`, as all programs that use S3 read them.
    pub aws: Vec<(String, SecretString)>,
    pub trust: Trust,
}

/// What is kept of the artifacts, and taken to be tried.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactSettings {
    /// Bytes of one job.
    pub limit: u64,
    /// Bytes of a tree that is sent, unpacked; 1 GiB at the most.
    pub try_limit: u64,
    /// Bytes of all jobs of a project.
    pub project_limit: u64,
    pub age: Duration,
}

impl ArtifactSettings {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            limit: values.bytes("KOZMIC_ARTIFACTS_LIMIT")?,
            try_limit: values.bytes("KOZMIC_TRY_LIMIT")?.min(1 << 30),
            project_limit: values.bytes("KOZMIC_ARTIFACTS_PROJECT_LIMIT")?,
            age: values.seconds("KOZMIC_ARTIFACTS_AGE")?,
        })
    }
}

impl ObjectSettings {
    pub(super) fn read(
        values: &Values,
        environment: &[(String, String)],
        trust: &Trust,
    ) -> Result<Self, ConfigError> {
        let name = "KOZMIC_LOG_URL";
        let url = match values.text(name) {
            None => None,
            Some(value) => match value.parse::<Url>() {
                // Nothing secret may be in it: the start-up lines show it.
                Ok(url)
                    if url.username().is_empty()
                        && url.password().is_none()
                        && (url.scheme() == "file" || (url.scheme() == "s3" && url.has_host())) =>
                {
                    Some(url)
                }
                _ => {
                    let problem =
                        "must be s3://BUCKET/PREFIX, with the credentials in AWS_ACCESS_KEY_ID \
                                   and AWS_SECRET_ACCESS_KEY, or file:///FOLDER"
                            .into();
                    let value = value.split('@').next_back().unwrap_or_default().to_owned();
                    return Err(ConfigError::Malformed { name, value, problem });
                }
            },
        };
        let aws = environment
            .iter()
            .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        Ok(Self { url, aws, trust: trust.clone() })
    }
}
