//! `pulls`. Follows <https://docs.github.com/rest/pulls/pulls>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    answer::{Answer, Caller, Refusal, flag, object, repository, text},
    page::Page,
};
use crate::{
    app::App,
    events, shape,
    state::{
        Invalid,
        pull_requests::PullRequest,
        repositories::{Repository, Role},
    },
};

const DOCUMENTATION: &str = "https://docs.github.com/rest/pulls/pulls#create-a-pull-request";
const RESOURCE: &str = "PullRequest";

/// `state`, `head`, `base` and `direction` work as documented; all sorting is by creation.
pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let state = page.parameter("state").unwrap_or("open");
    if !["open", "closed", "all"].contains(&state) {
        return Err(Invalid::field(RESOURCE, "state", "invalid").into());
    }
    let shapes: Vec<Value> = {
        let world = app.world();
        let head_label = |pull: &PullRequest| {
            let head = world.repositories.by_id(pull.head_repository);
            let owner = head.map(|head| head.owner_login.as_str()).unwrap_or_default();
            format!("{owner}:{}", pull.head)
        };
        let wanted = |pull: &&PullRequest| {
            (state == "all" || pull.open == (state == "open"))
                && page.parameter("base").is_none_or(|base| base == pull.base)
                && page.parameter("head").is_none_or(|head| head == head_label(pull))
        };
        let mut pulls: Vec<_> = world.pull_requests.of(found.id).filter(wanted).collect();
        if page.parameter("direction") != Some("asc") {
            pulls.reverse();
        }
        let simple = |pull| shape::pull_request::simple(&world, pull);
        pulls.into_iter().map(simple).collect()
    };
    Ok(page.answer(&app, &shapes))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, number)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let world = app.world();
    let pull = world.pull_requests.get(found.id, number).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::pull_request::full(&world, pull)).into_response())
}

/// The files it changes since its branch and its base parted; GitHub lists 3,000 at most.
pub(crate) async fn files(
    State(app): State<App>,
    Path((owner, name, number)): Path<(String, String, u64)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let pull = {
        let world = app.world();
        world.pull_requests.get(found.id, number).cloned().ok_or_else(Refusal::not_found)?
    };
    let bare = app.bare(&found);
    let parting = bare.merge_base(&pull.base_sha, &pull.head_sha).await?;
    let mut files = match parting {
        Some(parting) => bare.files_between(&parting, &pull.head_sha).await?,
        None => Vec::new(),
    };
    files.truncate(3000);
    let (html, api) = {
        let world = app.world();
        let name = found.full_name();
        (format!("{}/{name}", world.base), format!("{}/repos/{name}", shape::api(&world)))
    };
    let entry = |file| shape::commit::diff_entry(&html, &api, &pull.head_sha, file);
    Ok(page.answer(&app, &files.iter().map(entry).collect::<Vec<_>>()))
}

/// Opens a pull request, makes `refs/pull/<n>/head` and tells about it.
pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let author = caller.required()?;
    let base = repository(&app, &caller, &owner, &name, Role::Read)?;
    let body = object(&body)?;
    let wanted = Wanted::read(&body)?;
    let (head, head_branch) = head_of(&app, &base, &wanted)?;
    let (head_bare, base_bare) = (app.bare(&head), app.bare(&base));
    let invalid = |field| refused(Invalid::field(RESOURCE, field, "invalid"));
    let head_sha = head_bare
        .verify(&format!("refs/heads/{head_branch}"))
        .await?
        .ok_or_else(|| invalid("head"))?;
    let base_sha = base_bare
        .verify(&format!("refs/heads/{}", wanted.base))
        .await?
        .ok_or_else(|| invalid("base"))?;
    base_bare.fetch(&head_bare, &[&head_sha]).await?;
    let size = base_bare.size_of_change(&base_sha, &head_sha).await?;
    if size.commits == 0 {
        let text = format!("No commits between {} and {}", wanted.base, wanted.head);
        return Err(refused(Invalid::custom(RESOURCE, text)));
    }
    let pull = {
        let mut world = app.world();
        let pulls = &world.pull_requests;
        if pulls.open_between(base.id, &wanted.base, head.id, &head_branch).is_some() {
            let label = format!("{}:{head_branch}", head.owner_login);
            let text = format!("A pull request already exists for {label}.");
            return Err(refused(Invalid::custom(RESOURCE, text)));
        }
        let now = Timestamp::now();
        let pull = PullRequest {
            id: world.next_id(),
            number: world.pull_requests.next_number(base.id),
            base_repository: base.id,
            base: wanted.base,
            base_sha,
            head_repository: head.id,
            head: head_branch,
            head_sha: head_sha.clone(),
            title: wanted.title,
            body: wanted.body,
            draft: wanted.draft,
            author,
            open: true,
            size,
            created_at: now,
            updated_at: now,
            closed_at: None,
            merged: None,
        };
        world.pull_requests.add(pull.clone());
        pull
    };
    let reference = format!("refs/pull/{}/head", pull.number);
    base_bare.set(&reference, &head_sha).await?;
    events::tell_about(&app, &pull, "opened", author, json!({}));
    let shape = shape::pull_request::full(&app.world(), &pull);
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

/// Changes title, body or state; a change of base is not offered.
pub(crate) async fn change(
    State(app): State<App>,
    Path((owner, name, number)): Path<(String, String, u64)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let actor = caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let pull = {
        let world = app.world();
        let pull = world.pull_requests.get(found.id, number);
        pull.cloned().ok_or_else(Refusal::not_found)?
    };
    if pull.author != actor && app.world().role(&found, Some(actor)) < Some(Role::Write) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "Must have push access to the repository or be the author of the pull request.",
        ));
    }
    let body = object(&body)?;
    edit(&app, &pull, actor, &body)?;
    match text(&body, RESOURCE, "state")?.as_deref() {
        None => {}
        Some("closed") => events::close(&app, &pull, actor, None),
        Some("open") => reopen(&app, &pull, actor).await?,
        Some(_) => return Err(Invalid::field(RESOURCE, "state", "invalid").into()),
    }
    let world = app.world();
    let pull = world.pull_requests.get(found.id, number);
    let pull = pull.ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::pull_request::full(&world, pull)).into_response())
}

fn edit(
    app: &App,
    pull: &PullRequest,
    actor: u64,
    body: &Map<String, Value>,
) -> Result<(), Refusal> {
    let title = text(body, RESOURCE, "title")?.filter(|title| *title != pull.title);
    let text = text(body, RESOURCE, "body")?.filter(|text| Some(text) != pull.body.as_ref());
    let mut changes = json!({});
    {
        let mut world = app.world();
        let known = world
            .pull_requests
            .get_mut(pull.base_repository, pull.number)
            .ok_or_else(Refusal::not_found)?;
        if let Some(title) = title {
            changes["title"] = json!({"from": known.title});
            known.title = title;
        }
        if let Some(text) = text {
            changes["body"] = json!({"from": known.body.clone().unwrap_or_default()});
            known.body = Some(text);
        }
        known.updated_at = Timestamp::now();
    }
    if changes != json!({}) {
        events::tell_about(app, pull, "edited", actor, json!({"changes": changes}));
    }
    Ok(())
}

/// The head branch may have moved while the request was closed; it comes back where that is now.
async fn reopen(app: &App, pull: &PullRequest, actor: u64) -> Result<(), Refusal> {
    if pull.open {
        return Ok(());
    }
    let cannot = |why: &str| {
        let text = format!("state cannot be changed. {why}");
        Refusal::from(Invalid::field(RESOURCE, "state", "custom").with_message(text))
    };
    if pull.merged.is_some() {
        return Err(cannot("The pull request was merged."));
    }
    if !events::follow_head(app, pull).await? {
        return Err(cannot(&format!("The {} branch was deleted.", pull.head)));
    }
    {
        let mut world = app.world();
        let known = world
            .pull_requests
            .get_mut(pull.base_repository, pull.number)
            .ok_or_else(Refusal::not_found)?;
        known.reopen(Timestamp::now());
    }
    events::tell_about(app, pull, "reopened", actor, json!({}));
    Ok(())
}

struct Wanted {
    title: String,
    body: Option<String>,
    head: String,
    base: String,
    draft: bool,
}

impl Wanted {
    fn read(body: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut missing = Vec::new();
        let mut required = |field| -> Result<String, Refusal> {
            let value = text(body, RESOURCE, field)?.unwrap_or_default();
            if value.is_empty() {
                missing.push(Invalid::field(RESOURCE, field, "missing_field"));
            }
            Ok(value)
        };
        let (title, head, base) = (required("title")?, required("head")?, required("base")?);
        if !missing.is_empty() {
            return Err(Refusal::invalid(missing).see(DOCUMENTATION));
        }
        Ok(Self {
            title,
            body: text(body, RESOURCE, "body")?,
            head,
            base,
            draft: flag(body, RESOURCE, "draft")?.unwrap_or(false),
        })
    }
}

/// `branch` is in the base repository, `owner:branch` in that owner's fork of it.
fn head_of(app: &App, base: &Repository, wanted: &Wanted) -> Result<(Repository, String), Refusal> {
    let Some((owner, branch)) = wanted.head.split_once(':') else {
        return Ok((base.clone(), wanted.head.clone()));
    };
    app.world()
        .repositories
        .in_network(base, owner)
        .map(|found| (found.clone(), branch.to_owned()))
        .ok_or_else(|| refused(Invalid::field(RESOURCE, "head", "invalid")))
}

fn refused(invalid: Invalid) -> Refusal {
    Refusal::from(invalid).see(DOCUMENTATION)
}
