//! What administrators read: versions, and how a change came about.

pub(in crate::web) const PRODUCT: &str = "Kozmic";
pub(in crate::web) const DATABASE: &str = "Database";
pub(in crate::web) const SCHEMA: &str = "Schema";

/// The way on which a change was asked for, as the audit log has it.
pub(in crate::web) fn came(via: &str, id: Option<i64>) -> String {
    match (via, id) {
        ("session", _) => "in a browser".to_owned(),
        ("token", Some(id)) => format!("with token {id}"),
        ("cli", _) => "on the server’s machine".to_owned(),
        ("kozmic", _) => "by itself".to_owned(),
        _ => String::new(),
    }
}

/// The address that it came from.
pub(in crate::web) fn from(address: &str) -> String {
    format!("from {address}")
}
