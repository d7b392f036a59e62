//! What a form has done: said on the page that comes after it.

use std::fmt::Display;

use crate::log::SHORTEST;
use crate::model::SecretName;
use crate::upkeep::Ensured;

pub(in crate::web) const UP_TO_DATE: &str = "Up to date with GitHub.";

// One's own account.
pub(in crate::web) const MAILS_CHOSEN: &str = "Saved. It holds for builds that end from now on.";
pub(in crate::web) const SESSION_ENDED: &str = "The session has ended.";
pub(in crate::web) const TOKEN_REVOKED: &str = "The token is revoked.";
pub(in crate::web) const TOKEN_MADE: &str = "Copy the token now: it is not shown again.";

// A project's settings.
pub(in crate::web) const OPTIONS_SAVED: &str = "Saved.";
pub(in crate::web) const HOOK_ADDED: &str = "The hook was added. The next push is built.";
pub(in crate::web) const HOOK_SAVED: &str = "Saved. It holds for the jobs made from now on.";
pub(in crate::web) const HOOK_DELETED: &str = "The hook was deleted.";
pub(in crate::web) const TAKEN_OVER: &str = "The project is yours now.";
pub(in crate::web) const KEY_REPAIRED: &str = "The deploy key was put right.";

/// The webhook at GitHub of the hook that has this title.
pub(in crate::web) fn hook_ensured(title: &str, ensured: &Ensured) -> String {
    match ensured {
        Ensured::AsItMustBe => format!("The webhook of `{title}` is as it must be."),
        Ensured::Made => format!("The webhook of `{title}` was made."),
        Ensured::Repaired(what) => {
            format!("The webhook of `{title}` was put right: {}.", what.join(", "))
        }
    }
}

pub(in crate::web) fn cache_folder_dropped(name: &str) -> String {
    format!("The cache folder {name} is dropped; the next job begins with an empty one.")
}

// Webhooks that are told of builds.
pub(in crate::web) const WEBHOOK_ADDED: &str =
    "The webhook is added. Send a test to see whether it arrives.";
pub(in crate::web) const WEBHOOK_REMOVED: &str = "The webhook is removed.";
pub(in crate::web) const WEBHOOK_TESTED: &str =
    "A test is on its way; load this page again to see what became of it.";
pub(in crate::web) const WEBHOOK_AGAIN: &str =
    "It is sent again; load this page again to see what became of it.";

// Secrets.
pub(in crate::web) fn secret_saved(name: &SecretName, is_new: bool) -> String {
    if is_new {
        format!("{name} is saved. Jobs that start from now on get it.")
    } else {
        format!("{name} has a new value. Jobs that start from now on get it.")
    }
}

pub(in crate::web) fn secret_removed(name: &str) -> String {
    format!("{name} is removed.")
}

/// Of a secret that was saved and is too short to be hidden.
pub(in crate::web) fn secret_not_masked() -> String {
    format!("It has fewer than {SHORTEST} characters, so logs show it: it is not masked.")
}

/// Some lines of a secret are too short to be hidden.
pub(in crate::web) fn secret_lines_not_masked(short: impl Display, lines: impl Display) -> String {
    format!(
        "{short} of its {lines} lines have fewer than {SHORTEST} characters; these are not \
         masked in logs."
    )
}

/// A secret is so short that other words may read like it.
pub(in crate::web) fn secret_found_by_chance(long_enough: usize) -> String {
    format!(
        "It has fewer than {long_enough} characters: whatever else reads like it is masked in \
         logs, too."
    )
}
