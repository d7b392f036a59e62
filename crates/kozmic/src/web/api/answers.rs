//! What the API says of projects, builds and jobs. Times are RFC 3339 in UTC.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Approval, BuildId, JobId, Timestamp, Waiting};
use crate::store::{Build, Job, KeptContainer, KeptStep, PhaseTime, Project, StoreError};
use crate::web::App;

#[derive(Serialize, ToSchema)]
pub(super) struct ProjectAnswer {
    id: i64,
    full_name: String,
    default_branch: String,
    is_public: bool,
    url: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct BuildAnswer {
    id: i64,
    project_id: i64,
    number: i64,
    status: &'static str,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    author: String,
    message: String,
    trigger: &'static str,
    pull_request: Option<i64>,
    pull_request_title: Option<String>,
    pull_request_author: Option<String>,
    /// Of the account that a pull request's fork is in.
    fork_owner: Option<String>,
    /// `not_needed`, `awaited` or `given`.
    approval: &'static str,
    approved_by: Option<String>,
    approved_at: Option<String>,
    /// How reconciliation came upon it.
    missed_because: Option<String>,
    /// Who asked for it, by hand or for a try.
    asked_by: Option<String>,
    /// Who pushed, opened or published what it is of; none: no delivery told.
    sender: Option<String>,
    /// Given to its build scripts by them.
    variables: BTreeMap<String, String>,
    /// Its hooks were chosen: it does not speak for its commit.
    partial: bool,
    /// The line that made it by the clock.
    cron: Option<String>,
    /// When that was due.
    due_at: Option<String>,
    /// Hooks that have no job in it.
    not_run: Vec<NotRunAnswer>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    url: String,
    jobs: Vec<JobAnswer>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NotRunAnswer {
    hook: String,
    reason: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct JobAnswer {
    id: i64,
    build_id: i64,
    uuid: String,
    title: String,
    image: String,
    status: &'static str,
    /// Why it is where it is, in a sentence.
    reason: String,
    /// `high`, `normal` or `low`, among the jobs of its project.
    priority: &'static str,
    /// While it is enqueued: `approval`, `jobs`, `worker`, `label`, `project_limit`, `disk`
    /// or `queue`.
    waits_for: Option<&'static str>,
    return_code: Option<i64>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    url: String,
    log_url: String,
    /// When the log was removed to free disk space.
    log_removed_at: Option<String>,
    /// Until when the container of a failed job is kept; none: it is not, or is gone.
    kept_until: Option<String>,
    phases: Vec<PhaseAnswer>,
    /// Of the latest attempt; none without an install script, and before it is decided.
    install_step: Option<InstallStepAnswer>,
}

/// What is known of a job beside its row.
#[derive(Default)]
pub(super) struct JobFacts {
    pub(super) phases: Vec<PhaseTime>,
    pub(super) install: Option<KeptStep>,
    pub(super) kept: Option<KeptContainer>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct InstallStepAnswer {
    /// `found` in the cache, `made` by the install script, or `unfinished`.
    outcome: &'static str,
    because: String,
    cache_id: String,
    /// The cache id of the older image that the install script started from.
    started_from: Option<String>,
    image_made_at: Option<String>,
    /// What making the image took, and using it saves.
    milliseconds: Option<u64>,
    /// No job uses the image any more.
    dropped_at: Option<String>,
    dropped_by: Option<String>,
}

/// A part of one attempt. Fetch, image and services go on at the same time.
#[derive(Serialize, ToSchema)]
pub(super) struct PhaseAnswer {
    /// `queue`, `fetch`, `image`, `install`, `services` or `build`.
    phase: &'static str,
    attempt: i64,
    started_at: String,
    /// None while it goes on.
    finished_at: Option<String>,
    milliseconds: Option<i64>,
    /// Its worker or engine was lost or stopped, and the next attempt starts anew.
    interrupted: bool,
}

pub(super) fn project(app: &App, project: &Project) -> ProjectAnswer {
    ProjectAnswer {
        id: project.id.0,
        full_name: project.repository.full_name.to_string(),
        default_branch: project.repository.default_branch.clone(),
        is_public: project.repository.is_public,
        url: format!("{}/projects/{}/", app.public_url, project.id),
    }
}

pub(super) async fn build(app: &App, build: Build) -> Result<BuildAnswer, StoreError> {
    let facts = Facts::of(app, std::slice::from_ref(&build)).await?;
    Ok(answer(app, build, &facts))
}

/// Several builds, in their order; what is asked for them is asked for all at once.
pub(super) async fn builds(app: &App, builds: Vec<Build>) -> Result<Vec<BuildAnswer>, StoreError> {
    let facts = Facts::of(app, &builds).await?;
    Ok(builds.into_iter().map(|build| answer(app, build, &facts)).collect())
}

/// What there is to say of builds beside themselves.
struct Facts {
    jobs: Vec<Job>,
    phases: HashMap<JobId, Vec<PhaseTime>>,
    steps: HashMap<JobId, KeptStep>,
    kept: HashMap<JobId, KeptContainer>,
    not_run: HashMap<BuildId, Vec<(String, String)>>,
}

impl Facts {
    async fn of(app: &App, builds: &[Build]) -> Result<Self, StoreError> {
        let ids: Vec<BuildId> = builds.iter().map(|build| build.id).collect();
        let mut jobs = app.store.jobs_of_all(&ids).await?;
        app.store.tell_why_they_wait(&mut jobs, Timestamp::now()).await?;
        Ok(Self {
            jobs,
            phases: app.store.phases_of_all(&ids).await?,
            steps: app.store.install_steps_of_all(&ids).await?,
            kept: app.store.kept_containers_of_all(&ids).await?,
            not_run: app.store.hooks_not_run_of_all(&ids).await?,
        })
    }

    fn of_job(&self, job: JobId) -> JobFacts {
        JobFacts {
            phases: self.phases.get(&job).cloned().unwrap_or_default(),
            install: self.steps.get(&job).cloned(),
            kept: self.kept.get(&job).cloned(),
        }
    }
}

fn answer(app: &App, build: Build, facts: &Facts) -> BuildAnswer {
    let project = build.project.0;
    let jobs = facts.jobs.iter().filter(|job| job.build == build.id);
    let not_run = facts.not_run.get(&build.id).into_iter().flatten();
    let pull = build.pull_request.as_ref();
    let (approved_by, approved_at) = match &build.approval {
        Approval::Given { by, at } => (Some(by.clone()), Some(at.to_string())),
        Approval::NotNeeded | Approval::Awaited => (None, None),
    };
    BuildAnswer {
        id: build.id.0,
        project_id: project,
        number: build.number,
        status: build.status.as_str(),
        git_ref: build.git_ref.to_string(),
        sha: build.commit.sha.to_string(),
        author: build.commit.author,
        message: build.commit.message,
        trigger: build.trigger.as_str(),
        pull_request: pull.map(|pull| pull.number),
        pull_request_title: pull.map(|pull| pull.title.clone()),
        pull_request_author: pull.map(|pull| pull.author.clone()),
        fork_owner: pull.and_then(|pull| pull.fork.as_ref()).map(|fork| fork.owner.clone()),
        approval: build.approval.as_str(),
        approved_by,
        approved_at,
        missed_because: build.missed_because,
        asked_by: build.asked.by,
        sender: build.sender,
        variables: build.asked.variables,
        partial: build.asked.is_partial,
        cron: build.asked.cron.as_ref().map(|(line, _)| line.clone()),
        due_at: build.asked.cron.as_ref().map(|(_, due)| due.to_string()),
        not_run: not_run
            .map(|(hook, reason)| NotRunAnswer { hook: hook.clone(), reason: reason.clone() })
            .collect(),
        created_at: build.created_at.to_string(),
        started_at: time(build.started_at),
        finished_at: time(build.finished_at),
        url: format!("{}/projects/{project}/builds/{}/", app.public_url, build.id),
        jobs: jobs.map(|job| self::job(app, project, job.clone(), facts.of_job(job.id))).collect(),
    }
}

pub(super) fn job(app: &App, project: i64, job: Job, facts: JobFacts) -> JobAnswer {
    let JobFacts { phases, install, kept } = facts;
    let kept = kept.filter(|kept| kept.is_there(Timestamp::now()));
    let path = format!("{}/projects/{project}", app.public_url);
    JobAnswer {
        id: job.id.0,
        build_id: job.build.0,
        uuid: job.uuid.to_string(),
        status: job.status.as_str(),
        url: format!("{path}/builds/{}/jobs/{}/", job.build, job.id),
        log_url: format!("{path}/jobs/{}/log/", job.id),
        title: job.title,
        image: job.image,
        priority: job.priority.as_str(),
        waits_for: job.waiting.as_ref().map(Waiting::word),
        reason: job.reason,
        return_code: job.return_code,
        created_at: job.created_at.to_string(),
        started_at: time(job.started_at),
        finished_at: time(job.finished_at),
        log_removed_at: time(job.log_removed_at),
        kept_until: time(kept.map(|kept| kept.until)),
        phases: phases.iter().map(phase).collect(),
        install_step: install.map(install_step),
    }
}

fn install_step(KeptStep { step, dropped }: KeptStep) -> InstallStepAnswer {
    InstallStepAnswer {
        outcome: step.outcome.as_str(),
        because: step.because,
        cache_id: step.cache_id,
        started_from: step.started_from,
        image_made_at: time(step.made_at),
        milliseconds: step.took.and_then(|took| u64::try_from(took.as_millis()).ok()),
        dropped_at: time(dropped.as_ref().map(|dropped| dropped.at)),
        dropped_by: dropped.map(|dropped| dropped.by),
    }
}

fn phase(time: &PhaseTime) -> PhaseAnswer {
    PhaseAnswer {
        phase: time.phase.as_str(),
        attempt: time.attempt,
        started_at: time.started_at.to_string(),
        finished_at: self::time(time.finished_at),
        milliseconds: time.finished_at.map(|end| end.0 - time.started_at.0),
        interrupted: time.is_interrupted,
    }
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
