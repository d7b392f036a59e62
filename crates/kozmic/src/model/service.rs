//! What runs beside a job's build script, under a host name of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DockerImage, Invalid, parse_variable};

/// Services of one hook.
const MOST: usize = 10;
/// Seconds in which a service is ready, where its hook says nothing else.
const READY_WITHIN: u64 = 60;
/// The longest that a hook may give a service, in seconds.
const LONGEST: u64 = 3_600;
/// Characters of a command that looks whether a service is ready.
const LONGEST_COMMAND: usize = 1_000;

/// A container that runs beside the build script's, on the job's own network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: ServiceName,
    pub image: DockerImage,
    /// Plain variables of the service. None of them is a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// None: by the image's own health check, or the ports that it exposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<ReadyCheck>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_timeout: Option<u64>,
}

impl Service {
    /// From its start, its image being there.
    pub fn ready_within(&self) -> Duration {
        Duration::from_secs(self.ready_timeout.unwrap_or(READY_WITHIN))
    }
}

/// How it is found out whether a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyCheck {
    /// Connections to this TCP port are accepted.
    Port(u16),
    /// This ends with 0, run by the service's own `/bin/sh`.
    Command(String),
}

impl fmt::Display for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Command(command) => f.write_str(command),
        }
    }
}

/// The host name under which scripts reach a service: one label of RFC 1123, in small
/// letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ServiceName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = (1..=63).contains(&text.len())
            && text.bytes().all(is_word)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !is_name || text == "localhost" {
            return Err(Invalid::new(format!(
                "`{text}` is not the host name of a service; write small letters, digits and \
                 inner hyphens, 63 at the most, and not localhost"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ServiceName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

/// A hook's services, in the order in which it names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Services(Vec<Service>);

impl Services {
    /// The options that say something of services.
    pub const NAMES: [&str; 4] = ["service", "service-env", "service-ready", "service-timeout"];

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one of [`Services::NAMES`] as a person writes it: `NAME: VALUE`. A service
    /// is named before more is said of it.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), Invalid> {
        let (name, value) = value.split_once(':').ok_or_else(|| {
            Invalid::new(format!(
                "write it as {}",
                match option {
                    "service" => "NAME: IMAGE, like db: postgres:17",
                    "service-env" => "NAME: VARIABLE=VALUE, like db: POSTGRES_PASSWORD=x",
                    "service-ready" => "NAME: PORT or NAME: COMMAND, like db: pg_isready",
                    _ => "NAME: SECONDS, like db: 120",
                }
            ))
        })?;
        let (name, value) = (name.trim().parse::<ServiceName>()?, value.trim());
        if option == "service" {
            return self.add(name, value.parse()?);
        }
        let service = self.0.iter_mut().find(|service| service.name == name).ok_or_else(|| {
            Invalid::new(format!(
                "there is no service `{name}` yet; name its image first, as in service = {name}: IMAGE"
            ))
        })?;
        let again = || Invalid::new(format!("`{option}` of the service {name} was given before"));
        match option {
            "service-env" => {
                let (variable, value) = parse_variable(value)?;
                match service.env.insert(variable, value) {
                    Some(_) => Err(again()),
                    None => Ok(()),
                }
            }
            "service-ready" => match service.ready.replace(parse_check(value)?) {
                Some(_) => Err(again()),
                None => Ok(()),
            },
            "service-timeout" => {
                let seconds = value.parse().ok().filter(|it| (1..=LONGEST).contains(it));
                let seconds = seconds.ok_or_else(|| {
                    Invalid::new(format!("must be a whole number of seconds from 1 to {LONGEST}"))
                })?;
                match service.ready_timeout.replace(seconds) {
                    Some(_) => Err(again()),
                    None => Ok(()),
                }
            }
            other => Err(Invalid::new(format!("there is no option `{other}`"))),
        }
    }

    fn add(&mut self, name: ServiceName, image: DockerImage) -> Result<(), Invalid> {
        if self.0.iter().any(|service| service.name == name) {
            return Err(Invalid::new(format!("the service {name} was given before")));
        }
        if self.0.len() == MOST {
            return Err(Invalid::new(format!("a hook has {MOST} services at the most")));
        }
        let (env, ready, ready_timeout) = (BTreeMap::new(), None, None);
        self.0.push(Service { name, image, env, ready, ready_timeout });
        Ok(())
    }

    /// As [`Services::set`] takes them.
    pub(super) fn written(&self) -> Vec<(&'static str, String)> {
        let mut written = Vec::new();
        for Service { name, image, env, ready, ready_timeout } in &self.0 {
            written.push(("service", format!("{name}: {image}")));
            let variables = env.iter().map(|(key, value)| format!("{name}: {key}={value}"));
            written.extend(variables.map(|text| ("service-env", text)));
            written.extend(ready.iter().map(|it| ("service-ready", format!("{name}: {it}"))));
            let timeout = ready_timeout.map(|it| ("service-timeout", format!("{name}: {it}")));
            written.extend(timeout);
        }
        written
    }
}

impl Deref for Services {
    type Target = [Service];

    fn deref(&self) -> &[Service] {
        &self.0
    }
}

/// A number is a port; all else is a command.
fn parse_check(text: &str) -> Result<ReadyCheck, Invalid> {
    if text.is_empty() || text.len() > LONGEST_COMMAND || text.contains(['\0', '\n']) {
        return Err(Invalid::new(format!(
            "must be a port, or a command of one line and {LONGEST_COMMAND} characters at the most"
        )));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(ReadyCheck::Command(text.to_owned()));
    }
    let port = text.parse().ok().filter(|port| *port > 0);
    port.map(ReadyCheck::Port)
        .ok_or_else(|| Invalid::new(format!("`{text}` is not a port; they go from 1 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_back_as_they_were_written() {
        let mut services = Services::default();
        for (option, value) in [
            ("service", "db: localhost:5000/postgres:15"),
            ("service-env", "db: POSTGRES_PASSWORD=a: b=c"),
            ("service-ready", "db: pg_isready -U postgres"),
            ("service-timeout", "db: 120"),
            ("service", "cache-2:redis"),
            ("service-ready", "cache-2: 6379"),
        ] {
            services.set(option, value).unwrap();
        }
        let [db, cache] = services.0.as_slice() else { panic!("{services:?}") };
        assert_eq!(db.image.as_str(), "localhost:5000/postgres:15");
        assert_eq!(db.env["POSTGRES_PASSWORD"], "a: b=c");
        assert_eq!(db.ready_within(), Duration::from_mins(2));
        assert_eq!((&cache.ready, cache.ready_timeout), (&Some(ReadyCheck::Port(6379)), None));
        let mut again = Services::default();
        for (option, value) in services.written() {
            again.set(option, &value).unwrap();
        }
        assert_eq!(again, services);
        let json = serde_json::to_string(&services).unwrap();
        assert_eq!(serde_json::from_str::<Services>(&json).unwrap(), services);
    }

    #[test]
    fn what_is_no_host_name_or_check_is_refused() {
        let mut services = Services::default();
        for value in [
            "db",
            "DB: x",
            "a.b: x",
            "-a: x",
            "a-: x",
            "my_db: x",
            ": x",
            "localhost: x",
            "d b: x",
            "db: No Image",
        ] {
            assert!(services.set("service", value).is_err(), "{value}");
        }
        let long = format!("{}: x", "a".repeat(64));
        assert!(services.set("service", &long).is_err());
        assert!(services.set("service-ready", "db: 1").unwrap_err().0.contains("service = db:"));
        services.set("service", "db: postgres").unwrap();
        assert!(services.set("service", "db: redis").is_err());
        for (option, value) in [
            ("service-env", "db: X"),
            ("service-ready", "db: 0"),
            ("service-ready", "db: 65536"),
            ("service-ready", "db:"),
            ("service-timeout", "db: 0"),
            ("service-timeout", "db: 3601"),
            ("service-timeout", "db"),
        ] {
            assert!(services.set(option, value).is_err(), "{option} = {value}");
        }
        for n in 1..MOST {
            services.set("service", &format!("s{n}: redis")).unwrap();
        }
        assert!(services.set("service", "more: redis").is_err());
    }
}
