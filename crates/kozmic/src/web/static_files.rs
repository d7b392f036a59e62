//! Style sheets and scripts, embedded in the binary. Their address carries a
//! digest of their content, so that browsers may keep them for ever.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;

use super::error::PageError;
use super::words::problems::Thing;
use crate::log::style_sheet;

/// The colours of logs, which no file holds.
const PALETTE: &str = "palette.css";

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// What the scripts of a build's page import, also by way of one another: the page names all,
/// so that a browser asks for them at once instead of one wave after the other.
pub(super) const BUILD_MODULES: [&str; 14] = [
    "dom.js",
    "keys.js",
    "live.js",
    "log/folds.js",
    "log/follow.js",
    "log/lines.js",
    "log/link.js",
    "log/pane.js",
    "log/rows.js",
    "log/search.js",
    "log/viewer.js",
    "times.js",
    "watch.js",
    "words.js",
];

/// The digest of all files together, in every address.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort_unstable();
    let digests = names
        .iter()
        .filter_map(|name| Files::get(name))
        .flat_map(|file| file.metadata.sha256_hash());
    let content: Vec<u8> = digests.chain(style_sheet().into_bytes()).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    hex::encode(&digest.as_ref()[..6])
});

/// The address of a file.
pub(super) fn url(name: &str) -> String {
    format!("/static/{}/{name}", *VERSION)
}

/// The address of the icon of a build's or a job's status.
pub(super) fn icon(status: &str) -> String {
    url(&format!("icons/{status}.svg"))
}

pub(super) async fn file(Path(path): Path<String>) -> Result<Response, PageError> {
    let missing = || PageError::no_such(Thing::File);
    let (version, name) = path.split_once('/').ok_or_else(missing)?;
    let data = match name {
        PALETTE => Cow::Owned(style_sheet().into_bytes()),
        _ => Files::get(name).ok_or_else(missing)?.data,
    };
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml; charset=utf-8",
        _ => "application/octet-stream",
    };
    // A page of an older version may ask for what is no longer the same.
    let cache =
        if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], data).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_an_icon() {
        for status in ["success", "failure", "error", "cancelled", "pending", "enqueued"] {
            status.parse::<crate::model::BuildStatus>().unwrap();
            assert!(Files::get(&format!("icons/{status}.svg")).is_some(), "{status}");
        }
    }

    /// The modules that a module imports, as paths below `static/`.
    fn imports(name: &str) -> Vec<String> {
        let text = String::from_utf8(Files::get(name).unwrap().data.into_owned()).unwrap();
        let folder = name.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
        let from = text.lines().filter(|line| line.starts_with("import "));
        from.map(|line| line.split('"').nth(1).unwrap())
            .map(|path| match path.strip_prefix("../") {
                Some(above) => above.to_owned(),
                None => folder.clone().unwrap_or_default() + path.strip_prefix("./").unwrap(),
            })
            .collect()
    }

    #[test]
    fn all_modules_of_a_builds_page_are_named() {
        let mut waiting = vec!["page.js".to_owned(), "build.js".to_owned()];
        let mut found = std::collections::BTreeSet::new();
        while let Some(name) = waiting.pop() {
            waiting.extend(imports(&name).into_iter().filter(|name| found.insert(name.clone())));
        }
        assert_eq!(found.into_iter().collect::<Vec<_>>(), BUILD_MODULES);
    }
}
