//! Who agreed that the code of a pull request from a fork may run, and when.

use super::{
    Build, Columns as _, NewBuild, Result, Store, StoreError, Transaction, commit, failed, order,
    outbox, whole_rows,
};
use crate::model::{Action, Approval, BuildId, CommitSha, ProjectId, PullRequest, Timestamp};

/// Somebody whose pull requests from their forks need no approval any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedAuthor {
    pub login: String,
    /// In whose account the forks are.
    pub fork_owner: String,
    pub by: String,
    pub at: Timestamp,
}

impl Store {
    /// A manager has seen a build's commit and lets its jobs run; with `trusts_author`
    /// also what else of the author waits, and what comes from now on. Refused when
    /// nothing waits, or when `seen` is another commit.
    pub async fn build_approved(
        &self,
        build: BuildId,
        seen: Option<&CommitSha>,
        trusts_author: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        let refused = |why: &str| Err(StoreError::Refused(why.to_owned()));
        let mut tx = self.begin().await?;
        let Some(Build { project, .. }) = self.build(build).await? else {
            return refused("The build is gone.");
        };
        self.lock_project(&mut tx, project).await?;
        let row = whole_rows("SELECT * FROM builds WHERE id = $1")
            .bind(build.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("find a build"))?;
        let of = Build::read(&row)?;
        let Some(pull) = of.pull_request.filter(|_| of.approval == Approval::Awaited) else {
            return refused("This build waits for no approval.");
        };
        if seen.is_some_and(|seen| *seen != of.commit.sha) {
            return refused("This build is of another commit than the one you looked at.");
        }
        let fork = pull.fork.clone();
        let ids = pull.author_id.zip(fork.as_ref().and_then(|fork| fork.owner_id));
        if trusts_author && ids.is_none() {
            return refused("GitHub doesn't say whose fork this is; approve this commit only.");
        }
        if !release(self, &mut tx, build, by, now).await? {
            return refused("This build is over; nothing of it waits any more.");
        }
        sqlx::query(
            "INSERT INTO approvals (project_id, build_id, gh_commit_ref, gh_commit_sha, author, author_id, \
             fork_owner, fork_owner_id, trusts_author, approved_by, approved_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(project.0)
        .bind(build.0)
        .bind(of.git_ref.as_full())
        .bind(of.commit.sha.as_str())
        .bind(&pull.author)
        .bind(pull.author_id)
        .bind(fork.map_or_else(|| pull.author.clone(), |fork| fork.owner))
        .bind(ids.map(|(_, owner)| owner))
        .bind(i64::from(trusts_author))
        .bind(by)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("keep an approval"))?;
        if let Some((author, owner)) = ids.filter(|_| trusts_author) {
            let waiting = sqlx::query(
                "SELECT id FROM builds WHERE project_id = $1 AND approval = 'awaited' \
                 AND pull_request_author_id = $2 AND fork_owner_id = $3 ORDER BY id",
            )
            .bind(project.0)
            .bind(author)
            .bind(owner)
            .fetch_all(&mut *tx)
            .await
            .map_err(failed("find what else waits"))?;
            for row in waiting {
                release(self, &mut tx, BuildId(row.int("id")?), by, now).await?;
            }
        }
        let details = [
            ("author".to_owned(), pull.author.into()),
            ("trusts_author".to_owned(), trusts_author.into()),
        ];
        self.note_build(&mut tx, Action::BuildApproved, build, details.into_iter().collect())
            .await?;
        commit(tx).await?;
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
        Ok(())
    }

    /// Authors whose pull requests need no approval, by name.
    pub async fn trusted_authors(&self, project: ProjectId) -> Result<Vec<TrustedAuthor>> {
        let rows = sqlx::query(
            "SELECT author, fork_owner, approved_by, approved_at FROM approvals \
             WHERE project_id = $1 AND trusts_author = 1 AND withdrawn_at IS NULL ORDER BY author, id",
        )
        .bind(project.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list trusted authors"))?;
        rows.iter()
            .map(|row| {
                Ok(TrustedAuthor {
                    login: row.text("author")?,
                    fork_owner: row.text("fork_owner")?,
                    by: row.text("approved_by")?,
                    at: Timestamp(row.int("approved_at")?),
                })
            })
            .collect()
    }
}

/// Whether a new build has to wait, and if not, whose trust lets it run.
pub(super) async fn needed(
    tx: &mut Transaction,
    project: ProjectId,
    build: &NewBuild,
) -> Result<Approval> {
    let Some(pull) = build.pull_request.as_ref().filter(|_| build.asks_first) else {
        return Ok(Approval::NotNeeded);
    };
    if may_approve(tx, project, pull).await? {
        return Ok(Approval::NotNeeded);
    }
    Ok(trust_in(tx, project, pull).await?.unwrap_or(Approval::Awaited))
}

/// Whether the author manages the project, and the fork is their own: they would only
/// have to agree to their own commits.
async fn may_approve(tx: &mut Transaction, project: ProjectId, pull: &PullRequest) -> Result<bool> {
    let owner = pull.fork.as_ref().and_then(|fork| fork.owner_id);
    if owner.is_none() || owner != pull.author_id {
        return Ok(false);
    }
    let row = sqlx::query(
        "SELECT users.id FROM users JOIN projects ON projects.id = $1 WHERE users.gh_id = $2 \
         AND (projects.owner_id = users.id OR EXISTS (SELECT 1 FROM memberships \
         WHERE project_id = projects.id AND user_id = users.id AND allows_management = 1))",
    )
    .bind(project.0)
    .bind(owner)
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("look for a manager"))?;
    Ok(row.is_some())
}

/// Trust is in the author and in the owner of the fork together: who is trusted must not
/// lend it to commits that somebody else can push.
async fn trust_in(
    tx: &mut Transaction,
    project: ProjectId,
    pull: &PullRequest,
) -> Result<Option<Approval>> {
    let row = sqlx::query(
        "SELECT approved_by, approved_at FROM approvals WHERE project_id = $1 AND author_id = $2 \
         AND fork_owner_id = $3 AND trusts_author = 1 AND withdrawn_at IS NULL ORDER BY id LIMIT 1",
    )
    .bind(project.0)
    .bind(pull.author_id)
    .bind(pull.fork.as_ref().and_then(|fork| fork.owner_id))
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("look for a trusted author"))?;
    row.map(|row| {
        let (by, at) = (row.text("approved_by")?, Timestamp(row.int("approved_at")?));
        Ok(Approval::Given { by, at })
    })
    .transpose()
}

/// Why the jobs of a new build wait for a person; none when they don't.
pub(super) fn why_it_waits_by(approval: &Approval, build: &NewBuild) -> Option<String> {
    let fork = build.pull_request.as_ref().and_then(|pull| pull.fork.as_ref());
    let owner = fork.map(|fork| fork.owner.as_str()).unwrap_or_default();
    (*approval == Approval::Awaited).then(|| waits_for_approval(owner))
}

fn waits_for_approval(fork_owner: &str) -> String {
    format!("waiting for a manager's approval: pull request from a fork of {fork_owner}")
}

/// The same of one that is there.
pub(super) async fn why_it_waits(tx: &mut Transaction, build: BuildId) -> Result<Option<String>> {
    let row = sqlx::query("SELECT fork_owner FROM builds WHERE id = $1 AND approval = 'awaited'")
        .bind(build.0)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("look for an approval"))?;
    let owner = row.map(|row| row.text_or_null("fork_owner")).transpose()?;
    Ok(owner.map(|owner| waits_for_approval(&owner.unwrap_or_default())))
}

/// From now on pull requests of this author need approval again.
pub(super) async fn distrust(
    tx: &mut Transaction,
    project: ProjectId,
    login: &str,
    now: Timestamp,
) -> Result<()> {
    let withdrawn = sqlx::query(
        "UPDATE approvals SET withdrawn_at = $1 WHERE project_id = $2 AND LOWER(author) = $3 \
         AND trusts_author = 1 AND withdrawn_at IS NULL",
    )
    .bind(now.0)
    .bind(project.0)
    .bind(login.to_lowercase())
    .execute(&mut **tx)
    .await
    .map_err(failed("withdraw trust"))?;
    if withdrawn.rows_affected() == 0 {
        return Err(StoreError::Refused(format!("{login} is no trusted author of the project")));
    }
    Ok(())
}

/// Lets the waiting jobs of a build go; false when there are none.
async fn release(
    store: &Store,
    tx: &mut Transaction,
    build: BuildId,
    by: &str,
    now: Timestamp,
) -> Result<bool> {
    sqlx::query(store.dialect.lock_build())
        .bind(build.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("lock a build"))?;
    let jobs =
        sqlx::query("UPDATE jobs SET reason = $1 WHERE build_id = $2 AND status = 'enqueued'")
            .bind(format!("approved by {by}; waiting for a worker"))
            .bind(build.0)
            .execute(&mut **tx)
            .await
            .map_err(failed("let jobs go"))?;
    if jobs.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE builds SET approval = 'given', approved_by = $1, approved_at = $2 WHERE id = $3",
    )
    .bind(by)
    .bind(now.0)
    .bind(build.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("approve a build"))?;
    order::settle(tx, build, now).await?;
    outbox::build_changed(tx, build, now).await?;
    Ok(true)
}
