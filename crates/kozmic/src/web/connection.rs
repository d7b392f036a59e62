//! Connections: who says too little in its time, or takes too little of what it asked for, is cut
//! off. Each costs memory and an open file, and nobody need be known to open one.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::shutdown::Shutdown;

/// For a request's head to be there, from its connection or from the answer before.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Bytes of a head.
const HEAD: usize = 64 * 1024;
/// Within so long...
const TAKE_TIME: Duration = Duration::from_secs(30);
/// ... who is sent something takes so many bytes of it, as few as over the slowest lines; less is
/// fine where there is no more.
const TAKE: usize = 16 * 1024;
/// When no connection can be accepted: there may be no open file left.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves until shutdown, and then what is open: its requests are finished.
pub(super) async fn serve<S>(listener: TcpListener, service: S, shutdown: Shutdown)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.requested() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                open.spawn(attend(stream, peer, service.clone(), shutdown.clone()));
            }
            Err(error) if is_its_own(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(AGAIN).await;
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// The connection's own end, before it was accepted (accept(2)).
fn is_its_own(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn attend<S>(stream: TcpStream, peer: SocketAddr, service: S, shutdown: Shutdown)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        service.clone().call(request.map(Body::new))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_header_size(HEAD);
    let io = TokioIo::new(Patient::new(stream, TAKE_TIME));
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// A stream whose other end takes what it is sent, or is cut off.
struct Patient<T> {
    inner: T,
    /// For so long it may take too little.
    time: Duration,
    /// None: everything was taken.
    until: Option<Pin<Box<Sleep>>>,
    /// Bytes, since that was set.
    taken: usize,
}

impl<T> Patient<T> {
    fn new(inner: T, time: Duration) -> Self {
        Self { inner, time, until: None, taken: 0 }
    }

    /// After an attempt to send `wanted` bytes.
    fn watched(
        &mut self,
        context: &mut Context<'_>,
        wanted: usize,
        sent: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(count)) => {
                self.taken += count;
                if count == wanted || self.taken >= TAKE {
                    (self.until, self.taken) = (None, 0);
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let time = self.time;
                let until = self.until.get_or_insert_with(|| Box::pin(sleep(time)));
                ready!(until.as_mut().poll(context));
                let problem = "the other end takes too little of what it is sent";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, problem)))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watched(context, bytes.len(), sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.watched(context, pieces.iter().map(|piece| piece.len()).sum(), sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const TIME: Duration = Duration::from_secs(2);

    /// Sends without an end to who takes `take` bytes every ten milliseconds, for three times
    /// as long as too little may be taken, and is gone then.
    async fn sent_to(take: usize) -> io::ErrorKind {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Patient::new(ours, TIME);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; take];
            let begun = Instant::now();
            while begun.elapsed() < 3 * TIME {
                sleep(Duration::from_millis(10)).await;
                if take > 0 {
                    theirs.read_exact(&mut buffer).await.unwrap();
                }
            }
        });
        let piece = vec![7; 300_000];
        let error = loop {
            if let Err(error) = ours.write_all(&piece).await {
                break error;
            }
        };
        reader.abort();
        error.kind()
    }

    #[tokio::test]
    async fn who_takes_nothing_or_next_to_nothing_is_cut_off_and_who_is_slow_is_not() {
        let (nothing, little, slow) = tokio::join!(sent_to(0), sent_to(1), sent_to(1024));
        assert_eq!((nothing, little), (io::ErrorKind::TimedOut, io::ErrorKind::TimedOut));
        assert_eq!(slow, io::ErrorKind::BrokenPipe, "when it went by itself");
    }

    #[tokio::test]
    async fn a_connection_that_is_quiet_stays() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Patient::new(ours, TIME);
        for _ in 0..2 {
            let mut buffer = vec![0; 5_000];
            let reading = async {
                sleep(Duration::from_millis(50)).await;
                theirs.read_exact(&mut buffer).await
            };
            let (written, read) = tokio::join!(ours.write_all(&[1; 5_000]), reading);
            written.unwrap();
            read.unwrap();
            sleep(TIME + Duration::from_millis(100)).await;
        }
    }
}
