//! Given values, read as what a setting is.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::{ConfigError, SETTINGS};
use crate::model::{KnownHosts, parse_bytes};

/// In seconds; no limit of a job is longer.
const YEAR: u64 = 31_536_000;

/// Given values by name, with the table's defaults behind them.
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    pub(super) fn new(given: BTreeMap<&'static str, String>) -> Self {
        Self(given)
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        let default =
            || SETTINGS.iter().find(|setting| setting.name == name).map(|s| s.default.to_owned());
        self.0.get(name).cloned().or_else(default).filter(|value| !value.is_empty())
    }

    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        name: &'static str,
        problem: &str,
    ) -> Result<T, ConfigError> {
        let value = self.text(name).unwrap_or_default();
        value.parse().map_err(|_| ConfigError::Malformed { name, value, problem: problem.into() })
    }

    pub(super) fn seconds(&self, name: &'static str) -> Result<Duration, ConfigError> {
        let seconds: u64 = self.parsed(name, "must be a whole number of seconds")?;
        if !(1..=YEAR).contains(&seconds) {
            let problem = "must be from 1 to 31536000 seconds (a year)".into();
            return Err(ConfigError::Malformed { name, value: seconds.to_string(), problem });
        }
        Ok(Duration::from_secs(seconds))
    }

    /// Zero stands for "not at all".
    pub(super) fn seconds_or_none(&self, name: &'static str) -> Result<Duration, ConfigError> {
        let seconds: u64 = self.parsed(name, "must be a whole number of seconds, or 0")?;
        if seconds == 0 { Ok(Duration::ZERO) } else { self.seconds(name) }
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<u64, ConfigError> {
        let value = self.text(name).unwrap_or_default();
        parse_bytes(&value).map_err(|problem| ConfigError::Malformed {
            name,
            value,
            problem: problem.to_string(),
        })
    }

    pub(super) fn bytes_if_given(&self, name: &'static str) -> Result<Option<u64>, ConfigError> {
        self.text(name).map(|_| self.bytes(name)).transpose()
    }

    /// From lines, or from the file that a path names.
    pub(super) fn known_hosts(&self, name: &'static str) -> Result<KnownHosts, ConfigError> {
        let value = self.text(name).unwrap_or_default();
        let malformed =
            |value: &str, problem| ConfigError::Malformed { name, value: value.into(), problem };
        if !["/", "./", "../"].iter().any(|start| value.starts_with(start)) {
            let first = value.lines().next().unwrap_or_default();
            return KnownHosts::with(&value).map_err(|error| malformed(first, error.to_string()));
        }
        let lines = std::fs::read_to_string(&value)
            .map_err(|error| malformed(&value, format!("the file can't be read: {error}")))?;
        KnownHosts::with(&lines).map_err(|error| malformed(&value, error.to_string()))
    }

    pub(super) fn url(&self, name: &'static str) -> Result<Option<Url>, ConfigError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Some(url)),
            _ => Err(ConfigError::Malformed {
                name,
                value,
                problem: "must be an http or https URL".into(),
            }),
        }
    }
}
