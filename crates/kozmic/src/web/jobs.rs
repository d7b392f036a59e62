//! A job's log: as a plain text, and the lines of pages and of the tailer.

use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::PageError;
use super::visitor::Access;
use super::words::job as words;
use super::words::problems::Thing;
use super::{App, plain_log};
use crate::log::{Follower, Growing, LogError, Progress};
use crate::model::{JobId, JobUuid, Timestamp};
use crate::store::{Job, Project};

/// Between two looks whether a job is over that is followed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Follow {
    /// Goes on until the job is over.
    #[serde(default)]
    follow: Option<String>,
    /// Leaves out colours and other escape sequences.
    #[serde(default)]
    plain: Option<String>,
}

pub(super) async fn find(app: &App, project: &Project, job: i64) -> Result<Job, PageError> {
    let missing = || PageError::no_such(Thing::Job);
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
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let job = find(&app, &project, job).await?;
    Ok(log_response(&app, &job, &follow, &headers).await)
}

/// The plain log of a job, with what follows if that is wanted.
pub(super) async fn log_response(
    app: &App,
    job: &Job,
    follow: &Follow,
    asked: &HeaderMap,
) -> Response {
    let is_plain = is_set(follow.plain.as_ref());
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    if let Some(removed) = removed(job) {
        return (StatusCode::GONE, headers, format!("{removed}\n")).into_response();
    }
    let body = if is_set(follow.follow.as_ref()) {
        let follower = app.bus.follow(job.uuid);
        // Asked after following, so that its end is not missed in between.
        let is_over = app.is_over(job.uuid).await;
        let (job, app) = (job.uuid, app.clone());
        let log = Growing::new(&app.logs, job);
        let state = Following { app, job, log, at: 0, follower, is_over };
        plain_log::body(stream::unfold(state, Following::next), is_plain)
    } else {
        match app.log_of(job).await {
            Ok(Some(reader)) if !is_plain => return plain_log::answer(reader, asked, headers),
            Ok(Some(reader)) => plain_log::body(reader.bytes(0), is_plain),
            Ok(None) => Body::empty(),
            Err(error) => {
                let text = format!("{}\n", unreadable(job, &error));
                return (StatusCode::INTERNAL_SERVER_ERROR, headers, text).into_response();
            }
        }
    };
    (headers, body).into_response()
}

fn is_set(value: Option<&String>) -> bool {
    value.is_some_and(|value| value != "0")
}

/// Said in the place of a log that is gone.
pub(super) fn removed(job: &Job) -> Option<String> {
    job.log_removed_at.map(|at| words::log_removed(at, job.log_removed_because.as_deref()))
}

/// Said in the place of a log that can't be read.
pub(super) fn unreadable(job: &Job, error: &LogError) -> String {
    tracing::error!(job = %job.uuid, %error, "a log could not be read");
    error.in_place()
}

/// A plain log that is read while it grows.
struct Following {
    app: App,
    job: JobUuid,
    log: Growing,
    /// Bytes that were delivered.
    at: u64,
    follower: Follower,
    is_over: bool,
}

impl Following {
    async fn next(mut self) -> Option<(Result<Bytes, LogError>, Self)> {
        let shutdown = self.app.shutdown.clone();
        loop {
            // Noted before reading: what is written during the read wakes us again.
            let progress = *self.follower.borrow_and_update();
            if progress == Progress::Unheard && !self.is_over {
                return Some((Err(LogError::unheard()), self));
            }
            self.is_over |= progress == Progress::Finished;
            match self.read().await {
                Ok(bytes) if !bytes.is_empty() => return Some((Ok(bytes), self)),
                Err(error) => return Some((Err(error), self)),
                Ok(_) if self.is_over => return None,
                Ok(_) => {}
            }
            tokio::select! {
                changed = self.follower.changed() => self.is_over |= changed.is_err(),
                // It may end in another process, or without having started.
                () = tokio::time::sleep(LOOK_EVERY) => {
                    self.is_over |= self.app.is_over(self.job).await;
                }
                () = shutdown.requested() => return None,
            }
        }
    }

    async fn read(&mut self) -> Result<Bytes, LogError> {
        if self.is_over && !self.log.is_over() {
            self.log.ended(self.app.log_holder(self.job).await?);
        }
        let Some(reader) = self.log.reader().await? else { return Ok(Bytes::new()) };
        let bytes = reader.bytes_at(self.at).await?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// One line of the log as pages and the tailer show it. The number is drawn by
/// the style sheet, so that it is not copied with the text.
pub(super) fn line_html(number: u64, content: &str) -> String {
    line_of(number, "", content)
}

/// A line with the time at which it was written, in milliseconds since 1970; 0 where that
/// is not known.
pub(super) fn line_at(number: u64, at: Option<Timestamp>, content: &str) -> String {
    line_of(number, &format!(" data-at=\"{}\"", at.map_or(0, |at| at.0)), content)
}

fn line_of(number: u64, attributes: &str, content: &str) -> String {
    let label = words::line(number);
    let mut html = String::with_capacity(content.len() + 128);
    let _ = write!(
        html,
        "<div class=\"l\" id=\"L{number}\"{attributes}><a href=\"#L{number}\" data-n=\"{number}\" aria-label=\"{label}\"></a>\
         <span>{content}</span></div>"
    );
    html
}
