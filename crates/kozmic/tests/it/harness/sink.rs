//! A server that keeps what it is sent by HTTP: what webhooks, traces and errors go to.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::eventually;

/// Ends when it is dropped.
pub struct Sink {
    pub url: String,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    requests: Vec<Received>,
    /// What the next ones are answered with; 200 when there is none left.
    answers: Vec<u16>,
}

#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::new(Mutex::new(Kept::default()));
        let router = Router::new().fallback(keep).with_state(kept.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, kept, task }
    }

    /// What the next requests are answered with; a redirect leads to `/elsewhere`.
    pub fn answer(&self, answers: &[u16]) {
        self.kept.lock().unwrap().answers = answers.iter().rev().copied().collect();
    }

    pub fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().requests.clone()
    }

    /// Waits for so many.
    pub async fn arrived(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests"), async || {
            Some(self.received()).filter(|received| received.len() >= count)
        })
        .await
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(
    State(kept): State<Arc<Mutex<Kept>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = kept.lock().unwrap();
    let path = uri.path().to_owned();
    kept.requests.push(Received { path, headers, body });
    let status = StatusCode::from_u16(kept.answers.pop().unwrap_or(200)).unwrap();
    (status, [(header::LOCATION, "/elsewhere")], "noted").into_response()
}
