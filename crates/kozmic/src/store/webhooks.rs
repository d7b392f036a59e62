//! Where a project's builds are told of. URL and secret are sealed, and never shown again.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, StoreError, commit, failed, to_json, whole_rows};
use crate::model::{
    Action, BuildEvent, Event, Invalid, ProjectId, Timestamp, WebhookFormat, WebhookSpec,
};

/// Of one project.
const WEBHOOKS: i64 = 20;

/// A webhook as it may be shown.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub id: i64,
    pub format: WebhookFormat,
    pub host: String,
    pub events: BTreeSet<BuildEvent>,
    pub created_by: String,
    pub created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Target {
    url: String,
    secret: Option<String>,
}

impl Store {
    /// Refused when the project has too many.
    pub async fn webhook_added(
        &self,
        project: ProjectId,
        spec: &WebhookSpec,
        by: &str,
        now: Timestamp,
    ) -> Result<i64> {
        let events: Vec<&str> = spec.events.iter().map(|event| event.as_str()).collect();
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, project).await?;
        let row = sqlx::query(
            "INSERT INTO webhooks (project_id, format, host, events, created_by, created_at) \
             SELECT id, $1, $2, $3, $4, $5 FROM projects WHERE id = $6 \
             AND (SELECT COUNT(*) FROM webhooks WHERE project_id = $6) < $7 RETURNING id",
        )
        .bind(spec.format.as_str())
        .bind(spec.host())
        .bind(events.join(","))
        .bind(by)
        .bind(now.0)
        .bind(project.0)
        .bind(WEBHOOKS)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("add a webhook"))?;
        let Some(row) = row else {
            return Err(StoreError::Refused(format!(
                "There are {WEBHOOKS} webhooks already; remove one that is not needed."
            )));
        };
        let id = row.int("id")?;
        let target = Target { url: spec.url.to_string(), secret: spec.secret.clone() };
        let target = to_json(&target, "target")?;
        sqlx::query("UPDATE webhooks SET target = $1 WHERE id = $2")
            .bind(self.seal.seal(&place(id), target.as_bytes())?)
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep where a webhook leads"))?;
        let event = Event::of(Action::WebhookAdded, "webhook", Some(id), spec.host());
        let event = event.with("format", spec.format.as_str()).with("events", events.join(","));
        self.note(&mut tx, event.in_project(project)).await?;
        commit(tx).await?;
        Ok(id)
    }

    pub async fn webhooks(&self, project: ProjectId) -> Result<Vec<Webhook>> {
        of_project(&self.pool, project).await
    }

    /// It with what is still on its way to it. None when the project has no such webhook;
    /// else its host.
    pub async fn webhook_removed(&self, project: ProjectId, id: i64) -> Result<Option<String>> {
        let mut tx = self.begin().await?;
        let row =
            sqlx::query("DELETE FROM webhooks WHERE id = $1 AND project_id = $2 RETURNING host")
                .bind(id)
                .bind(project.0)
                .fetch_optional(&mut *tx)
                .await
                .map_err(failed("remove a webhook"))?;
        let Some(row) = row else { return Ok(None) };
        let host = row.text("host")?;
        let event = Event::of(Action::WebhookRemoved, "webhook", Some(id), &host);
        self.note(&mut tx, event.in_project(project)).await?;
        commit(tx).await?;
        Ok(Some(host))
    }

    /// Where a webhook leads, and what signs; none when it was removed.
    pub async fn webhook_target(&self, id: i64) -> Result<Option<WebhookSpec>> {
        let row = whole_rows("SELECT * FROM webhooks WHERE id = $1 AND target IS NOT NULL")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a webhook"))?;
        let Some(row) = row else { return Ok(None) };
        let Webhook { format, events, .. } = read(&row)?;
        let opened =
            self.open_sealed(&place(id), row.bytes_or_null("target")?)?.unwrap_or_default();
        let corrupt = || StoreError::Corrupt(Invalid::new("where a webhook leads"));
        let Target { url, secret } =
            serde_json::from_str(opened.expose_secret()).map_err(|_| corrupt())?;
        Ok(Some(WebhookSpec { format, url: url.parse().map_err(|_| corrupt())?, secret, events }))
    }

    /// The id of each webhook there is, at most so many.
    pub async fn all_webhooks(&self, limit: i64) -> Result<Vec<i64>> {
        let rows = sqlx::query("SELECT id FROM webhooks ORDER BY id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the webhooks"))?;
        rows.iter().map(|row| row.int("id")).collect()
    }
}

pub(super) async fn of_project(
    executor: impl sqlx::Executor<'_, Database = sqlx::Any>,
    project: ProjectId,
) -> Result<Vec<Webhook>> {
    let rows = whole_rows("SELECT * FROM webhooks WHERE project_id = $1 ORDER BY id")
        .bind(project.0)
        .fetch_all(executor)
        .await
        .map_err(failed("list a project's webhooks"))?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Webhook> {
    let events = row.text("events")?;
    let events = events.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(Webhook {
        id: row.int("id")?,
        format: row.text("format")?.parse()?,
        host: row.text("host")?,
        events,
        created_by: row.text("created_by")?,
        created_at: Timestamp(row.int("created_at")?),
    })
}

fn place(id: i64) -> String {
    format!("webhooks:{id}:target")
}
