//! The audit log's words: who changed what, and how they came. The list of actions is
//! closed, so that what is looked for later is written in one way only.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::{Invalid, ProjectId, SessionId, TokenId, UserId};

/// How somebody came to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Kozmic decided it.
    Itself,
    /// A command on the server's machine.
    Cli,
    /// A browser that is signed in.
    Session(SessionId),
    Token(TokenId),
    /// A request of nobody who is known; signing in begins so.
    Request,
}

impl Via {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "kozmic",
            Self::Cli => "cli",
            Self::Session(_) => "session",
            Self::Token(_) => "token",
            Self::Request => "request",
        }
    }

    /// Which session or which token.
    pub fn number(self) -> Option<i64> {
        match self {
            Self::Session(SessionId(id)) | Self::Token(TokenId(id)) => Some(id),
            Self::Itself | Self::Cli | Self::Request => None,
        }
    }
}

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    pub user: Option<UserId>,
    /// A login as it is now, `kozmic`, `cli:` and the user of the machine, or `nobody`.
    pub name: String,
    pub via: Via,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

impl Actor {
    pub fn kozmic() -> Self {
        Self { user: None, name: "kozmic".into(), via: Via::Itself, address: None }
    }

    /// `user` is who runs the command, on the server's machine.
    pub fn cli(user: &str) -> Self {
        Self { user: None, name: format!("cli:{user}"), via: Via::Cli, address: None }
    }

    pub fn nobody(address: Option<IpAddr>) -> Self {
        Self { user: None, name: "nobody".into(), via: Via::Request, address }
    }

    pub fn person(id: UserId, login: &str, via: Via, address: Option<IpAddr>) -> Self {
        Self { user: Some(id), name: login.to_owned(), via, address }
    }
}

/// Declares the list once: the actions, how each is kept, and how it reads after the name
/// of who did it.
macro_rules! actions {
    ($($name:ident $word:literal $sentence:literal,)+) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($name,)+
        }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As it is kept, and as programs read it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// For people: it follows the name of who did it.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

actions! {
    SignedIn "sign-in" "signed in",
    SignInRefused "sign-in.refused" "was not let in",
    SignedOut "sign-out" "signed out",
    SessionEnded "session.ended" "ended a session",
    UserSynchronized "user.synchronized" "compared what they may see with GitHub",
    TokenMade "token.made" "made an API token",
    TokenRevoked "token.revoked" "revoked an API token",
    ProjectAdded "project.added" "turned a project on",
    ProjectAbandoned "project.abandoned" "took back a project that could not work",
    ProjectChanged "project.changed" "took over what GitHub says of a project",
    ProjectOptions "project.options" "changed the options of a project",
    ProjectSynchronized "project.synchronized" "compared a project with GitHub",
    ProjectTakenOver "project.taken-over" "became the owner of a project",
    ProjectDeleted "project.deleted" "deleted a project",
    MemberSet "member.set" "gave a role to somebody",
    MemberRemoved "member.removed" "took the role of somebody",
    DeployKeyMade "deploy-key.made" "made a deploy key",
    DeployKeyRemoved "deploy-key.removed" "removed a deploy key",
    HookAdded "hook.added" "added a hook",
    HookConnected "hook.connected" "made the webhook of a hook",
    HookAbandoned "hook.abandoned" "took back a hook without a webhook",
    HookEdited "hook.edited" "changed a hook",
    HookDeleted "hook.deleted" "deleted a hook",
    HooksEnsured "hooks.ensured" "put the webhooks right",
    SecretSet "secret.set" "set a secret",
    SecretRemoved "secret.removed" "removed a secret",
    WebhookAdded "webhook.added" "added a webhook that tells of builds",
    WebhookRemoved "webhook.removed" "removed a webhook that tells of builds",
    MailChosen "mail.chosen" "chose which mails of builds to get",
    BuildStarted "build.started" "started a build",
    BuildTried "build.tried" "tried a change",
    BuildApproved "build.approved" "approved a build of a fork",
    BuildRestarted "build.restarted" "ran a build again",
    JobCancelled "job.cancelled" "cancelled a job",
    JobRestarted "job.restarted" "ran a job again",
    ShellOpened "shell.opened" "opened a shell in a failed job",
    ContainerPulled "container.pulled" "took the container of a failed job home",
    ImageDropped "image.dropped" "dropped a cached image",
    CacheFolderDropped "cache-folder.dropped" "dropped a cache folder",
    LogRemoved "log.removed" "removed a log",
    ArtifactsRemoved "artifacts.removed" "removed the artifacts of a job",
    DiskTidied "disk.tidied" "made room on a disk",
    DatabaseMigrated "database.migrated" "brought the database up to date",
    DatabaseMoved "database.moved" "copied everything here from another database",
    BackupMade "backup.made" "made a backup of everything",
    BackupRestored "backup.restored" "restored everything from a backup",
    KeyRotated "secret-key.rotated" "changed the key that secrets are sealed with",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.iter().copied().find(|action| action.as_str() == text);
        found.ok_or_else(|| Invalid::new(format!("`{text}` is no action of the audit log")))
    }
}

/// Something that was done, to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub action: Action,
    pub project: Option<ProjectId>,
    /// What kind of thing it was done to: `hook`, `job`, `token`.
    pub kind: &'static str,
    pub id: Option<i64>,
    /// Of the thing, as people know it.
    pub name: String,
    /// What else is worth knowing. Never a secret.
    pub details: Map<String, Value>,
}

impl Event {
    pub fn of(
        action: Action,
        kind: &'static str,
        id: Option<i64>,
        name: impl fmt::Display,
    ) -> Self {
        let details = Map::new();
        Self { action, project: None, kind, id, name: name.to_string(), details }
    }

    #[must_use]
    pub fn in_project(self, project: ProjectId) -> Self {
        Self { project: Some(project), ..self }
    }

    /// One more detail; null says nothing and is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.details.insert(name.to_owned(), value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_is_kept_in_a_word_of_its_own() {
        let words: BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(action.as_str().parse::<Action>().as_ref(), Ok(action));
        }
        assert!("project.exploded".parse::<Action>().is_err());
    }
}
