//! Plain answers to programs that are not asked through the API: GitHub shows the ones of a
//! delivery beside it, and operators read the others.

use std::fmt::Display;

// To a delivery.
pub(in crate::web) const NOT_STORED: &str =
    "The delivery could not be stored; please redeliver it.";
pub(in crate::web) const NO_HOOK: &str = "There is no such hook.";
pub(in crate::web) const TOO_SLOW: &str =
    "The delivery was not there within 10 seconds; please redeliver it.";
pub(in crate::web) const TOO_LARGE: &str = "The delivery is larger than 25 MB, or was cut off.";
pub(in crate::web) const NO_HEADERS: &str = "X-GitHub-Event or X-GitHub-Delivery is missing.";
pub(in crate::web) const NOT_UTF8: &str = "The payload is not UTF-8.";
pub(in crate::web) const NOT_JSON: &str = "Set the webhook's content type to application/json.";

pub(in crate::web) fn refused(why: impl Display) -> String {
    format!("Refused: {why}.")
}

// To whoever watches the server.
pub(in crate::web) const METRICS_CLOSED: &str = "Metrics are for who asks from this machine. From elsewhere, send the value of \
     KOZMIC_METRICS_TOKEN, or an administrator's API token, as `Authorization: Bearer …`.\n";
pub(in crate::web) const STORE_AWAY: &str = "The store does not answer.\n";

pub(in crate::web) fn not_ready(lacks: &[&str]) -> String {
    format!("not ready: {}\n", lacks.join(", "))
}
