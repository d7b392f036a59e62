//! The repositories that somebody may turn into projects.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{Page, Sidebar, Time, render};
use super::visitor::{Account, Acting, Visitor};
use super::words::problems;
use crate::model::{FullName, ProjectId, Timestamp};
use crate::store::Offer;
use crate::upkeep::UpkeepError;

/// What GitHub told longer ago than this is asked for again, in milliseconds.
const STALE: i64 = 60 * 60 * 1_000;
/// A page waits for GitHub no longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "repositories.html")]
struct RepositoriesPage {
    sidebar: Sidebar,
    /// By owner; those that somebody looks for.
    owners: Vec<(String, Vec<Offer>)>,
    /// Of how many.
    total: usize,
    query: String,
    synchronized: Option<Time>,
    trouble: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// What names are to have.
    #[serde(default)]
    q: String,
}

/// Asks GitHub first when nobody has for a while.
pub(super) async fn list(
    State(app): State<App>,
    account: Account,
    Query(wanted): Query<Wanted>,
) -> Page {
    let offers = app.store.offers(account.id).await?;
    let now = Timestamp::now();
    let is_stale = offers.synchronized_at.is_none_or(|at| now.0 - at.0 > STALE);
    let trouble = if is_stale { synchronize(&app, &account).await } else { None };
    page(&app, account, trouble, &wanted.q).await
}

/// Shows the list again, or what kept GitHub from telling.
pub(super) async fn sync(Acting(app): Acting, account: Account) -> Result<Response, PageError> {
    Ok(match synchronize(&app, &account).await {
        None => Redirect::to("/repositories/").into_response(),
        trouble => page(&app, account, trouble, "").await?.into_response(),
    })
}

/// Turns one on; its first hook comes next.
pub(super) async fn on(
    Acting(app): Acting,
    account: Account,
    Path(gh_id): Path<i64>,
) -> Result<Response, PageError> {
    match turned_on(&app, &account, gh_id).await? {
        (_, Ok(project)) => {
            Ok(Redirect::to(&format!("/projects/{project}/hooks/add/")).into_response())
        }
        (name, Err(error)) => {
            let trouble = problems::not_turned_on(name, told(error)?);
            Ok(page(&app, account, Some(trouble), "").await?.into_response())
        }
    }
}

/// One that the user administers becomes a project: its name, and the project.
pub(super) async fn turned_on(
    app: &App,
    account: &Account,
    gh_id: i64,
) -> Result<(FullName, Result<ProjectId, UpkeepError>), PageError> {
    let Some(Offer { full_name, .. }) = app.store.offer(account.id, gh_id).await? else {
        return Err(PageError::NotFound(problems::NOT_OFFERED.into()));
    };
    let turned_on = app.upkeep.turn_on(account.id, &full_name).await.map(|turned_on| {
        let project = turned_on.project;
        for trouble in turned_on.troubles {
            tracing::warn!(%project, trouble, "GitHub did not tell all of a new project");
        }
        project
    });
    Ok((full_name, turned_on))
}

async fn page(app: &App, account: Account, trouble: Option<String>, query: &str) -> Page {
    let offers = app.store.offers(account.id).await?;
    let now = Timestamp::now();
    let query = query.trim();
    let total = offers.by_owner.iter().map(|(_, offers)| offers.len()).sum();
    let mut owners = offers.by_owner;
    for (_, offers) in &mut owners {
        offers.retain(|offer| has(&offer.full_name.to_string(), query));
    }
    owners.retain(|(_, offers)| !offers.is_empty());
    render(&RepositoriesPage {
        sidebar: Sidebar::load(app, &Visitor(Some(account)), None).await?,
        synchronized: offers.synchronized_at.map(|at| Time::new(at, now)),
        owners,
        total,
        query: query.to_owned(),
        trouble,
    })
}

/// As `static/repositories.js` has it: in any case.
fn has(name: &str, query: &str) -> bool {
    name.to_lowercase().contains(&query.to_lowercase())
}

/// What kept GitHub from telling, if anything did.
pub(super) async fn synchronize(app: &App, account: &Account) -> Option<String> {
    match tokio::time::timeout(PATIENCE, app.upkeep.synchronize_user(account.id)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(problems::GITHUB_SLOW.into()),
    }
}

/// What went wrong, in words for the visitor; what is ours to mend stays here.
pub(super) fn told(error: UpkeepError) -> Result<String, PageError> {
    match error {
        UpkeepError::Store(error) => error.refusal().map_err(PageError::from),
        UpkeepError::MakeKey(_) | UpkeepError::Seal(_) => {
            Err(PageError::internal("upkeep", &error))
        }
        UpkeepError::Github(error) if error.retry_after().is_some() => {
            Ok(problems::nothing_changed(error))
        }
        UpkeepError::Github(_) | UpkeepError::Key(_) | UpkeepError::Refused(_) => {
            Ok(error.to_string())
        }
    }
}
