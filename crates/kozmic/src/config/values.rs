//! Values as they were given, and where: in the environment, in the settings file, or in a
//! file of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use url::Url;

use super::table::{SETTINGS, Setting, is_reserved};
use super::{ConfigError, full_name};
use crate::model::{Invalid, KnownHosts, Labels, parse_bytes};

/// What a secret's setting is called that names the file with its value.
const FILE: &str = "_FILE";
/// No secret is longer, in bytes.
const LONGEST_SECRET: u64 = 64 * 1024;
/// In place of what is not shown.
const HIDDEN: &str = "(set, not shown)";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Default,
    /// The environment, or a settings file by its path.
    Given(String),
    /// A file that holds nothing else.
    SecretFile(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Given(origin) | Self::SecretFile(origin) => f.write_str(origin),
        }
    }
}

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    pub name: &'static str,
    /// Without what is secret; empty: none.
    pub value: String,
    pub origin: Origin,
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The secret whose file a name with `_FILE` behind it tells.
fn of_file_variant(name: &str) -> Option<&'static Setting> {
    name.strip_suffix(FILE).and_then(find).filter(|setting| setting.may_be_in_file())
}

fn is_known(name: &str) -> bool {
    find(name).is_some() || of_file_variant(name).is_some()
}

/// A file's content without a last line end. It is never part of an error.
fn read_secret(name: &'static str, path: &Path) -> Result<String, ConfigError> {
    let failed = |problem: String| ConfigError::SecretFile {
        name,
        path: path.display().to_string(),
        problem,
    };
    let read = || {
        let file = std::fs::File::open(path)?;
        let mut text = String::new();
        std::io::Read::read_to_string(
            &mut std::io::Read::take(file, LONGEST_SECRET + 1),
            &mut text,
        )?;
        Ok(text)
    };
    let text = read().map_err(|error: std::io::Error| failed(error.to_string()))?;
    if text.len() as u64 > LONGEST_SECRET {
        return Err(failed(format!("it has more than {LONGEST_SECRET} bytes")));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(failed("it is empty".into()));
    }
    Ok(text.to_owned())
}

/// A value as people may see it: no secret, and no password in a URL.
fn shown(setting: &Setting, value: &str) -> String {
    if setting.secret && !value.is_empty() {
        return HIDDEN.into();
    }
    match value.parse::<Url>() {
        Ok(mut url) if url.password().is_some() => {
            // A URL that takes no password has none.
            let _ = url.set_password(Some("***"));
            url.to_string()
        }
        _ => value.to_owned(),
    }
}

/// Texts by their keys, as they are written.
fn read_file(path: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        problem: error.to_string().trim_end().replace('\n', "; "),
    })?;
    let read = |(key, value): (String, toml::Value)| {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => {
                let problem = format!("{key} must be a text, a whole number, true or false");
                return Err(ConfigError::File { path: path.to_owned(), problem });
            }
        };
        Ok((key, value))
    };
    table.into_iter().map(read).collect()
}

/// In seconds; no limit of a job is longer.
const YEAR: u64 = 31_536_000;

/// Given values by name, with the table's defaults behind them.
#[derive(Default)]
pub(super) struct Values(BTreeMap<&'static str, (String, Origin)>);

impl Values {
    /// What a file and the environment give; the environment wins.
    pub(super) fn gather(
        environment: &[(String, String)],
        file: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigError> {
        let mut values = Self::default();
        if let Some((path, text)) = file {
            let mut of_file = Self::default();
            let origin = path.display().to_string();
            for (key, value) in read_file(&origin, text)? {
                if key != key.to_lowercase() {
                    return Err(ConfigError::Unknown { origin, name: key });
                }
                of_file.take(&full_name(&key), &key, value, &origin)?;
            }
            values.0.extend(of_file.0);
        }
        let mut of_environment = Self::default();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("KOZMIC_")) {
            // An empty variable is how a compose file or unit says "not set".
            if !value.is_empty() || !is_known(name) {
                of_environment.take(name, name, value.clone(), "environment")?;
            }
        }
        values.0.extend(of_environment.0);
        Ok(values)
    }

    /// One value, or the file that it is in. `said` is how it was written.
    fn take(
        &mut self,
        name: &str,
        said: &str,
        value: String,
        origin: &str,
    ) -> Result<(), ConfigError> {
        let unknown = || ConfigError::Unknown { origin: origin.to_owned(), name: said.to_owned() };
        let (setting, value, origin) = if let Some(setting) = find(name) {
            (setting, value, Origin::Given(origin.to_owned()))
        } else if let Some(setting) = of_file_variant(name) {
            let content = read_secret(setting.name, Path::new(&value))?;
            (setting, content, Origin::SecretFile(value))
        } else if is_reserved(name) && origin == "environment" {
            return Ok(());
        } else {
            return Err(unknown());
        };
        match self.0.insert(setting.name, (value, origin)) {
            Some(_) => Err(ConfigError::Twice { name: setting.name }),
            None => Ok(()),
        }
    }

    /// Every setting as it holds, with nothing secret in it. `found` has what holds where
    /// one is not given and its default is not a fixed one.
    pub(super) fn in_force(&self, found: &[(&str, &str)]) -> Vec<InForce> {
        let of = |setting: &'static Setting| {
            let found = found.iter().find(|(name, _)| *name == setting.name);
            let (value, origin) = match (self.0.get(setting.name), found) {
                (Some((value, origin)), _) => (value.as_str(), origin.clone()),
                (None, Some((_, found))) => (*found, Origin::Default),
                (None, None) => (setting.default, Origin::Default),
            };
            InForce { name: setting.name, value: shown(setting, value), origin }
        };
        SETTINGS.iter().map(of).collect()
    }

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        let given = self.0.get(name).map(|(value, _)| value.clone());
        let default = || find(name).map(|setting| setting.default.to_owned());
        given.or_else(default).filter(|value| !value.is_empty())
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

    pub(super) fn labels(&self, name: &'static str) -> Result<Labels, ConfigError> {
        let value = self.text(name).unwrap_or_default();
        value.parse().map_err(|problem: Invalid| ConfigError::Malformed {
            name,
            value,
            problem: problem.to_string(),
        })
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
