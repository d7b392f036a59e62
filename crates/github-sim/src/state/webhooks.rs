//! Webhooks: who wants to be told about what.

use jiff::Timestamp;

use super::Invalid;

/// GitHub allows this many webhooks per event on one repository.
const MOST_PER_EVENT: usize = 20;

/// The events a repository webhook may subscribe to, and `*` for all.
/// Follows <https://docs.github.com/webhooks/webhook-events-and-payloads>.
const EVENTS: &[&str] = &[
    "*",
    "branch_protection_configuration",
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "code_scanning_alert",
    "commit_comment",
    "create",
    "custom_property_values",
    "delete",
    "dependabot_alert",
    "deploy_key",
    "deployment",
    "deployment_protection_rule",
    "deployment_review",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issue_dependencies",
    "issues",
    "label",
    "member",
    "membership",
    "merge_group",
    "meta",
    "milestone",
    "package",
    "page_build",
    "ping",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "registry_package",
    "release",
    "repository",
    "repository_advisory",
    "repository_import",
    "repository_ruleset",
    "repository_vulnerability_alert",
    "secret_scanning_alert",
    "secret_scanning_alert_location",
    "secret_scanning_scan",
    "security_and_analysis",
    "star",
    "status",
    "sub_issues",
    "team_add",
    "watch",
    "workflow_dispatch",
    "workflow_job",
    "workflow_run",
];

#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    pub(crate) id: u64,
    pub(crate) repository: u64,
    pub(crate) active: bool,
    pub(crate) events: Vec<String>,
    pub(crate) config: Config,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Code, status and message of the newest delivery; `None` when there was none.
    pub(crate) last_response: Option<(u16, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) url: String,
    pub(crate) json: bool,
    pub(crate) secret: Option<String>,
    /// Certificates of the receiver are not checked.
    pub(crate) insecure_ssl: bool,
}

impl Config {
    /// `content_type` is `form` when not said, as on GitHub.
    pub(crate) fn new(
        url: Option<&str>,
        content_type: Option<&str>,
        secret: Option<&str>,
        insecure_ssl: bool,
    ) -> Result<Self, Invalid> {
        let url = url
            .filter(|url| !url.is_empty())
            .ok_or_else(|| Invalid::custom("Hook", "Config must contain URL for webhooks"))?;
        let parsed = url::Url::parse(url);
        if !parsed.is_ok_and(|parsed| matches!(parsed.scheme(), "http" | "https")) {
            return Err(Invalid::field("Hook", "url", "custom")
                .with_message("url is missing a scheme or is not a valid http(s) URL"));
        }
        let json = match content_type.unwrap_or("form") {
            "json" => true,
            "form" => false,
            other => {
                return Err(Invalid::field("Hook", "content_type", "custom")
                    .with_message(format!("content_type must be json or form, not {other:?}")));
            }
        };
        Ok(Self {
            url: url.to_owned(),
            json,
            secret: secret.filter(|secret| !secret.is_empty()).map(str::to_owned),
            insecure_ssl,
        })
    }
}

impl Webhook {
    pub(crate) fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted == event || wanted == "*")
    }
}

#[derive(Default)]
pub(crate) struct Webhooks {
    list: Vec<Webhook>,
}

impl Webhooks {
    /// Follows <https://docs.github.com/rest/repos/webhooks#create-a-repository-webhook>.
    pub(crate) fn add(
        &mut self,
        id: u64,
        repository: u64,
        config: Config,
        events: Vec<String>,
        active: bool,
        now: Timestamp,
    ) -> Result<Webhook, Invalid> {
        self.check(None, repository, &config, &events)?;
        let webhook = Webhook {
            id,
            repository,
            active,
            events,
            config,
            created_at: now,
            updated_at: now,
            last_response: None,
        };
        self.list.push(webhook.clone());
        Ok(webhook)
    }

    /// Follows <https://docs.github.com/rest/repos/webhooks#update-a-repository-webhook>.
    pub(crate) fn change(
        &mut self,
        id: u64,
        config: Config,
        events: Vec<String>,
        active: bool,
        now: Timestamp,
    ) -> Result<Option<Webhook>, Invalid> {
        let Some(index) = self.list.iter().position(|webhook| webhook.id == id) else {
            return Ok(None);
        };
        self.check(Some(id), self.list[index].repository, &config, &events)?;
        let webhook = &mut self.list[index];
        webhook.config = config;
        webhook.events = events;
        webhook.active = active;
        webhook.updated_at = now;
        Ok(Some(webhook.clone()))
    }

    fn check(
        &self,
        itself: Option<u64>,
        repository: u64,
        config: &Config,
        events: &[String],
    ) -> Result<(), Invalid> {
        if events.is_empty() {
            return Err(Invalid::field("Hook", "events", "custom")
                .with_message("A hook must subscribe to at least one event"));
        }
        if let Some(unknown) = events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
            return Err(Invalid::field("Hook", "events", "custom")
                .with_message(format!("{unknown:?} is not an event of a repository webhook")));
        }
        let others = || self.of(repository).filter(|other| Some(other.id) != itself);
        let sorted = |events: &[String]| {
            let mut events = events.to_vec();
            events.sort();
            events
        };
        if others()
            .any(|other| other.config.url == config.url && sorted(&other.events) == sorted(events))
        {
            return Err(Invalid::custom("Hook", "Hook already exists on this repository"));
        }
        for event in events {
            if others().filter(|other| other.events.contains(event)).count() >= MOST_PER_EVENT {
                return Err(Invalid::custom(
                    "Hook",
                    format!("The {event:?} event cannot have more than {MOST_PER_EVENT} hooks"),
                ));
            }
        }
        Ok(())
    }

    /// Those of one repository, oldest first.
    pub(crate) fn of(&self, repository: u64) -> impl Iterator<Item = &Webhook> {
        self.list.iter().filter(move |webhook| webhook.repository == repository)
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Webhook> {
        self.list.iter().find(|webhook| webhook.id == id)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.list.retain(|webhook| webhook.id != id);
    }

    /// The repository is gone.
    pub(crate) fn forget(&mut self, repository: u64) {
        self.list.retain(|webhook| webhook.repository != repository);
    }

    pub(crate) fn answered(&mut self, id: u64, code: u16, status: &str) {
        if let Some(webhook) = self.list.iter_mut().find(|webhook| webhook.id == id) {
            webhook.last_response = Some((code, status.to_owned()));
        }
    }
}
