//! Words that pages need and no template can have: how ages and numbers are written, and each
//! sentence that is chosen in code, by subject. Handlers name them; `tests/texts.rs` fails at one
//! that stands elsewhere. What else people read is in the templates, or in `in_words` and
//! `Display` of other rooms. The problems of `web/api` are for programs, and stand there.

use std::borrow::Borrow;

use crate::model::Trigger;

pub(super) mod administration;
pub(super) mod answers;
pub(super) mod hook;
pub(super) mod job;
pub(super) mod problems;
pub(super) mod programs;
pub(super) mod sign_in;

/// How long ago something was. Scripts keep it up to date in the words of the reader's
/// language, as browsers have them (`static/times.js`); in English these are the same.
pub(super) fn age(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..10 => return "just now".into(),
        10..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..2_592_000 => (seconds / 86_400, "day"),
        2_592_000..31_536_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A count of things, in groups of three digits.
pub(super) fn number(count: impl Borrow<u64>) -> String {
    let digits = count.borrow().to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// What asked for a build, after "by".
pub(super) fn trigger(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Push => "a push",
        Trigger::PullRequest => "a pull request",
        Trigger::Release => "a release",
        Trigger::Reconciliation => "reconciliation",
        Trigger::Manual => "hand",
        Trigger::Cron => "the clock",
        Trigger::Try => "a try",
    }
}

/// What asked for a build, in a list; nothing where a delivery did.
pub(super) fn asked(trigger: Trigger) -> Option<&'static str> {
    match trigger {
        Trigger::Manual => Some("by hand"),
        Trigger::Cron => Some("by the clock"),
        Trigger::Try => Some("a try"),
        Trigger::Push | Trigger::PullRequest | Trigger::Release | Trigger::Reconciliation => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_well() {
        for (seconds, expected) in [
            (3, "just now"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400, "1 day ago"),
            (63_072_000, "2 years ago"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }

    #[test]
    fn numbers_read_well() {
        for (count, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(number(count), expected);
        }
    }
}
