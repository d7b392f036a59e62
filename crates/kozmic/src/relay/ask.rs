//! Questions that one process asks another one, by its name.
//!
//! A message is a head of words, a newline, and bytes: `ask ID FROM KIND`, or `answer ID`.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{QUESTIONS, Relay, RelayError, Result};

/// An answer takes no longer.
const ANSWER: Duration = Duration::from_secs(5);

/// What another process wants to know.
#[derive(Debug)]
pub struct Question {
    pub body: Bytes,
    id: String,
    from: String,
    relay: Relay,
}

impl Question {
    /// The name of the process that asks.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Who asked may be gone by now.
    pub async fn answer(self, body: &[u8]) -> Result<()> {
        self.relay.send(&self.from, &format!("answer {}", self.id), body).await.map(drop)
    }
}

/// Forgets the question, also when nobody waits for its answer any more.
struct Waiting<'a>(&'a Relay, String);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}

impl Relay {
    /// The questions of this kind that this process is asked from now on.
    pub fn questions(&self, kind: &str) -> mpsc::Receiver<Question> {
        let (sender, receiver) = mpsc::channel(QUESTIONS);
        self.answering().insert(kind.to_owned(), sender);
        receiver
    }

    pub async fn ask(&self, node: &str, kind: &str, body: &[u8]) -> Result<Bytes> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(id.clone(), sender);
        let waiting = Waiting(self, id);
        let head = format!("ask {} {} {kind}", waiting.1, self.node());
        if self.send(node, &head, body).await? == 0 {
            return Err(RelayError::NoAnswer(node.to_owned()));
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(RelayError::NoAnswer(node.to_owned())),
        }
    }

    /// How many heard it: one, or none.
    async fn send(&self, node: &str, head: &str, body: &[u8]) -> Result<i64> {
        let mut message = Vec::with_capacity(head.len() + 1 + body.len());
        message.extend(head.as_bytes());
        message.push(b'\n');
        message.extend(body);
        self.query(redis::cmd("PUBLISH").arg(self.channel_of(node)).arg(message)).await
    }

    /// A message for this process.
    pub(super) fn take(&self, message: &[u8]) {
        let Some(end) = message.iter().position(|byte| *byte == b'\n') else { return };
        let (head, body) = (String::from_utf8_lossy(&message[..end]), &message[end + 1..]);
        let body = Bytes::copy_from_slice(body);
        match head.split(' ').collect::<Vec<_>>().as_slice() {
            ["answer", id] => {
                if let Some(waiting) = self.waiting().remove(*id) {
                    let _ = waiting.send(body);
                }
            }
            ["ask", id, from, kind] => {
                let Some(answering) = self.answering().get(*kind).cloned() else { return };
                let (id, from) = ((*id).to_owned(), (*from).to_owned());
                let question = Question { body, id, from, relay: self.clone() };
                // Who asks asks again.
                if answering.try_send(question).is_err() {
                    tracing::warn!(kind, "a question of another process is not answered");
                }
            }
            _ => tracing::warn!("another process sent what makes no sense"),
        }
    }
}
