//! What a hook asks of the container that its scripts run in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    CacheFolders, CronLine, HookSpec, InstallFrom, Invalid, Labels, NoNewPrivileges, Priority,
    Services, Variant, Wanted,
};

/// Where something is not given, the installation's default holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookOptions {
    /// Bytes of memory; swap is not added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Seconds without output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_timeout: Option<u64>,
    /// Seconds in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_timeout: Option<u64>,
    /// Whether a job whose worker was lost is started again by itself. Not for
    /// what must not run twice.
    pub retry: bool,
    #[serde(skip_serializing_if = "InstallFrom::is_default")]
    pub install_from: InstallFrom,
    /// Whether scripts are kept from becoming another user, as by sudo.
    #[serde(skip_serializing_if = "NoNewPrivileges::is_default")]
    pub no_new_privileges: NoNewPrivileges,
    /// Plain variables of the scripts.
    pub env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Wanted::is_default")]
    pub wanted: Wanted,
    /// Titles of the hooks whose jobs in a build must be green before its own start.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<String>,
    /// What a worker must have to carry it out.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Beside other hooks of its project.
    #[serde(skip_serializing_if = "Priority::is_default")]
    pub priority: Priority,
    /// Each is a job of its own; none: one job. Of a job: its own, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// When it runs by the clock, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<CronLine>,
    /// What runs beside the build script.
    #[serde(skip_serializing_if = "Services::is_empty")]
    pub services: Services,
    /// What the build script finds again.
    #[serde(skip_serializing_if = "CacheFolders::is_empty")]
    pub cache_folders: CacheFolders,
}

impl Default for HookOptions {
    fn default() -> Self {
        Self {
            memory: None,
            cpus: None,
            pids: None,
            stall_timeout: None,
            job_timeout: None,
            retry: true,
            install_from: InstallFrom::Base,
            no_new_privileges: NoNewPrivileges::No,
            env: BTreeMap::new(),
            wanted: Wanted::default(),
            after: BTreeSet::new(),
            labels: Labels::default(),
            priority: Priority::Normal,
            variants: Vec::new(),
            cron: Vec::new(),
            services: Services::default(),
            cache_folders: CacheFolders::default(),
        }
    }
}

/// Schedules that a hook may have.
const MOST_CRON_LINES: usize = 20;

/// The names under which people write options, in a hook's file.
pub const OPTION_NAMES: [&str; 23] = [
    "memory",
    "cpus",
    "pids",
    "stall-timeout",
    "job-timeout",
    "retry",
    "install-from",
    "no-new-privileges",
    "env",
    "event",
    "branch",
    "tag",
    "path",
    "after",
    "label",
    "priority",
    "variant",
    "cron",
    "service",
    "service-env",
    "service-ready",
    "service-timeout",
    "cache-folder",
];

impl HookOptions {
    /// Takes one option as a person writes it. Refused when it was given before,
    /// but for `env`, `after`, `label`, `variant`, `cron`, what is wanted, services and cache
    /// folders, of which there may be many.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        let value = value.trim();
        match name {
            "memory" => once(&mut self.memory, name, parse_bytes(value)?),
            "cpus" => once(&mut self.cpus, name, parse_cpus(value)?),
            "pids" => once(&mut self.pids, name, parse_count(value, 16, 1 << 22)?),
            "stall-timeout" => once(&mut self.stall_timeout, name, parse_count(value, 1, YEAR)?),
            "job-timeout" => once(&mut self.job_timeout, name, parse_count(value, 1, YEAR)?),
            "retry" => {
                self.retry = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(Invalid::new("write yes or no")),
                };
                Ok(())
            }
            "install-from" => {
                self.install_from = value.parse()?;
                Ok(())
            }
            NoNewPrivileges::NAME => {
                self.no_new_privileges = value.parse()?;
                Ok(())
            }
            "env" => {
                let (name, value) = parse_own_variable(value)?;
                match self.env.insert(name.clone(), value) {
                    Some(_) => Err(Invalid::new(format!("the variable {name} was given before"))),
                    None => Ok(()),
                }
            }
            "after" => {
                let title = HookSpec::parse_title(value)?;
                if self.after.insert(title.clone()) {
                    Ok(())
                } else {
                    Err(Invalid::new(format!("`{title}` was given before")))
                }
            }
            "label" => self.labels.add(value),
            Priority::NAME => {
                self.priority = value.parse()?;
                Ok(())
            }
            "variant" => self.add_variant(value.parse()?),
            "cron" => {
                let line: CronLine = value.parse()?;
                if self.cron.contains(&line) {
                    return Err(Invalid::new(format!("`{line}` was given before")));
                }
                if self.cron.len() == MOST_CRON_LINES {
                    return Err(Invalid::new(format!(
                        "a hook has {MOST_CRON_LINES} of them at most"
                    )));
                }
                self.cron.push(line);
                Ok(())
            }
            wish if Wanted::NAMES.contains(&wish) => self.wanted.set(wish, value),
            of_service if Services::NAMES.contains(&of_service) => {
                self.services.set(of_service, value)
            }
            CacheFolders::NAME => self.cache_folders.add(value),
            other => Err(Invalid::new(format!("there is no option `{other}`"))),
        }
    }

    fn add_variant(&mut self, variant: Variant) -> Result<(), Invalid> {
        if self.variants.iter().any(|other| other.name == variant.name) {
            let name = variant.name;
            return Err(Invalid::new(format!("the variant `{name}` was given before")));
        }
        if self.variants.len() == Variant::LIMIT {
            return Err(Invalid::new(format!("a hook has at most {} variants", Variant::LIMIT)));
        }
        self.variants.push(variant);
        Ok(())
    }

    /// The options that are given as a form has them: `name = value`, one a line.
    pub fn lines(&self) -> String {
        let lines = self.written().into_iter().map(|(name, value)| format!("{name} = {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The options that are given, as [`HookOptions::set`] takes them.
    pub fn written(&self) -> Vec<(&'static str, String)> {
        let privileges = self.no_new_privileges;
        let numbers = [
            ("memory", self.memory.map(|bytes| bytes.to_string())),
            ("cpus", self.cpus.map(|milli| format!("{}.{:03}", milli / 1000, milli % 1000))),
            ("pids", self.pids.map(|count| count.to_string())),
            ("stall-timeout", self.stall_timeout.map(|seconds| seconds.to_string())),
            ("job-timeout", self.job_timeout.map(|seconds| seconds.to_string())),
            ("retry", (!self.retry).then(|| "no".to_owned())),
            ("install-from", self.install_from.written()),
            (NoNewPrivileges::NAME, (!privileges.is_default()).then(|| privileges.to_string())),
        ];
        let priority =
            (!self.priority.is_default()).then(|| (Priority::NAME, self.priority.to_string()));
        let given = numbers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given
            .chain(self.env.iter().map(|(name, value)| ("env", format!("{name}={value}"))))
            .chain(self.wanted.written())
            .chain(self.after.iter().map(|title| ("after", title.clone())))
            .chain(self.labels.iter().map(|label| ("label", label.to_owned())))
            .chain(priority)
            .chain(self.variants.iter().map(|variant| ("variant", variant.to_string())))
            .chain(self.cron.iter().map(|line| ("cron", line.to_string())))
            .chain(self.services.written())
            .chain(self.cache_folders.written())
            .collect()
    }
}

/// In seconds; no limit of a job is longer.
const YEAR: u64 = 31_536_000;

fn once(option: &mut Option<u64>, name: &str, value: u64) -> Result<(), Invalid> {
    match option.replace(value) {
        Some(_) => Err(Invalid::new(format!("`{name}` was given before"))),
        None => Ok(()),
    }
}

/// A number of bytes, with K, M, G or T for powers of 1024.
pub fn parse_bytes(text: &str) -> Result<u64, Invalid> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &text[digits.len()..] {
        "" => Some(0),
        "K" | "KiB" => Some(1),
        "M" | "MiB" => Some(2),
        "G" | "GiB" => Some(3),
        "T" | "TiB" => Some(4),
        _ => None,
    };
    power
        .and_then(|power| digits.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power)))
        .ok_or_else(|| Invalid::new("must be a number of bytes, like 1048576, 512M or 1G"))
}

/// `NAME=VALUE`, with a name that a shell takes.
pub fn parse_variable(text: &str) -> Result<(String, String), Invalid> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| Invalid::new("write it as NAME=VALUE"))?;
    let mut characters = name.chars();
    let is_name = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(Invalid::new(format!("`{name}` is not the name of a variable")));
    }
    if value.contains('\0') {
        return Err(Invalid::new(format!("the value of {name} holds a NUL byte")));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A variable that people may give a project or a hook: not one of those with which
/// Kozmic tells a script what it runs for.
pub fn parse_own_variable(text: &str) -> Result<(String, String), Invalid> {
    let (name, value) = parse_variable(text)?;
    if name == "CI" || name == "KOZMIC" || name.starts_with("KOZMIC_") {
        return Err(Invalid::new(format!(
            "the variable {name} is set by Kozmic itself; choose another name than CI, KOZMIC and KOZMIC_…"
        )));
    }
    Ok((name, value))
}

fn parse_cpus(text: &str) -> Result<u64, Invalid> {
    let wrong = || Invalid::new("must be a number of processors from 0.01, like 0.5 or 2");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || part.len() > 3 || !is_number(whole) || !is_number(part) {
        return Err(wrong());
    }
    let milli = format!("{whole}{part:0<3}").parse::<u64>().map_err(|_| wrong())?;
    if (10..=1_000_000).contains(&milli) { Ok(milli) } else { Err(wrong()) }
}

fn parse_count(text: &str, least: u64, most: u64) -> Result<u64, Invalid> {
    let count = text.parse().ok().filter(|count| (least..=most).contains(count));
    count.ok_or_else(|| Invalid::new(format!("must be a whole number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut options = HookOptions::default();
        for (name, value) in [
            ("memory", "512M"),
            ("cpus", "1.5"),
            ("pids", "100"),
            ("stall-timeout", "60"),
            ("job-timeout", "600"),
            ("retry", "no"),
            ("install-from", "nearest"),
            ("no-new-privileges", "build"),
            ("env", "A=b=c"),
            ("env", "B="),
            ("event", "tag"),
            ("event", "push"),
            ("branch", "release/*"),
            ("tag", "v*"),
            ("path", "src/**"),
            ("path", "!src/made here/**"),
            ("after", "Unit tests"),
            ("after", "Lint"),
            ("label", "gpu"),
            ("priority", "low"),
            ("variant", "old: PYTHON=3.9 FLAGS=\"-x -v\""),
            ("variant", "new"),
            ("cron", "0 3 * * * Europe/Berlin"),
            ("cron", "@weekly UTC on release"),
            ("service", "db: postgres:17"),
            ("service-ready", "db: pg_isready"),
            ("cache-folder", "cargo: /home/kozmic/.cargo 1G"),
        ] {
            options.set(name, value).unwrap();
        }
        assert_eq!((options.memory, options.cpus), (Some(512 << 20), Some(1_500)));
        let mut again = HookOptions::default();
        for (name, value) in options.written() {
            again.set(name, &value).unwrap();
        }
        assert_eq!(again, options);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<HookOptions>(&json).unwrap(), options);
        assert_eq!(serde_json::from_str::<HookOptions>("{}").unwrap(), HookOptions::default());
    }

    #[test]
    fn mistakes_say_what_is_right() {
        for (name, value) in [
            ("memory", "1 GB"),
            ("memory", "-1"),
            ("cpus", "0"),
            ("cpus", "1.2345"),
            ("cpus", "."),
            ("cpus", "two"),
            ("pids", "1"),
            ("stall-timeout", "0"),
            ("retry", "true"),
            ("install-from", "scratch"),
            ("no-new-privileges", "true"),
            ("env", "A"),
            ("env", "1A=b"),
            ("env", "CI=false"),
            ("env", "KOZMIC_BUILD_NUMBER=9"),
            ("after", " "),
            ("label", "a b"),
            ("priority", "urgent"),
            ("variant", "PYTHON=3.9"),
            ("cron", "0 3 * *"),
            ("nothing", "x"),
        ] {
            assert!(HookOptions::default().set(name, value).is_err(), "{name} = {value}");
        }
        let mut options = HookOptions::default();
        options.set("cpus", "1").unwrap();
        assert!(options.set("cpus", "2").is_err());
        options.set("env", "A=1").unwrap();
        assert!(options.set("env", "A=2").is_err());
        for (name, value) in [("after", "Tests"), ("label", "gpu"), ("variant", "a: X=1")] {
            options.set(name, value).unwrap();
            assert!(options.set(name, value).is_err(), "{name} twice");
        }
    }
}
