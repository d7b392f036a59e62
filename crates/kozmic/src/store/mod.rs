//! All SQL. One file per aggregate; a method is named after the event it
//! records or the question it answers, and a change that belongs together is
//! one transaction. Each query's text is written once for SQLite and
//! PostgreSQL; only `dialect` knows which one it is.

mod administration;
mod announcements;
mod approvals;
mod artifacts;
mod asked;
mod audit;
mod builds;
mod cache_folders;
mod claimed;
mod collections;
mod columns;
mod commits;
mod deliveries;
mod deploy_keys;
mod dialect;
mod disk;
mod ends;
mod history;
mod hook_changes;
mod hook_order;
mod hooks;
mod install_steps;
mod jobs;
mod kept;
mod keys;
mod leases;
mod listen;
mod listing;
mod logs;
mod mail_choices;
mod many;
mod members;
mod messages;
mod named_logins;
mod new_builds;
mod order;
mod outbox;
mod phases;
mod projects;
mod queue;
mod repositories;
mod restarts;
mod schedules;
mod schema;
mod secrets;
mod seen_heads;
mod sending;
mod service_logs;
mod sessions;
mod snapshot;
mod tables;
mod test_reports;
mod together;
mod tokens;
mod transfer;
mod trees;
mod upkeep;
mod user_tokens;
mod users;
mod waiting;
mod wakes;
mod watched;
mod webhooks;
mod words;
mod workers;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AnyPool;
use sqlx::Connection as _;
use sqlx::any::{AnyPoolOptions, AnyRow};

use crate::model::{Actor, HookOptions, Invalid, JobUuid, ProjectId, Timestamp};
use crate::seal::{Seal, SealError};
use columns::Columns;
use deliveries::Call;
use dialect::Dialect;
use ends::Ended;
use listen::Others;
use schema::whole_rows;
use together::Together;
use wakes::Wakes;
use words::Searches;

pub use administration::{DatabaseVersion, ProjectFacts};
pub use announcements::{Announcement, Digest, Told};
pub use approvals::TrustedAuthor;
pub use artifacts::{OldArtifacts, prefix_of_attempt};
pub use asked::{Asked, AskedBuild, AskedFor, AskedHooks};
pub use audit::{AuditPart, AuditRow};
pub use builds::{Build, NewBuild};
pub use cache_folders::{KeptFolder, TakenFolder};
pub use claimed::ClaimedJob;
pub use collections::Collection;
pub use deliveries::{Delivery, Recorded};
pub use deploy_keys::DeployKey;
pub use disk::{ImageNews, KeptImage, KeptLog};
pub use history::{BuildFilter, HistoryPart, Place};
pub use hook_changes::HookChange;
pub use hook_order::HookPlan;
pub use hooks::{Destination, Hook};
pub use install_steps::KeptStep;
pub use jobs::Job;
pub use kept::{KeptContainer, Opening};
pub use leases::{LapsedLease, LeaseState, LostJob};
pub use listing::{BuildMark, JobUnderWay, Listed, ProjectSummary, ProjectsPart, Work};
pub use logs::ExpiredLog;
pub use mail_choices::MailChoices;
pub use members::Member;
pub use messages::{Message, Outcome, Recipient, Reply, SentMessage};
pub use outbox::{Report, ReportTrouble, StatusReport};
pub use phases::PhaseTime;
pub use projects::{Project, ProjectChange, ProjectOptions};
pub use repositories::{Offer, OfferedRepository, Offers, Organization, UserRepositories};
pub use restarts::Cancelled;
pub use schedules::Schedule;
pub use schema::Distance;
pub use secrets::{GivenSecrets, Secret, SecretChange, SecretScope};
pub use seen_heads::Comparison;
pub use service_logs::{ServiceLog, service_logs_of_attempt};
pub use sessions::{SESSION_LIFETIME, Session, SessionUse};
pub use snapshot::{Part, Restoring, TableSum, Tables};
pub use test_reports::{Test, TestResult, TestRun, Which};
pub use tokens::{Token, TokenUse};
pub use transfer::Copied;
pub use trees::TREE_LIFETIME;
pub use upkeep::{Leaving, Left};
pub use users::{KnownUser, Portrait, User};
pub use webhooks::Webhook;
pub use workers::{KnownWorker, WorkerState};

type Transaction = sqlx::Transaction<'static, sqlx::Any>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database could not {what}: {source}")]
    Database { what: &'static str, source: sqlx::Error },
    #[error("can't open the database {url}: {source}")]
    Open { url: String, source: sqlx::Error },
    #[error("can't bring the database up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The numbers of migrations.
    #[error(
        "this Kozmic is too old for the database: a newer one has changed it so that migration \
         {needs} must be known, and this one knows those up to {knows}. Start the version that the \
         other processes run; to go back to this one, restore a backup from before the upgrade"
    )]
    TooNew { needs: i64, knows: i64 },
    #[error("KOZMIC_DATABASE_URL must begin with sqlite:// or postgres://")]
    UnknownDatabase,
    #[error("the database holds something unreadable: {0}")]
    Corrupt(#[from] Invalid),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("{0}")]
    Refused(String),
    /// Nothing is written: somebody was faster.
    #[error("The {0} changed since you looked: look again, and decide.")]
    Changed(&'static str),
    /// The lease of this attempt is gone; whatever it wanted to write is not written.
    #[error("another attempt of this job is under way, or it has ended")]
    Stale,
}

impl StoreError {
    /// For people, what can't be done as things stand; else the error.
    pub fn refusal(self) -> std::result::Result<String, Self> {
        match self {
            Self::Refused(why) => Ok(why),
            Self::Changed(_) => Ok(self.to_string()),
            error => Err(error),
        }
    }

    /// The database did not answer; the same may succeed in a minute.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Database { source, .. } => match source {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                // PostgreSQL's class "operator intervention": it starts, or is being stopped; and
                // a transaction that was idle for too long.
                sqlx::Error::Database(told) => {
                    told.code().is_some_and(|code| code.starts_with("57P") || code == "25P03")
                        || schema::has_changed_meanwhile(told.as_ref())
                }
                _ => false,
            },
            _ => false,
        }
    }
}

type Result<T> = std::result::Result<T, StoreError>;

/// Names the failed operation for the error message.
fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { what, source }
}

/// The one truth. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// For what only reads.
    pool: AnyPool,
    /// For what writes. SQLite has one writer at a time: with a connection of its own nobody
    /// waits by looking again and again, and what it has read stays in its memory, while a
    /// connection forgets all when another one has written. PostgreSQL's are the same.
    writer: AnyPool,
    dialect: Dialect,
    seal: Arc<Seal>,
    wakes: Arc<Wakes>,
    ends: Arc<Together<Ended>>,
    calls: Arc<Together<Call>>,
    /// Whose changes are made with it.
    actor: Arc<Actor>,
    searches: Searches,
    /// Where others may enqueue jobs; listened to from when somebody first waits for them.
    others: Option<Arc<Others>>,
}

/// Whoever can't be served for so long is told so.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection that was used so recently is there.
const TRUSTED: Duration = Duration::from_secs(1);

impl Store {
    /// Opens, and creates where there is none; does not migrate.
    pub async fn open(url: &str, seal: Seal) -> Result<Self> {
        Self::connect(url, Arc::new(seal)).await
    }

    /// Another database, sealed with the same key.
    pub async fn open_other(&self, url: &str) -> Result<Self> {
        let other = Self::connect(url, self.seal.clone()).await?;
        Ok(Self { actor: self.actor.clone(), ..other })
    }

    async fn connect(url: &str, seal: Arc<Seal>) -> Result<Self> {
        let dialect = Dialect::of(url).ok_or(StoreError::UnknownDatabase)?;
        sqlx::any::install_default_drivers();
        let connections = |count, writes| {
            AnyPoolOptions::new()
                .max_connections(count)
                .max_lifetime(dialect.lifetime())
                .acquire_timeout(PATIENCE)
                // A connection to another machine may be gone without a word: one that nobody has
                // used for a moment is asked first. One in use would tell its user at once.
                .test_before_acquire(false)
                .before_acquire(move |connection, of| {
                    Box::pin(async move {
                        if dialect.is_shared() && of.idle_for > TRUSTED {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
                .after_connect(move |connection, _| Box::pin(dialect.prepare(connection, writes)))
        };
        let place = dialect.connect_url(url);
        let failed = |source| StoreError::Open { url: without_password(url), source };
        let pool =
            connections(dialect.connections(), false).connect(&place).await.map_err(failed)?;
        let writer = if dialect.is_shared() {
            pool.clone()
        } else {
            connections(1, true).connect_lazy(&place).map_err(failed)?
        };
        let actor = Arc::new(Actor::kozmic());
        let others = dialect.is_shared().then(|| Arc::new(Others::on(url)));
        Ok(Self {
            pool,
            writer,
            dialect,
            seal,
            wakes: Arc::default(),
            ends: Arc::default(),
            calls: Arc::default(),
            actor,
            searches: Searches::default(),
            others,
        })
    }

    /// Names this installation; made up when it is asked for the first time.
    pub async fn instance(&self, now: Timestamp) -> Result<String> {
        sqlx::query(
            "INSERT INTO installation (id, instance, created_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(JobUuid::random().to_string())
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("name the installation"))?;
        let row = sqlx::query("SELECT instance FROM installation")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the installation's name"))?;
        row.text("instance")
    }

    /// What the store seals with.
    pub fn seal(&self) -> Arc<Seal> {
        self.seal.clone()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(failed("answer"))?;
        Ok(())
    }

    /// Closes every connection; on SQLite, folds the write-ahead log in.
    pub async fn close(&self) {
        self.writer.close().await;
        self.pool.close().await;
    }

    /// A transaction that means to write.
    async fn begin(&self) -> Result<Transaction> {
        self.begin_by(self.dialect.begin()).await
    }

    /// The same for what each delivery and each job needs ([`Dialect::begin_as_ever`]).
    async fn begin_as_ever(&self) -> Result<Transaction> {
        self.begin_by(self.dialect.begin_as_ever()).await
    }

    async fn begin_by(&self, statement: &'static str) -> Result<Transaction> {
        self.writer.begin_with(statement).await.map_err(failed("begin a transaction"))
    }

    /// Until the transaction ends nobody else changes what belongs to the project.
    async fn lock_project(&self, tx: &mut Transaction, project: ProjectId) -> Result<()> {
        sqlx::query(self.dialect.lock_project())
            .bind(project.0)
            .execute(&mut **tx)
            .await
            .map_err(failed("lock a project"))?;
        Ok(())
    }

    fn open_sealed(&self, place: &str, sealed: Option<Vec<u8>>) -> Result<Option<SecretString>> {
        sealed.map(|sealed| Ok(self.seal.open_text(place, &sealed)?)).transpose()
    }
}

/// The column `options` of a hook or a job.
fn read_options(row: &AnyRow) -> Result<HookOptions> {
    read_json(row, "options")
}

fn read_json<T: DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<T> {
    serde_json::from_str(&row.text(column)?).map_err(|error| unreadable(column, &error))
}

fn to_json(value: &impl Serialize, column: &'static str) -> Result<String> {
    serde_json::to_string(value).map_err(|error| unreadable(column, &error))
}

fn unreadable(column: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(Invalid::new(format!("the column {column}: {error}")))
}

async fn commit(transaction: Transaction) -> Result<()> {
    transaction.commit().await.map_err(failed("commit"))
}

/// The URL as it may be shown.
pub fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.has_host() => {
            let _ = parsed.set_password(None);
            // It may be given as a parameter, too.
            parsed.set_query(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

/// The SQLite file a URL names, if it names one.
pub fn sqlite_file(url: &str) -> Option<&Path> {
    url.strip_prefix("sqlite://").map(|rest| Path::new(rest.split('?').next().unwrap_or(rest)))
}
