//! Artifacts: listed on a job's page, and downloaded. They were made by a script that
//! anybody may have changed, so nothing of them may act as a part of this site.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use super::error::PageError;
use super::visitor::Access;
use super::words::{
    job as words,
    problems::{self, Thing},
};
use super::{App, builds, jobs};
use crate::model::{Artifact, BuildId, GitRef, ProjectId, readable_bytes};
use crate::objects::ObjectError;
use crate::store::{Collection, Job, StoreError};

/// On a job's page; all of them are in the tar and in the API's list.
const ON_PAGE: usize = 200;
/// Whatever it says it is: no script, no form, no request, and an origin of its own.
const SANDBOX: &str = "sandbox; default-src 'none'";
const BLOCK: u64 = 512;

/// A job's artifacts as its page shows them.
pub(super) struct ShownArtifacts {
    pub(super) sentence: String,
    pub(super) files: Vec<ShownFile>,
    pub(super) hidden: usize,
    pub(super) all_url: String,
    /// Why there are none any more.
    pub(super) removed: Option<String>,
}

pub(super) struct ShownFile {
    pub(super) path: String,
    pub(super) size: String,
    pub(super) url: String,
}

pub(super) async fn of_job(
    app: &App,
    project: ProjectId,
    job: &Job,
    collection: &Collection,
) -> Result<Option<ShownArtifacts>, StoreError> {
    if collection.artifact_count == 0 {
        return Ok(None);
    }
    let all_url = format!("/projects/{project}/jobs/{}/artifacts/", job.id);
    let mut artifacts = match collection.artifacts_removed {
        Some(_) => Vec::new(),
        None => app.store.artifacts(job.id).await?,
    };
    let hidden = artifacts.len().saturating_sub(ON_PAGE);
    artifacts.truncate(ON_PAGE);
    let files = artifacts.into_iter().map(|artifact| ShownFile {
        url: format!("{all_url}{}", in_url(&artifact.path)),
        size: readable_bytes(artifact.size),
        path: artifact.path,
    });
    let size = readable_bytes(u64::try_from(collection.artifact_bytes).unwrap_or(0));
    Ok(Some(ShownArtifacts {
        sentence: words::artifacts(collection.artifact_count, &size),
        files: files.collect(),
        hidden,
        removed: removed(collection),
        all_url,
    }))
}

/// Said in the place of artifacts that are gone.
pub(super) fn removed(collection: &Collection) -> Option<String> {
    let (at, because) = collection.artifacts_removed.as_ref()?;
    Some(words::artifacts_removed(at, because))
}

/// A path of an artifact as a part of a URL.
pub(super) fn in_url(path: &str) -> String {
    path.split('/').map(percent).collect::<Vec<_>>().join("/")
}

/// RFC 3986's unreserved characters stay; RFC 8187 allows all of them, too.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// One artifact of a job.
pub(super) async fn one(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, job, path)): Path<(i64, i64, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    match find(&app, &job, &path).await? {
        Found::Kept(artifact) => serve(&app, &artifact, &headers)
            .await
            .map_err(|error| PageError::internal("artifact", &error)),
        Found::Gone(removed) => Ok((StatusCode::GONE, format!("{removed}\n")).into_response()),
        Found::Nothing => Err(PageError::no_such(Thing::Artifact)),
    }
}

pub(super) enum Found {
    Kept(Artifact),
    /// Why.
    Gone(String),
    Nothing,
}

pub(super) async fn find(app: &App, job: &Job, path: &str) -> Result<Found, StoreError> {
    if let Some(artifact) = app.store.artifact(job.id, path).await? {
        return Ok(Found::Kept(artifact));
    }
    let collection = app.store.collection(job.id).await?;
    Ok(collection.as_ref().and_then(removed).map_or(Found::Nothing, Found::Gone))
}

/// All artifacts of a job as one tar, in the order of their names.
pub(super) async fn all(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
) -> Result<Response, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    let collection = app.store.collection(job.id).await?;
    if let Some(removed) = collection.as_ref().and_then(removed) {
        return Ok((StatusCode::GONE, format!("{removed}\n")).into_response());
    }
    let artifacts = app.store.artifacts(job.id).await?;
    if artifacts.is_empty() {
        return Err(PageError::NotFound(problems::NO_ARTIFACTS.into()));
    }
    let name = format!("artifacts-{}.tar", job.id);
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_DISPOSITION, disposition("attachment", &name)),
        (header::CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(packed(app, artifacts))).into_response())
}

/// Read while it is sent; one that fails ends the answer in its middle.
fn packed(
    app: App,
    artifacts: Vec<Artifact>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let files = stream::iter(artifacts).flat_map(move |artifact| {
        let (objects, object) = (app.logs.objects().clone(), artifact.object.clone());
        let padding =
            vec![0; usize::try_from((BLOCK - artifact.size % BLOCK) % BLOCK).unwrap_or(0)];
        let content = stream::once(async move { objects.stream(&object, 0).await }).try_flatten();
        stream::once(async move { tar_header(&artifact) })
            .chain(content.map_err(std::io::Error::other))
            .chain(stream::once(async move { Ok(Bytes::from(padding)) }))
    });
    files.chain(stream::once(async { Ok(Bytes::from(vec![0; 1024])) }))
}

/// With what a long name needs before it.
fn tar_header(artifact: &Artifact) -> std::io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(artifact.size);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, &artifact.path, std::io::empty())?;
    let mut bytes = archive.into_inner()?;
    // Without the two empty blocks that end a tar.
    bytes.truncate(bytes.len() - 1024);
    Ok(bytes.into())
}

#[derive(Deserialize)]
pub(super) struct Of {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    /// A hook's title; without it any.
    job: Option<String>,
}

/// To an artifact by its name: of a build, or of the newest green build of a ref.
pub(super) async fn of_build(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, build, path)): Path<(i64, String, String)>,
    Query(of): Query<Of>,
) -> Result<Response, PageError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let missing = || PageError::NotFound(problems::no_artifact(&path));
    let title = given(&of.job);
    let job = if build == "latest" {
        let git_ref = given(&of.git_ref).map(|text| GitRef::from_short(&text)).transpose();
        let git_ref = git_ref.map_err(|problem| PageError::BadRequest(problem.to_string()))?;
        let latest =
            app.store.latest_artifact(project.id, git_ref.as_ref(), title.as_deref(), &path);
        latest.await?.ok_or_else(missing)?
    } else {
        let build: BuildId = builds::find(&app, &project, build.parse().ok()).await?.id;
        let of_title = |job: &&Job| title.as_ref().is_none_or(|title| *title == job.title);
        let mut found = None;
        for job in app.store.jobs_of(build).await?.iter().filter(of_title) {
            if app.store.artifact(job.id, &path).await?.is_some() {
                found = Some(job.id);
                break;
            }
        }
        found.ok_or_else(missing)?
    };
    let url = format!("/projects/{}/jobs/{job}/artifacts/{}", project.id, in_url(&path));
    Ok(Redirect::to(&url).into_response())
}

/// How a file may be shown: text and pictures of which browsers run nothing; the rest
/// is only saved.
fn kind_of(path: &str) -> (&'static str, &'static str) {
    let extension = path.rsplit_once('.').map(|(_, it)| it.to_ascii_lowercase());
    match extension.as_deref() {
        Some("txt" | "log") => ("text/plain; charset=utf-8", "inline"),
        Some("png") => ("image/png", "inline"),
        Some("jpg" | "jpeg") => ("image/jpeg", "inline"),
        Some("gif") => ("image/gif", "inline"),
        Some("webp") => ("image/webp", "inline"),
        _ => ("application/octet-stream", "attachment"),
    }
}

/// RFC 6266: for all, the name in ASCII; for who understands it, the name itself.
fn disposition(kind: &str, path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || " -._()+,=@".contains(c);
    let ascii: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}", percent(name))
}

/// The bytes that a request asks for, of so many.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    /// From and up to, without the last.
    Some(u64, u64),
    Beyond,
}

/// One range (RFC 9110, 14); what asks for several, or is not understood, gets all.
fn asked(range: Option<&str>, size: u64) -> Asked {
    let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return Asked::All;
    };
    let Some((first, last)) = spec.split_once('-') else { return Asked::All };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), _) if first >= size => Asked::Beyond,
        (Ok(first), Ok(last)) if last >= first => {
            Asked::Some(first, last.saturating_add(1).min(size))
        }
        (Ok(first), Err(_)) if last.trim().is_empty() => Asked::Some(first, size),
        (Err(_), Ok(0)) if first.trim().is_empty() => Asked::Beyond,
        (Err(_), Ok(_)) if first.trim().is_empty() && size == 0 => Asked::Beyond,
        (Err(_), Ok(count)) if first.trim().is_empty() => {
            Asked::Some(size.saturating_sub(count), size)
        }
        _ => Asked::All,
    }
}

/// An artifact, or the part of it that is asked for.
pub(super) async fn serve(
    app: &App,
    artifact: &Artifact,
    request: &HeaderMap,
) -> Result<Response, ObjectError> {
    let text = |name| request.get(name).and_then(|value| value.to_str().ok());
    let tag = format!("\"{}\"", artifact.sha256);
    let (kind, shown) = kind_of(&artifact.path);
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, disposition(shown, &artifact.path)),
        (header::CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, tag.clone()),
        // Kept by the browser alone, and asked for again: who left may not see it.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    let corp = [("cross-origin-resource-policy", "same-origin")];
    let knows =
        |value: &str| value.split(',').any(|it| matches!(it.trim(), "*") || it.trim() == tag);
    if text(header::IF_NONE_MATCH).is_some_and(knows) {
        return Ok((StatusCode::NOT_MODIFIED, headers, corp).into_response());
    }
    let is_same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = text(header::RANGE).filter(|_| is_same);
    let (status, from, until) = match asked(range, artifact.size) {
        Asked::All => (StatusCode::OK, 0, artifact.size),
        Asked::Some(from, until) => (StatusCode::PARTIAL_CONTENT, from, until),
        Asked::Beyond => {
            let of = [(header::CONTENT_RANGE, format!("bytes */{}", artifact.size))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, of).into_response());
        }
    };
    let content = app.logs.objects().stream(&artifact.object, from).await?;
    let part = content.scan(until - from, |left, bytes| {
        let part = bytes.map(|mut bytes| {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len()));
            *left -= bytes.len() as u64;
            bytes
        });
        std::future::ready(Some(part).filter(|part| !matches!(part, Ok(part) if part.is_empty())))
    });
    let body = Body::from_stream(part);
    let mut response = (status, headers, corp, body).into_response();
    let length = header::HeaderValue::from(until - from);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    if status == StatusCode::PARTIAL_CONTENT {
        let of = format!("bytes {from}-{}/{}", until - 1, artifact.size);
        if let Ok(of) = of.parse() {
            response.headers_mut().insert(header::CONTENT_RANGE, of);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_the_file() {
        for (range, size, expected) in [
            (None, 10, Asked::All),
            (Some("bytes=0-0"), 10, Asked::Some(0, 1)),
            (Some("bytes=2-5"), 10, Asked::Some(2, 6)),
            (Some("bytes=2-99999999999999999999"), 10, Asked::All),
            (Some("bytes=2-18446744073709551615"), 10, Asked::Some(2, 10)),
            (Some("bytes=2-"), 10, Asked::Some(2, 10)),
            (Some("bytes=-3"), 10, Asked::Some(7, 10)),
            (Some("bytes=-30"), 10, Asked::Some(0, 10)),
            (Some("bytes=-0"), 10, Asked::Beyond),
            (Some("bytes=10-"), 10, Asked::Beyond),
            (Some("bytes=0-"), 0, Asked::Beyond),
            (Some("bytes=5-2"), 10, Asked::All),
            (Some("bytes=0-1,3-4"), 10, Asked::All),
            (Some("lines=0-1"), 10, Asked::All),
            (Some("bytes=x-"), 10, Asked::All),
        ] {
            assert_eq!(asked(range, size), expected, "{range:?} of {size}");
        }
    }

    #[test]
    fn a_name_can_t_leave_its_header() {
        assert_eq!(
            disposition("attachment", "a/b\"\r\nc; x=ü.html"),
            "attachment; filename=\"b___c_ x=_.html\"; filename*=UTF-8''b%22%0D%0Ac%3B%20x%3D%C3%BC.html"
        );
        assert_eq!(in_url("a b/ü?#.txt"), "a%20b/%C3%BC%3F%23.txt");
    }

    #[test]
    fn nothing_that_browsers_run_is_shown() {
        for path in ["a.html", "a.svg", "a.xml", "a.js", "a", "a.pdf", "txt", "a.txt.html"] {
            assert_eq!(kind_of(path), ("application/octet-stream", "attachment"), "{path}");
        }
        assert_eq!(kind_of("a/B.PNG"), ("image/png", "inline"));
    }
}
