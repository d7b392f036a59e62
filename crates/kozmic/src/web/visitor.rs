//! Who asks, and what they are in the project of the route. The gate finds it
//! out once for each request (see `gate`); handlers take it as an argument.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::PageError;
use super::{App, AppParts};
use crate::model::{Actor, Role, SessionId, TokenScope, UserId, Via};
use crate::store::{KnownUser, Listed, Project, TokenUse};
use crate::upkeep::Upkeep;

/// Somebody who is known, by a session or a token. As an argument of a handler it
/// needs a route that is not for anyone.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: UserId,
    pub(super) login: String,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) is_administrator: bool,
    /// How they came.
    pub(super) via: Via,
    /// None with a token.
    pub(super) session: Option<SessionId>,
    /// What the token may be used for.
    pub(super) token: Option<TokenScope>,
}

impl Account {
    pub(super) fn by_session(user: KnownUser, is_administrator: bool, id: SessionId) -> Self {
        Self { session: Some(id), ..Self::new(user, is_administrator, Via::Session(id)) }
    }

    pub(super) fn by_token(used: TokenUse, is_administrator: bool) -> Self {
        let TokenUse { id, user, scope } = used;
        Self { token: Some(scope), ..Self::new(user, is_administrator, Via::Token(id)) }
    }

    fn new(user: KnownUser, is_administrator: bool, via: Via) -> Self {
        let KnownUser { id, login, name, email, .. } = user;
        Self { id, login, name, email, is_administrator, via, session: None, token: None }
    }
}

/// Whoever asks; none: nobody that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Visitor(pub(super) Option<Account>);

impl Visitor {
    /// The projects that lists show them.
    pub(super) fn projects(&self) -> Listed {
        match &self.0 {
            Some(account) if account.is_administrator => Listed::All,
            Some(account) => Listed::Of(account.id),
            None => Listed::VisibleToAll,
        }
    }
}

/// The project that a route's path leads to, and what the visitor is in it. As an
/// argument it needs a route for members, managers or the owner.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) project: Project,
    /// An administrator is what the owner is; none: the project is visible to all.
    pub(super) role: Option<Role>,
}

impl Access {
    pub(super) fn may_manage(&self) -> bool {
        self.role.is_some_and(|role| role.allows(Role::Manager))
    }
}

/// What the gate put there; a route that was declared otherwise has none.
fn from_gate<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<T, PageError> {
    parts.extensions.get::<T>().cloned().ok_or_else(|| {
        tracing::error!(path = parts.uri.path(), "the route is declared for others than it serves");
        PageError::Internal
    })
}

impl<S: Sync> FromRequestParts<S> for Account {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        from_gate(parts)
    }
}

/// The server in the hands of whoever asks: what is changed with it is written into the
/// audit log as theirs. Every handler that changes something takes it, and no `State`.
pub(super) struct Acting(pub(super) App);

impl FromRequestParts<App> for Acting {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, PageError> {
        Ok(Self(app.by(from_gate(parts)?)))
    }
}

impl App {
    pub(super) fn by(&self, actor: Actor) -> Self {
        let store = self.store.by(actor);
        let upkeep = Upkeep { store: store.clone(), ..self.upkeep.clone() };
        Self::new(AppParts { store, upkeep, ..AppParts::clone(self) })
    }
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PageError> {
        from_gate(parts)
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().cloned()))
    }
}
