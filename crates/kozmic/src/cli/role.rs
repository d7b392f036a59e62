//! What of the server a process is, and what it needs for that.

use anyhow::bail;
use clap::ValueEnum;

use crate::config::Settings;
use crate::store::sqlite_file;

/// What a process does of all that a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Role {
    /// Pages, the API, webhooks, what is told to GitHub, and what happens by the clock
    Web,
    /// Carries out jobs at the container engine here
    Worker,
    /// Everything in one process
    #[default]
    All,
}

impl Role {
    pub(super) fn is_web(self) -> bool {
        self != Self::Worker
    }

    pub(super) fn is_worker(self) -> bool {
        self != Self::Web
    }

    /// Says all that is missing, and what it is for.
    pub(super) fn check(self, settings: &Settings) -> anyhow::Result<()> {
        if self == Self::All {
            return Ok(());
        }
        let mut missing = Vec::new();
        if sqlite_file(&settings.database_url).is_some() {
            missing.push("KOZMIC_DATABASE_URL: a PostgreSQL database, which all processes share");
        }
        if settings.machines.redis_url.is_none() {
            missing.push("KOZMIC_REDIS_URL: by Redis, live logs and shells pass between processes");
        }
        if settings.objects.url.is_none() {
            missing.push(
                "KOZMIC_LOG_URL: where all processes find finished logs and artifacts, like \
                 s3://BUCKET/PREFIX",
            );
        }
        if settings.secret_key.is_none() {
            missing.push("KOZMIC_SECRET_KEY: the same key in all processes");
        }
        if !missing.is_empty() {
            let name = if self == Self::Web { "web" } else { "worker" };
            bail!(
                "--role {name} is for several processes, which lack:\n  {}\n\
                 One process alone needs none of this: start it with --role all.",
                missing.join("\n  ")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: Role, given: &[(&str, &str)]) -> Result<(), String> {
        let given: Vec<_> =
            given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let settings = Settings::from_parts(&given, None).unwrap();
        role.check(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn one_process_needs_nothing_and_several_are_told_all_that_they_lack() {
        assert!(check(Role::All, &[]).is_ok());
        let all = [
            ("KOZMIC_DATABASE_URL", "postgres://db/kozmic"),
            ("KOZMIC_REDIS_URL", "redis://redis"),
            ("KOZMIC_LOG_URL", "s3://kozmic"),
            ("KOZMIC_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ];
        for role in [Role::Web, Role::Worker] {
            let error = check(role, &[]).unwrap_err();
            for (name, _) in all {
                assert!(error.contains(name), "{error}");
                let but_one: Vec<_> = all.into_iter().filter(|(it, _)| *it != name).collect();
                let error = check(role, &but_one).unwrap_err();
                assert_eq!(error.matches("KOZMIC_").count(), 1, "{error}");
            }
            check(role, &all).unwrap();
        }
    }
}
