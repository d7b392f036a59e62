//! The settings table.

/// One row of the settings table.
pub struct Setting {
    pub name: &'static str,
    /// As a person would write it; empty: none.
    pub default: &'static str,
    pub meaning: &'static str,
    pub secret: bool,
}

impl Setting {
    /// Whether its name with `_FILE` behind it may name a file that holds the value: that
    /// of a secret, and of a URL that may have a password in it.
    pub fn may_be_in_file(&self) -> bool {
        self.secret || matches!(self.name, "KOZMIC_DATABASE_URL" | "KOZMIC_REDIS_URL")
    }
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { secret: true, ..setting(name, default, meaning) }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    setting("KOZMIC_LISTEN", "127.0.0.1:8080", "address and port of the web server"),
    setting(
        "KOZMIC_PUBLIC_URL",
        "",
        "where browsers and GitHub reach it; default: the listening address",
    ),
    setting("KOZMIC_DATA_DIR", "./kozmic-data", "folder of the database, logs and mirrors"),
    secret(
        "KOZMIC_SECRET_KEY",
        "",
        "seals tokens and secrets, 32 characters or more; default: made in the data folder",
    ),
    setting("KOZMIC_DATABASE_URL", "", "default: SQLite in the data folder"),
    setting("KOZMIC_GITHUB_URL", "https://github.com", "GitHub's pages, or an Enterprise Server's"),
    setting(
        "KOZMIC_CA_FILE",
        "",
        "file with certificates (PEM) of own authorities, trusted beside the system's by all that \
         Kozmic reaches; proxies are given by HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    ),
    setting("KOZMIC_GITHUB_API_URL", "https://api.github.com", "GitHub's REST API"),
    secret(
        "KOZMIC_GITHUB_TOKEN",
        "",
        "a token used by `kozmic project add` until its owner has signed in",
    ),
    setting(
        "KOZMIC_RECONCILE_INTERVAL",
        "600",
        "seconds from one comparison with GitHub, for missed deliveries, to the next",
    ),
    setting(
        "KOZMIC_SYNC_INTERVAL",
        "3600",
        "seconds after which a project's name, key and members are compared with GitHub again",
    ),
    setting(
        "KOZMIC_SSH_KNOWN_HOSTS",
        "",
        "SSH host keys of other servers than github.com: lines of a known_hosts file, or its path",
    ),
    setting("KOZMIC_DOCKER_HOST", "", "the engine; default: DOCKER_HOST, else the local socket"),
    setting("KOZMIC_CONCURRENCY", "", "jobs at once per worker; default: the number of processors"),
    setting(
        "KOZMIC_WORKER_LABELS",
        "",
        "what its worker has, like gpu,arm64: it takes jobs whose hooks need that",
    ),
    setting("KOZMIC_STALL_TIMEOUT", "900", "seconds without output after which a job is stopped"),
    setting("KOZMIC_JOB_TIMEOUT", "7200", "seconds after which a job is stopped"),
    setting(
        "KOZMIC_ENGINE_TIMEOUT",
        "300",
        "seconds for which a job waits for an engine that went away",
    ),
    setting("KOZMIC_LOG_LIMIT", "1G", "bytes of log after which a job is stopped"),
    setting("KOZMIC_ARTIFACTS_LIMIT", "1G", "bytes of artifacts that one job may keep"),
    setting(
        "KOZMIC_ARTIFACTS_PROJECT_LIMIT",
        "10G",
        "bytes of artifacts that a project may keep; beyond that its oldest go",
    ),
    setting("KOZMIC_ARTIFACTS_AGE", "7776000", "seconds for which artifacts are kept"),
    setting("KOZMIC_LFS_LIMIT", "5G", "bytes of a commit's files in Git LFS"),
    setting("KOZMIC_TRY_LIMIT", "1G", "bytes of a tree sent by kozmic try, at most 1G"),
    setting(
        "KOZMIC_MEMORY_LIMIT",
        "",
        "bytes of memory of a container; default: four fifths of the engine\'s",
    ),
    setting("KOZMIC_PIDS_LIMIT", "4096", "processes and threads of a container"),
    setting(
        "KOZMIC_ADMINS",
        "",
        "logins of the installation's administrators, with commas between",
    ),
    setting(
        "KOZMIC_ALLOWED_USERS",
        "",
        "logins that may sign in; default, without organizations either: everyone",
    ),
    setting(
        "KOZMIC_ALLOWED_ORGANIZATIONS",
        "",
        "organizations on GitHub whose members may sign in",
    ),
    setting(
        "KOZMIC_TRUSTED_PROXIES",
        "",
        "addresses and networks of proxies whose forwarded addresses count, like \
         127.0.0.1,10.0.0.0/24; default: none",
    ),
    setting(
        "KOZMIC_SIGN_IN_RATE",
        "60",
        "requests of sign-in from one address in a minute, two for each sign-in; 0: any number",
    ),
    setting("KOZMIC_API_RATE", "3000", "API requests of one user in a minute; 0: any number"),
    setting(
        "KOZMIC_STRANGER_RATE",
        "300",
        "from one address in a minute, requests without a valid token, and deliveries without a \
         valid signature; 0: any number",
    ),
    setting("KOZMIC_GITHUB_CLIENT_ID", "", "of the OAuth app, for sign-in"),
    secret("KOZMIC_GITHUB_CLIENT_SECRET", "", "of the OAuth app"),
    setting("KOZMIC_CACHED_IMAGES_LIMIT", "3", "cached images kept per project"),
    setting(
        "KOZMIC_KEEP_FAILED",
        "0",
        "seconds for which a failed job's container is kept, to be opened; 0: not kept",
    ),
    setting(
        "KOZMIC_KEEP_AUDIT",
        "31536000",
        "seconds for which the audit log is kept; 0: for good",
    ),
    setting(
        "KOZMIC_NETWORK_POOL",
        "10.213.0.0/16",
        "addresses of the networks of jobs, 16 for each",
    ),
    setting(
        "KOZMIC_BLOCKED_NETWORKS",
        "metadata,server",
        "what jobs do not reach: metadata (of clouds), server (Kozmic's own ports), addresses like \
         10.0.0.0/8 or 10.0.0.5:22; none: nothing is kept from them",
    ),
    setting("KOZMIC_CACHE_FOLDER_LIMIT", "10G", "bytes that a cache folder may have"),
    setting(
        "KOZMIC_DISK_BUDGET",
        "",
        "bytes that images, volumes, mirrors and logs may use; default: as much as there is",
    ),
    setting(
        "KOZMIC_DISK_RESERVE",
        "",
        "bytes that must be free for a job to start; default: 1G, or a twentieth of a small disk",
    ),
    setting(
        "KOZMIC_REDIS_URL",
        "",
        "redis:// or rediss://, where several processes meet; default: this process is alone",
    ),
    setting(
        "KOZMIC_DRAIN_TIMEOUT",
        "600",
        "seconds for which a worker that is asked to stop waits for its jobs; 0: not at all",
    ),
    setting(
        "KOZMIC_LOG_URL",
        "",
        "where finished logs lie: s3://BUCKET/PREFIX, with AWS_* for the rest; default: the data folder",
    ),
    setting(
        "KOZMIC_CACHE_REGISTRY",
        "",
        "registry where workers share cached images, like registry.example.org/ci; default: each \
         makes its own",
    ),
    secret(
        "KOZMIC_SMTP_URL",
        "",
        "server for outgoing mail: smtps://USER:PASSWORD@HOST, or smtp://HOST:PORT?tls=required",
    ),
    setting("KOZMIC_MAIL_FROM", "", "sender of outgoing mail, like Kozmic <ci@example.org>"),
    setting("KOZMIC_SMTP_CA", "", "file with certificates (PEM) to trust for the mail server"),
    setting(
        "KOZMIC_ENABLE_EMAIL_NOTIFICATIONS",
        "false",
        "whether who chose nothing gets mail when a build fails",
    ),
    setting(
        "KOZMIC_WEBHOOK_NETWORKS",
        "",
        "own networks that webhooks may lead to, like 10.0.0.0/8,192.168.1.5; default: public ones only",
    ),
    secret("KOZMIC_METRICS_TOKEN", "", "opens /metrics from other machines, 16 characters or more"),
    setting("KOZMIC_LOG_FORMAT", "text", "of the server's own log: text or json"),
    setting("KOZMIC_OTLP_URL", "", "where traces go, by OTLP over HTTP: http://HOST:4318"),
    secret("KOZMIC_SENTRY_DSN", "", "where Kozmic's own errors and panics go"),
];

/// Names that belong to jobs or to single commands; never settings.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("KOZMIC_JOB_")
        || name.starts_with("KOZMIC_BUILD_")
        || matches!(
            name,
            "KOZMIC_CONFIG"
                | "KOZMIC_REPORTS"
                | "KOZMIC_ARTIFACTS"
                | "KOZMIC_SERVER"
                | "KOZMIC_TOKEN"
                | "KOZMIC_LOG"
                | "KOZMIC_NEW_SECRET_KEY"
        )
}
