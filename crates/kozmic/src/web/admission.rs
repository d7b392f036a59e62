//! Whom the settings let in: by name, or because GitHub says that they are members
//! of an organization. A name is for the account that had it first.

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

/// Whether the settings mean this account, and not another that had its login before.
pub(super) async fn is_meant(
    app: &App,
    login: &str,
    gh_id: i64,
    login_means: Option<i64>,
) -> Result<bool, StoreError> {
    if !app.admission.names(login) {
        return Ok(false);
    }
    let meant = match login_means {
        Some(meant) => meant,
        None => app.store.login_named(login, gh_id, Timestamp::now()).await?,
    };
    Ok(meant == gh_id)
}

/// As what somebody is in.
pub(super) struct Admitted {
    pub(super) is_administrator: bool,
}

/// A user who signed in once; none: they may be in no more.
pub(super) async fn of(app: &App, user: &KnownUser) -> Result<Option<Admitted>, StoreError> {
    let is_meant = is_meant(app, &user.login, user.gh_id, user.login_means).await?;
    let is_in = is_meant || app.admission.is_open() || is_member(app, user).await?;
    let is_administrator = is_meant && app.admission.is_administrator(&user.login);
    Ok(is_in.then_some(Admitted { is_administrator }))
}

async fn is_member(app: &App, user: &KnownUser) -> Result<bool, StoreError> {
    let Some((organization, asked_at)) = &user.admitted_by else { return Ok(false) };
    if !app.admission.names_organization(organization) {
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
            (Some(organization.clone()), now.minus(spared))
        }
    };
    app.store.user_admitted(user.id, organization.as_deref(), asked_at).await?;
    Ok(organization.is_some())
}
