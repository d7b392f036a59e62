//! A way on loopback that leads to a server until it is cut.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::free_port;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Connections are closed, and new ones refused, as by a machine without the server.
    Refused,
    /// Nothing passes and nobody is told, as when a cable is pulled. What was sent meanwhile
    /// arrives when it is put in again.
    Silent,
}

/// Ends, with all connections, when it is dropped.
pub struct Way {
    pub port: u16,
    cut: watch::Sender<Option<Cut>>,
    task: JoinHandle<()>,
}

impl Way {
    /// To what listens at this port.
    pub fn to(port: u16) -> Self {
        let (cut, told) = watch::channel(None);
        let here = free_port();
        Self { port: here, cut, task: tokio::spawn(lead(here, port, told)) }
    }

    pub fn cut(&self, how: Cut) {
        self.cut.send_replace(Some(how));
    }

    pub fn mend(&self) {
        self.cut.send_replace(None);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(here: u16, there: u16, mut cut: watch::Receiver<Option<Cut>>) {
    loop {
        cut.wait_for(|cut| *cut != Some(Cut::Refused)).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", here)).await.unwrap();
        // Dropped with the listener, and so closed.
        let mut connections = tokio::task::JoinSet::new();
        let told = cut.clone();
        loop {
            tokio::select! {
                refused = cut.wait_for(|cut| *cut == Some(Cut::Refused)) => {
                    refused.unwrap();
                    break;
                }
                Ok((client, _)) = listener.accept() => {
                    connections.spawn(carry(client, there, told.clone()));
                }
            }
        }
    }
}

async fn carry(mut client: TcpStream, there: u16, cut: watch::Receiver<Option<Cut>>) {
    if passes(&mut cut.clone()).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", there)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let _ = tokio::join!(
        one_way(from_client, to_server, cut.clone()),
        one_way(from_server, to_client, cut)
    );
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut cut: watch::Receiver<Option<Cut>>,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        passes(&mut cut).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// Waits while nothing passes.
async fn passes(cut: &mut watch::Receiver<Option<Cut>>) -> io::Result<()> {
    cut.wait_for(|cut| *cut != Some(Cut::Silent)).await.map(drop).map_err(io::Error::other)
}
