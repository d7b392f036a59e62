//! What passes between the processes of an installation, over Redis: pieces of logs that
//! grow, questions and their answers, word that something has happened, and how often who asked.
//!
//! Nothing is here alone: logs are on their worker's disk, all else in the store. So Redis
//! may go away, or forget everything; what it misses is asked for when it is back.

mod ask;
mod pieces;
mod rate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::shutdown::Shutdown;

pub use ask::Question;
pub use pieces::{Piece, Pieces, Place};

/// An answer of Redis takes no longer, or it is away.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before Redis is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// What is heard waits here for those who listen; who is slower misses some of it.
const HEARD: usize = 1_024;
/// Questions that wait for an answer of this process.
const QUESTIONS: usize = 256;

#[derive(Debug, Clone, thiserror::Error)]
pub enum RelayError {
    #[error("KOZMIC_REDIS_URL: {0}")]
    Url(String),
    #[error("Redis can't be reached: {0}")]
    Away(String),
    #[error("{0} does not answer")]
    NoAnswer(String),
}

impl From<RedisError> for RelayError {
    fn from(error: RedisError) -> Self {
        Self::Away(error.to_string())
    }
}

type Result<T> = std::result::Result<T, RelayError>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Relay(Arc<Inner>);

struct Inner {
    client: Client,
    connection: ConnectionManager,
    /// Several installations may share a Redis.
    prefix: String,
    node: String,
    heard: broadcast::Sender<Arc<str>>,
    /// Who waits for an answer, by the question's id.
    waiting: Mutex<HashMap<String, oneshot::Sender<Bytes>>>,
    /// Who answers, by the kind of question.
    answering: Mutex<HashMap<String, mpsc::Sender<Question>>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl Relay {
    /// Connects when it is first needed; Redis may be away now.
    pub fn new(url: &SecretString, instance: &str, node: &str) -> Result<Self> {
        let malformed = |error: RedisError| RelayError::Url(error.to_string());
        let client = Client::open(url.expose_secret()).map_err(malformed)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        let connection = client.get_connection_manager_lazy(config).map_err(malformed)?;
        Ok(Self(Arc::new(Inner {
            client,
            connection,
            prefix: format!("kozmic:{instance}"),
            node: node.to_owned(),
            heard: broadcast::channel(HEARD).0,
            waiting: Mutex::default(),
            answering: Mutex::default(),
        })))
    }

    /// The name of this process.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<()> {
        self.query::<String>(&redis::cmd("PING")).await.map(drop)
    }

    /// Tells all other processes something; who does not hear it now never will.
    pub async fn tell(&self, what: &str) -> Result<()> {
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.channel_of_all()).arg(format!("{} {what}", self.0.node));
        self.query::<i64>(&publish).await.map(drop)
    }

    /// What other processes tell from now on.
    pub fn heard(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.heard.subscribe()
    }

    /// Hears what others tell, ask and answer, until shutdown.
    pub async fn listen(self, shutdown: Shutdown) {
        let mut is_away = false;
        loop {
            let error = tokio::select! {
                () = shutdown.requested() => return,
                error = self.listen_once(&mut is_away) => error,
            };
            if !std::mem::replace(&mut is_away, true) {
                tracing::warn!(%error, "other processes can't be heard for now");
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Returns when the connection is lost.
    async fn listen_once(&self, is_away: &mut bool) -> RelayError {
        let lost = || RelayError::Away("the connection was closed".into());
        let subscribed = async {
            let mut connection = self.0.client.get_async_pubsub().await?;
            connection.subscribe(self.channel_of_all()).await?;
            connection.subscribe(self.channel_of(&self.0.node)).await?;
            Ok::<_, RedisError>(connection)
        };
        let connection = match tokio::time::timeout(PATIENCE, subscribed).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return error.into(),
            Err(_) => return RelayError::Away("it does not answer".into()),
        };
        if std::mem::take(is_away) {
            tracing::info!("other processes are heard again");
        }
        let of_all = self.channel_of_all();
        let mut messages = std::pin::pin!(connection.into_on_message());
        while let Some(message) = messages.next().await {
            if message.get_channel_name() == of_all {
                self.hear(message.get_payload_bytes());
            } else {
                self.take(message.get_payload_bytes());
            }
        }
        lost()
    }

    fn hear(&self, message: &[u8]) {
        let Ok(text) = std::str::from_utf8(message) else { return };
        let Some((from, what)) = text.split_once(' ') else { return };
        if from != self.0.node {
            // Nobody may be listening.
            let _ = self.0.heard.send(what.into());
        }
    }

    fn channel_of_all(&self) -> String {
        format!("{}:all", self.0.prefix)
    }

    fn channel_of(&self, node: &str) -> String {
        format!("{}:to:{node}", self.0.prefix)
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        let mut connection = self.0.connection.clone();
        // Connecting anew counts as well.
        match tokio::time::timeout(PATIENCE, command.query_async(&mut connection)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(RelayError::Away("it does not answer".into())),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Bytes>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answering(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Question>>> {
        self.0.answering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
