//! Builds that a person or the clock asked for. No delivery makes one, and none finds it:
//! of one commit there may be many.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::builds::{self, NewBuild};
use super::commits::Came;
use super::jobs::NewJob;
use super::new_builds::{NotRun, insert_not_run};
use super::{
    Columns as _, Result, Store, StoreError, Transaction, commit, failed, order, outbox,
    read_options, to_json,
};
use crate::model::{
    Action, Approval, BuildId, Change, Commit, GitRef, HookEvent, HookId, HookSpec, ProjectId,
    Script, Timestamp, TrackedPath, Trigger,
};

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub git_ref: GitRef,
    pub commit: Commit,
    /// By hand, by the clock, or a try.
    pub trigger: Trigger,
    /// The login of a person.
    pub by: Option<String>,
    pub hooks: AskedHooks,
    /// For the build scripts, above those of project and hook.
    pub variables: BTreeMap<String, String>,
}

/// The hooks whose jobs are made.
#[derive(Debug, Clone)]
pub enum AskedHooks {
    /// Those that would run for this change, whatever paths it has.
    Wanting(Change),
    /// These, whatever they want.
    Named(Vec<HookId>),
    /// One as it was typed, and the kept one that it is to become, if any: its secrets are
    /// those of that.
    Typed(Box<HookSpec>, Option<HookId>),
}

/// A build that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedBuild {
    pub build: BuildId,
    pub number: i64,
}

/// Why there is a build without a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AskedFor {
    /// The login of who asked, when it was a person.
    pub by: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// Its hooks were chosen: it does not speak for its commit.
    pub is_partial: bool,
    /// A try of the commit itself: no files were sent.
    pub is_of_commit: bool,
    /// What made it by the clock, and when that was due.
    pub cron: Option<(String, Timestamp)>,
}

impl AskedFor {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let line = row.text_or_null("cron_line")?;
        let due = row.int_or_null("due_at")?.map(Timestamp);
        Ok(Self {
            by: row.text_or_null("asked_by")?,
            variables: super::read_json(row, "variables")?,
            is_partial: row.flag("is_partial")?,
            is_of_commit: row.flag("is_of_commit")?,
            cron: line.zip(due),
        })
    }
}

impl Store {
    /// Makes a build of a commit that somebody asks for. Refused when none of the hooks is
    /// there any more, or none wants it.
    pub async fn build_asked(
        &self,
        project: ProjectId,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<AskedBuild> {
        let mut tx = self.begin().await?;
        let made = self.make_asked(&mut tx, project, asked, now).await?;
        if asked.trigger == Trigger::Try {
            sqlx::query("UPDATE builds SET is_of_commit = 1 WHERE id = $1")
                .bind(made.build.0)
                .execute(&mut *tx)
                .await
                .map_err(failed("note what a try is of"))?;
        }
        commit(tx).await?;
        self.woken_by_build();
        Ok(made)
    }

    pub(super) fn woken_by_build(&self) {
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
    }

    pub(super) async fn make_asked(
        &self,
        tx: &mut Transaction,
        project: ProjectId,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<AskedBuild> {
        self.lock_project(tx, project).await?;
        let hooks = active_hooks(tx, project).await?;
        let (chosen, not_run) = choose(&hooks, &asked.hooks)?;
        let new = NewBuild {
            git_ref: asked.git_ref.clone(),
            commit: asked.commit.clone(),
            trigger: asked.trigger,
            pull_request: None,
            asks_first: false,
            missed_because: None,
            sender: None,
            change: match &asked.hooks {
                AskedHooks::Wanting(change) => change.clone(),
                _ => Change { event: HookEvent::Manual, name: String::new(), paths: None },
            },
        };
        let (build, number) = builds::insert(tx, project, &new, &Approval::NotNeeded, now).await?;
        note(tx, build, asked).await?;
        let came = Came { project, build: &new, delivery: None, dialect: self.dialect, now };
        for hook in chosen {
            came.call(tx, build, hook).await?;
        }
        if let AskedHooks::Typed(spec, of) = &asked.hooks {
            let of = of.filter(|of| hooks.iter().any(|hook| is_hook(hook, *of)));
            call_typed(tx, (project, build), (spec, of), now).await?;
        }
        insert_not_run(tx, std::iter::once((build, not_run.as_slice()))).await?;
        let is_try = asked.trigger == Trigger::Try;
        let action = if is_try { Action::BuildTried } else { Action::BuildStarted };
        let typed = match &asked.hooks {
            AskedHooks::Typed(spec, _) => {
                Some(("hook_as_typed".to_owned(), spec.title.clone().into()))
            }
            AskedHooks::Wanting(_) | AskedHooks::Named(_) => None,
        };
        let details = [("trigger".to_owned(), asked.trigger.as_str().into())];
        self.note_build(tx, action, build, details.into_iter().chain(typed).collect()).await?;
        order::settle(tx, build, now).await?;
        outbox::build_changed(tx, build, now).await?;
        Ok(AskedBuild { build, number })
    }
}

async fn active_hooks(tx: &mut Transaction, project: ProjectId) -> Result<Vec<AnyRow>> {
    sqlx::query(
        "SELECT hooks.id, title AS hook_title, docker_image, install_script, build_script, options, \
         projects.env AS project_env FROM hooks \
         JOIN projects ON projects.id = hooks.project_id \
         WHERE project_id = $1 AND is_active = 1 ORDER BY hooks.id",
    )
    .bind(project.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed("list the active hooks"))
}

/// The hooks that get a job, and those that were not asked for by anybody.
fn choose<'a>(hooks: &'a [AnyRow], asked: &AskedHooks) -> Result<(Vec<&'a AnyRow>, Vec<NotRun>)> {
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    match asked {
        AskedHooks::Typed(..) => return Ok((chosen, others)),
        AskedHooks::Named(ids) => {
            for hook in hooks {
                let id = HookId(hook.int("id")?);
                if ids.contains(&id) {
                    chosen.push(hook);
                }
            }
            if chosen.is_empty() || chosen.len() < ids.len() {
                return Err(StoreError::Refused(
                    "A hook that was to run is gone, or GitHub does not call it yet.".into(),
                ));
            }
        }
        AskedHooks::Wanting(change) => {
            let change = Change { paths: None, ..change.clone() };
            for hook in hooks {
                match read_options(hook)?.wanted.why_not(&change) {
                    None => chosen.push(hook),
                    Some(reason) => {
                        others.push((hook.int("id")?, hook.text("hook_title")?, reason));
                    }
                }
            }
            if chosen.is_empty() {
                let reasons: Vec<String> =
                    others.iter().map(|(_, title, reason)| format!("{title} {reason}")).collect();
                return Err(StoreError::Refused(match reasons.as_slice() {
                    [] => "The project has no hook that could run.".into(),
                    _ => {
                        format!("No hook runs for it by itself; name one. {}.", reasons.join("; "))
                    }
                }));
            }
        }
    }
    Ok((chosen, others))
}

async fn note(tx: &mut Transaction, build: BuildId, asked: &Asked) -> Result<()> {
    let is_partial = !matches!(asked.hooks, AskedHooks::Wanting(_));
    sqlx::query("UPDATE builds SET asked_by = $1, variables = $2, is_partial = $3 WHERE id = $4")
        .bind(&asked.by)
        .bind(to_json(&asked.variables, "variables")?)
        .bind(i64::from(is_partial))
        .bind(build.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("note who asked for a build"))?;
    Ok(())
}

fn is_hook(row: &AnyRow, id: HookId) -> bool {
    row.int("id").is_ok_and(|it| it == id.0)
}

/// A call of what was typed, and its jobs.
async fn call_typed(
    tx: &mut Transaction,
    (project, build): (ProjectId, BuildId),
    (spec, of): (&HookSpec, Option<HookId>),
    now: Timestamp,
) -> Result<()> {
    let call = sqlx::query(
        "INSERT INTO hook_calls (build_id, hook_id, is_typed, created_at) VALUES ($1, $2, 1, $3) \
         RETURNING id",
    )
    .bind(build.0)
    .bind(of.map(|of| of.0))
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("keep a call of what was typed"))?;
    let source = sqlx::query(
        "SELECT CAST($1 AS TEXT) AS hook_title, CAST($2 AS TEXT) AS docker_image, \
         CAST($3 AS TEXT) AS install_script, CAST($4 AS TEXT) AS build_script, \
         CAST($5 AS TEXT) AS options, projects.env AS project_env FROM projects \
         WHERE id = (SELECT project_id FROM builds WHERE id = $6)",
    )
    .bind(&spec.title)
    .bind(spec.image.as_str())
    .bind(spec.install_script.as_ref().map(Script::as_str))
    .bind(spec.build_script.as_str())
    .bind(to_json(&spec.options, "options")?)
    .bind(build.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("read a typed hook"))?;
    let tracked: Vec<&str> = spec.tracked.iter().map(TrackedPath::as_str).collect();
    let job = NewJob {
        build,
        project,
        hook_call: call.int("id")?,
        source: &source,
        tracked: &tracked.join("\n"),
        reason: "waiting for a worker",
        now,
    };
    job.enqueue_all(tx).await
}
