//! Faults on demand: what GitHub does on a bad day.
//!
//! A fault is matched against each request, REST or git, before its route; the first one that
//! fits is used up by one. Control requests (`/_sim/…`) are never touched.

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
    http::{HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::{IncomingStream, Listener},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::app::App;

/// A fault that the next matching requests meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `GET`, `POST`, …; any method when `None`.
    pub method: Option<String>,
    /// A part of the path with its query; `""` fits every path.
    pub path_contains: String,
    pub kind: FaultKind,
    /// How many requests meet it.
    pub times: u32,
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
}

#[derive(Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Takes one use of the first fault that fits.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let fault = self.list.iter_mut().find(|fault| {
            fault.times > 0
                && fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && path.contains(&fault.path_contains)
        })?;
        fault.times -= 1;
        Some(fault.kind)
    }
}

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
    let fault = app.world().faults.take(request.method().as_str(), &path);
    match fault {
        None => next.run(request).await,
        Some(FaultKind::Status(code)) => refuse(code),
        Some(FaultKind::Slow(milliseconds)) => {
            let answer = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            answer
        }
        Some(FaultKind::Drop) => {
            line.cut();
            let mut answer = StatusCode::INTERNAL_SERVER_ERROR.into_response();
            answer.extensions_mut().insert(Dropped);
            answer
        }
    }
}

fn refuse(code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = match code {
        401 => "Bad credentials",
        429 => {
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        }
        _ => status.canonical_reason().unwrap_or("Error"),
    };
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": code.to_string(),
    });
    let mut answer = (status, Json(body)).into_response();
    if code == 429 {
        answer.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    }
    answer
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
        faults.add(Fault {
            method: Some("POST".to_owned()),
            path_contains: "/statuses/".to_owned(),
            kind: FaultKind::Status(502),
            times: 2,
        });
        assert_eq!(faults.take("GET", "/repos/a/b/statuses/1"), None);
        assert_eq!(faults.take("POST", "/repos/a/b/hooks"), None);
        let fits = |faults: &mut Faults| faults.take("POST", "/repos/a/b/statuses/1");
        assert_eq!(fits(&mut faults), Some(FaultKind::Status(502)));
        assert_eq!(fits(&mut faults), Some(FaultKind::Status(502)));
        assert_eq!(fits(&mut faults), None);
    }
}
