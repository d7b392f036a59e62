//! Builds that have ended, noted in the transaction that ended them, and the messages that
//! follow: one for everybody who wants to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::many::{self, places};
use super::{
    Columns as _, Result, Store, Transaction, commit, failed, to_json, webhooks, whole_rows,
};
use crate::model::{
    BuildEvent, BuildId, BuildStatus, JobUuid, MailChoice, ProjectId, Timestamp, UserId,
    WebhookFormat,
};

/// Mails that somebody gets within an hour; what is beyond comes as one.
const MAILS_AN_HOUR: i64 = 20;
const HOUR: Duration = Duration::from_hours(1);
/// How long it is known which mails were sent.
const MAILS_KEPT: Duration = Duration::from_hours(24 * 30);
/// Deliveries that are kept of each webhook.
const DELIVERIES_KEPT: i64 = 50;
/// Builds that one mail lists instead of mails of their own.
const DIGEST: usize = 50;

/// The end of a build, of which nobody was told yet.
#[derive(Debug, Clone)]
pub struct Announcement {
    id: i64,
    pub build: BuildId,
    pub event: BuildEvent,
    pub status: BuildStatus,
    /// How the build before on its branch ended, or this one before it was run again.
    pub was: Option<BuildStatus>,
}

/// A webhook that is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub webhook: i64,
    pub format: WebhookFormat,
}

/// Several builds, in place of mails of their own.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Digest {
    /// The first of them.
    pub builds: Vec<i64>,
    pub count: u64,
}

/// Called with each change of builds that people are told of, in its transaction and with the
/// builds locked: notes their ends where they are over. `rows` are theirs, as `outbox` reads them.
pub(super) async fn builds_changed(
    tx: &mut Transaction,
    rows: &[AnyRow],
    now: Timestamp,
) -> Result<()> {
    let (mut over, mut on) = (Vec::new(), Vec::new());
    for row in rows {
        let status: BuildStatus = row.text("status")?.parse()?;
        match (status.is_finished(), row.flag("is_announced")?) {
            (true, false) => over.push((row, status)),
            (false, true) => on.push(row.int("id")?),
            _ => {}
        }
    }
    for build in on {
        sqlx::query("UPDATE builds SET is_announced = 0 WHERE id = $1")
            .bind(build)
            .execute(&mut **tx)
            .await
            .map_err(failed("note that a build goes on"))?;
    }
    if over.is_empty() {
        return Ok(());
    }
    let text = format!(
        "UPDATE builds SET announced = status, is_announced = 1 WHERE id IN ({})",
        places(0, over.len())
    );
    let mut update = sqlx::query(AssertSqlSafe(text));
    let text = format!(
        "INSERT INTO announcements (build_id, event, status, was, created_at) VALUES {}",
        many::rows(over.len(), 5)
    );
    let mut insert = sqlx::query(AssertSqlSafe(text));
    let before = before(tx, &over).await?;
    for (row, status) in over {
        let build = row.int("id")?;
        let before = match row.text_or_null("announced")?.as_deref() {
            // That one was cancelled says nothing of its branch.
            Some("cancelled") | None => before.get(&build).copied(),
            Some(before) => Some(before.parse()?),
        };
        let event = match (status, before) {
            (BuildStatus::Failure | BuildStatus::Error, _) => BuildEvent::Failed,
            // One whose hooks were chosen makes nothing green that another left red.
            (BuildStatus::Success, Some(BuildStatus::Failure | BuildStatus::Error))
                if !row.flag("is_partial")? =>
            {
                BuildEvent::Fixed
            }
            _ => BuildEvent::Finished,
        };
        update = update.bind(build);
        insert = insert.bind(build).bind(event.as_str()).bind(status.as_str());
        insert = insert.bind(before.map(BuildStatus::as_str)).bind(now.0);
    }
    update.execute(&mut **tx).await.map_err(failed("note that the ends of builds are told"))?;
    insert.execute(&mut **tx).await.map_err(failed("announce the ends of builds"))?;
    Ok(())
}

/// How the last build before each of these ended, of its ref and one that says something of the
/// ref.
async fn before(
    tx: &mut Transaction,
    builds: &[(&AnyRow, BuildStatus)],
) -> Result<BTreeMap<i64, BuildStatus>> {
    let text = format!(
        "SELECT id, (SELECT earlier.status FROM builds AS earlier \
                     WHERE earlier.project_id = builds.project_id \
                     AND earlier.gh_commit_ref = builds.gh_commit_ref \
                     AND earlier.number < builds.number \
                     AND earlier.status IN ('success', 'failure', 'error') \
                     AND earlier.triggered_by <> 'try' AND earlier.is_partial = 0 \
                     ORDER BY earlier.number DESC LIMIT 1) AS before \
         FROM builds WHERE id IN ({})",
        places(0, builds.len())
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (build, _) in builds {
        query = query.bind(build.int("id")?);
    }
    let rows = query.fetch_all(&mut **tx).await.map_err(failed("look for the builds before"))?;
    let mut before = BTreeMap::new();
    for row in &rows {
        if let Some(status) = row.text_or_null("before")? {
            before.insert(row.int("id")?, status.parse()?);
        }
    }
    Ok(before)
}

impl Store {
    /// Ends that nobody was told of yet, the oldest first.
    pub async fn announcements(&self, limit: i64) -> Result<Vec<Announcement>> {
        let rows = whole_rows("SELECT * FROM announcements ORDER BY id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the announcements"))?;
        let read = |row: &AnyRow| {
            let was = row.text_or_null("was")?;
            Ok(Announcement {
                id: row.int("id")?,
                build: BuildId(row.int("build_id")?),
                event: row.text("event")?.parse()?,
                status: row.text("status")?.parse()?,
                was: was.map(|was| was.parse()).transpose()?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Nobody is told.
    pub async fn announcement_dropped(&self, announcement: &Announcement) -> Result<()> {
        sqlx::query("DELETE FROM announcements WHERE id = $1")
            .bind(announcement.id)
            .execute(&self.pool)
            .await
            .map_err(failed("drop an announcement"))?;
        Ok(())
    }

    /// Makes the messages of an announcement, which is gone then; false when another process
    /// has made them. `body` says what a webhook is told under this delivery's id; `mail` is
    /// what holds for who chose nothing, and none where no mail can be sent.
    pub async fn announced(
        &self,
        announcement: &Announcement,
        mail: Option<MailChoice>,
        body: impl Fn(Told, JobUuid) -> String + Send,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let gone = sqlx::query("DELETE FROM announcements WHERE id = $1")
            .bind(announcement.id)
            .execute(&mut *tx)
            .await
            .map_err(failed("take an announcement"))?;
        if gone.rows_affected() == 0 {
            return Ok(false);
        }
        let row = sqlx::query(
            "SELECT project_id, gh_commit_author, pull_request_author, asked_by FROM builds WHERE id = $1",
        )
        .bind(announcement.build.0)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed("read a build"))?;
        let of = Of { announcement, project: ProjectId(row.int("project_id")?), now };
        of.tell_webhooks(&mut tx, body).await?;
        if let (Some(mail), BuildEvent::Failed | BuildEvent::Fixed) = (mail, announcement.event) {
            let whose = ["gh_commit_author", "pull_request_author", "asked_by"];
            let whose = whose.map(|column| row.text_or_null(column));
            let mut logins = Vec::new();
            for login in whose {
                logins.extend(login?.map(|login| login.to_lowercase()));
            }
            of.tell_people(&mut tx, mail, &logins).await?;
        }
        commit(tx).await?;
        Ok(true)
    }
}

struct Of<'a> {
    announcement: &'a Announcement,
    project: ProjectId,
    now: Timestamp,
}

impl Of<'_> {
    async fn tell_webhooks(
        &self,
        tx: &mut Transaction,
        body: impl Fn(Told, JobUuid) -> String + Send,
    ) -> Result<()> {
        for webhook in webhooks::of_project(&mut **tx, self.project).await? {
            // Who wants all ends wants these, too.
            if ![BuildEvent::Finished, self.announcement.event]
                .iter()
                .any(|event| webhook.events.contains(event))
            {
                continue;
            }
            let told = Told { webhook: webhook.id, format: webhook.format };
            let uuid = JobUuid::random();
            let message = New {
                uuid,
                project: self.project,
                build: Some(self.announcement.build),
                event: self.announcement.event.as_str(),
                payload: &body(told, uuid),
                at: self.now,
            };
            message.to_webhook(tx, told.webhook, self.now).await?;
            forget_deliveries(tx, told.webhook).await?;
        }
        Ok(())
    }

    /// Owner and members, as each has chosen.
    async fn tell_people(
        &self,
        tx: &mut Transaction,
        default: MailChoice,
        whose: &[String],
    ) -> Result<()> {
        let rows = sqlx::query(
            "SELECT users.id, users.gh_login, users.mail, \
             (SELECT choice FROM mail_choices WHERE user_id = users.id AND project_id = $1) AS choice \
             FROM users WHERE email IS NOT NULL AND (id IN \
             (SELECT user_id FROM memberships WHERE project_id = $1) \
             OR id = (SELECT owner_id FROM projects WHERE id = $1)) ORDER BY id",
        )
        .bind(self.project.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list who may be mailed"))?;
        for row in &rows {
            let chosen = row.text_or_null("choice")?.or(row.text_or_null("mail")?);
            let wants = match chosen.map_or(Ok(default), |chosen| chosen.parse())? {
                MailChoice::Never => false,
                MailChoice::Own => whose.contains(&row.text("gh_login")?.to_lowercase()),
                MailChoice::All => true,
            };
            if wants {
                self.mail(tx, UserId(row.int("id")?)).await?;
            }
        }
        Ok(())
    }

    async fn mail(&self, tx: &mut Transaction, user: UserId) -> Result<()> {
        sqlx::query(
            "DELETE FROM messages WHERE user_id = $1 AND state <> 'waiting' AND updated_at < $2",
        )
        .bind(user.0)
        .bind(self.now.minus(MAILS_KEPT).0)
        .execute(&mut **tx)
        .await
        .map_err(failed("forget old mails"))?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS sent, MIN(created_at) AS first FROM messages \
             WHERE user_id = $1 AND created_at > $2",
        )
        .bind(user.0)
        .bind(self.now.minus(HOUR).0)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("count somebody's mails"))?;
        let message = New {
            uuid: JobUuid::random(),
            project: self.project,
            build: Some(self.announcement.build),
            event: self.announcement.event.as_str(),
            payload: "{}",
            at: self.now,
        };
        if row.int("sent")? < MAILS_AN_HOUR {
            return message.to_person(tx, user, self.now).await;
        }
        let first = row.int_or_null("first")?.map_or(self.now, Timestamp);
        self.add_to_digest(tx, user, first.plus(HOUR)).await
    }

    /// One mail for all that is beyond the limit, as soon as that allows it.
    async fn add_to_digest(&self, tx: &mut Transaction, user: UserId, at: Timestamp) -> Result<()> {
        let row = sqlx::query(
            "SELECT id, payload FROM messages WHERE user_id = $1 AND event = 'digest' \
             AND state = 'waiting' AND attempts = 0",
        )
        .bind(user.0)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("look for a digest"))?;
        let mut digest: Digest = match &row {
            Some(row) => super::read_json(row, "payload")?,
            None => Digest::default(),
        };
        digest.count += 1;
        if digest.builds.len() < DIGEST {
            digest.builds.push(self.announcement.build.0);
        }
        let payload = to_json(&digest, "payload")?;
        let Some(row) = row else {
            let message = New {
                uuid: JobUuid::random(),
                project: self.project,
                build: None,
                event: "digest",
                payload: &payload,
                at,
            };
            return message.to_person(tx, user, self.now).await;
        };
        sqlx::query("UPDATE messages SET payload = $1 WHERE id = $2")
            .bind(payload)
            .bind(row.int("id")?)
            .execute(&mut **tx)
            .await
            .map_err(failed("add to a digest"))?;
        Ok(())
    }
}

/// A message that is to be sent.
pub(super) struct New<'a> {
    pub(super) uuid: JobUuid,
    pub(super) project: ProjectId,
    pub(super) build: Option<BuildId>,
    pub(super) event: &'a str,
    pub(super) payload: &'a str,
    /// Not before.
    pub(super) at: Timestamp,
}

impl New<'_> {
    pub(super) async fn to_webhook(
        &self,
        tx: &mut Transaction,
        webhook: i64,
        now: Timestamp,
    ) -> Result<()> {
        self.insert(tx, "webhook", None, Some(webhook), now).await
    }

    async fn to_person(&self, tx: &mut Transaction, user: UserId, now: Timestamp) -> Result<()> {
        self.insert(tx, "mail", Some(user.0), None, now).await
    }

    async fn insert(
        &self,
        tx: &mut Transaction,
        kind: &str,
        user: Option<i64>,
        webhook: Option<i64>,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO messages (uuid, kind, project_id, build_id, user_id, webhook_id, event, payload, \
             state, attempts, next_attempt_at, claimed_until, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'waiting', 0, $9, 0, $10, $10)",
        )
        .bind(self.uuid.to_string())
        .bind(kind)
        .bind(self.project.0)
        .bind(self.build.map(|build| build.0))
        .bind(user)
        .bind(webhook)
        .bind(self.event)
        .bind(self.payload)
        .bind(self.at.0)
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("put a message into the outbox"))?;
        Ok(())
    }
}

/// Of a webhook the newest deliveries stay.
pub(super) async fn forget_deliveries(tx: &mut Transaction, webhook: i64) -> Result<()> {
    sqlx::query(
        "DELETE FROM messages WHERE webhook_id = $1 AND state <> 'waiting' AND id < \
         (SELECT MIN(id) FROM (SELECT id FROM messages WHERE webhook_id = $1 ORDER BY id DESC LIMIT $2) AS newest)",
    )
    .bind(webhook)
    .bind(DELIVERIES_KEPT)
    .execute(&mut **tx)
    .await
    .map_err(failed("forget old deliveries"))?;
    Ok(())
}
