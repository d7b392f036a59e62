//! What a script's test reports say, and what it left as artifacts.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use super::{Invalid, ProjectId};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestOutcome {
    Passed,
    /// What it checks does not hold.
    Failed,
    /// It could not be carried out.
    Error,
    Skipped,
    /// It failed first and passed when it was tried again, by the report's own word.
    Flaky,
}

impl TestOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
        }
    }

    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TestOutcome {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Passed, Self::Failed, Self::Error, Self::Skipped, Self::Flaky]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| Invalid::new(format!("`{text}` is not the outcome of a test")))
    }
}

/// One run of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// The innermost named suite that it stands in; may be empty, as the class may.
    pub suite: String,
    pub class: String,
    pub name: String,
    pub outcome: TestOutcome,
    /// Milliseconds.
    pub duration: Option<i64>,
    /// File and line, as far as they are given.
    pub place: String,
    /// What failed, or why it was skipped; one or a few lines.
    pub message: String,
    /// A stack trace, most often.
    pub details: String,
    /// What it wrote, when it did not just pass.
    pub output: String,
}

impl TestCase {
    /// Names the test through all builds of the project: the same for the same hook,
    /// suite, class and name.
    pub fn key(&self, project: ProjectId, hook: &str) -> i64 {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&project.0.to_be_bytes());
        for part in [hook, &self.suite, &self.class, &self.name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 8];
        key.copy_from_slice(&context.finish().as_ref()[..8]);
        i64::from_be_bytes(key)
    }
}

/// How the tests of a job, or of several, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TestCounts {
    pub passed: i64,
    pub failed: i64,
    pub errors: i64,
    pub skipped: i64,
    pub flaky: i64,
}

impl TestCounts {
    pub fn of(cases: &[TestCase]) -> Self {
        let mut counts = Self::default();
        for case in cases {
            let count = match case.outcome {
                TestOutcome::Passed => &mut counts.passed,
                TestOutcome::Failed => &mut counts.failed,
                TestOutcome::Error => &mut counts.errors,
                TestOutcome::Skipped => &mut counts.skipped,
                TestOutcome::Flaky => &mut counts.flaky,
            };
            *count += 1;
        }
        counts
    }

    pub fn total(self) -> i64 {
        self.passed + self.failed + self.errors + self.skipped + self.flaky
    }

    pub fn bad(self) -> i64 {
        self.failed + self.errors
    }
}

/// "3 of 214 tests failed", "214 tests passed, 2 skipped".
impl fmt::Display for TestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests = |count| if count == 1 { "1 test".to_owned() } else { format!("{count} tests") };
        if self.bad() > 0 {
            return write!(f, "{} of {} failed", self.bad(), tests(self.total()));
        }
        write!(f, "{} passed", tests(self.passed + self.flaky))?;
        for (count, word) in [(self.skipped, "skipped"), (self.flaky, "flaky")] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

/// A file that a script left to be kept, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Relative, with `/`; no part of it is empty, `.` or `..`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// Its name in the object storage.
    pub object: String,
}

/// All that a script left behind, as far as it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    pub cases: Vec<TestCase>,
    pub artifacts: Vec<Artifact>,
    /// What was left out and why, for people.
    pub notes: Vec<String>,
}

/// One result of a test in its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastResult {
    pub outcome: TestOutcome,
    pub git_ref: String,
    pub sha: String,
}

/// How often a result must differ from the one before it, on one ref.
const FLIPS: usize = 3;

/// Whether a test is flaky, by its latest results, the order of which matters: it failed
/// first and passed when it was tried again; or it both passed and failed on one commit;
/// or on one ref it went from passed to failed, or back, three times.
pub fn is_flaky(results: &[PastResult]) -> bool {
    let mut by_commit = std::collections::HashMap::new();
    let mut by_ref = std::collections::HashMap::new();
    for result in results {
        let passed = match result.outcome {
            TestOutcome::Flaky => return true,
            TestOutcome::Skipped => continue,
            TestOutcome::Passed => true,
            TestOutcome::Failed | TestOutcome::Error => false,
        };
        if *by_commit.entry(&result.sha).or_insert(passed) != passed {
            return true;
        }
        let (last, flips) = by_ref.entry(&result.git_ref).or_insert((passed, 0));
        if *last != passed {
            (*last, *flips) = (passed, *flips + 1);
            if *flips >= FLIPS {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(results: &[(TestOutcome, &str, &str)]) -> Vec<PastResult> {
        let past = |(outcome, git_ref, sha): &(TestOutcome, &str, &str)| PastResult {
            outcome: *outcome,
            git_ref: (*git_ref).into(),
            sha: (*sha).into(),
        };
        results.iter().map(past).collect()
    }

    #[test]
    fn flaky_is_what_changes_without_a_reason() {
        use TestOutcome::{Error, Failed, Flaky, Passed, Skipped};
        assert!(!is_flaky(&[]));
        assert!(is_flaky(&past(&[(Flaky, "main", "a")])));
        assert!(is_flaky(&past(&[(Passed, "main", "a"), (Error, "fix", "a")])), "on one commit");
        let broken_and_mended = [
            (Passed, "main", "a"),
            (Failed, "main", "b"),
            (Skipped, "main", "b"),
            (Passed, "main", "c"),
        ];
        assert!(!is_flaky(&past(&broken_and_mended)), "two changes have a reason");
        let mut again = broken_and_mended.to_vec();
        again.push((Failed, "fix", "d"));
        assert!(!is_flaky(&past(&again)), "each ref for itself");
        again.push((Failed, "main", "e"));
        assert!(is_flaky(&past(&again)));
    }

    #[test]
    fn counts_read_well() {
        let counts = TestCounts { passed: 210, failed: 2, errors: 1, skipped: 1, flaky: 0 };
        assert_eq!(counts.to_string(), "3 of 214 tests failed");
        let counts = TestCounts { passed: 1, ..TestCounts::default() };
        assert_eq!(counts.to_string(), "1 test passed");
        let counts = TestCounts { passed: 3, skipped: 2, flaky: 1, ..TestCounts::default() };
        assert_eq!(counts.to_string(), "4 tests passed, 2 skipped, 1 flaky");
    }

    #[test]
    fn a_key_depends_on_each_part() {
        let case = |suite: &str, class: &str, name: &str| TestCase {
            suite: suite.into(),
            class: class.into(),
            name: name.into(),
            outcome: TestOutcome::Passed,
            duration: None,
            place: String::new(),
            message: String::new(),
            details: String::new(),
            output: String::new(),
        };
        let key = case("a", "b", "c").key(ProjectId(1), "h");
        assert_eq!(case("a", "b", "c").key(ProjectId(1), "h"), key);
        for other in [case("ab", "", "c"), case("a", "bc", ""), case("", "a", "bc")] {
            assert_ne!(other.key(ProjectId(1), "h"), key);
        }
        assert_ne!(case("a", "b", "c").key(ProjectId(2), "h"), key);
        assert_ne!(case("a", "b", "c").key(ProjectId(1), "i"), key);
    }
}
