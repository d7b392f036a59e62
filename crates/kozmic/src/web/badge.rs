//! The badge: the status of a ref's latest build as an SVG, for anyone.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;

use super::App;
use super::error::PageError;
use crate::model::{BuildStatus, GitRef};

/// The width of one character in the badge's font, about.
const CHARACTER: usize = 7;
const PADDING: usize = 6;

pub(super) async fn badge(
    State(app): State<App>,
    Path((login, name, git_ref)): Path<(String, String, String)>,
) -> Result<impl IntoResponse, PageError> {
    let project = match format!("{login}/{name}").parse() {
        Ok(name) => app.store.project_by_name(&name).await?,
        Err(_) => None,
    };
    let build = match (project, GitRef::from_short(&git_ref)) {
        (Some(project), Ok(git_ref)) => app.store.latest_build(project.id, Some(&git_ref)).await?,
        _ => None,
    };
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml; charset=utf-8"),
        // Proxies of images keep what they may; a badge must be fresh.
        (header::CACHE_CONTROL, "no-cache, max-age=0"),
    ];
    Ok((headers, svg(build.map(|build| build.status))))
}

fn svg(status: Option<BuildStatus>) -> String {
    let (word, color) = match status {
        Some(status @ BuildStatus::Success) => (status.as_str(), "#1a7f37"),
        Some(status @ (BuildStatus::Failure | BuildStatus::Error)) => (status.as_str(), "#b3261e"),
        Some(status @ (BuildStatus::Pending | BuildStatus::Enqueued)) => {
            (status.as_str(), "#8a5a00")
        }
        Some(status @ BuildStatus::Cancelled) => (status.as_str(), "#59636e"),
        None => ("unknown", "#59636e"),
    };
    let label = "kozmic";
    let left = label.len() * CHARACTER + 2 * PADDING;
    let right = word.len() * CHARACTER + 2 * PADDING;
    let (width, label_at, word_at) = (left + right, left / 2, left + right / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"20\" role=\"img\" \
         aria-label=\"{label}: {word}\"><title>{label}: {word}</title>\
         <clipPath id=\"r\"><rect width=\"{width}\" height=\"20\" rx=\"3\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#3d444d\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{color}\"/></g>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{label_at}\" y=\"14\">{label}</text><text x=\"{word_at}\" y=\"14\">{word}</text></g></svg>"
    )
}
