//! The vocabulary of DESIGN as types: parsed once at the edge, trusted inside.
//! No I/O, no async, nothing of ours imported.

mod audit;
mod blocked;
mod build;
mod cache_folder;
mod cache_id;
mod causes;
mod cron;
mod disk;
mod forks;
mod hook;
mod ids;
mod install;
mod job;
mod known_hosts;
mod labels;
mod network_pool;
mod networks;
mod new_privileges;
mod notice;
mod options;
mod order;
mod phase;
mod priority;
mod project;
mod retention;
mod secret;
mod service;
mod shebang;
mod status;
mod test_report;
mod time;
mod token;
mod user;
mod variant;
mod waiting;
mod wanted;
mod worker;

pub use audit::{Action, Actor, Event, Via};
pub use blocked::Blocked;
pub use build::{Commit, CommitSha, GitRef, Head, PullRequest, Trigger};
pub use cache_folder::{CacheFolder, CacheFolders, FolderName};
pub use cache_id::{CacheId, CacheInputs, Fingerprint};
pub use causes::with_causes;
pub use cron::CronLine;
pub use disk::{DiskAccount, DiskKind, DiskUse, FileSystem, PulledImage, readable_bytes};
pub use forks::{Approval, Fork, ForkPolicy};
pub use hook::{DockerImage, HookSpec, Script, TrackedPath};
pub use ids::{BuildId, HookId, JobId, JobUuid, ProjectId, SessionId, TokenId, UserId};
pub use install::{DroppedImage, InstallFrom, InstallOutcome, InstallStep, KnownImages};
pub use job::{ErrorKind, JobEnd};
pub use known_hosts::KnownHosts;
pub use labels::Labels;
pub use network_pool::{NetworkPool, Subnet};
pub use networks::Networks;
pub use new_privileges::NoNewPrivileges;
pub use notice::{BuildEvent, MailChoice, WebhookFormat, WebhookSpec};
pub use options::{HookOptions, OPTION_NAMES, parse_bytes, parse_own_variable, parse_variable};
pub use order::in_order;
pub use phase::Phase;
pub use priority::Priority;
pub use project::{AtOnce, FullName, RemoteRepository};
pub use retention::{Bound, LogRetention, parse_days, parse_log_bytes};
pub use secret::{SecretName, SecretValue};
pub use service::{ReadyCheck, Service, ServiceName, Services};
pub use shebang::Remark;
pub use status::{BuildStatus, GithubState, JobStatus, build_status};
pub use test_report::{
    Artifact, Collected, PastResult, TestCase, TestCounts, TestOutcome, is_flaky,
};
pub use time::{Timestamp, readable};
pub use token::{TokenScope, TokenSpec};
pub use user::{GithubUser, Role, TokenHolder};
pub use variant::Variant;
pub use waiting::Waiting;
pub use wanted::{Change, HookEvent, Wanted};
pub use worker::WorkerAbout;

/// A value from outside that is not what it should be. The text says what is
/// wrong and what would be right, and is fit to be shown to a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
