//! What GitHub knows: users, organizations, teams, repositories, pull requests, webhooks, deploy
//! keys, statuses, deliveries.
//!
//! Everything here is plain data and plain functions: no I/O, no clock, no async. The one
//! [`World`] sits behind a mutex (see `app`), which is never held across an `await`. What git
//! knows (commits, branches, tags) is not repeated here: it is asked of the bare repositories.

pub(crate) mod access;
pub(crate) mod deliveries;
pub(crate) mod deploy_keys;
pub(crate) mod limits;
pub(crate) mod oauth;
pub(crate) mod organizations;
pub(crate) mod pull_requests;
pub(crate) mod repositories;
pub(crate) mod statuses;
pub(crate) mod teams;
pub(crate) mod users;
pub(crate) mod webhooks;

use jiff::Timestamp;

use crate::faults::Faults;

/// Everything the stand-in remembers while it runs; nothing of it survives the process.
pub(crate) struct World {
    /// `http://<address>`, the root of the web pages; the REST API is below `/api/v3`.
    pub(crate) base: String,
    /// What a repository's `ssh_url` begins with, up to its full name; as `ssh://git@host:22/`.
    pub(crate) ssh: Option<String>,
    last_id: u64,
    pub(crate) users: users::Users,
    pub(crate) organizations: organizations::Organizations,
    pub(crate) teams: teams::Teams,
    pub(crate) repositories: repositories::Repositories,
    pub(crate) pull_requests: pull_requests::PullRequests,
    pub(crate) webhooks: webhooks::Webhooks,
    pub(crate) deploy_keys: deploy_keys::DeployKeys,
    pub(crate) statuses: statuses::Statuses,
    pub(crate) deliveries: deliveries::Deliveries,
    pub(crate) oauth: oauth::OAuth,
    pub(crate) limits: limits::Limits,
    /// Entries of a list's page, however many are asked for.
    pub(crate) largest_page: usize,
    /// What was transferred of large files, oldest first: `GET oid`, `PUT oid`.
    pub(crate) lfs: Vec<String>,
    /// Who was let in by SSH: the token, and the repository's full name.
    pub(crate) lfs_tokens: std::collections::BTreeMap<String, String>,
    pub(crate) faults: Faults,
    /// Every REST request, oldest first.
    pub(crate) requests: Vec<crate::client::LoggedRequest>,
}

impl World {
    pub(crate) fn new(base: String) -> Self {
        Self {
            base,
            ssh: None,
            last_id: 1000,
            users: users::Users::default(),
            organizations: organizations::Organizations::default(),
            teams: teams::Teams::default(),
            repositories: repositories::Repositories::default(),
            pull_requests: pull_requests::PullRequests::default(),
            webhooks: webhooks::Webhooks::default(),
            deploy_keys: deploy_keys::DeployKeys::default(),
            statuses: statuses::Statuses::default(),
            deliveries: deliveries::Deliveries::default(),
            oauth: oauth::OAuth::default(),
            limits: limits::Limits::default(),
            largest_page: crate::rest::page::LARGEST_SIZE,
            lfs: Vec::new(),
            lfs_tokens: std::collections::BTreeMap::new(),
            faults: Faults::default(),
            requests: Vec::new(),
        }
    }

    /// A number never used before. One sequence serves all nouns, so that a test which mixes up
    /// the ids of two nouns fails instead of passing by luck.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// One entry of `errors` in a `422 Validation Failed`.
///
/// Follows <https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) resource: &'static str,
    pub(crate) field: Option<&'static str>,
    /// `missing_field`, `invalid`, `already_exists` or `custom`; `message` explains the last.
    pub(crate) code: &'static str,
    pub(crate) message: Option<String>,
}

impl Invalid {
    pub(crate) fn custom(resource: &'static str, message: impl Into<String>) -> Self {
        Self { resource, field: None, code: "custom", message: Some(message.into()) }
    }

    pub(crate) fn field(resource: &'static str, field: &'static str, code: &'static str) -> Self {
        Self { resource, field: Some(field), code, message: None }
    }

    pub(crate) fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }
}

/// A time as GitHub's REST API writes it: UTC, whole seconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
