//! Docker or Podman: where the same API means two things, it is said here which.

use bollard::Docker;
use bollard::models::HostConfigLogConfig;

use crate::model::Timestamp;

/// Between a tag and the time at which its image was used, see [`mark`].
const USED: &str = ".used-";

/// What speaks the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Docker,
    Podman,
}

impl Product {
    pub(super) async fn of(docker: &Docker) -> Result<Self, bollard::errors::Error> {
        let components = docker.version().await?.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name == "Podman Engine");
        Ok(if is_podman { Self::Podman } else { Self::Docker })
    }

    /// A copy of a container's output that keeps its bytes as they are (Docker's
    /// `json-file` replaces invalid UTF-8), and that does not rotate: what is dropped
    /// would be missing after a crash. It takes 25 bytes more for each line, so a log of
    /// empty lines has a copy of 26 times its size.
    pub(super) fn log_config(self) -> HostConfigLogConfig {
        let (driver, options): (_, &[(&str, &str)]) = match self {
            Self::Docker => {
                ("local", &[("max-size", "1t"), ("max-file", "1"), ("compress", "false")])
            }
            Self::Podman => ("k8s-file", &[]),
        };
        let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        HostConfigLogConfig { typ: Some(driver.into()), config: Some(options.collect()) }
    }

    /// Of a service, which may write without end: what it wrote last is kept, 4 to 8 MiB.
    pub(super) fn service_log_config(self) -> HostConfigLogConfig {
        let (driver, options): (_, &[(&str, &str)]) = match self {
            Self::Docker => {
                ("local", &[("max-size", "4m"), ("max-file", "2"), ("compress", "false")])
            }
            Self::Podman => ("k8s-file", &[("max-size", "8m")]),
        };
        let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        HostConfigLogConfig { typ: Some(driver.into()), config: Some(options.collect()) }
    }

    /// How deep folders may lie in folders. Podman looks at every part of every path:
    /// a tree as deep as git allows keeps it busy for a quarter of an hour or more, in
    /// which it does not list the containers.
    pub(super) fn tree_depth(self) -> Option<usize> {
        match self {
            Self::Docker => None,
            Self::Podman => Some(256),
        }
    }

    /// Whether the registry of an image can be asked what it has there now.
    pub(super) fn asks_registries(self) -> bool {
        self == Self::Docker
    }
}

/// An image's name as it was given. Podman lists it with the registry that it takes
/// it to be of.
pub(super) fn short(name: &str) -> &str {
    let registries = ["docker.io/", "localhost/"];
    registries.iter().find_map(|registry| name.strip_prefix(registry)).unwrap_or(name)
}

/// The tag that tells when the image of another tag was used.
pub(super) fn mark(tag: &str, now: Timestamp) -> String {
    format!("{tag}{USED}{}", now.0)
}

pub(super) fn is_mark(name: &str) -> bool {
    time_of_mark(name).is_some()
}

pub(super) fn time_of_mark(name: &str) -> Option<Timestamp> {
    let (_, time) = name.rsplit_once(USED)?;
    time.parse().ok().map(Timestamp)
}

/// The marks of the image `name`, of all the names it has.
pub(super) fn marks_of<'a>(name: &str, names: &'a [String]) -> impl Iterator<Item = &'a str> {
    let start = format!("{}{USED}", short(name));
    names.iter().map(|name| short(name)).filter(move |name| name.starts_with(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_name_and_tells_a_time() {
        let name = format!("docker.io/kozmic-cache/ab:{}", mark("7", Timestamp(42)));
        assert_eq!(name, "docker.io/kozmic-cache/ab:7.used-42");
        assert!(is_mark(&name) && !is_mark("kozmic-cache/ab:7-pull-42"));
        let names = [name.clone(), "docker.io/kozmic-cache/ab:7".into()];
        let marks: Vec<&str> = marks_of("kozmic-cache/ab:7", &names).collect();
        assert_eq!(marks, ["kozmic-cache/ab:7.used-42"]);
        assert_eq!(time_of_mark(marks[0]), Some(Timestamp(42)));
        assert_eq!(marks_of("kozmic-cache/ab:70", &names).count(), 0);
    }

    #[test]
    fn a_registry_of_one_s_own_is_part_of_the_name() {
        assert_eq!(short("docker.io/kozmic-cache/ab:7"), "kozmic-cache/ab:7");
        assert_eq!(short("localhost/kozmic/debian:bookworm"), "kozmic/debian:bookworm");
        assert_eq!(short("ghcr.io/octo/orbit:1"), "ghcr.io/octo/orbit:1");
        assert_eq!(short("localhost:5000/octo:1"), "localhost:5000/octo:1");
    }
}
