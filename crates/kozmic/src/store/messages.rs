//! Mails and deliveries to webhooks on their way. Whoever sends one has claimed it for a
//! while; an attempt is noted before it is made.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::announcements::New;
use super::{Columns as _, Result, Store, StoreError, commit, failed, whole_rows};
use crate::model::{BuildId, JobUuid, ProjectId, Timestamp, UserId};

/// Longer than any attempt takes.
const CLAIM: Duration = Duration::from_mins(3);

/// One that is to be sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub id: i64,
    pub uuid: JobUuid,
    pub to: Recipient,
    pub project: ProjectId,
    pub build: Option<BuildId>,
    pub event: String,
    pub payload: String,
    /// Attempts so far, this one included.
    pub attempts: i64,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    Person(UserId),
    Webhook(i64),
}

impl Recipient {
    /// What they get.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Person(_) => "mail",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Once more, after so long.
    Again(Duration),
    /// Never again.
    Refused,
    /// Not sent, because nobody wants it any more.
    Dropped,
}

impl Outcome {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again(_) => "again",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }
}

/// What was answered, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub words: String,
    /// Of HTTP or SMTP.
    pub code: Option<i64>,
    pub took: Duration,
}

/// A delivery as a page shows it.
#[derive(Debug, Clone)]
pub struct SentMessage {
    pub id: i64,
    pub uuid: String,
    pub build: Option<(BuildId, i64)>,
    pub event: String,
    /// `waiting`, `sent` or `refused`.
    pub state: String,
    pub attempts: i64,
    pub next_attempt_at: Timestamp,
    pub answer: Option<String>,
    pub code: Option<i64>,
    pub took: Option<i64>,
    pub updated_at: Timestamp,
}

impl Message {
    fn read(row: &AnyRow) -> Result<Self> {
        let to = match (row.int_or_null("user_id")?, row.int_or_null("webhook_id")?) {
            (Some(user), _) => Recipient::Person(UserId(user)),
            (None, webhook) => Recipient::Webhook(webhook.unwrap_or_default()),
        };
        Ok(Self {
            id: row.int("id")?,
            uuid: row.text("uuid")?.parse()?,
            to,
            project: ProjectId(row.int("project_id")?),
            build: row.int_or_null("build_id")?.map(BuildId),
            event: row.text("event")?,
            payload: row.text("payload")?,
            attempts: row.int("attempts")?,
            created_at: Timestamp(row.int("created_at")?),
        })
    }
}

impl Store {
    /// Takes what is due and nobody else is sending, at most so many: first what failed
    /// least. The attempt is counted now, so that it is known of when the server ends
    /// before it has an outcome.
    pub async fn messages_claimed(
        &self,
        can_mail: bool,
        limit: i64,
        now: Timestamp,
    ) -> Result<Vec<Message>> {
        // Asked again in the outer condition: of two that claim at once, one waits for the
        // other, and then sees what that has written.
        let rows = whole_rows(
            "UPDATE messages SET attempts = attempts + 1, claimed_until = $1 WHERE id IN \
             (SELECT id FROM messages WHERE state = 'waiting' AND next_attempt_at <= $2 \
              AND claimed_until <= $2 AND (kind <> 'mail' OR $3 = 1) \
              ORDER BY attempts, next_attempt_at, id LIMIT $4) \
             AND state = 'waiting' AND claimed_until <= $2 RETURNING *",
        )
        .bind(now.plus(CLAIM).0)
        .bind(now.0)
        .bind(i64::from(can_mail))
        .bind(limit)
        .fetch_all(&self.writer)
        .await
        .map_err(failed("claim messages"))?;
        rows.iter().map(Message::read).collect()
    }

    /// When the next message becomes due, or may be claimed again.
    pub async fn next_message_at(&self, can_mail: bool) -> Result<Option<Timestamp>> {
        let row = sqlx::query(
            "SELECT MIN(CASE WHEN next_attempt_at > claimed_until THEN next_attempt_at \
             ELSE claimed_until END) AS at FROM messages \
             WHERE state = 'waiting' AND (kind <> 'mail' OR $1 = 1)",
        )
        .bind(i64::from(can_mail))
        .fetch_one(&self.pool)
        .await
        .map_err(failed("read the outbox"))?;
        Ok(row.int_or_null("at")?.map(Timestamp))
    }

    /// What came of an attempt; nothing is written when another has claimed it meanwhile.
    /// A person whose mails are refused for good sees why.
    pub async fn message_settled(
        &self,
        message: &Message,
        outcome: &Outcome,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<()> {
        let (state, next) = match outcome {
            Outcome::Sent => ("sent", now),
            Outcome::Refused | Outcome::Dropped => ("refused", now),
            Outcome::Again(pause) => ("waiting", now.plus(*pause)),
        };
        let mut tx = self.begin().await?;
        let settled = sqlx::query(
            "UPDATE messages SET state = $1, next_attempt_at = $2, claimed_until = 0, answer = $3, code = $4, \
             took = $5, updated_at = $6 WHERE id = $7 AND attempts = $8 AND state = 'waiting'",
        )
        .bind(state)
        .bind(next.0)
        .bind(Some(&reply.words).filter(|words| !words.is_empty()))
        .bind(reply.code)
        .bind(i64::try_from(reply.took.as_millis()).unwrap_or(i64::MAX))
        .bind(now.0)
        .bind(message.id)
        .bind(message.attempts)
        .execute(&mut *tx)
        .await
        .map_err(failed("settle a message"))?;
        let trouble = match (message.to, outcome) {
            (Recipient::Person(user), Outcome::Sent) => Some((user, None)),
            (Recipient::Person(user), Outcome::Refused) => Some((user, Some(&reply.words))),
            _ => None,
        };
        if let Some((user, trouble)) = trouble.filter(|_| settled.rows_affected() > 0) {
            sqlx::query(
                "UPDATE users SET mail_trouble = $1, mail_trouble_at = $2 WHERE id = $3 \
                 AND (mail_trouble IS NOT NULL OR $1 IS NOT NULL)",
            )
            .bind(trouble)
            .bind(trouble.map(|_| now.0))
            .bind(user.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what became of somebody's mail"))?;
        }
        commit(tx).await
    }

    /// The last deliveries of a webhook, the newest first.
    pub async fn deliveries_of(&self, webhook: i64, limit: i64) -> Result<Vec<SentMessage>> {
        let rows = whole_rows(
            "SELECT messages.*, builds.number FROM messages LEFT JOIN builds ON builds.id = messages.build_id \
             WHERE webhook_id = $1 ORDER BY messages.id DESC LIMIT $2",
        )
        .bind(webhook)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a webhook's deliveries"))?;
        let read = |row: &AnyRow| {
            let build = row.int_or_null("build_id")?.zip(row.int_or_null("number")?);
            Ok(SentMessage {
                id: row.int("id")?,
                uuid: row.text("uuid")?,
                build: build.map(|(id, number)| (BuildId(id), number)),
                event: row.text("event")?,
                state: row.text("state")?,
                attempts: row.int("attempts")?,
                next_attempt_at: Timestamp(row.int("next_attempt_at")?),
                answer: row.text_or_null("answer")?,
                code: row.int_or_null("code")?,
                took: row.int_or_null("took")?,
                updated_at: Timestamp(row.int("updated_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The same bytes once more, at once; false when the project has no such delivery, or it
    /// is being sent.
    pub async fn delivery_again(
        &self,
        project: ProjectId,
        id: i64,
        now: Timestamp,
    ) -> Result<bool> {
        let again = sqlx::query(
            "UPDATE messages SET state = 'waiting', attempts = 0, next_attempt_at = $1, updated_at = $1 \
             WHERE id = $2 AND project_id = $3 AND webhook_id IS NOT NULL AND claimed_until <= $1",
        )
        .bind(now.0)
        .bind(id)
        .bind(project.0)
        .execute(&self.writer)
        .await
        .map_err(failed("send a delivery again"))?;
        self.wakes.outbox.messages.notify_one();
        Ok(again.rows_affected() > 0)
    }

    /// A delivery that tells of no build; what it says is made when it is sent. False when the
    /// project has no such webhook.
    pub async fn webhook_tested(
        &self,
        project: ProjectId,
        webhook: i64,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let known = sqlx::query("SELECT id FROM webhooks WHERE id = $1 AND project_id = $2")
            .bind(webhook)
            .bind(project.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("find a webhook"))?;
        if known.is_none() {
            return Ok(false);
        }
        let row = sqlx::query(
            "SELECT COUNT(*) AS waiting FROM messages WHERE webhook_id = $1 AND event = 'test' AND state = 'waiting'",
        )
        .bind(webhook)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed("count a webhook's tests"))?;
        if row.int("waiting")? > 0 {
            return Err(StoreError::Refused(
                "A test of this webhook is on its way already.".into(),
            ));
        }
        let uuid = JobUuid::random();
        let message = New { uuid, project, build: None, event: "test", payload: "", at: now };
        message.to_webhook(&mut tx, webhook, now).await?;
        super::announcements::forget_deliveries(&mut tx, webhook).await?;
        commit(tx).await?;
        self.wakes.outbox.messages.notify_one();
        Ok(true)
    }
}
