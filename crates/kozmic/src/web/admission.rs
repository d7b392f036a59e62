//! Whom the settings let in: by name, or because GitHub says that they are members
//! of an organization.

use std::time::Duration;

use secrecy::SecretString;

use super::App;
use crate::github::GithubError;
use crate::model::Timestamp;
use crate::store::{KnownUser, StoreError};

/// What GitHub said of a membership counts for so long.
const MEMBERSHIP_COUNTS: Duration = Duration::from_hours(24);
/// When GitHub could not be asked, the next attempt is so much later.
const NEXT_ATTEMPT: Duration = Duration::from_hours(1);

/// The first of the allowed organizations that the token's user is a member of.
pub(super) async fn organization_of(
    app: &App,
    token: &SecretString,
) -> Result<Option<String>, GithubError> {
    for organization in app.admission.organizations() {
        if app.github.is_member(token, organization).await? {
            return Ok(Some(organization.clone()));
        }
    }
    Ok(None)
}

/// Whether a user who signed in once may still be in.
pub(super) async fn holds(app: &App, user: &KnownUser) -> Result<bool, StoreError> {
    if app.admission.knows(&user.login) {
        return Ok(true);
    }
    let Some((organization, asked_at)) = &user.admitted_by else { return Ok(false) };
    if !app.admission.holds(&user.login, Some(organization)) {
        return Ok(false);
    }
    let now = Timestamp::now();
    if now.since(*asked_at) < MEMBERSHIP_COUNTS {
        return Ok(true);
    }
    let known = app.store.user(user.id).await?;
    let Some(token) = known.and_then(|known| known.token) else { return Ok(false) };
    let (organization, asked_at) = match organization_of(app, &token).await {
        Ok(organization) => (organization, now),
        Err(GithubError::BadToken { .. }) => (None, now),
        // Nobody is locked out because GitHub is away.
        Err(error) => {
            tracing::warn!(login = user.login, %error, "a membership could not be asked for");
            let spared = MEMBERSHIP_COUNTS.saturating_sub(NEXT_ATTEMPT);
            let at = Timestamp(now.0 - i64::try_from(spared.as_millis()).unwrap_or(0));
            (Some(organization.clone()), at)
        }
    };
    app.store.user_admitted(user.id, organization.as_deref(), asked_at).await?;
    Ok(organization.is_some())
}
