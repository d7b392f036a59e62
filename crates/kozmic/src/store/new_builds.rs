//! Commits that were not built before become builds: those of one transaction together, each
//! kind of row by one statement, so that many cost little more than one.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::commits::{Came, not_taken};
use super::deliveries::Recorded;
use super::many::{at_once, places, rows, typed_rows};
use super::{
    Columns as _, Result, StoreError, Transaction, approvals, builds, failed, jobs, order, outbox,
    phases, read_options,
};
use crate::model::{Approval, BuildId, ProjectId};

/// A hook that may want a build.
struct Hook {
    id: i64,
    title: String,
    is_active: bool,
    tracked: String,
    row: AnyRow,
}

/// A hook that is no part of a build: its number, its title, and why.
pub(super) type NotRun = (i64, String, String);

/// A commit that some hooks want.
struct Wanted<'a> {
    came: &'a Came<'a>,
    approval: Approval,
    wanting: Vec<&'a Hook>,
    others: Vec<NotRun>,
}

/// A build with its jobs for each of these, unless no hook wants it. Call it with the projects
/// locked; no two are of the same commit on the same ref.
pub(super) async fn make(tx: &mut Transaction, came: &[&Came<'_>]) -> Result<Vec<Recorded>> {
    if came.is_empty() {
        return Ok(Vec::new());
    }
    let hooks = hooks(tx, came).await?;
    let mut recorded: Vec<Option<Recorded>> = came.iter().map(|_| None).collect();
    let mut wanted = Vec::new();
    for (index, came) in came.iter().enumerate() {
        match wanting(came, hooks.get(&came.project.0).map_or(&[], Vec::as_slice))? {
            Ok((wanting, others)) => {
                let approval = approvals::needed(tx, came.project, came.build).await?;
                wanted.push((index, Wanted { came, approval, wanting, others }));
            }
            Err(reasons) => recorded[index] = Some(Recorded::NotWanted(reasons)),
        }
    }
    let (indexes, wanted): (Vec<usize>, Vec<Wanted>) = wanted.into_iter().unzip();
    let made = insert(tx, &wanted).await?;
    for ((index, wanted), (build, number)) in indexes.into_iter().zip(&wanted).zip(made) {
        recorded[index] = Some(match wanted.approval {
            Approval::Awaited => Recorded::Waits { build, number },
            _ => Recorded::Built { build, number, jobs: wanted.wanting.len() },
        });
    }
    recorded.into_iter().map(|recorded| recorded.ok_or_else(not_taken)).collect()
}

/// The hooks of these projects that are active, or that GitHub calls and so are, whoever was
/// cut off before noting so.
async fn hooks(tx: &mut Transaction, came: &[&Came<'_>]) -> Result<HashMap<i64, Vec<Hook>>> {
    let projects: HashSet<i64> = came.iter().map(|came| came.project.0).collect();
    let projects: Vec<i64> = projects.into_iter().collect();
    let text = format!(
        "SELECT hooks.id, title AS hook_title, docker_image, install_script, build_script, options, \
         is_active, projects.env AS project_env, projects.cancels_superseded, hooks.project_id FROM hooks \
         JOIN projects ON projects.id = hooks.project_id \
         WHERE project_id IN ({}) ORDER BY hooks.id",
        places(0, projects.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let found = projects.iter().fold(query, sqlx::query::Query::bind);
    let found = found.fetch_all(&mut **tx).await.map_err(failed("list the hooks of projects"))?;
    let text = format!(
        "SELECT hook_id, path FROM tracked_files JOIN hooks ON hooks.id = hook_id \
         WHERE project_id IN ({}) ORDER BY hook_id, path",
        places(0, projects.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let paths = projects.iter().fold(query, sqlx::query::Query::bind);
    let paths = paths.fetch_all(&mut **tx).await.map_err(failed("list tracked files"))?;
    let mut tracked: HashMap<i64, Vec<String>> = HashMap::new();
    for row in &paths {
        tracked.entry(row.int("hook_id")?).or_default().push(row.text("path")?);
    }
    let mut hooks: HashMap<i64, Vec<Hook>> = HashMap::new();
    for row in found {
        let id = row.int("id")?;
        hooks.entry(row.int("project_id")?).or_default().push(Hook {
            id,
            title: row.text("hook_title")?,
            is_active: row.flag("is_active")?,
            tracked: tracked.remove(&id).unwrap_or_default().join("\n"),
            row,
        });
    }
    Ok(hooks)
}

type Chosen<'a> = (Vec<&'a Hook>, Vec<NotRun>);

/// The hooks that want it and why the others do not; when none does, the reasons.
fn wanting<'a>(came: &Came, hooks: &'a [Hook]) -> Result<std::result::Result<Chosen<'a>, String>> {
    let called = came.delivery.map(|delivery| delivery.hook.0);
    let (mut wanting, mut others) = (Vec::new(), Vec::new());
    for hook in hooks.iter().filter(|hook| hook.is_active || Some(hook.id) == called) {
        match read_options(&hook.row)?.wanted.why_not(&came.build.change) {
            None => wanting.push(hook),
            Some(reason) => others.push((hook.id, hook.title.clone(), reason)),
        }
    }
    if wanting.is_empty() {
        let reasons = others.into_iter().map(|(_, title, reason)| format!("{title}: {reason}"));
        return Ok(Err(reasons.collect::<Vec<_>>().join("; ")));
    }
    Ok(Ok((wanting, others)))
}

/// The builds with all that belongs to them.
async fn insert(tx: &mut Transaction, wanted: &[Wanted<'_>]) -> Result<Vec<(BuildId, i64)>> {
    let Some(Wanted { came: Came { now, .. }, .. }) = wanted.first() else { return Ok(Vec::new()) };
    let mut made = Vec::with_capacity(wanted.len());
    for of in wanted {
        made.push((of.came.project, of.came.build, &of.approval, of.came.now));
    }
    let made = builds::insert_all(tx, &made).await?;
    let calls = insert_calls(tx, wanted, &made).await?;
    let mut new = Vec::new();
    for (of, (build, _)) in wanted.iter().zip(&made) {
        let reason = approvals::why_it_waits_by(&of.approval, of.came.build);
        let reason = reason.unwrap_or_else(|| "waiting for a worker".into());
        for hook in &of.wanting {
            let call = calls.get(&(build.0, hook.id)).copied();
            let job = jobs::NewJob {
                build: *build,
                project: of.came.project,
                hook_call: call.ok_or_else(|| StoreError::Refused("a hook is gone".into()))?,
                source: &hook.row,
                tracked: &hook.tracked,
                reason: &reason,
                now: of.came.now,
            };
            new.extend(job.rows()?);
        }
    }
    let jobs = jobs::insert_all(tx, &new).await?;
    phases::wait(tx, &jobs, *now).await?;
    let not_run = wanted.iter().zip(&made).map(|(of, (build, _))| (*build, of.others.as_slice()));
    insert_not_run(tx, not_run).await?;
    for (of, (build, _)) in wanted.iter().zip(&made) {
        let is_held = of.approval == Approval::Awaited;
        if is_held || of.wanting.iter().any(|hook| hook.comes_after_others()) {
            order::settle(tx, *build, of.came.now).await?;
        }
    }
    let ids: Vec<BuildId> = made.iter().map(|(build, _)| *build).collect();
    outbox::builds_changed(tx, &ids, *now).await?;
    supersede(tx, wanted, &made).await?;
    Ok(made)
}

/// Of each ref the newest of these builds supersedes all before it, those among these too.
async fn supersede(
    tx: &mut Transaction,
    wanted: &[Wanted<'_>],
    made: &[(BuildId, i64)],
) -> Result<()> {
    let mut newest: BTreeMap<(ProjectId, &str), (&Wanted, i64)> = BTreeMap::new();
    for (of, (_, number)) in wanted.iter().zip(made) {
        let key = (of.came.project, of.came.build.git_ref.as_full());
        let newer = newest.entry(key).or_insert((of, *number));
        if newer.1 < *number {
            *newer = (of, *number);
        }
    }
    for (of, number) in newest.into_values() {
        let cancels = match of.wanting.first() {
            Some(hook) => hook.row.flag("cancels_superseded")?,
            None => false,
        };
        of.came.supersede(tx, number, cancels).await?;
    }
    Ok(())
}

impl Hook {
    /// Options that can't be read are found when a worker takes the job.
    fn comes_after_others(&self) -> bool {
        read_options(&self.row).is_ok_and(|options| !options.after.is_empty())
    }
}

/// One call of each hook that wants a build, by build and hook.
async fn insert_calls(
    tx: &mut Transaction,
    wanted: &[Wanted<'_>],
    made: &[(BuildId, i64)],
) -> Result<HashMap<(i64, i64), i64>> {
    let mut new = Vec::new();
    for (of, (build, _)) in wanted.iter().zip(made) {
        new.extend(of.wanting.iter().map(|hook| (of.came, build.0, hook.id)));
    }
    let mut calls = HashMap::with_capacity(new.len());
    for some in at_once(&new, 4) {
        let text = format!(
            "INSERT INTO hook_calls (build_id, hook_id, gh_payload, created_at) VALUES {} \
             RETURNING id, build_id, hook_id",
            rows(some.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (came, build, hook) in some {
            let payload = came.delivery.filter(|delivery| delivery.hook.0 == *hook);
            query = query.bind(build).bind(hook);
            query = query.bind(payload.map(|delivery| &*delivery.payload)).bind(came.now.0);
        }
        let kept = query.fetch_all(&mut **tx).await.map_err(failed("keep hook calls"))?;
        for row in &kept {
            calls.insert((row.int("build_id")?, row.int("hook_id")?), row.int("id")?);
        }
    }
    Ok(calls)
}

/// Of each build the hooks that are no part of it.
pub(super) async fn insert_not_run(
    tx: &mut Transaction,
    of_builds: impl Iterator<Item = (BuildId, &[NotRun])>,
) -> Result<()> {
    let mut new = Vec::new();
    for (build, hooks) in of_builds {
        new.extend(hooks.iter().map(|hook| (build.0, hook)));
    }
    for some in at_once(&new, 4) {
        let text = format!(
            "INSERT INTO hooks_not_run (build_id, hook_id, title, reason) VALUES {}",
            rows(some.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (build, (hook, title, reason)) in some {
            query = query.bind(build).bind(hook).bind(title).bind(reason);
        }
        query.execute(&mut **tx).await.map_err(failed("keep why hooks do not run"))?;
    }
    Ok(())
}

/// The builds of these commits on these refs that deliveries made, by project, ref and commit.
pub(super) async fn of_commits(
    tx: &mut Transaction,
    came: &[Came<'_>],
) -> Result<HashMap<(i64, String, String), (BuildId, i64)>> {
    let mut known = HashMap::new();
    for some in at_once(came, 3) {
        let text = format!(
            "SELECT builds.id, number, project_id, gh_commit_ref, gh_commit_sha FROM (VALUES {}) AS came \
             JOIN builds ON project_id = column1 AND gh_commit_ref = column2 AND gh_commit_sha = column3 \
             WHERE triggered_by IN ('push', 'pull_request', 'release', 'reconciliation')",
            typed_rows(some.len(), &["BIGINT", "TEXT", "TEXT"])
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for came in some {
            query = query.bind(came.project.0).bind(came.build.git_ref.as_full());
            query = query.bind(came.build.commit.sha.as_str());
        }
        let found = query.fetch_all(&mut **tx).await.map_err(failed("find commits' builds"))?;
        for row in &found {
            let (git_ref, sha) = (row.text("gh_commit_ref")?, row.text("gh_commit_sha")?);
            let build = (BuildId(row.int("id")?), row.int("number")?);
            known.insert((row.int("project_id")?, git_ref, sha), build);
        }
    }
    Ok(known)
}

/// The number of the latest build of each of these projects; none: it has no build.
pub(super) async fn latest_numbers(
    tx: &mut Transaction,
    projects: &[ProjectId],
) -> Result<BTreeMap<ProjectId, i64>> {
    let text = format!(
        "SELECT id, (SELECT number FROM builds WHERE project_id = projects.id \
                     ORDER BY number DESC LIMIT 1) AS number FROM projects WHERE id IN ({})",
        places(0, projects.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let found = projects.iter().fold(query, |query, project| query.bind(project.0));
    let found = found.fetch_all(&mut **tx).await.map_err(failed("count builds"))?;
    let mut numbers = BTreeMap::new();
    for row in &found {
        numbers.insert(ProjectId(row.int("id")?), row.int_or_null("number")?.unwrap_or(0));
    }
    Ok(numbers)
}
