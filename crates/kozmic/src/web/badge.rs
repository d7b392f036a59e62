//! The badge: the status of a ref's latest build as an SVG, for anyone; and what to write
//! into a page to have it there.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use url::Url;

use super::App;
use super::error::PageError;
use crate::model::{BuildStatus, GitRef};
use crate::store::Project;

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

/// What to write into a page, for one branch.
pub(super) struct Snippets {
    pub(super) branch: String,
    /// On this server.
    pub(super) path: String,
    pub(super) markdown: String,
    pub(super) html: String,
}

impl Snippets {
    /// With an empty branch: for the default one.
    pub(super) fn of(app: &App, project: &Project, branch: &str) -> Result<Self, PageError> {
        let branch = match branch.trim() {
            "" => project.repository.default_branch.as_str(),
            branch => branch,
        };
        let broken = |error: url::ParseError| PageError::internal("public URL", &error);
        let mut badge = Url::parse(&app.public_url).map_err(broken)?;
        let mut page = badge.clone();
        let name = project.repository.full_name.to_string();
        if let (Ok(mut badge), Ok(mut page)) = (badge.path_segments_mut(), page.path_segments_mut())
        {
            badge.pop_if_empty().push("badges").extend(name.split('/')).extend(branch.split('/'));
            let id = project.id.to_string();
            page.pop_if_empty().extend(["projects", &id, "builds", "latest", ""]);
        }
        page.query_pairs_mut().append_pair("ref", branch);
        // What ends an address in Markdown.
        let plain = |url: &Url| url.as_str().replace('(', "%28").replace(')', "%29");
        let (image, link) = (plain(&badge), plain(&page));
        Ok(Self {
            path: badge.path().to_owned(),
            markdown: format!("[![Kozmic-CI]({image})]({link})"),
            html: format!("<a href=\"{link}\"><img src=\"{image}\" alt=\"Kozmic-CI\"></a>"),
            branch: branch.to_owned(),
        })
    }
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
