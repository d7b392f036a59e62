//! Tells people and other servers of builds that have ended: the ends become messages, the
//! messages are sent, again and again until they arrive or are refused for good.

use std::time::Duration;

use tokio::task::JoinSet;

use super::body;
use super::facts::Facts;
use super::letter::{self, Addressee, age};
use super::mail::Mailer;
use super::webhook::Webhooks;
use crate::config::NotifySettings;
use crate::log::Logs;
use crate::model::{BuildId, Invalid, MailChoice, Timestamp, UserId};
use crate::shutdown::Shutdown;
use crate::store::{
    Announcement, Digest, Message, Outcome, Recipient, Reply, Store, StoreError, Told,
};
use crate::telemetry::count;

/// Messages that are sent at once.
const AT_ONCE: usize = 8;
/// Ends that become messages in one go.
const BATCH: i64 = 50;
/// What other processes have left is found by this poll.
const POLL: Duration = Duration::from_secs(5);
/// Attempts under way have so long when the server stops; the others are made again.
const LAST: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    store: Store,
    logs: Logs,
    mailer: Option<Mailer>,
    /// Of who chose nothing.
    mail_by_default: MailChoice,
    webhooks: Webhooks,
    public_url: String,
}

/// Why a message could not be made.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("{0}")]
    Nobody(&'static str),
}

impl Notifier {
    /// `public_url` is the root of links, without a trailing slash.
    pub fn new(
        settings: &NotifySettings,
        store: Store,
        logs: Logs,
        public_url: String,
    ) -> Result<Self, Invalid> {
        let networks = settings.webhook_networks.clone();
        let webhooks = Webhooks::new(networks, &settings.trust).map_err(|error| {
            Invalid::new(format!("a client for webhooks can't be made: {error}"))
        })?;
        Ok(Self {
            store,
            logs,
            mailer: settings.mail.as_ref().map(Mailer::new).transpose()?,
            mail_by_default: if settings.mail_by_default {
                MailChoice::All
            } else {
                MailChoice::Never
            },
            webhooks,
            public_url,
        })
    }

    /// Which mails who chose nothing gets; none: no mail can be sent.
    pub fn default_choice(&self) -> Option<MailChoice> {
        self.mailer.as_ref().map(|_| self.mail_by_default)
    }

    /// Makes messages of the ends of builds.
    async fn announce(&self) -> Result<(), StoreError> {
        loop {
            let announcements = self.store.announcements(BATCH).await?;
            for announcement in &announcements {
                match self.announce_one(announcement).await {
                    // It would be so each time, and the others would never be told.
                    Err(StoreError::Corrupt(problem)) => {
                        let build = announcement.build;
                        tracing::error!(%build, %problem, "a build's end can't be told");
                        self.store.announcement_dropped(announcement).await?;
                    }
                    told => told?,
                }
            }
            if announcements.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(());
            }
        }
    }

    async fn announce_one(&self, announcement: &Announcement) -> Result<(), StoreError> {
        let facts = Facts::of(&self.store, announcement.build, &self.public_url).await?;
        // With the build its end is gone.
        let Some(facts) = facts else { return Ok(()) };
        let body = |told: Told, uuid| body::of_build(&facts, announcement, told.format, uuid);
        self.store.announced(announcement, self.default_choice(), body, Timestamp::now()).await?;
        Ok(())
    }

    async fn send(self, message: Message) {
        let (outcome, reply) = match message.to {
            Recipient::Webhook(webhook) => self.deliver(&message, webhook).await,
            Recipient::Person(user) => self.mail(&message, user).await,
        }
        .unwrap_or_else(|error| match error {
            Unsent::Store(error) => {
                tracing::error!(%error, message = %message.uuid, "a message can't be made");
                (Outcome::Again(POLL), Reply::default())
            }
            unsent @ Unsent::Invalid(_) => {
                (Outcome::Refused, Reply { words: unsent.to_string(), ..Reply::default() })
            }
            unsent @ Unsent::Nobody(_) => {
                (Outcome::Dropped, Reply { words: unsent.to_string(), ..Reply::default() })
            }
        });
        let (words, code) = (&reply.words, reply.code);
        count::message(message.to.kind(), outcome.word());
        match &outcome {
            Outcome::Sent | Outcome::Dropped => {
                tracing::debug!(message = %message.uuid, code, words, "a message is settled");
            }
            Outcome::Again(pause) => {
                let retry_in_s = pause.as_secs();
                tracing::warn!(message = %message.uuid, code, words, retry_in_s, "a message did not arrive");
            }
            Outcome::Refused => {
                tracing::warn!(message = %message.uuid, code, words, "a message was refused for good");
            }
        }
        let settled =
            self.store.message_settled(&message, &outcome, &reply, Timestamp::now()).await;
        if let Err(error) = settled {
            tracing::error!(%error, message = %message.uuid, "what became of a message can't be kept");
        }
    }

    async fn deliver(&self, message: &Message, webhook: i64) -> Result<(Outcome, Reply), Unsent> {
        let target = self.store.webhook_target(webhook).await?;
        let target = target.ok_or(Unsent::Nobody("the webhook was removed"))?;
        let mut message = message.clone();
        if message.event == "test" {
            let project = self.store.project(message.project).await?;
            let project = project.ok_or(Unsent::Nobody("the project is gone"))?;
            message.payload = body::test(&project, &self.public_url, target.format, message.uuid);
        }
        Ok(self.webhooks.deliver(&message, &target, age(&message)).await)
    }

    async fn mail(&self, message: &Message, user: UserId) -> Result<(Outcome, Reply), Unsent> {
        let mailer = self.mailer.as_ref().ok_or(Unsent::Nobody("no mail server is set"))?;
        // They may have left the project since.
        if self.store.role(message.project, user).await?.is_none() {
            return Err(Unsent::Nobody("they do not see the project any more"));
        }
        let address = self.store.mail_address(user).await?;
        let (address, login) = address.ok_or(Unsent::Nobody("they have no address any more"))?;
        let token = self.store.unsubscribe_token(user, message.project)?;
        let to = Addressee {
            address,
            login,
            choices_url: format!("{}/account/settings/#mail", self.public_url),
            unsubscribe_url: format!("{}/unsubscribe/{token}/", self.public_url),
        };
        let mail = if message.event == "digest" {
            let digest: Digest = serde_json::from_str(&message.payload)
                .map_err(|error| Invalid::new(format!("a digest can't be read: {error}")))?;
            let mut builds = Vec::with_capacity(digest.builds.len());
            for build in digest.builds {
                builds.extend(Facts::of(&self.store, BuildId(build), &self.public_url).await?);
            }
            letter::of_many(mailer, message, &builds, digest.count, &to)?
        } else {
            let build = message.build.ok_or(Unsent::Nobody("it is of no build"))?;
            let facts = Facts::of(&self.store, build, &self.public_url).await?;
            let facts = facts.ok_or(Unsent::Nobody("the build is gone"))?;
            if !facts.build.status.is_finished() {
                return Err(Unsent::Nobody("the build runs again, and its new end is told"));
            }
            let event = message.event.parse()?;
            letter::of_build(mailer, message, &facts, event, &to, &self.logs).await?
        };
        Ok(mailer.send(mail, message.attempts, age(message)).await)
    }
}

/// Runs until shutdown.
pub async fn notify(notifier: Notifier, shutdown: Shutdown) {
    let mut under_way = JoinSet::new();
    loop {
        let changed = notifier.store.messages_changed();
        let begun = notifier.begin_due(&mut under_way).await;
        let pause = begun.unwrap_or_else(|error| {
            tracing::error!(%error, "messages can't be read");
            POLL
        });
        tokio::select! {
            () = shutdown.requested() => break,
            () = changed => {}
            Some(ended) = under_way.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a message was broken off");
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
    // The claim of what is broken off ends by itself.
    let rest = async { while under_way.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST, rest).await;
}

impl Notifier {
    /// Begins to send what is due; how long nothing more will become due.
    async fn begin_due(&self, under_way: &mut JoinSet<()>) -> Result<Duration, StoreError> {
        self.announce().await?;
        let can_mail = self.mailer.is_some();
        let room = i64::try_from(AT_ONCE.saturating_sub(under_way.len())).unwrap_or(0);
        if room == 0 {
            return Ok(POLL);
        }
        // Asked first: most often nothing is due, and a claim writes.
        let now = Timestamp::now();
        let next = self.store.next_message_at(can_mail).await?;
        if next.is_none_or(|at| at > now) {
            return Ok(next.map_or(POLL, |at| at.since(now).min(POLL)));
        }
        for message in self.store.messages_claimed(can_mail, room, now).await? {
            under_way.spawn(self.clone().send(message));
        }
        if under_way.len() >= AT_ONCE {
            return Ok(POLL);
        }
        let next = self.store.next_message_at(can_mail).await?;
        Ok(next.map_or(POLL, |at| at.since(Timestamp::now()).min(POLL)))
    }
}
