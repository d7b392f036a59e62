//! A job's log: as a plain text, and as lines of a page.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::App;
use super::error::PageError;
use super::visitor::Access;
use crate::log::{Follower, Lines, Progress, Renderer, count_lines, open};
use crate::model::JobId;
use crate::store::{Job, Project};

/// Lines that a page holds when it arrives; the whole log is in the plain one.
const LINES_ON_PAGE: u64 = 2_000;

/// The end of a log as HTML.
#[derive(Default)]
pub(super) struct RenderedLog {
    pub(super) html: String,
    /// Why there is none any more.
    pub(super) removed: Option<String>,
    /// Lines before the first one here.
    pub(super) hidden: u64,
    /// The number of the line that comes next.
    pub(super) next: u64,
}

#[derive(Deserialize)]
pub(super) struct Follow {
    /// Goes on until the job is over.
    #[serde(default)]
    follow: Option<String>,
}

pub(super) async fn find(app: &App, project: &Project, job: i64) -> Result<Job, PageError> {
    let missing = || PageError::no_such("job");
    let job = app.store.job(JobId(job)).await?.ok_or_else(missing)?;
    let build = app.store.build(job.build).await?.ok_or_else(missing)?;
    if build.project == project.id { Ok(job) } else { Err(missing()) }
}

/// Every byte as the script wrote it.
pub(super) async fn plain_log(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
    Query(follow): Query<Follow>,
) -> Result<Response, PageError> {
    let job = find(&app, &project, job).await?;
    Ok(log_response(&app, &job, &follow).await?)
}

/// The plain log of a job, with what follows if that is wanted.
pub(super) async fn log_response(
    app: &App,
    job: &Job,
    follow: &Follow,
) -> std::io::Result<Response> {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    if let Some(removed) = removed(job) {
        return Ok((StatusCode::GONE, headers, format!("{removed}\n")).into_response());
    }
    let path = app.logs.path(job.uuid);
    let body = if follow.follow.as_ref().is_some_and(|value| value != "0") {
        let follower = app.bus.follow(job.uuid);
        // Asked after following, so that its end is not missed in between.
        let is_over = app.is_over(job.uuid).await;
        let state = Following { path, file: None, follower, is_over, app: app.clone() };
        Body::from_stream(stream::unfold(state, Following::next))
    } else {
        match open(&path, 0).await? {
            Some(file) => Body::from_stream(ReaderStream::new(file)),
            None => Body::empty(),
        }
    };
    Ok((headers, body).into_response())
}

/// Said in the place of a log that is gone.
pub(super) fn removed(job: &Job) -> Option<String> {
    job.log_removed_at.map(|at| format!("The log was removed to free disk space on {at}."))
}

/// A plain log that is read while it grows.
struct Following {
    app: App,
    path: std::path::PathBuf,
    file: Option<File>,
    follower: Follower,
    is_over: bool,
}

impl Following {
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        let shutdown = self.app.shutdown.clone();
        loop {
            // Noted before reading: what is written during the read wakes us again.
            self.is_over |= *self.follower.borrow_and_update() == Progress::Finished;
            match self.read().await {
                Ok(bytes) if !bytes.is_empty() => return Some((Ok(bytes), self)),
                Err(error) => return Some((Err(error), self)),
                Ok(_) if self.is_over => return None,
                Ok(_) => {}
            }
            tokio::select! {
                changed = self.follower.changed() => self.is_over |= changed.is_err(),
                () = shutdown.requested() => return None,
            }
        }
    }

    async fn read(&mut self) -> std::io::Result<Bytes> {
        if self.file.is_none() {
            self.file = open(&self.path, 0).await?;
        }
        let Some(file) = &mut self.file else { return Ok(Bytes::new()) };
        let mut block = bytes::BytesMut::with_capacity(64 * 1024);
        file.read_buf(&mut block).await?;
        Ok(block.freeze())
    }
}

/// The lines so far, at most the last [`LINES_ON_PAGE`].
pub(super) async fn render_log(app: &App, job: &Job) -> std::io::Result<RenderedLog> {
    let path = app.logs.path(job.uuid);
    // Counted before they are read: only what is shown is rendered.
    let hidden = count_lines(&path).await?.saturating_sub(LINES_ON_PAGE);
    let (mut html, mut next) = (String::new(), 1);
    if let Some(file) = open(&path, 0).await? {
        let mut lines = Lines::new(file);
        let mut screen = Renderer::default();
        while let Some(line) = lines.next().await? {
            if next <= hidden {
                screen.skip(line);
            } else {
                html += &line_html(next, &screen.line(line));
            }
            next += 1;
        }
        if let Some(line) = lines.rest().filter(|_| job.status.is_finished()) {
            html += &line_html(next, &screen.line(line));
            next += 1;
        }
    }
    Ok(RenderedLog { html, removed: removed(job), hidden, next })
}

/// One line of the log as pages and the tailer show it. The number is drawn by
/// the style sheet, so that it is not copied with the text.
pub(super) fn line_html(number: u64, content: &str) -> String {
    let mut html = String::with_capacity(content.len() + 96);
    let _ = write!(
        html,
        "<div class=\"l\" id=\"L{number}\"><a href=\"#L{number}\" data-n=\"{number}\" aria-label=\"Line {number}\"></a>\
         <span>{content}</span></div>"
    );
    html
}
