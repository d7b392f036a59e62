//! Why a delivery did not arrive, as far as GitHub tells.

use secrecy::SecretString;

use super::decide::{Decision, decide};
use crate::github::{Client, FailedDelivery, GithubError};
use crate::model::{ForkPolicy, Head};
use crate::store::{Hook, Project};

/// Deliveries that are looked at for the commits of one comparison.
const MOST_LOOKED_AT: usize = 50;

/// The failed deliveries of a project, asked for when the first reason is.
pub(super) struct Failures<'a> {
    github: &'a Client,
    project: &'a Project,
    token: &'a SecretString,
    hooks: &'a [Hook],
    /// Not looked at yet, each with GitHub's id of its webhook; newest last.
    listed: Option<Vec<(i64, FailedDelivery)>>,
    /// Looked at, with what they would have told of.
    read: Vec<(Head, FailedDelivery)>,
}

impl<'a> Failures<'a> {
    pub(super) fn new(
        github: &'a Client,
        project: &'a Project,
        token: &'a SecretString,
        hooks: &'a [Hook],
    ) -> Self {
        Self { github, project, token, hooks, listed: None, read: Vec::new() }
    }

    /// Why no delivery told of this, as a sentence.
    pub(super) async fn reason(&mut self, head: &Head) -> String {
        match self.find(head).await {
            Ok(Some(delivery)) => sentence(&delivery),
            Ok(None) => "GitHub lists no failed delivery of it.".into(),
            Err(error) => format!("Why its delivery failed is not known: {error}."),
        }
    }

    async fn find(&mut self, head: &Head) -> Result<Option<FailedDelivery>, GithubError> {
        let name = &self.project.repository.full_name;
        if self.listed.is_none() {
            let mut listed = Vec::new();
            for hook in self.hooks.iter().filter_map(|hook| hook.gh_id) {
                let failed = self.github.failed_deliveries(self.token, name, hook).await?;
                listed.extend(failed.into_iter().map(|delivery| (hook, delivery)));
            }
            listed.sort_by(|a, b| a.1.delivered_at.cmp(&b.1.delivered_at));
            listed.drain(..listed.len().saturating_sub(MOST_LOOKED_AT));
            self.listed = Some(listed);
        }
        loop {
            if let Some((_, delivery)) = self.read.iter().find(|(told, _)| told == head) {
                return Ok(Some(delivery.clone()));
            }
            let next = self.listed.as_mut().and_then(Vec::pop);
            let Some((hook, delivery)) = next else { return Ok(None) };
            let event = self.github.delivered_event(self.token, name, hook, &delivery).await?;
            let Some(event) = event else { continue };
            // Whatever becomes of forks: only where it says that a head stands.
            let repository = self.project.repository.gh_id;
            let told = match decide(&event, repository, Some(hook), ForkPolicy::Build) {
                Decision::Build(wish) => wish.build.head(),
                Decision::PassOver { head, .. } => head,
                _ => continue,
            };
            self.read.push((told, delivery));
        }
    }
}

fn sentence(delivery: &FailedDelivery) -> String {
    let FailedDelivery { delivered_at, status, status_code, .. } = delivery;
    let more = if status.contains(&status_code.to_string()) {
        String::new()
    } else {
        format!(" ({status})")
    };
    format!("GitHub's delivery failed at {delivered_at}: status code {status_code}{more}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_as_github_tells_it() {
        let failed = |status: &str| FailedDelivery {
            id: 1,
            event: "push".into(),
            delivered_at: "2026-11-24T12:00:00Z".into(),
            status: status.into(),
            status_code: 502,
        };
        let plain = "GitHub's delivery failed at 2026-11-24T12:00:00Z: status code 502.";
        assert_eq!(sentence(&failed("Invalid HTTP Response: 502")), plain);
        let more = sentence(&failed("failed to connect to host"));
        assert!(more.ends_with("status code 502 (failed to connect to host)."), "{more}");
    }
}
