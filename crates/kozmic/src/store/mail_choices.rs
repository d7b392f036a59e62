//! Which mails people want, and what became of the last one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Columns as _, Project, Result, Store, commit, failed};
use crate::model::{Action, Event, MailChoice, ProjectId, Timestamp, UserId};

/// Somebody's choices.
#[derive(Debug, Clone, Default)]
pub struct MailChoices {
    /// None: as the settings say.
    pub general: Option<MailChoice>,
    /// The projects they work on, each with what they chose for it, if they did.
    pub projects: Vec<(ProjectId, String, Option<MailChoice>)>,
    /// Why the last mail was refused for good, and when.
    pub trouble: Option<(String, Timestamp)>,
}

impl Store {
    pub async fn mail_choices(&self, user: UserId) -> Result<MailChoices> {
        let row =
            sqlx::query("SELECT mail, mail_trouble, mail_trouble_at FROM users WHERE id = $1")
                .bind(user.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("read which mails somebody wants"))?;
        let Some(row) = row else { return Ok(MailChoices::default()) };
        let at = row.int_or_null("mail_trouble_at")?.map(Timestamp);
        let rows = sqlx::query(
            "SELECT id, gh_full_name, (SELECT choice FROM mail_choices \
             WHERE project_id = projects.id AND user_id = $1) AS choice FROM projects \
             WHERE owner_id = $1 OR id IN (SELECT project_id FROM memberships WHERE user_id = $1) \
             ORDER BY gh_full_name",
        )
        .bind(user.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read which mails somebody wants"))?;
        let mut projects = Vec::with_capacity(rows.len());
        for row in &rows {
            let choice = row.text_or_null("choice")?.map(|choice| choice.parse()).transpose()?;
            projects.push((ProjectId(row.int("id")?), row.text("gh_full_name")?, choice));
        }
        Ok(MailChoices {
            general: row.text_or_null("mail")?.map(|choice| choice.parse()).transpose()?,
            projects,
            trouble: row.text_or_null("mail_trouble")?.zip(at),
        })
    }

    /// What somebody wants of all projects; none: as the settings say.
    pub async fn mail_chosen(&self, user: UserId, choice: Option<MailChoice>) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE users SET mail = $1 WHERE id = $2")
            .bind(choice.map(MailChoice::as_str))
            .bind(user.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep which mails somebody wants"))?;
        self.note(&mut tx, chosen(user, choice)).await?;
        commit(tx).await
    }

    /// What somebody wants of one project; none: as of all. What is still on its way to
    /// who wants none is not sent.
    pub async fn mail_chosen_for(
        &self,
        user: UserId,
        project: ProjectId,
        choice: Option<MailChoice>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM mail_choices WHERE user_id = $1 AND project_id = $2")
            .bind(user.0)
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep which mails somebody wants"))?;
        if let Some(choice) = choice {
            sqlx::query(
                "INSERT INTO mail_choices (user_id, project_id, choice) \
                 SELECT $1, id, $2 FROM projects WHERE id = $3",
            )
            .bind(user.0)
            .bind(choice.as_str())
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep which mails somebody wants"))?;
        }
        if choice == Some(MailChoice::Never) {
            sqlx::query(
                "DELETE FROM messages WHERE user_id = $1 AND project_id = $2 AND state = 'waiting' AND attempts = 0",
            )
            .bind(user.0)
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("take back somebody's mails"))?;
        }
        self.note(&mut tx, chosen(user, choice).in_project(project)).await?;
        commit(tx).await
    }

    /// Where somebody's mail goes, and their login; none: nowhere.
    pub async fn mail_address(&self, user: UserId) -> Result<Option<(String, String)>> {
        let row =
            sqlx::query("SELECT gh_login, email FROM users WHERE id = $1 AND email IS NOT NULL")
                .bind(user.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("look up an address"))?;
        row.map(|row| Ok((row.text("email")?, row.text("gh_login")?))).transpose()
    }

    /// Whose mails are refused, at most so many: login and reason.
    pub async fn mail_troubles(&self, limit: i64) -> Result<Vec<(String, String)>> {
        let rows = sqlx::query(
            "SELECT gh_login, mail_trouble FROM users WHERE mail_trouble IS NOT NULL \
             ORDER BY mail_trouble_at DESC LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list whose mails are refused"))?;
        rows.iter().map(|row| Ok((row.text("gh_login")?, row.text("mail_trouble")?))).collect()
    }
}

fn chosen(user: UserId, choice: Option<MailChoice>) -> Event {
    let event = Event::of(Action::MailChosen, "user", Some(user.0), "mails");
    event.with("choice", choice.map_or("default", MailChoice::as_str))
}

/// What a link that ends somebody's mails is sealed for.
const UNSUBSCRIBE: &str = "mail:unsubscribe";

impl Store {
    /// For the address of a page that ends a project's mails to somebody who need not sign
    /// in for it (RFC 8058).
    pub fn unsubscribe_token(&self, user: UserId, project: ProjectId) -> Result<String> {
        let plain = format!("{user}:{project}");
        Ok(URL_SAFE_NO_PAD.encode(self.seal.seal(UNSUBSCRIBE, plain.as_bytes())?))
    }

    /// Whom such a token is for, and of which project. None when it is not one of ours.
    pub async fn unsubscribe_token_of(&self, token: &str) -> Result<Option<(UserId, Project)>> {
        let opened = URL_SAFE_NO_PAD.decode(token).ok();
        let opened = opened.and_then(|sealed| self.seal.open(UNSUBSCRIBE, &sealed).ok());
        let text = opened.and_then(|plain| String::from_utf8(plain).ok());
        let Some((user, project)) = text.as_deref().and_then(|text| text.split_once(':')) else {
            return Ok(None);
        };
        let (Ok(user), Ok(project)) = (user.parse(), project.parse()) else { return Ok(None) };
        Ok(self.project(ProjectId(project)).await?.map(|project| (UserId(user), project)))
    }
}
