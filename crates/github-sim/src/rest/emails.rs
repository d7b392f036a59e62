//! `/user/emails`. Follows <https://docs.github.com/rest/users/emails>.

use axum::extract::State;
use serde_json::json;

use super::{
    answer::{Answer, Caller, Refusal},
    page::Page,
};
use crate::app::App;

/// A real address, the primary one, and the address that GitHub made up.
pub(crate) async fn mine(State(app): State<App>, caller: Caller, page: Page) -> Answer {
    let id = caller.required()?;
    let (login, made_up) = {
        let world = app.world();
        let user = world.users.by_id(id).ok_or_else(Refusal::not_found)?;
        (user.login.to_lowercase(), user.email())
    };
    let address = |email: String, primary: bool| {
        let visibility = primary.then_some("private");
        json!({"email": email, "primary": primary, "verified": true, "visibility": visibility})
    };
    let shapes = [address(made_up, false), address(format!("{login}@example.org"), true)];
    Ok(page.answer(&app, &shapes))
}
