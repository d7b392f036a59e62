//! Who may do what in a project.

use std::collections::BTreeMap;

use super::audit::note_memberships;
use super::many::{at_once, places, rows};
use super::{
    Columns as _, Listed, Project, Result, Store, Transaction, commit, failed, whole_rows,
};
use crate::model::{Action, Actor, ProjectId, Role, Timestamp, UserId};

impl Store {
    /// What a user is in a project; none for a stranger.
    pub async fn role(&self, project: ProjectId, user: UserId) -> Result<Option<Role>> {
        let row = sqlx::query(
            "SELECT owner_id, (SELECT allows_management FROM memberships \
             WHERE project_id = projects.id AND user_id = $1) AS allows_management \
             FROM projects WHERE id = $2",
        )
        .bind(user.0)
        .bind(project.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look up a role"))?;
        let Some(row) = row else { return Ok(None) };
        if row.int("owner_id")? == user.0 {
            return Ok(Some(Role::Owner));
        }
        let membership = row.int_or_null("allows_management")?;
        Ok(membership.map(|manages| if manages == 0 { Role::Member } else { Role::Manager }))
    }

    /// The projects that a list shows, by name.
    pub async fn projects(&self, of: Listed) -> Result<Vec<Project>> {
        self.projects_behind(of, "", i64::MAX).await
    }

    /// Those of them whose names follow this one, at most `limit`.
    pub async fn projects_behind(
        &self,
        of: Listed,
        name: &str,
        limit: i64,
    ) -> Result<Vec<Project>> {
        let [all, visible, user] = of.parameters();
        let rows = whole_rows(
            "SELECT * FROM projects WHERE ($1 = 1 OR ($2 = 1 AND is_visible_to_all = 1) \
             OR owner_id = $3 \
             OR id IN (SELECT project_id FROM memberships WHERE user_id = $3)) \
             AND gh_full_name > $4 ORDER BY gh_full_name LIMIT $5",
        )
        .bind(all)
        .bind(visible)
        .bind(user)
        .bind(name)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list projects"))?;
        rows.iter().map(Project::read).collect()
    }
}

/// Somebody who may see a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub login: String,
    pub name: String,
    pub avatar_url: Option<String>,
    pub role: Role,
}

impl Store {
    /// The owner, then managers, then members, each by login.
    pub async fn members(&self, project: ProjectId) -> Result<Vec<Member>> {
        let rows = sqlx::query(
            "SELECT users.id, users.gh_login, users.gh_name, gh_avatar_url, \
             CASE WHEN users.id = projects.owner_id THEN 2 ELSE memberships.allows_management END AS rank \
             FROM projects JOIN users ON users.id = projects.owner_id OR users.id IN \
              (SELECT user_id FROM memberships WHERE project_id = projects.id) \
             LEFT JOIN memberships ON memberships.project_id = projects.id AND memberships.user_id = users.id \
             WHERE projects.id = $1 ORDER BY 5 DESC, LOWER(users.gh_login)",
        )
        .bind(project.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a project's members"))?;
        let member = |row: &sqlx::any::AnyRow| {
            Ok(Member {
                user: UserId(row.int("id")?),
                login: row.text("gh_login")?,
                name: row.text("gh_name")?,
                avatar_url: row.text_or_null("gh_avatar_url")?,
                role: match row.int("rank")? {
                    2 => Role::Owner,
                    1 => Role::Manager,
                    _ => Role::Member,
                },
            })
        };
        rows.iter().map(member).collect()
    }

    /// GitHub has told who may do what in a project: people by their GitHub ids, each
    /// with whether they may push. Those who never signed in here become members when
    /// they do. Who is missing is removed only when GitHub has told of everybody.
    pub async fn members_synchronized(
        &self,
        project: ProjectId,
        people: &[(i64, bool)],
        is_complete: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let side = Side {
            subject: project.0,
            members: "SELECT memberships.id, gh_id, allows_management FROM memberships \
                      JOIN users ON users.id = user_id WHERE project_id = $1",
            known: "SELECT id, gh_id FROM users \
                    WHERE id <> (SELECT owner_id FROM projects WHERE id = $1)",
        };
        let (news, gone) = side.differences(&mut tx, people).await?;
        let member = |(user, manages)| (project, UserId(user), manages);
        put(&mut tx, &self.actor, &news.into_iter().map(member).collect::<Vec<_>>(), now).await?;
        if is_complete {
            remove(&mut tx, &self.actor, &gone).await?;
        }
        commit(tx).await
    }
}

/// GitHub has told all repositories that a user may see, each with whether the user
/// may push: the user's memberships follow.
pub(super) async fn of_user(
    tx: &mut Transaction,
    actor: &Actor,
    user: UserId,
    accessible: &[(i64, bool)],
    now: Timestamp,
) -> Result<()> {
    let side = Side {
        subject: user.0,
        members: "SELECT memberships.id, gh_id, allows_management FROM memberships \
                  JOIN projects ON projects.id = project_id WHERE user_id = $1",
        known: "SELECT id, gh_id FROM projects WHERE owner_id <> $1",
    };
    let (news, gone) = side.differences(tx, accessible).await?;
    let membership = |(project, manages)| (ProjectId(project), user, manages);
    put(tx, actor, &news.into_iter().map(membership).collect::<Vec<_>>(), now).await?;
    remove(tx, actor, &gone).await
}

/// From where memberships are looked at: a project's people, or a user's projects. Both
/// texts have the subject as their only parameter.
struct Side {
    subject: i64,
    /// Ids of memberships, whose they are at GitHub, and whether they manage.
    members: &'static str,
    /// Who, or what, there is here, by GitHub's ids; owners have no membership.
    known: &'static str,
}

/// Who, or what, is new or has another role; and ids of the memberships that GitHub
/// does not tell of.
type Differences = (Vec<(i64, bool)>, Vec<i64>);

impl Side {
    async fn differences(&self, tx: &mut Transaction, told: &[(i64, bool)]) -> Result<Differences> {
        // A list that moves while GitHub's pages are read has the same one twice.
        let mut wanted: BTreeMap<i64, bool> = BTreeMap::new();
        for (gh_id, manages) in told {
            *wanted.entry(*gh_id).or_default() |= *manages;
        }
        let members = sqlx::query(self.members)
            .bind(self.subject)
            .fetch_all(&mut **tx)
            .await
            .map_err(failed("list memberships"))?;
        let mut gone = Vec::new();
        for row in &members {
            let gh_id = row.int("gh_id")?;
            match wanted.get(&gh_id) {
                Some(manages) if *manages == row.flag("allows_management")? => {
                    wanted.remove(&gh_id);
                }
                Some(_) => {}
                None => gone.push(row.int("id")?),
            }
        }
        let mut news = Vec::new();
        let asked: Vec<i64> = wanted.keys().copied().collect();
        for ids in at_once(&asked, 1) {
            let known = format!("{} AND gh_id IN ({})", self.known, places(1, ids.len()));
            let mut query = sqlx::query(sqlx::AssertSqlSafe(known)).bind(self.subject);
            for id in ids {
                query = query.bind(*id);
            }
            let known =
                query.fetch_all(&mut **tx).await.map_err(failed("find whom GitHub told of"))?;
            for row in &known {
                let manages = wanted.get(&row.int("gh_id")?).copied().unwrap_or_default();
                news.push((row.int("id")?, manages));
            }
        }
        Ok((news, gone))
    }
}

async fn put(
    tx: &mut Transaction,
    actor: &Actor,
    members: &[(ProjectId, UserId, bool)],
    now: Timestamp,
) -> Result<()> {
    for members in at_once(members, 4) {
        let put = format!(
            "INSERT INTO memberships (project_id, user_id, allows_management, created_at) \
             VALUES {} ON CONFLICT (project_id, user_id) \
             DO UPDATE SET allows_management = excluded.allows_management",
            rows(members.len(), 4)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(put));
        for (project, user, manages) in members {
            query = query.bind(project.0).bind(user.0).bind(i64::from(*manages)).bind(now.0);
        }
        query.execute(&mut **tx).await.map_err(failed("keep memberships"))?;
        // Of one project or of one user, so these are they and no others.
        let which = format!(
            "project_id IN ({}) AND user_id IN ({})",
            places(8, members.len()),
            places(8 + members.len(), members.len())
        );
        let projects = members.iter().map(|(project, ..)| project.0);
        let users = members.iter().map(|(_, user, _)| user.0);
        note_memberships(tx, actor, Action::MemberSet, &which, projects.chain(users)).await?;
    }
    Ok(())
}

async fn remove(tx: &mut Transaction, actor: &Actor, memberships: &[i64]) -> Result<()> {
    for ids in at_once(memberships, 1) {
        let which = format!("memberships.id IN ({})", places(8, ids.len()));
        note_memberships(tx, actor, Action::MemberRemoved, &which, ids.iter().copied()).await?;
        let remove = format!("DELETE FROM memberships WHERE id IN ({})", places(0, ids.len()));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(remove));
        for id in ids {
            query = query.bind(*id);
        }
        query.execute(&mut **tx).await.map_err(failed("end memberships"))?;
    }
    Ok(())
}
