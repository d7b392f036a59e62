//! What went wrong, and what to do: pages of refusals, and what forms say when they did nothing.

use std::fmt::Display;

use crate::model::Role;

// Titles of pages that tell of a refusal.
pub(in crate::web) const NOT_SIGNED_IN: &str = "Not signed in";
pub(in crate::web) const NOT_FOUND: &str = "Not found";
pub(in crate::web) const NOT_UNDERSTOOD: &str = "Not understood";
pub(in crate::web) const NOT_ALLOWED: &str = "Not allowed";
pub(in crate::web) const NOT_NOW: &str = "Not possible now";
pub(in crate::web) const BROKE: &str = "Something broke here";
pub(in crate::web) const AWAY: &str = "Not here right now";
pub(in crate::web) const OTHER_METHOD: &str = "Not like this";
pub(in crate::web) const TOO_MUCH: &str = "Too much at once";
pub(in crate::web) const TOO_SLOW: &str = "Too slow";
pub(in crate::web) const NOT_IN_TIME: &str = "Not done in time";
pub(in crate::web) const TOO_OFTEN: &str = "Too often";

// Where such a page leads.
pub(in crate::web) const TO_SIGN_IN: &str = "Sign in";
pub(in crate::web) const TO_PROJECTS: &str = "To the projects";

// What it tells where no handler has said more.
pub(in crate::web) const WHY_BROKE: &str = "It was not your doing. Please try again; the administrator finds the reason in the server's \
     log, by the number of this request.";
pub(in crate::web) const WHY_AWAY: &str = "The database does not answer, so nothing can be shown or changed. Builds go on where they \
     can. Please try again in a minute; if that does not help, tell the administrator.";
pub(in crate::web) const WHY_OTHER_METHOD: &str = "This address takes another method than the one that was used. Go back to the page that you \
     came from, and use what is there.";
pub(in crate::web) const WHY_TOO_MUCH: &str =
    "What was sent is larger than what is taken here. Send less, or use the command line.";
pub(in crate::web) const WHY_NOT_FOUND: &str = "There is no such page.";
pub(in crate::web) const WHY_NOT_UNDERSTOOD: &str = "What was sent can't be understood.";

/// What is looked for and may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Thing {
    Artifact,
    Build,
    CacheFolder,
    Delivery,
    File,
    Hook,
    /// An older version of a hook.
    HookVersion,
    Job,
    /// To leave mails by.
    Link,
    Page,
    Project,
    /// Of a job.
    Service,
    Session,
    Test,
    Token,
    Webhook,
}

impl Thing {
    /// After "There is no such".
    pub(in crate::web) fn noun(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Build => "build",
            Self::CacheFolder => "cache folder",
            Self::Delivery => "delivery",
            Self::File => "file",
            Self::Hook => "hook",
            Self::HookVersion => "version of the hook",
            Self::Job => "job",
            Self::Link => "link",
            Self::Page => "page",
            Self::Project => "project",
            Self::Service => "service of this job",
            Self::Session => "session",
            Self::Test => "test",
            Self::Token => "token",
            Self::Webhook => "webhook",
        }
    }
}

pub(in crate::web) fn no_such(thing: Thing) -> String {
    format!("There is no such {}, or it was deleted.", thing.noun())
}

pub(in crate::web) fn no_page(path: &str) -> String {
    format!("There is no page {path}.")
}

/// In no build, or in none that passed.
pub(in crate::web) fn no_artifact(path: &str) -> String {
    format!("No build has an artifact {path}.")
}

pub(in crate::web) const NO_ARTIFACTS: &str = "This job has no artifacts.";
pub(in crate::web) const NO_TESTS: &str = "This job has no tests.";
pub(in crate::web) const NOTHING_BUILT: &str = "Nothing was built of this yet.";
pub(in crate::web) const NO_IMAGE: &str = "The job has no image of an install step, or none yet.";
pub(in crate::web) const BUILD_OVER: &str = "The build is over already.";
pub(in crate::web) const NO_REF: &str = "The form names no branch, tag or commit.";
pub(in crate::web) const NO_SECRET: &str = "There is no such secret any more.";
/// A repository, to whoever would turn it on.
pub(in crate::web) const NOT_OFFERED: &str = "It is not among the repositories that you administer, as far as GitHub has told. \
     Synchronize, and look again.";
pub(in crate::web) const GITHUB_SLOW: &str = "GitHub takes too long to tell; try again later.";
/// Of a log's search.
pub(in crate::web) const ERRORS_UNKNOWN: &str =
    "What reads like an error can't be looked for here; search for a text instead.";

/// After what came too often.
pub(in crate::web) fn again_in(sentence: &str, seconds: u64) -> String {
    format!("{sentence} Please try again in {seconds} s.")
}

pub(in crate::web) const SIGN_IN_TOO_OFTEN: &str = "More sign-ins came from your address than are taken in a minute. If many people share it, an \
     administrator may allow more (KOZMIC_SIGN_IN_RATE).";

/// So many a minute.
pub(in crate::web) fn api_too_often(rate: impl Display) -> String {
    format!("The API answers {rate} requests of a user in a minute (KOZMIC_API_RATE).")
}

/// As [`api_too_often`], to who sent no valid token.
pub(in crate::web) fn strangers_too_often(rate: impl Display) -> String {
    format!("More than {rate} requests without a valid token came from this address.")
}

/// As [`api_too_often`], to who did not sign rightly.
pub(in crate::web) fn deliveries_too_often(rate: impl Display) -> String {
    format!(
        "More than {rate} deliveries without a valid signature came from this address; those with \
         one are taken."
    )
}

// What took too long or was too much.
pub(in crate::web) fn not_done_within(seconds: u64) -> String {
    format!(
        "This was not done within {seconds} s. Part of it may be; look before you try it again. If \
         it happens again, the administrator finds more in the server's log, by the number of this \
         request."
    )
}

pub(in crate::web) fn not_there_within(seconds: u64) -> String {
    format!("What was sent was not there within {seconds} s. Please send it again.")
}

pub(in crate::web) const TOO_LARGE: &str = "What was sent is larger than what is taken here, 2 MiB, or was cut off. Send less, or use \
     the command line.";

// Who may not enter.
pub(in crate::web) const OTHER_SITE: &str = "This is not for pages of other sites.";
pub(in crate::web) const LOG_OTHER_SITE: &str = "This log is not for pages of other sites.";
pub(in crate::web) const ANONYMOUS: &str =
    "Sign in, or send an API token as `Authorization: Bearer …`.";
/// To a program.
pub(in crate::web) const NO_TOKEN: &str =
    "Send a token as `Authorization: Bearer …`; `kozmic token create` makes one.";
pub(in crate::web) const BAD_TOKEN: &str = "This token is unknown or has expired.";
pub(in crate::web) const TOKEN_NOT_ADMITTED: &str =
    "The settings of this server do not let the token's user in.";
pub(in crate::web) const TOKEN_ONLY_READS: &str =
    "This token may only read; make one that may write.";

/// To somebody who may see the project, but for this needs the role.
pub(in crate::web) fn reserved(needed: Role) -> &'static str {
    match needed {
        Role::Owner => "Only the owner of the project may do this.",
        Role::Manager => "Members may look; managers and the owner may change this.",
        Role::Member => "Only members of the project may see this.",
    }
}

pub(in crate::web) fn unknown_host(name: &str) -> String {
    format!(
        "This server does not answer to the name {name:?}. If it should, set KOZMIC_PUBLIC_URL."
    )
}

// What a form did not do.
pub(in crate::web) fn token_not_made(why: impl Display) -> String {
    ended(format!("The token was not made: {why}"))
}

pub(in crate::web) fn mails_not_chosen(why: impl Display) -> String {
    ended(format!("Nothing was saved: {why}"))
}

/// Continues [`mails_not_chosen`].
pub(in crate::web) const NO_CHOICE: &str = "the form has no choice";

pub(in crate::web) fn secret_not_saved(why: impl Display) -> String {
    ended(format!("The secret was not saved: {why}"))
}

pub(in crate::web) fn secret_not_removed(why: impl Display) -> String {
    ended(format!("The secret was not removed: {why}"))
}

/// Continues what a secret's form did not do.
pub(in crate::web) const HOOK_GONE: &str = "the hook is not there any more";

/// One that is to be told of builds.
pub(in crate::web) fn webhook_not_added(why: impl Display) -> String {
    ended(format!("The webhook was not added: {why}"))
}

/// The one at GitHub, of the hook with this title.
pub(in crate::web) fn hook_not_ensured(title: &str, why: impl Display) -> String {
    ended(format!("The webhook of `{title}`: {why}"))
}

pub(in crate::web) fn key_not_ensured(why: impl Display) -> String {
    ended(format!("The deploy key: {why}"))
}

pub(in crate::web) fn hook_not_added(why: impl Display) -> String {
    ended(format!("The hook was not added: {why}"))
}

pub(in crate::web) fn hook_not_changed(why: impl Display) -> String {
    ended(format!("The hook was not changed: {why}"))
}

pub(in crate::web) fn hook_changed_meanwhile(by: impl Display, action: impl Display) -> String {
    format!(
        "The hook was not changed: {by} {action} it after you had opened this form. What they \
         changed is listed below; what you wrote is still in the form. Save it once more to put \
         it in place of theirs."
    )
}

pub(in crate::web) fn hook_not_deleted(why: impl Display) -> String {
    ended(format!("The hook was not deleted: {why}"))
}

pub(in crate::web) fn hook_not_tried(why: impl Display) -> String {
    ended(format!("It was not tried: {why}"))
}

pub(in crate::web) fn not_turned_on(repository: impl Display, why: impl Display) -> String {
    ended(format!("{repository} was not turned on: {why}"))
}

/// GitHub asks for patience.
pub(in crate::web) fn nothing_changed(why: impl Display) -> String {
    format!("{why}. Nothing was changed; try again later.")
}

pub(in crate::web) fn project_not_deleted(why: impl Display) -> String {
    ended(format!("The project was not deleted: {why}"))
}

/// Continues [`project_not_deleted`].
pub(in crate::web) fn type_to_delete(full_name: &str) -> String {
    format!("type {full_name} to delete it.")
}

// An option of a project that was not understood.
pub(in crate::web) fn bad_days(why: impl Display) -> String {
    ended(format!("The days for which logs are kept: {why}"))
}

pub(in crate::web) fn bad_size(why: impl Display) -> String {
    ended(format!("The size of all logs: {why}"))
}

pub(in crate::web) fn bad_at_once(why: impl Display) -> String {
    ended(format!("Its jobs at once: {why}"))
}

/// An error's words as a sentence.
pub(in crate::web) fn sentence(error: impl Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    ended(format!("{first}{}", letters.as_str()))
}

/// Errors have no full stop, and what the store refuses has one.
fn ended(mut text: String) -> String {
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_ends_once() {
        assert_eq!(hook_not_added("it is full."), "The hook was not added: it is full.");
        assert_eq!(hook_not_added("it is full"), "The hook was not added: it is full.");
        assert_eq!(sentence("écrit à moitié"), "Écrit à moitié.");
    }
}
