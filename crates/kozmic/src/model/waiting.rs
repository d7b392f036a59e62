//! What a job waits for, in words for people and for programs.

use std::fmt;

use super::Labels;

/// The first thing that keeps a job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// A manager looks at a pull request first, from a fork in this account.
    Approval { fork_owner: String },
    /// These jobs of its build are to be green first.
    Jobs(Vec<String>),
    /// No worker runs.
    NoWorker,
    /// No worker that runs has all of these.
    Labels(Labels),
    /// So many jobs of its project run at once already.
    ProjectLimit(i64),
    /// The workers that could take it have no room on their disks, for this reason.
    Disk(String),
    /// A worker, which takes so many others first. With the labels it needs.
    Queue { labels: Labels, ahead: i64 },
}

impl Waiting {
    /// For programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approval { .. } => "approval",
            Self::Jobs(_) => "jobs",
            Self::NoWorker => "worker",
            Self::Labels(_) => "label",
            Self::ProjectLimit(_) => "project_limit",
            Self::Disk(_) => "disk",
            Self::Queue { .. } => "queue",
        }
    }

    /// After what led to it, as a job keeps that in its reason.
    pub fn after(&self, reason: &str) -> String {
        match reason.split_once("; waiting") {
            Some((before, _)) => format!("{before}; {self}"),
            None => self.to_string(),
        }
    }
}

/// Titles that are spelled out; of more only the number is told.
const TITLES: usize = 5;

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { fork_owner } => write!(
                f,
                "waiting for a manager's approval: pull request from a fork of {fork_owner}"
            ),
            Self::Jobs(titles) => {
                let told: Vec<String> =
                    titles.iter().take(TITLES).map(|title| format!("`{title}`")).collect();
                write!(f, "waiting for {}", told.join(", "))?;
                match titles.len().saturating_sub(TITLES) {
                    0 => f.write_str(" to be green"),
                    more => write!(f, " and {more} more to be green"),
                }
            }
            Self::NoWorker => f.write_str("waiting for a worker: none is running"),
            Self::Labels(labels) => {
                write!(f, "waiting for a worker: none has {}", labels.in_words())
            }
            Self::ProjectLimit(1) => {
                f.write_str("waiting for another job of the project: it runs one at once")
            }
            Self::ProjectLimit(limit) => {
                write!(f, "waiting for other jobs of the project: it runs {limit} at once")
            }
            Self::Disk(why) => write!(f, "waiting for disk space: {why}"),
            Self::Queue { labels, ahead } => {
                f.write_str("waiting for a worker")?;
                if !labels.is_empty() {
                    write!(f, " with {}", labels.in_words())?;
                }
                match ahead {
                    0 => f.write_str(", first in line"),
                    ahead => write!(f, ", {ahead} ahead of it"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_led_to_it_stands_first() {
        let waiting = Waiting::Queue { labels: Labels::default(), ahead: 0 };
        for (reason, told) in [
            ("waiting for a worker", "waiting for a worker, first in line"),
            (
                "run again by octo; waiting for a worker",
                "run again by octo; waiting for a worker, first in line",
            ),
            (
                "its worker was lost; waiting to start again",
                "its worker was lost; waiting for a worker, first in line",
            ),
        ] {
            assert_eq!(waiting.after(reason), told);
        }
    }

    #[test]
    fn many_jobs_are_counted() {
        let titles = |count: usize| (1..=count).map(|n| format!("T{n}")).collect();
        assert_eq!(Waiting::Jobs(titles(2)).to_string(), "waiting for `T1`, `T2` to be green");
        assert_eq!(
            Waiting::Jobs(titles(7)).to_string(),
            "waiting for `T1`, `T2`, `T3`, `T4`, `T5` and 2 more to be green"
        );
        let labels: Labels = "gpu".parse().unwrap();
        assert_eq!(
            Waiting::Queue { labels, ahead: 3 }.to_string(),
            "waiting for a worker with the label gpu, 3 ahead of it"
        );
    }
}
