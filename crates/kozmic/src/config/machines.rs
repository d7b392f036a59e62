//! What it takes to work on several machines.

use std::time::Duration;

use secrecy::SecretString;

use super::{ConfigError, Trust, Values};

#[derive(Debug, Clone)]
pub struct MachineSettings {
    /// Where processes meet; it may hold a password. None: this process is alone.
    pub redis_url: Option<SecretString>,
    /// Where workers share cached images: a host, and a path if there is one. None: each
    /// worker makes its own.
    pub cache_registry: Option<String>,
    /// How long a worker that is asked to stop waits for its jobs; zero: it does not.
    pub drain_timeout: Duration,
    /// By whom the certificate of Redis may be.
    pub trust: Trust,
}

impl MachineSettings {
    pub(super) fn read(values: &Values, trust: &Trust) -> Result<Self, ConfigError> {
        let name = "KOZMIC_REDIS_URL";
        let redis_url = match values.text(name) {
            None => None,
            Some(url) if ["redis://", "rediss://"].iter().any(|it| url.starts_with(it)) => {
                Some(SecretString::from(url))
            }
            Some(url) => {
                let problem = "must begin with redis:// or rediss:// (with TLS)".into();
                // What is before an @ may be a password.
                let value = url.split('@').next_back().unwrap_or_default().to_owned();
                return Err(ConfigError::Malformed { name, value, problem });
            }
        };
        let name = "KOZMIC_CACHE_REGISTRY";
        let cache_registry = values.text(name).map(|it| it.trim_end_matches('/').to_owned());
        if let Some(value) = cache_registry.as_ref().filter(|it| !is_registry(it)) {
            let problem = "must be a registry's host, like registry.example.org:5000/team; its \
                           password is given by `docker login`"
                .into();
            return Err(ConfigError::Malformed { name, value: value.clone(), problem });
        }
        Ok(Self {
            redis_url,
            cache_registry,
            trust: trust.clone(),
            drain_timeout: values.seconds_or_none("KOZMIC_DRAIN_TIMEOUT")?,
        })
    }
}

/// The first part must look like a host, or the engine takes it for a part of Docker Hub.
fn is_registry(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-:/".contains(c);
    is_host && text.chars().all(allowed) && !text.contains("//")
}
