//! Faults on demand: what GitHub does on a bad day.
//!
//! A fault is matched against each request, REST, OAuth or git, before its route; the first one
//! that fits is used up by one. Control requests (`/_sim/…`) and what people do in their own
//! browsers or by their own git are never touched.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::{app::App, credentials, rest::manners, state::limits::Hour};

/// A fault that the next matching requests meet.
///
/// `Fault::on("GET /repos/{owner}/{repo}/hooks/{id}", FaultKind::Status(404))` is met once, by
/// requests of that route; [`Fault::times`] and [`Fault::until_lifted`] change how often. A fault
/// on `DELIVER` and a part of a webhook's URL loses deliveries on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `GET`, `POST`, …; any method when `None`.
    pub method: Option<String>,
    /// A part of the path with its query; `""` fits every path. With a `{…}` in it: a whole route
    /// of the REST API, where that stands for one segment, and `{*…}` for all that follow.
    pub path_contains: String,
    pub kind: FaultKind,
    /// How many requests meet it; `u32::MAX` until it is lifted.
    pub times: u32,
}

impl Fault {
    /// Met by the next request that fits: `METHOD PATH`, or a path for any method; the path as
    /// [`Fault::path_contains`] explains.
    pub fn on(request: &str, kind: FaultKind) -> Self {
        let (method, path) = match request.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path),
            None => (None, request),
        };
        Self { method, path_contains: path.to_owned(), kind, times: 1 }
    }

    /// Met by so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Met by every request until [`crate::client::Sim::lift_fault`] or `clear_faults`.
    #[must_use]
    pub fn until_lifted(self) -> Self {
        self.times(u32::MAX)
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && if self.path_contains.contains('{') {
                is_of_route(path, &self.path_contains)
            } else {
                path.contains(&self.path_contains)
            }
    }
}

/// Whether a path, without its query and the API's root, is one of this route.
fn is_of_route(path: &str, route: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let mut segments = path.split('/');
    for wanted in route.split('/') {
        match segments.next() {
            None => return false,
            Some(_) if wanted.starts_with("{*") => return true,
            Some(segment) if wanted.starts_with('{') => {
                if segment.is_empty() {
                    return false;
                }
            }
            Some(segment) if segment != wanted => return false,
            Some(_) => {}
        }
    }
    segments.next().is_none()
}

/// What happens to a request that meets a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Answered with this status and an error of GitHub's shape; nothing is done.
    /// 429 comes with `Retry-After: 1`.
    Status(u16),
    /// The connection is closed without an answer; nothing is done.
    Drop,
    /// Everything is done, but the answer comes this many milliseconds later: a caller with less
    /// patience does not learn that it was heard.
    Slow(u64),
    /// Everything is done, but the connection is closed instead of an answer.
    LostAnswer,
    /// 403: the hour's requests are used up, for this many seconds.
    PrimaryLimit(u64),
    /// 403 with `Retry-After`: too much at once; come again in this many seconds.
    SecondaryLimit(u64),
}

#[derive(Default)]
pub(crate) struct Faults {
    /// With their ids, oldest first.
    list: Vec<(u64, Fault)>,
}

impl Faults {
    pub(crate) fn add(&mut self, id: u64, fault: Fault) {
        self.list.push((id, fault));
    }

    pub(crate) fn lift(&mut self, id: u64) {
        self.list.retain(|(known, _)| *known != id);
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Takes one use of the first fault that fits.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let (_, fault) = self.list.iter_mut().find(|(_, fault)| fault.fits(method, path))?;
        if fault.times < u32::MAX {
            fault.times -= 1;
        }
        Some(fault.kind)
    }
}

/// Says of an answer that it came of a fault.
#[derive(Clone, Copy)]
pub(crate) struct Faulty;

/// Says of an answer that it must never leave; the request log shows it as status 0.
#[derive(Clone, Copy)]
pub(crate) struct Dropped;

/// Middleware: lets a request meet its fault, if there is one.
pub(crate) async fn meet(
    State(app): State<App>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().to_string();
    if path.starts_with("/_sim/") {
        return next.run(request).await;
    }
    let fault = {
        let mut world = app.world();
        if credentials::is_browser(request.headers(), &world.users) {
            None
        } else {
            world.faults.take(request.method().as_str(), &path)
        }
    };
    let mut answer = match fault {
        None => return next.run(request).await,
        Some(FaultKind::Status(code)) => refuse(code),
        Some(FaultKind::PrimaryLimit(seconds)) => limited(seconds),
        Some(FaultKind::SecondaryLimit(seconds)) => asked_to_wait(403, seconds),
        Some(FaultKind::Slow(milliseconds)) => {
            let answer = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            answer
        }
        Some(FaultKind::LostAnswer) => {
            let mut answer = next.run(request).await;
            line.cut();
            answer.extensions_mut().insert(Dropped);
            answer
        }
        Some(FaultKind::Drop) => {
            line.cut();
            let mut answer = StatusCode::INTERNAL_SERVER_ERROR.into_response();
            answer.extensions_mut().insert(Dropped);
            answer
        }
    };
    answer.extensions_mut().insert(Faulty);
    answer
}

fn refuse(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match code {
        401 => error(status, "Bad credentials"),
        404 => error(status, "Not Found"),
        429 => asked_to_wait(429, 1),
        _ => error(status, status.canonical_reason().unwrap_or("Error")),
    }
}

/// Follows <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>.
fn asked_to_wait(code: u16, seconds: u64) -> Response {
    let message =
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    let mut answer = error(StatusCode::from_u16(code).unwrap_or(StatusCode::FORBIDDEN), message);
    answer.headers_mut().insert("retry-after", seconds.into());
    answer
}

fn limited(seconds: u64) -> Response {
    let mut answer = error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.");
    let wait = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(3600));
    let hour = Hour { limit: 5000, used: 5000, reset: Timestamp::now() + wait };
    manners::put_headers(answer.headers_mut(), &hour);
    answer
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_str(),
    });
    (status, Json(body)).into_response()
}

/// The connection a request came by; it can be cut, so that the answer never leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    is_cut: Arc<AtomicBool>,
}

impl Line {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A listener whose connections can be cut from within a request.
pub(crate) struct CuttableListener(pub(crate) TcpListener);

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        let line = Line::default();
        (CuttableStream { stream, line }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A connection that refuses to carry anything once its line is cut.
pub(crate) struct CuttableStream {
    stream: TcpStream,
    line: Line,
}

impl CuttableStream {
    fn check(&self) -> io::Result<()> {
        if self.line.is_cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_fits_its_method_and_path_and_is_used_up() {
        let mut faults = Faults::default();
        faults.add(1, Fault::on("POST /statuses/", FaultKind::Status(502)).times(2));
        assert_eq!(faults.take("GET", "/repos/a/b/statuses/1"), None);
        assert_eq!(faults.take("POST", "/repos/a/b/hooks"), None);
        let fits = |faults: &mut Faults| faults.take("POST", "/repos/a/b/statuses/1");
        assert_eq!(fits(&mut faults), Some(FaultKind::Status(502)));
        assert_eq!(fits(&mut faults), Some(FaultKind::Status(502)));
        assert_eq!(fits(&mut faults), None);
    }

    #[test]
    fn a_route_fits_its_paths_alone_and_a_fault_stays_until_it_is_lifted() {
        let mut faults = Faults::default();
        let route = "/repos/{owner}/{repo}/hooks/{id}";
        faults.add(7, Fault::on(route, FaultKind::LostAnswer).until_lifted());
        let take = |faults: &mut Faults, path: &str| faults.take("GET", path);
        for other in ["/api/v3/repos/a/b/hooks", "/api/v3/repos/a/b/hooks/1/pings", "/user"] {
            assert_eq!(take(&mut faults, other), None, "{other}");
        }
        for _ in 0..3 {
            let met = take(&mut faults, "/api/v3/repos/a/b/hooks/1?x=1");
            assert_eq!(met, Some(FaultKind::LostAnswer));
        }
        faults.lift(7);
        assert_eq!(take(&mut faults, "/api/v3/repos/a/b/hooks/1"), None);
        faults.add(8, Fault::on("/repos/{owner}/{repo}/git/{*rest}", FaultKind::Drop));
        assert_eq!(take(&mut faults, "/api/v3/repos/a/b/git/ref/heads/x"), Some(FaultKind::Drop));
    }
}
