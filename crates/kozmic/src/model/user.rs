//! People, as GitHub names them.

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
