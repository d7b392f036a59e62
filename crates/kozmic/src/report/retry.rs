//! Which failures pass, and how long to wait for that.

use std::time::Duration;

use super::ReportError;
use crate::github::GithubError;

/// The pause doubles from the first to the second of these.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Refusals that stay, by GitHub's documentation ("Troubleshooting the REST API", "Create a
/// commit status"): the permission is lost, the repository gone or blocked, the commit
/// unknown, or its context full. Limits, which have some of these numbers as well, are no
/// refusals.
const FINAL: [u16; 5] = [403, 404, 410, 422, 451];

/// As often a report is refused for what GitHub does not find before that is believed: soon
/// after a push, one of its servers may not know the commit yet that another one told of.
const BELIEVED: i64 = 3;

/// None when trying again can't help. `attempts` of this report, and `failed_attempts` of all
/// of its project's, were made before the one that ended so.
pub(super) fn pause_before_retry(
    error: &ReportError,
    attempts: i64,
    failed_attempts: i64,
) -> Option<Duration> {
    let asked = match error {
        ReportError::Github(error) if may_lag(error) && attempts + 1 < BELIEVED => Duration::ZERO,
        ReportError::Github(error) => asked(error)?,
        ReportError::Store(_) => Duration::ZERO,
        ReportError::NoProject => return None,
    };
    Some(doubled(FIRST_PAUSE, LONGEST_PAUSE, failed_attempts).max(asked))
}

/// Whether others of its project would fare the same. What GitHub says of a commit says nothing
/// of other commits: that it does not know it, or that it has too many statuses.
pub(super) fn is_of_others(error: &ReportError) -> bool {
    !matches!(error, ReportError::Github(GithubError::Refused { status: 422, .. }))
}

/// The first pause, twice as long each time, but no longer than the longest.
pub(super) fn doubled(first: Duration, longest: Duration, times: i64) -> Duration {
    let doublings = u32::try_from(times.clamp(0, 16)).unwrap_or(16);
    (first * 2_u32.pow(doublings)).min(longest)
}

fn may_lag(error: &GithubError) -> bool {
    matches!(error, GithubError::NotFound { .. } | GithubError::Refused { status: 404 | 422, .. })
}

fn asked(error: &GithubError) -> Option<Duration> {
    match error {
        GithubError::Refused { status, .. } if !FINAL.contains(status) => Some(Duration::ZERO),
        // A page of a proxy before GitHub, as likely as not.
        GithubError::Unreadable { .. } => Some(Duration::ZERO),
        error => error.retry_after(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> ReportError {
        GithubError::Away { call: "x".into(), problem: "x".into() }.into()
    }

    fn refused(status: u16) -> ReportError {
        GithubError::Refused { call: "x".into(), status, message: "x".into() }.into()
    }

    /// Of a report that was tried often enough.
    fn pause_before_retry(error: &ReportError, failed_attempts: i64) -> Option<Duration> {
        super::pause_before_retry(error, BELIEVED, failed_attempts)
    }

    #[test]
    fn that_a_commit_is_unknown_is_believed_the_third_time() {
        for (status, tries) in [(404, 3), (422, 3), (403, 1), (410, 1)] {
            let pauses = |attempts| super::pause_before_retry(&refused(status), attempts, 0);
            let tried = 1 + (0..10).take_while(|attempts| pauses(*attempts).is_some()).count();
            assert_eq!(tried, tries, "{status}");
        }
    }

    #[test]
    fn the_pause_doubles_up_to_a_limit_and_obeys_github() {
        let pauses: Vec<_> =
            [0, 1, 2, 20].map(|n| pause_before_retry(&away(), n).unwrap().as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 300]);
        let pause = Duration::from_mins(15);
        let limited = ReportError::Github(GithubError::RateLimited { call: "x".into(), pause });
        assert_eq!(pause_before_retry(&limited, 0), Some(pause));
    }

    #[test]
    fn a_project_calls_a_github_that_is_away_for_an_hour_twenty_times() {
        let (mut calls, mut passed) = (0, Duration::ZERO);
        while passed < Duration::from_hours(1) {
            passed += pause_before_retry(&away(), calls).unwrap();
            calls += 1;
        }
        assert_eq!(calls, 20);
    }

    #[test]
    fn what_stays_is_given_up_and_what_may_pass_is_not() {
        for status in FINAL {
            assert_eq!(pause_before_retry(&refused(status), 0), None, "{status}");
        }
        let gone = ReportError::Github(GithubError::NotFound { call: "x".into() });
        assert_eq!(pause_before_retry(&gone, 0), None);
        let unreadable = GithubError::Unreadable { call: "x".into(), problem: "HTML".into() };
        for passes in [unreadable.into(), GithubError::NoToken.into(), refused(409), refused(400)] {
            assert!(pause_before_retry(&passes, 0).is_some(), "{passes}");
        }
    }
}
