//! Commit statuses: what others say about a commit.

use std::collections::HashMap;

use jiff::Timestamp;

use super::Invalid;

/// GitHub keeps at most this many statuses for one commit and one context.
const MOST_PER_CONTEXT: usize = 1000;
const LONGEST_DESCRIPTION: usize = 140;
const STATES: [&str; 4] = ["error", "failure", "pending", "success"];

#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) id: u64,
    pub(crate) state: String,
    pub(crate) description: Option<String>,
    pub(crate) target_url: Option<String>,
    pub(crate) context: String,
    pub(crate) creator: u64,
    pub(crate) created_at: Timestamp,
}

/// What a caller asks to be recorded.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) state: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) target_url: Option<String>,
    /// `default` when the caller names none.
    pub(crate) context: Option<String>,
}

#[derive(Default)]
pub(crate) struct Statuses {
    /// By repository and full sha, oldest first.
    by_commit: HashMap<(u64, String), Vec<Status>>,
}

impl Statuses {
    /// Follows <https://docs.github.com/rest/commits/statuses#create-a-commit-status>.
    pub(crate) fn add(
        &mut self,
        id: u64,
        repository: u64,
        sha: &str,
        creator: u64,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Status, Vec<Invalid>> {
        let mut invalid = Vec::new();
        let state = wanted.state.unwrap_or_default();
        if !STATES.contains(&state.as_str()) {
            invalid.push(
                Invalid::field("Status", "state", "custom")
                    .with_message("state is not included in the list"),
            );
        }
        if wanted
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION)
        {
            invalid.push(
                Invalid::field("Status", "description", "custom")
                    .with_message("description is too long (maximum is 140 characters)"),
            );
        }
        if wanted.target_url.as_ref().is_some_and(|url| !is_web(url)) {
            invalid.push(
                Invalid::field("Status", "target_url", "custom")
                    .with_message("target_url must use http(s) scheme"),
            );
        }
        if !invalid.is_empty() {
            return Err(invalid);
        }
        let context = wanted.context.unwrap_or_else(|| "default".to_owned());
        let known = self.by_commit.entry((repository, sha.to_owned())).or_default();
        if known.iter().filter(|status| status.context.eq_ignore_ascii_case(&context)).count()
            >= MOST_PER_CONTEXT
        {
            return Err(vec![Invalid::custom(
                "Status",
                "This SHA and context has reached the maximum number of statuses.",
            )]);
        }
        let status = Status {
            id,
            state,
            description: wanted.description,
            target_url: wanted.target_url,
            context,
            creator,
            created_at: now,
        };
        known.push(status.clone());
        Ok(status)
    }

    /// All statuses of a commit, newest first.
    pub(crate) fn of(&self, repository: u64, sha: &str) -> impl Iterator<Item = &Status> {
        self.by_commit
            .get(&(repository, sha.to_owned()))
            .into_iter()
            .flat_map(|statuses| statuses.iter().rev())
    }

    /// The newest status of each context, newest first; contexts differ by more than case.
    pub(crate) fn latest(&self, repository: u64, sha: &str) -> Vec<&Status> {
        let mut latest: Vec<&Status> = Vec::new();
        for status in self.of(repository, sha) {
            if !latest.iter().any(|seen| seen.context.eq_ignore_ascii_case(&status.context)) {
                latest.push(status);
            }
        }
        latest
    }
}

/// What GitHub's combined status says: failure before pending before success, and pending when
/// nobody has said anything.
pub(crate) fn combined(latest: &[&Status]) -> &'static str {
    let any = |states: &[&str]| latest.iter().any(|status| states.contains(&status.state.as_str()));
    if any(&["error", "failure"]) {
        "failure"
    } else if latest.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    }
}

fn is_web(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    fn say(statuses: &mut Statuses, state: &str, context: &str) -> Result<Status, Vec<Invalid>> {
        let wanted = Wanted {
            state: Some(state.to_owned()),
            context: Some(context.to_owned()),
            ..Wanted::default()
        };
        statuses.add(1, 1, "abc", 1, wanted, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_newest_of_each_context_decides_the_combined_state() {
        let mut statuses = Statuses::default();
        assert_eq!(combined(&statuses.latest(1, "abc")), "pending");
        say(&mut statuses, "error", "CI").unwrap();
        say(&mut statuses, "success", "lint").unwrap();
        assert_eq!(combined(&statuses.latest(1, "abc")), "failure");
        say(&mut statuses, "pending", "ci").unwrap();
        assert_eq!(combined(&statuses.latest(1, "abc")), "pending");
        say(&mut statuses, "success", "CI").unwrap();
        assert_eq!(combined(&statuses.latest(1, "abc")), "success");
        assert_eq!(statuses.latest(1, "abc").len(), 2);
        assert_eq!(statuses.of(1, "abc").count(), 4);
    }

    #[test]
    fn the_thousand_and_first_status_of_a_context_is_refused() {
        let mut statuses = Statuses::default();
        for _ in 0..MOST_PER_CONTEXT {
            say(&mut statuses, "pending", "CI").unwrap();
        }
        let refused = say(&mut statuses, "success", "ci").unwrap_err();
        assert!(refused[0].message.as_ref().unwrap().contains("maximum"));
        say(&mut statuses, "success", "other").unwrap();
    }
}
