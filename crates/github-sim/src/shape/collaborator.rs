//! `collaborator` and `repository-collaborator-permission`.

use serde_json::{Value, json};

use super::{extend, repository::permissions, user};
use crate::state::{World, access::Collaborator, repositories::Role};

/// `collaborator`. Follows <https://docs.github.com/rest/collaborators/collaborators>.
pub(crate) fn collaborator(world: &World, one: &Collaborator) -> Value {
    with_role(user::by_id(world, one.user), Some(one.role))
}

/// `repository-collaborator-permission`; `maintain` and `triage` are shown as what they contain.
pub(crate) fn permission(world: &World, id: u64, role: Option<Role>) -> Value {
    let permission = match role {
        None => "none",
        Some(Role::Read | Role::Triage) => "read",
        Some(Role::Write | Role::Maintain) => "write",
        Some(Role::Admin) => "admin",
    };
    json!({
        "permission": permission,
        "role_name": role.map_or("none", Role::name),
        "user": with_role(user::by_id(world, id), role),
    })
}

fn with_role(mut shape: Value, role: Option<Role>) -> Value {
    let name = role.map_or("none", Role::name);
    extend(&mut shape, json!({"permissions": permissions(role), "role_name": name}));
    shape
}
