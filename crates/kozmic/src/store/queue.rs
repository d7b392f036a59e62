//! The queue: which of the jobs that wait a worker takes next.
//!
//! Projects take turns: the one that runs the fewest jobs goes first, and of those that run as
//! many the one whose last job was started the longest ago. Of a project the job with the
//! least rank goes first ([`Priority::rank`]). Jobs of one project that need the same labels
//! form a line, and whoever may take its first may take all of it. So the longest queue costs
//! as much as there are lines.
//!
//! [`Priority::rank`]: crate::model::Priority::rank

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::claimed::{ClaimedJob, read_claimed};
use super::many::places;
use super::{Columns as _, Result, Store, Transaction, builds, commit, failed, phases};
use crate::model::{BuildId, Invalid, JobId, Labels, ProjectId, Timestamp};

/// How often a worker that finds all it could take locked by others waits for them.
const PATIENCE: usize = 5;

/// Where a job queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) project: ProjectId,
    pub(super) labels: Labels,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.labels)
    }
}

impl Line {
    pub(super) fn read(text: &str) -> Result<Self> {
        let malformed = || Invalid::new(format!("`{text}` is no line of the queue"));
        let (project, labels) = text.split_once(':').ok_or_else(malformed)?;
        let project = ProjectId(project.parse().map_err(|_| malformed())?);
        Ok(Self { project, labels: labels.parse()? })
    }
}

/// The lines there are, each with its first job and with how its project stands. Each step of
/// the recursion finds the next line by the index, however long the one before is. Each value is
/// asked for by itself: PostgreSQL, which takes a recursion for 100 rows, would join them with
/// all jobs there ever were, and look through the whole queue for the least line.
const HEADS: &str = "WITH RECURSIVE lines (line) AS ( \
     SELECT (SELECT jobs.line FROM jobs WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 \
             ORDER BY jobs.line LIMIT 1) \
     UNION ALL \
     SELECT (SELECT jobs.line FROM jobs WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 \
             AND jobs.line > lines.line ORDER BY jobs.line LIMIT 1) FROM lines WHERE lines.line IS NOT NULL), \
     heads (line, id) AS (SELECT line, \
     (SELECT jobs.id FROM jobs WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 \
      AND jobs.line = lines.line ORDER BY jobs.queue_rank, jobs.id LIMIT 1) FROM lines WHERE line IS NOT NULL), \
     firsts (line, id, project) AS (SELECT line, id, \
     (SELECT jobs.queue_project FROM jobs WHERE jobs.id = heads.id) FROM heads) \
     SELECT line, id, (SELECT jobs.queue_rank FROM jobs WHERE jobs.id = firsts.id) AS queue_rank, \
     (SELECT projects.jobs_at_once FROM projects WHERE projects.id = project) AS jobs_at_once, \
     (SELECT COUNT(*) FROM jobs AS running \
      WHERE running.status = 'pending' AND running.queue_project = project) AS running, \
     (SELECT started.started_at FROM jobs AS started \
      WHERE started.queue_project = project AND started.started_at IS NOT NULL \
      ORDER BY started.started_at DESC LIMIT 1) AS served, \
     (SELECT workers.labels FROM workers WHERE workers.name = $1) AS labels FROM firsts";

/// What decides whose turn it is: the least has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// How many jobs of the project run.
    pub(super) running: i64,
    /// When its last job was started, if any was.
    pub(super) served: Option<i64>,
    pub(super) project: ProjectId,
}

/// A line, with its first job.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) line: Line,
    job: JobId,
    rank: i64,
    pub(super) turn: Turn,
    /// Jobs that the project may run at once.
    pub(super) limit: Option<i64>,
}

impl Head {
    /// Its project runs as many jobs as it may.
    pub(super) fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.turn.running >= limit)
    }

    fn read(row: &AnyRow) -> Result<Self> {
        let line = Line::read(&row.text("line")?)?;
        let (running, served) = (row.int("running")?, row.int_or_null("served")?);
        Ok(Self {
            turn: Turn { running, served, project: line.project },
            line,
            job: JobId(row.int("id")?),
            rank: row.int("queue_rank")?,
            limit: row.int_or_null("jobs_at_once")?,
        })
    }
}

/// All lines; and what the worker has, nothing where it has not said so.
pub(super) async fn heads(
    executor: impl sqlx::Executor<'_, Database = sqlx::Any>,
    worker: &str,
) -> Result<(Vec<Head>, Labels)> {
    let rows = sqlx::query(HEADS)
        .bind(worker)
        .fetch_all(executor)
        .await
        .map_err(failed("look into the queue"))?;
    let mut labels = Labels::default();
    if let Some(row) = rows.first()
        && let Some(text) = row.text_or_null("labels")?
    {
        labels = text.parse()?;
    }
    Ok((rows.iter().map(Head::read).collect::<Result<_>>()?, labels))
}

/// How many jobs of each line are next, at most `free`. Ends early where it is not known what
/// comes next: only the first job of a line is.
fn plan(mut heads: Vec<Head>, free: usize, now: Timestamp) -> Vec<(Head, i64)> {
    let mut planned = vec![0; heads.len()];
    for _ in 0..free {
        let open = heads.iter().enumerate().filter(|(_, head)| !head.is_full());
        let next = open.min_by_key(|(_, head)| (head.turn, head.rank, head.job));
        let Some((next, project)) = next.map(|(next, head)| (next, head.line.project)) else {
            break;
        };
        let others = heads.iter().filter(|head| head.line.project == project).count() - 1;
        if planned[next] > 0 && others > 0 {
            break;
        }
        planned[next] += 1;
        for head in heads.iter_mut().filter(|head| head.line.project == project) {
            head.turn = Turn { running: head.turn.running + 1, served: Some(now.0), project };
        }
    }
    heads.into_iter().zip(planned).filter(|(_, count)| *count > 0).collect()
}

/// What one worker takes in one transaction.
struct Claim<'a> {
    worker: &'a str,
    free: usize,
    until: Timestamp,
    now: Timestamp,
    /// Projects with a limit of which nobody else claims a job meanwhile.
    alone: BTreeSet<ProjectId>,
    /// Lines of which others have what is left.
    busy: HashSet<String>,
    taken: Vec<(JobId, BuildId)>,
}

impl Store {
    /// The next job that a worker may take; none when there is none.
    pub async fn claim_job(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedJob>> {
        Ok(self.claim_jobs(worker, 1, lease, now).await?.pop())
    }

    /// The next jobs that a worker may take, at most `free`, for `lease` from now. One that has
    /// not said what it has ([`Store::worker_runs`]) takes what needs nothing.
    pub async fn claim_jobs(
        &self,
        worker: &str,
        free: usize,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<ClaimedJob>> {
        for _ in 0..PATIENCE {
            let mut tx = self.begin_as_ever().await?;
            let mut claim = Claim {
                worker,
                free,
                until: now.plus(lease),
                now,
                alone: BTreeSet::new(),
                busy: HashSet::new(),
                taken: Vec::new(),
            };
            if let Some(blocked) = self.take(&mut tx, &mut claim).await? {
                drop(tx);
                self.wait_for(blocked).await?;
                continue;
            }
            if claim.taken.is_empty() {
                break;
            }
            return self.claimed(tx, &claim).await;
        }
        Ok(Vec::new())
    }

    /// Chooses and locks jobs. When others have all that could be taken, one of these.
    async fn take(&self, tx: &mut Transaction, claim: &mut Claim<'_>) -> Result<Option<JobId>> {
        let mut blocked = None;
        while claim.taken.len() < claim.free {
            let (heads, labels) = heads(&mut **tx, claim.worker).await?;
            let mut fit = heads;
            fit.retain(|head| labels.include(&head.line.labels) && !head.is_full());
            if self.claims_alone(tx, claim, &fit).await? {
                // Others may have claimed until a moment ago.
                continue;
            }
            fit.retain(|head| {
                let is_sure = head.limit.is_none() || claim.alone.contains(&head.line.project);
                is_sure && !claim.busy.contains(&head.line.to_string())
            });
            let planned = plan(fit, claim.free - claim.taken.len(), claim.now);
            if planned.is_empty() {
                break;
            }
            let before = claim.taken.len();
            for (head, count) in planned {
                let found = self.lock_first(tx, &head.line.to_string(), count).await?;
                if i64::try_from(found.len()).unwrap_or(i64::MAX) < count {
                    claim.busy.insert(head.line.to_string());
                    blocked = blocked.or(found.is_empty().then_some(head.job));
                }
                claim.taken.extend(found);
            }
            // From here on they count as running.
            start(tx, claim, &claim.taken[before..]).await?;
        }
        Ok(blocked.filter(|_| claim.taken.is_empty()))
    }

    /// Where two could take a project's last place at once, one after the other claims. All of
    /// them are locked at once, in one order, before any job is. Whether any was locked.
    async fn claims_alone(
        &self,
        tx: &mut Transaction,
        claim: &mut Claim<'_>,
        fit: &[Head],
    ) -> Result<bool> {
        if !claim.alone.is_empty() || !claim.taken.is_empty() {
            return Ok(false);
        }
        let limited = fit.iter().filter(|head| head.limit.is_some());
        claim.alone = limited.map(|head| head.line.project).collect();
        for project in &claim.alone {
            sqlx::query(self.dialect.lock_claims())
                .bind(project.0)
                .execute(&mut **tx)
                .await
                .map_err(failed("lock a project's claims"))?;
        }
        Ok(self.dialect.is_shared() && !claim.alone.is_empty())
    }

    /// The first jobs of a line that nobody else has locked, with their builds.
    async fn lock_first(
        &self,
        tx: &mut Transaction,
        line: &str,
        count: i64,
    ) -> Result<Vec<(JobId, BuildId)>> {
        let text = format!(
            "SELECT jobs.id, jobs.build_id FROM jobs JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 AND jobs.line = $1 \
             ORDER BY jobs.queue_rank, jobs.id LIMIT $2{}",
            self.dialect.lock_free_jobs()
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(line)
            .bind(count)
            .fetch_all(&mut **tx)
            .await
            .map_err(failed("find the next jobs"))?;
        rows.iter().map(|row| Ok((JobId(row.int("id")?), BuildId(row.int("build_id")?)))).collect()
    }

    /// Until others are done with a job's build; then it may be gone, or free.
    async fn wait_for(&self, job: JobId) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        commit(tx).await
    }

    /// Keeps a claim. What it changes of a build, GitHub need not know: that a job waits and
    /// that it runs are the same there.
    async fn claimed(&self, mut tx: Transaction, claim: &Claim<'_>) -> Result<Vec<ClaimedJob>> {
        let jobs: Vec<JobId> = claim.taken.iter().map(|(job, _)| *job).collect();
        phases::claimed(&mut tx, &jobs, claim.now).await?;
        let of: BTreeSet<BuildId> = claim.taken.iter().map(|(_, build)| *build).collect();
        builds::job_started(&mut tx, &of.into_iter().collect::<Vec<_>>()).await?;
        let read = read_claimed(&mut tx, &jobs).await?;
        commit(tx).await?;
        self.wakes.outbox.shown();
        // Wake-ups come one at a time; somebody else may take the next one.
        self.wakes.jobs.notify_one();
        let mut claimed = Vec::with_capacity(read.len());
        for (id, job) in read {
            match job {
                Ok(job) => claimed.push(job),
                // It would be at the head of the queue for ever.
                Err(problem) => {
                    tracing::error!(job = %id, %problem, "a job can't be read");
                    if let Err(error) = self.job_unreadable(id, &problem, claim.now).await {
                        // Its lease runs out; the others are this worker's.
                        tracing::error!(job = %id, %error, "a job that can't be read goes on");
                    }
                }
            }
        }
        Ok(claimed)
    }
}

/// Jobs that are locked become their worker's.
async fn start(tx: &mut Transaction, claim: &Claim<'_>, jobs: &[(JobId, BuildId)]) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let text = format!(
        "UPDATE jobs SET status = 'pending', reason = 'starting', cause = NULL, attempt = attempt + 1, \
         script_started = 0, lease_owner = $1, worker = $1, lease_until = $2, started_at = $3 \
         WHERE id IN ({})",
        places(3, jobs.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let query = query.bind(claim.worker).bind(claim.until.0).bind(claim.now.0);
    jobs.iter()
        .fold(query, |query, (job, _)| query.bind(job.0))
        .execute(&mut **tx)
        .await
        .map_err(failed("claim jobs"))?;
    Ok(())
}
