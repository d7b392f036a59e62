//! What GitHub tells of a user to whoever has their token.

use secrecy::SecretString;
use serde::Deserialize;

use super::client::{Client, Result};
use super::error::GithubError;

impl Client {
    /// "List email addresses for the authenticated user": the primary one, if it is
    /// verified. It is among the first hundred.
    pub async fn primary_email(&self, token: &SecretString) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Address {
            email: String,
            primary: bool,
            verified: bool,
        }
        let addresses: Vec<Address> = self.get(token, "/user/emails?per_page=100").await?;
        let primary = addresses.into_iter().find(|address| address.primary && address.verified);
        Ok(primary.map(|address| address.email))
    }

    /// "Get an organization membership for the authenticated user": whether it is an
    /// active one. An invitation that was not accepted yet is none.
    pub async fn is_member(&self, token: &SecretString, organization: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Membership {
            state: String,
        }
        let call = format!("/user/memberships/orgs/{organization}");
        match self.get::<Membership>(token, &call).await {
            Ok(membership) => Ok(membership.state == "active"),
            // 403: the organization does not let this OAuth app see its members.
            Err(GithubError::NotFound { .. } | GithubError::Refused { status: 403, .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
