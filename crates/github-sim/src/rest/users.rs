//! `/user`. Follows <https://docs.github.com/rest/users/users>.

use axum::{Json, extract::State, response::IntoResponse};

use super::answer::{Answer, Caller, Refusal};
use crate::{app::App, shape};

pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Answer {
    let id = caller.required()?;
    let world = app.world();
    let user = world.users.by_id(id).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::user::private(&world, user)).into_response())
}
