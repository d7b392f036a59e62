//! Why a delivery did not arrive, as far as GitHub tells.

use super::ask::{Ask, AskError};
use super::decide::{Decision, decide};
use crate::github::FailedDelivery;
use crate::model::{ForkPolicy, Head};
use crate::store::Hook;

/// Deliveries that are looked at for the commits of one comparison.
const MOST_LOOKED_AT: usize = 50;

/// The failed deliveries of a project, asked for when the first reason is.
pub(super) struct Failures<'a> {
    ask: Ask<'a>,
    /// GitHub's id of the repository.
    repository: i64,
    hooks: &'a [Hook],
    /// Not looked at yet, each with GitHub's id of its webhook; newest last.
    listed: Option<Vec<(i64, FailedDelivery)>>,
    /// Looked at, with what they would have told of.
    read: Vec<(Head, FailedDelivery)>,
}

impl<'a> Failures<'a> {
    pub(super) fn new(ask: Ask<'a>, repository: i64, hooks: &'a [Hook]) -> Self {
        Self { ask, repository, hooks, listed: None, read: Vec::new() }
    }

    /// Why no delivery told of this, as a sentence.
    pub(super) async fn reason(&mut self, head: &Head) -> String {
        match self.find(head).await {
            Ok(Some(delivery)) => sentence(&delivery),
            Ok(None) => "GitHub lists no failed delivery of it.".into(),
            Err(error) => format!("Why its delivery failed is not known: {error}."),
        }
    }

    async fn find(&mut self, head: &Head) -> Result<Option<FailedDelivery>, AskError> {
        let ask = self.ask;
        if self.listed.is_none() {
            let mut listed = Vec::new();
            for hook in self.hooks.iter().filter_map(|hook| hook.gh_id) {
                let failed = ask
                    .github(|repository| async move { repository.failed_deliveries(hook).await })
                    .await?;
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
            let failed = &delivery;
            let event = ask
                .github(|repository| async move { repository.delivered_event(hook, failed).await })
                .await?;
            let Some(event) = event else { continue };
            // Whatever becomes of forks: only where it says that a head stands.
            let told = match decide(&event, self.repository, Some(hook), ForkPolicy::Build) {
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
