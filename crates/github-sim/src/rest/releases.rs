//! `POST releases`. Follows <https://docs.github.com/rest/releases/releases#create-a-release>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::answer::{Answer, Caller, Refusal, flag, object, repository, text};
use crate::{
    app::App,
    events,
    shape::{self, release::Release},
    state::{Invalid, repositories::Role},
};

const RESOURCE: &str = "Release";

/// Makes a release, and its tag when there is none yet; publishes it unless it is a draft.
pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let author = caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Write)?;
    let body = object(&body)?;
    let tag = text(&body, RESOURCE, "tag_name")?
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Refusal::from(Invalid::field(RESOURCE, "tag_name", "missing_field")))?;
    let target = text(&body, RESOURCE, "target_commitish")?;
    let target = target.unwrap_or_else(|| found.default_branch.clone());
    let is_draft = flag(&body, RESOURCE, "draft")?.unwrap_or(false);
    let release = Release {
        id: app.world().next_id(),
        name: text(&body, RESOURCE, "name")?,
        body: text(&body, RESOURCE, "body")?,
        draft: is_draft,
        prerelease: flag(&body, RESOURCE, "prerelease")?.unwrap_or(false),
        target,
        tag,
        author,
        at: Timestamp::now(),
    };
    if !is_draft {
        let bare = app.bare(&found);
        let _one_at_a_time = found.receiving.lock().await;
        if bare.reference(&format!("tags/{}", release.tag)).await?.is_none() {
            let before = bare.refs().await?;
            let sha = bare.commit_of(&release.target).await?.ok_or_else(|| {
                Refusal::from(Invalid::field(RESOURCE, "target_commitish", "invalid"))
            })?;
            bare.set(&format!("refs/tags/{}", release.tag), &sha).await?;
            let after = bare.refs().await?;
            events::refs_changed(&app, found.id, author, &before, &after).await?;
        }
        let last = if release.prerelease { "prereleased" } else { "released" };
        for action in ["created", "published", last] {
            let payload = shape::release::payload(&app.world(), &found, action, &release);
            app.tell(found.id, "release", Some(action), &payload);
        }
    }
    let shape = shape::release::release(&app.world(), &found, &release);
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}
