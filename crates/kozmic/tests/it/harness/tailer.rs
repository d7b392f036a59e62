//! A job's tailer, as a browser's page uses it.

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{PATIENCE, World};

pub type Socket = WebSocketStream<TcpStream>;

/// A viewer of a job; `query` is empty or begins with a question mark.
pub async fn tailer(world: &World, url: &str, uuid: &str, query: &str) -> Socket {
    connect(world, url, uuid, query, None).await
}

/// One that has room for few bytes only, until it reads them.
pub async fn narrow_tailer(world: &World, url: &str, uuid: &str) -> Socket {
    connect(world, url, uuid, "", Some(4096)).await
}

async fn connect(
    world: &World,
    url: &str,
    uuid: &str,
    query: &str,
    receive_buffer: Option<u32>,
) -> Socket {
    let address = format!("{}/tailer/{uuid}/{query}", url.replace("http://", "ws://"));
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(size) = receive_buffer {
        socket.set_recv_buffer_size(size).unwrap();
    }
    let to = url.strip_prefix("http://").unwrap().parse().unwrap();
    let stream = socket.connect(to).await.unwrap();
    client_async(with_token(world, &address).await, stream).await.unwrap().0
}

pub async fn with_token(world: &World, address: &str) -> Request<()> {
    let mut request = address.into_client_request().unwrap();
    let token = format!("Bearer {}", world.api_token().await);
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request
}

/// None when the socket is closed.
pub async fn next<S>(socket: &mut WebSocketStream<S>) -> Option<Value>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next())
            .await
            .expect("a message in time")?
            .unwrap();
        if message.is_text() {
            return Some(serde_json::from_str(message.to_text().unwrap()).unwrap());
        }
        if message.is_close() {
            return None;
        }
    }
}

/// All lines until `finished`, and how many messages brought them.
pub async fn until_finished<S>(socket: &mut WebSocketStream<S>) -> (String, usize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut html, mut messages) = (String::new(), 0);
    loop {
        let message = next(socket).await.expect("`finished` before the end");
        if message["type"] == "status" {
            assert_eq!(message["content"], "finished");
            assert_eq!(next(socket).await, None, "the socket is closed after `finished`");
            return (html, messages);
        }
        assert_eq!(message["type"], "message");
        html += message["content"].as_str().unwrap();
        messages += 1;
    }
}

/// The text of each line, with its number.
pub fn lines(html: &str) -> Vec<(u64, String)> {
    html.split("<div class=\"l\" id=\"L")
        .skip(1)
        .map(|line| {
            let (number, rest) = line.split_once('"').unwrap();
            let content =
                rest.split_once("</a><span>").unwrap().1.strip_suffix("</span></div>").unwrap();
            (number.parse().unwrap(), content.to_owned())
        })
        .collect()
}
