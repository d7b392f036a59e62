//! People, as GitHub names them, and what they are in a project.

use secrecy::SecretString;

use super::UserId;

/// A GitHub account as far as Kozmic keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubUser {
    pub gh_id: i64,
    pub login: String,
    /// The human-readable name; the login where GitHub has none.
    pub name: String,
    pub avatar_url: Option<String>,
    pub email: Option<String>,
}

/// Somebody in whose name GitHub can be asked. `Debug` does not show the token.
#[derive(Debug, Clone)]
pub struct TokenHolder {
    pub user: UserId,
    pub login: String,
    pub token: SecretString,
}

/// What a user is in a project. Each may do what those after it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Made the project; may delete it.
    Owner,
    /// May push on GitHub; configures, restarts and cancels.
    Manager,
    /// May only pull; views.
    Member,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Manager => "manager",
            Self::Member => "member",
        }
    }

    /// Whether it includes what takes `needed`.
    pub fn allows(self, needed: Self) -> bool {
        let rank = |role| match role {
            Self::Owner => 2,
            Self::Manager => 1,
            Self::Member => 0,
        };
        rank(self) >= rank(needed)
    }
}
