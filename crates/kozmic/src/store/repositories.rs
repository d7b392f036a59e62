//! The repositories that a user may turn into projects, as GitHub told last.

use sqlx::any::AnyRow;

use super::many::{at_once, rows};
use super::{Columns as _, Result, Store, Transaction, commit, failed, members};
use crate::model::{Action, Event, FullName, ProjectId, RemoteRepository, Timestamp, UserId};

/// A repository that its user administers.
#[derive(Debug, Clone)]
pub struct OfferedRepository {
    pub repository: RemoteRepository,
    pub is_archived: bool,
}

/// An organization in which the user administers these repositories.
#[derive(Debug, Clone)]
pub struct Organization {
    pub gh_id: i64,
    pub login: String,
    pub repositories: Vec<OfferedRepository>,
}

#[derive(Debug, Clone, Default)]
pub struct UserRepositories {
    pub own: Vec<OfferedRepository>,
    pub organizations: Vec<Organization>,
}

/// As it stands on the page where repositories are turned on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub gh_id: i64,
    pub full_name: FullName,
    pub is_public: bool,
    pub is_archived: bool,
    /// It is turned on already.
    pub is_project: bool,
    /// The project, where the user is a member of it.
    pub project: Option<ProjectId>,
}

impl Offer {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            gh_id: row.int("gh_id")?,
            full_name: row.text("gh_full_name")?.parse()?,
            is_public: row.flag("is_public")?,
            is_archived: row.flag("is_archived")?,
            is_project: row.flag("is_project")?,
            project: row.int_or_null("project_id")?.map(ProjectId),
        })
    }
}

/// What a user administers, and when GitHub told so.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// None: never.
    pub synchronized_at: Option<Timestamp>,
    /// By whose they are: the user's own first, then by organization.
    pub by_owner: Vec<(String, Vec<Offer>)>,
}

/// Whether a repository is a project, and which, where its user may see that.
const ON_ALREADY: &str = "CAST(CASE WHEN projects.id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS is_project, \
     CASE WHEN projects.owner_id = $1 OR EXISTS (SELECT 1 FROM memberships \
     WHERE memberships.project_id = projects.id AND memberships.user_id = $1) \
     THEN projects.id END AS project_id";

impl Store {
    /// GitHub has told all that a user may see: what the user administers, and the ids
    /// of the accessible repositories, each with whether the user may push.
    pub async fn user_synchronized(
        &self,
        user: UserId,
        repositories: &UserRepositories,
        accessible: &[(i64, bool)],
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        // First, so that two at once come one after the other.
        sqlx::query("UPDATE users SET repos_last_synchronized_at = $1 WHERE id = $2")
            .bind(now.0)
            .bind(user.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note when a user was synchronized"))?;
        for forget in [
            "DELETE FROM user_repositories WHERE user_id = $1",
            "DELETE FROM organizations WHERE user_id = $1",
        ] {
            sqlx::query(forget)
                .bind(user.0)
                .execute(&mut *tx)
                .await
                .map_err(failed("forget a user's repositories"))?;
        }
        insert(&mut tx, OF_USER, user.0, &repositories.own).await?;
        for organization in &repositories.organizations {
            let row = sqlx::query(
                "INSERT INTO organizations (user_id, gh_id, gh_login, gh_name) \
                 VALUES ($1, $2, $3, $3) RETURNING id",
            )
            .bind(user.0)
            .bind(organization.gh_id)
            .bind(&organization.login)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("keep an organization"))?;
            insert(&mut tx, OF_ORGANIZATION, row.int("id")?, &organization.repositories).await?;
        }
        members::of_user(&mut tx, &self.actor, user, accessible, now).await?;
        let login = sqlx::query("SELECT gh_login FROM users WHERE id = $1")
            .bind(user.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("find a user"))?;
        let login = login.map(|row| row.text("gh_login")).transpose()?.unwrap_or_default();
        let event = Event::of(Action::UserSynchronized, "user", Some(user.0), login);
        self.note(&mut tx, event).await?;
        commit(tx).await
    }

    /// What the user administers, also what is on already.
    pub async fn offers(&self, user: UserId) -> Result<Offers> {
        let synchronized =
            sqlx::query("SELECT gh_login, repos_last_synchronized_at FROM users WHERE id = $1")
                .bind(user.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("find a user"))?;
        let Some(synchronized) = synchronized else { return Ok(Offers::default()) };
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT 0 AS is_organization, $2 AS owner, its.gh_id, its.gh_full_name, its.is_public, \
                 its.is_archived, {ON_ALREADY} FROM user_repositories AS its \
                 LEFT JOIN projects ON projects.gh_id = its.gh_id WHERE its.user_id = $1 \
                 UNION ALL \
                 SELECT 1, organizations.gh_login, its.gh_id, its.gh_full_name, its.is_public, \
                 its.is_archived, {ON_ALREADY} FROM organizations \
                 JOIN organization_repositories AS its ON its.organization_id = organizations.id \
                 LEFT JOIN projects ON projects.gh_id = its.gh_id WHERE organizations.user_id = $1 \
                 ORDER BY 1, 2, 6, 4",
        )))
        .bind(user.0)
        .bind(synchronized.text("gh_login")?)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a user's repositories"))?;
        let mut by_owner: Vec<(String, Vec<Offer>)> = Vec::new();
        for row in &rows {
            let owner = row.text("owner")?;
            let offer = Offer::read(row)?;
            match by_owner.last_mut() {
                Some((last, offers)) if *last == owner => offers.push(offer),
                _ => by_owner.push((owner, vec![offer])),
            }
        }
        let synchronized_at = synchronized.int_or_null("repos_last_synchronized_at")?;
        Ok(Offers { synchronized_at: synchronized_at.map(Timestamp), by_owner })
    }

    /// The repository of this id among those that the user administers.
    pub async fn offer(&self, user: UserId, gh_id: i64) -> Result<Option<Offer>> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT its.gh_id, its.gh_full_name, its.is_public, its.is_archived, {ON_ALREADY} \
                 FROM user_repositories AS its LEFT JOIN projects ON projects.gh_id = its.gh_id \
                 WHERE its.user_id = $1 AND its.gh_id = $2 \
                 UNION ALL \
                 SELECT its.gh_id, its.gh_full_name, its.is_public, its.is_archived, {ON_ALREADY} \
                 FROM organizations \
                 JOIN organization_repositories AS its ON its.organization_id = organizations.id \
                 LEFT JOIN projects ON projects.gh_id = its.gh_id \
                 WHERE organizations.user_id = $1 AND its.gh_id = $2",
        )))
        .bind(user.0)
        .bind(gh_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a user's repository"))?;
        row.as_ref().map(Offer::read).transpose()
    }
}

const OF_USER: &str = "INSERT INTO user_repositories (user_id, gh_id, gh_name, gh_full_name, \
     gh_ssh_clone_url, gh_https_clone_url, is_public, is_archived)";
const OF_ORGANIZATION: &str = "INSERT INTO organization_repositories (organization_id, gh_id, \
     gh_name, gh_full_name, gh_ssh_clone_url, gh_https_clone_url, is_public, is_archived)";

async fn insert(
    tx: &mut Transaction,
    into: &'static str,
    parent: i64,
    offered: &[OfferedRepository],
) -> Result<()> {
    for offered in at_once(offered, 8) {
        // A list that moves while GitHub's pages are read has the same one twice.
        let insert = format!("{into} VALUES {} ON CONFLICT DO NOTHING", rows(offered.len(), 8));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert));
        for OfferedRepository { repository, is_archived } in offered {
            query = query
                .bind(parent)
                .bind(repository.gh_id)
                .bind(repository.full_name.name())
                .bind(repository.full_name.to_string())
                .bind(&repository.ssh_clone_url)
                .bind(&repository.https_clone_url)
                .bind(i64::from(repository.is_public))
                .bind(i64::from(*is_archived));
        }
        query.execute(&mut **tx).await.map_err(failed("keep a user's repositories"))?;
    }
    Ok(())
}
