//! Settings: one table of names, defaults and meanings; values from the
//! environment (`KOZMIC_…`) or from `kozmic.toml` (the same names in lower case
//! without the prefix). The environment wins. What is unknown or malformed is
//! an error that names the setting and what would be right.

mod beside;
mod database_url;
mod limits;
mod machines;
mod notify;
mod objects;
mod sign_in;
mod table;
mod values;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

pub use beside::BesideSettings;
pub use database_url::DatabaseUrl;
pub use limits::LimitSettings;
pub use machines::MachineSettings;
pub use notify::{MailServer, MailTls, NotifySettings, WatchSettings};
pub use objects::{ArtifactSettings, ObjectSettings};
pub use sign_in::{Admission, OAuthKeys};
pub use table::{SETTINGS, Setting};
use values::Values;
pub use values::{InForce, Origin};

use crate::model::{KnownHosts, Labels};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{origin}: there is no setting `{name}`{}", nearest(.name))]
    Unknown { origin: String, name: String },
    #[error("setting {name} is `{value}`: {problem}")]
    Malformed { name: &'static str, value: String, problem: String },
    #[error("{given} is set, but {missing} is not; sign-in takes both")]
    Half { given: &'static str, missing: &'static str },
    #[error("{name} and {name}_FILE are both set; one of them will do")]
    Twice { name: &'static str },
    #[error("{name}_FILE names {path}, which can't be read: {problem}")]
    SecretFile { name: &'static str, path: String, problem: String },
    #[error("{path}: {problem}")]
    File { path: String, problem: String },
}

fn nearest(name: &str) -> String {
    let wanted = full_name(name);
    SETTINGS
        .iter()
        .map(|setting| (strsim::damerau_levenshtein(setting.name, &wanted), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 5)
        .map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

fn full_name(name: &str) -> String {
    if name.starts_with("KOZMIC_") {
        name.to_owned()
    } else {
        format!("KOZMIC_{}", name.to_uppercase())
    }
}

/// The settings in force.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Without a trailing slash.
    pub public_url: Url,
    pub data_dir: PathBuf,
    pub secret_key: Option<SecretString>,
    /// It may hold a password.
    pub database_url: DatabaseUrl,
    pub github_url: Url,
    pub github_api_url: Url,
    pub github_token: Option<SecretString>,
    /// None: nobody can sign in.
    pub oauth: Option<OAuthKeys>,
    pub admission: Admission,
    pub reconcile_interval: Duration,
    pub sync_interval: Duration,
    /// Of GitHub, and of the servers that the setting names.
    pub known_hosts: KnownHosts,
    pub docker_host: Option<String>,
    pub concurrency: NonZeroUsize,
    /// What its worker has, for jobs that need it.
    pub worker_labels: Labels,
    pub stall_timeout: Duration,
    pub job_timeout: Duration,
    /// How long a job waits for an engine that went away.
    pub engine_timeout: Duration,
    /// Bytes.
    pub log_limit: u64,
    pub artifacts: ArtifactSettings,
    /// Where finished logs and artifacts lie.
    pub objects: ObjectSettings,
    pub cached_images_limit: usize,
    /// How long a failed job's container is kept; zero: not kept.
    pub keep_failed: Duration,
    /// How long the audit log is kept; zero: for good.
    pub keep_audit: Duration,
    /// Bytes; none: as much as there is.
    pub disk_budget: Option<u64>,
    /// Bytes; none: by the size of the disk.
    pub disk_reserve: Option<u64>,
    /// Bytes; none: most of what the engine has.
    pub memory_limit: Option<u64>,
    pub pids_limit: u64,
    pub beside: BesideSettings,
    pub limits: LimitSettings,
    pub machines: MachineSettings,
    pub notify: NotifySettings,
    pub watch: WatchSettings,
    /// All of them, without what is secret.
    pub in_force: Vec<InForce>,
}

impl Settings {
    /// From this process's environment, and from `file`, or from the file that
    /// KOZMIC_CONFIG names, or from `kozmic.toml` here if there is one.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = file
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os("KOZMIC_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from("kozmic.toml"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => None,
            Err(error) => {
                return Err(ConfigError::File {
                    path: path.display().to_string(),
                    problem: error.to_string(),
                });
            }
        };
        Self::from_parts(&environment, text.as_deref().map(|text| (path.as_path(), text)))
    }

    /// As [`Settings::load`], with everything handed in.
    pub fn from_parts(
        environment: &[(String, String)],
        file: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigError> {
        let values = Values::gather(environment, file)?;
        let docker_host = environment
            .iter()
            .find(|(name, value)| name == "DOCKER_HOST" && !value.is_empty())
            .map(|(_, value)| value.clone());
        Self::parse(&values, docker_host, environment)
    }

    fn parse(
        values: &Values,
        docker_host: Option<String>,
        environment: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let listen: SocketAddr =
            values.parsed("KOZMIC_LISTEN", "must be an address and a port, like 127.0.0.1:8080")?;
        let data_dir = PathBuf::from(values.text("KOZMIC_DATA_DIR").unwrap_or_default());
        let public_url = match values.url("KOZMIC_PUBLIC_URL")? {
            Some(url) => url,
            None => format!("http://{listen}").parse().map_err(|error: url::ParseError| {
                ConfigError::Malformed {
                    name: "KOZMIC_LISTEN",
                    value: listen.to_string(),
                    problem: error.to_string(),
                }
            })?,
        };
        let required_url = |name| {
            values.url(name)?.ok_or_else(|| ConfigError::Malformed {
                name,
                value: String::new(),
                problem: "must be an http or https URL".into(),
            })
        };
        let concurrency = match values.text("KOZMIC_CONCURRENCY") {
            Some(_) => values.parsed("KOZMIC_CONCURRENCY", "must be a whole number from 1")?,
            None => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let database_url = values
            .text("KOZMIC_DATABASE_URL")
            .unwrap_or_else(|| format!("sqlite://{}", data_dir.join("kozmic.db").display()));
        let in_force = values.in_force(&[
            ("KOZMIC_PUBLIC_URL", public_url.as_str()),
            ("KOZMIC_DATABASE_URL", &database_url),
            ("KOZMIC_DOCKER_HOST", docker_host.as_deref().unwrap_or_default()),
            ("KOZMIC_CONCURRENCY", &concurrency.to_string()),
        ]);
        Ok(Self {
            listen,
            public_url,
            secret_key: values.text("KOZMIC_SECRET_KEY").map(SecretString::from),
            database_url: DatabaseUrl(database_url),
            data_dir,
            github_url: required_url("KOZMIC_GITHUB_URL")?,
            github_api_url: required_url("KOZMIC_GITHUB_API_URL")?,
            github_token: values.text("KOZMIC_GITHUB_TOKEN").map(SecretString::from),
            oauth: OAuthKeys::read(values)?,
            admission: Admission::read(values)?,
            reconcile_interval: values.seconds("KOZMIC_RECONCILE_INTERVAL")?,
            sync_interval: values.seconds("KOZMIC_SYNC_INTERVAL")?,
            known_hosts: values.known_hosts("KOZMIC_SSH_KNOWN_HOSTS")?,
            docker_host: values.text("KOZMIC_DOCKER_HOST").or(docker_host),
            concurrency,
            worker_labels: values.labels("KOZMIC_WORKER_LABELS")?,
            stall_timeout: values.seconds("KOZMIC_STALL_TIMEOUT")?,
            job_timeout: values.seconds("KOZMIC_JOB_TIMEOUT")?,
            engine_timeout: values.seconds("KOZMIC_ENGINE_TIMEOUT")?,
            log_limit: values.bytes("KOZMIC_LOG_LIMIT")?,
            artifacts: ArtifactSettings::read(values)?,
            objects: ObjectSettings::read(values, environment)?,
            memory_limit: values.bytes_if_given("KOZMIC_MEMORY_LIMIT")?,
            disk_budget: values.bytes_if_given("KOZMIC_DISK_BUDGET")?,
            disk_reserve: values.bytes_if_given("KOZMIC_DISK_RESERVE")?,
            beside: BesideSettings::read(values)?,
            limits: LimitSettings::read(values)?,
            machines: MachineSettings::read(values)?,
            notify: NotifySettings::read(values)?,
            watch: WatchSettings::read(values)?,
            pids_limit: values.parsed("KOZMIC_PIDS_LIMIT", "must be a whole number")?,
            keep_failed: values.seconds_or_none("KOZMIC_KEEP_FAILED")?,
            keep_audit: values.seconds_or_none("KOZMIC_KEEP_AUDIT")?,
            cached_images_limit: values
                .parsed("KOZMIC_CACHED_IMAGES_LIMIT", "must be a whole number")?,
            in_force,
        })
    }

    /// The absolute URL of a page: `path` begins with a slash.
    pub fn page_url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn load(environment: &[(&str, &str)], file: &str) -> Result<Settings, ConfigError> {
        let environment: Vec<_> =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::from_parts(&environment, Some((Path::new("kozmic.toml"), file)))
    }

    #[test]
    fn defaults_hold_where_nothing_is_given() {
        let settings = load(&[], "").unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.page_url("/x/"), "http://127.0.0.1:8080/x/");
        assert_eq!(settings.stall_timeout, Duration::from_mins(15));
        assert_eq!(&*settings.database_url, "sqlite://./kozmic-data/kozmic.db");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "listen = '127.0.0.1:1'\njob_timeout = 60";
        let settings = load(&[("KOZMIC_LISTEN", "127.0.0.1:2")], file).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.job_timeout, Duration::from_mins(1));
    }

    #[test]
    fn unknown_settings_are_errors_that_name_the_nearest() {
        let error = load(&[("KOZMIC_LISTN", "x")], "").unwrap_err().to_string();
        assert_eq!(
            error,
            "environment: there is no setting `KOZMIC_LISTN`; did you mean KOZMIC_LISTEN?"
        );
        let error = load(&[], "stall_timout = 3").unwrap_err().to_string();
        assert!(error.ends_with("did you mean KOZMIC_STALL_TIMEOUT?"), "{error}");
    }

    #[test]
    fn malformed_settings_say_what_is_right() {
        for (name, value) in [
            ("KOZMIC_LISTEN", "8080"),
            ("KOZMIC_CONCURRENCY", "0"),
            ("KOZMIC_STALL_TIMEOUT", "15m"),
            ("KOZMIC_JOB_TIMEOUT", "0"),
            ("KOZMIC_KEEP_FAILED", "1h"),
            ("KOZMIC_KEEP_FAILED", "31536001"),
            ("KOZMIC_JOB_TIMEOUT", "18446744073709551615"),
            ("KOZMIC_LOG_LIMIT", "1 GB"),
            ("KOZMIC_DISK_BUDGET", "half"),
            ("KOZMIC_NETWORK_POOL", "10.0.0.0/30"),
            ("KOZMIC_CACHE_FOLDER_LIMIT", "much"),
            ("KOZMIC_PUBLIC_URL", "ftp://x"),
            ("KOZMIC_GITHUB_API_URL", "api.github.com"),
            ("KOZMIC_REDIS_URL", "localhost:6379"),
            ("KOZMIC_CACHE_REGISTRY", "https://registry.example.org"),
            ("KOZMIC_SSH_KNOWN_HOSTS", "git.example.org AAAA"),
            ("KOZMIC_TRUSTED_PROXIES", "proxy.example.org"),
            ("KOZMIC_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("KOZMIC_SIGN_IN_RATE", "many"),
            ("KOZMIC_API_RATE", "-1"),
        ] {
            let error = load(&[(name, value)], "").unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("must be"), "{error}");
        }
        assert!(load(&[], "listen = ").is_err());
    }

    #[test]
    fn host_keys_are_lines_or_a_file_with_them() {
        let line = "git.example.org ssh-ed25519 \
                    AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        let lines = load(&[("KOZMIC_SSH_KNOWN_HOSTS", line)], "").unwrap().known_hosts;
        assert!(lines.as_str().contains("github.com,") && lines.as_str().contains(line));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, format!("# ours\n{line}\n")).unwrap();
        let path = file.path().to_str().unwrap();
        let from_file = load(&[("KOZMIC_SSH_KNOWN_HOSTS", path)], "").unwrap().known_hosts;
        assert!(from_file.as_str().contains(line));
        std::fs::write(&file, format!("{line}\nnonsense\n")).unwrap();
        for (value, problem) in [(path, "line 2 must be"), ("./none", "the file can't be read")] {
            let error = load(&[("KOZMIC_SSH_KNOWN_HOSTS", value)], "").unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn names_of_jobs_and_of_the_client_are_left_alone() {
        let given = [
            ("KOZMIC_JOB_ID", "1"),
            ("KOZMIC_BUILD_REF", "x"),
            ("KOZMIC_SERVER", "y"),
            ("PATH", "/"),
        ];
        assert!(load(&given, "").is_ok());
    }

    #[test]
    fn a_secret_may_be_in_a_file_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "k".repeat(32) + "\n").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = load(&[("KOZMIC_SECRET_KEY_FILE", path)], "").unwrap();
        assert_eq!(settings.secret_key.unwrap().expose_secret(), "k".repeat(32));
        let settings = load(&[], &format!("secret_key_file = '{path}'")).unwrap();
        assert_eq!(settings.secret_key.unwrap().expose_secret().len(), 32);
        // The environment wins over the file, whichever way it is given there.
        let both = load(&[("KOZMIC_SECRET_KEY", "x")], &format!("secret_key_file = '{path}'"));
        assert_eq!(both.unwrap().secret_key.unwrap().expose_secret(), "x");

        let twice = load(&[("KOZMIC_SECRET_KEY", "x"), ("KOZMIC_SECRET_KEY_FILE", path)], "");
        assert!(twice.unwrap_err().to_string().contains("are both set"));
        let missing = load(&[("KOZMIC_GITHUB_TOKEN_FILE", "/none")], "").unwrap_err().to_string();
        assert!(missing.starts_with("KOZMIC_GITHUB_TOKEN_FILE names /none, which can't be read"));
        std::fs::write(&file, "\n").unwrap();
        let empty = load(&[("KOZMIC_SECRET_KEY_FILE", path)], "").unwrap_err().to_string();
        assert!(empty.ends_with("it is empty"), "{empty}");
        let no_secret = load(&[("KOZMIC_LISTEN_FILE", path)], "").unwrap_err().to_string();
        assert!(no_secret.contains("there is no setting `KOZMIC_LISTEN_FILE`"), "{no_secret}");
    }

    #[test]
    fn what_is_in_force_has_its_origin_and_no_secret() {
        let given = [
            ("KOZMIC_SECRET_KEY", "hush-hush"),
            ("KOZMIC_DATABASE_URL", "postgres://kozmic:hush@db/kozmic"),
        ];
        let settings = load(&given, "concurrency = 3").unwrap();
        let one = |name: &str| {
            let found = settings.in_force.iter().find(|it| it.name == name).unwrap();
            (found.value.clone(), found.origin.to_string())
        };
        let text = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
        assert_eq!(one("KOZMIC_CONCURRENCY"), text("3", "kozmic.toml"));
        assert_eq!(one("KOZMIC_PUBLIC_URL"), text("http://127.0.0.1:8080/", "default"));
        assert_eq!(one("KOZMIC_STALL_TIMEOUT"), text("900", "default"));
        assert_eq!(one("KOZMIC_SECRET_KEY"), text("(set, not shown)", "environment"));
        let database = text("postgres://kozmic:***@db/kozmic", "environment");
        assert_eq!(one("KOZMIC_DATABASE_URL"), database);
        assert!(!format!("{:?}", settings.in_force).contains("hush"));
        assert_eq!(settings.in_force.len(), SETTINGS.len());
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings =
            load(&[("KOZMIC_SECRET_KEY", "hush-hush"), ("KOZMIC_GITHUB_TOKEN", "hush-too")], "")
                .unwrap();
        let text = format!("{settings:?}");
        assert!(!text.contains("hush"), "{text}");
    }
}
