//! A build's page: what was built, one tab per job, the log of one of them.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::error::PageError;
use super::install_step::ShownInstall;
use super::page::{
    Page, Sidebar, StatusMark, Time, TokenTrouble, duration, render, subject, token_trouble,
};
use super::tailer::log_id;
use super::visitor::{Access, Visitor};
use super::words::problems::{self, Thing};
use super::{App, artifacts, jobs, kept, log_page, phases, services, tests, words};
use crate::model::{Approval, BuildId, CronLine, GitRef, JobId, JobStatus, Timestamp, Trigger};
use crate::store::{AskedFor, Build, Job, PhaseTime, Project, ReportTrouble};

#[derive(Template)]
#[template(path = "build.html")]
#[allow(clippy::struct_excessive_bools, reason = "each shows or hides a part of the page")]
struct BuildPage {
    sidebar: Sidebar,
    project: Project,
    number: i64,
    status: StatusMark,
    /// None of its jobs runs or waits. A build is red as soon as one of them is.
    is_finished: bool,
    /// Stop it, and run it again.
    may_manage: bool,
    url: String,
    can_restart_failed: bool,
    subject: String,
    message_rest: String,
    author: String,
    git_ref: String,
    /// The branch or tag at GitHub.
    ref_url: Option<String>,
    pull_request: Option<Pull>,
    /// Nothing of it runs until a manager agrees.
    awaits_approval: bool,
    approved: Option<(String, Time)>,
    trigger: &'static str,
    missed_because: Option<String>,
    /// Who asked for it or caused it, if that is known, and their picture.
    by: Option<(String, Option<i64>)>,
    author_id: Option<i64>,
    asked: AskedFor,
    /// When the clock's line was due, on its own clock.
    due: Option<String>,
    is_try: bool,
    not_run: Vec<(String, String)>,
    full_sha: String,
    sha: String,
    commit_url: String,
    created: Time,
    took: Option<String>,
    troubles: Vec<ReportTrouble>,
    token_trouble: Option<TokenTrouble>,
    tabs: Vec<Tab>,
    timeline: phases::Timeline,
    job: Option<ShownJob>,
}

struct Pull {
    number: i64,
    title: String,
    author: String,
    fork_owner: Option<String>,
    url: String,
}

struct Tab {
    id: JobId,
    title: String,
    /// How its tests ended, in words; empty without any.
    tests: String,
    url: String,
    status: StatusMark,
    reason: String,
    is_shown: bool,
    is_finished: bool,
}

struct ShownJob {
    title: String,
    /// Of this job, whichever its build shows.
    url: String,
    image: String,
    status: StatusMark,
    reason: String,
    return_code: Option<i64>,
    started: Option<Time>,
    took: Option<String>,
    tailer: String,
    /// Tells its log from another one of the job; empty before anybody has it.
    log_id: String,
    log_url: String,
    /// What a downloaded log is called, without its ending.
    log_name: String,
    is_finished: bool,
    log: log_page::LogPage,
    attempts: Vec<phases::Attempt>,
    install: Option<ShownInstall>,
    drop_url: String,
    cancel_url: String,
    restart_url: Option<String>,
    tests: Option<tests::ShownTests>,
    artifacts: Option<artifacts::ShownArtifacts>,
    services: Vec<services::ShownService>,
    /// What was left out of what the script left, and why.
    notes: Vec<String>,
    /// Those that this one replaced.
    earlier: Vec<Tab>,
    kept: Option<kept::ShownKept>,
}

#[derive(Deserialize)]
pub(super) struct Of {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct View {
    /// `none`: the page without its log, for renewing the rest.
    log: Option<String>,
    /// Of the log, where there is no script.
    page: Option<String>,
    /// Leads to the page that has this line.
    line: Option<String>,
}

/// `latest` leads to the newest build, of one ref when it is given.
pub(super) async fn build(
    State(app): State<App>,
    visitor: Visitor,
    access: Access,
    Path((_, build)): Path<(i64, String)>,
    Query(of): Query<Of>,
    Query(view): Query<View>,
) -> Result<Response, PageError> {
    let project = &access.project;
    if build == "latest" {
        let git_ref = of
            .git_ref
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(GitRef::from_short)
            .transpose();
        let git_ref = git_ref.map_err(|problem| PageError::BadRequest(problem.to_string()))?;
        let latest = app.store.latest_build(project.id, git_ref.as_ref()).await?;
        let latest = latest.ok_or_else(|| PageError::NotFound(problems::NOTHING_BUILT.into()))?;
        return Ok(Redirect::to(&format!("/projects/{}/builds/{}/", project.id, latest.id))
            .into_response());
    }
    let build = find(&app, project, build.parse().ok()).await?;
    let mut jobs = app.store.jobs_of(build.id).await?;
    app.store.tell_why_they_wait(&mut jobs, Timestamp::now()).await?;
    // The one people come for: what is not green first, then what runs.
    let shown = [JobStatus::Error, JobStatus::Failure, JobStatus::Pending]
        .into_iter()
        .find_map(|status| jobs.iter().find(|job| job.status == status))
        .or(jobs.first())
        .cloned();
    Ok(show(&app, &visitor, access, build, jobs, shown, &view).await?.into_response())
}

/// One job of a build; also one that a restart has replaced. `?line=` leads to its page.
pub(super) async fn job(
    State(app): State<App>,
    visitor: Visitor,
    access: Access,
    Path((_, build, job)): Path<(i64, i64, i64)>,
    Query(view): Query<View>,
) -> Result<Response, PageError> {
    let build = find(&app, &access.project, Some(build)).await?;
    let job = jobs::find(&app, &access.project, job).await?;
    if job.build != build.id {
        return Err(PageError::no_such(Thing::Job));
    }
    if let Some(line) = number(view.line.as_ref()) {
        let (page, path) = (log_page::page_of(line), job_path(&access.project, &job));
        return Ok(Redirect::to(&format!("{path}?page={page}#L{line}")).into_response());
    }
    let mut jobs = app.store.jobs_of(build.id).await?;
    app.store.tell_why_they_wait(&mut jobs, Timestamp::now()).await?;
    let latest = jobs.iter().find(|latest| latest.id == job.id).cloned();
    let job = latest.unwrap_or(job);
    Ok(show(&app, &visitor, access, build, jobs, Some(job), &view).await?.into_response())
}

pub(super) fn job_path(project: &Project, job: &Job) -> String {
    format!("/projects/{}/builds/{}/jobs/{}/", project.id, job.build, job.id)
}

pub(super) async fn find(
    app: &App,
    project: &Project,
    build: Option<i64>,
) -> Result<Build, PageError> {
    let missing = || PageError::no_such(Thing::Build);
    let build = app.store.build(BuildId(build.ok_or_else(missing)?)).await?;
    build.filter(|build| build.project == project.id).ok_or_else(missing)
}

async fn show(
    app: &App,
    visitor: &Visitor,
    access: Access,
    build: Build,
    jobs: Vec<Job>,
    shown: Option<Job>,
    view: &View,
) -> Page {
    let now = Timestamp::now();
    let may_manage = access.may_manage();
    let project = access.project;
    let url = format!("/projects/{}/builds/{}/", project.id, build.id);
    let counts = app.store.test_counts(build.id).await?;
    let mut times = app.store.phases_of(build.id).await?;
    let tab = |job: &Job| Tab {
        id: job.id,
        title: job.title.clone(),
        tests: counts
            .iter()
            .find(|(of, _)| *of == job.id)
            .map_or_else(String::new, |(_, counts)| counts.to_string()),
        url: format!("{url}jobs/{}/", job.id),
        status: job.status.into(),
        reason: job.reason.clone(),
        is_shown: shown.as_ref().is_some_and(|shown| shown.id == job.id),
        is_finished: job.status.is_finished(),
    };
    let tabs: Vec<Tab> = jobs.iter().map(tab).collect();
    let shown_id = shown.as_ref().map(|job| job.id);
    let timeline = phases::timeline(&jobs, shown_id, &times, |job| job_path(&project, job), now);
    let job = match shown {
        Some(job) => {
            let times = times.remove(&job.id).unwrap_or_default();
            let is_latest = jobs.iter().any(|latest| latest.id == job.id);
            Some(shown_job(app, &project, job, (is_latest, &times), view, now).await?)
        }
        None => None,
    };
    let repository = format!("{}/{}", app.github_url, project.repository.full_name);
    let message_rest =
        build.commit.message.split_once('\n').map_or("", |(_, rest)| rest).trim().to_owned();
    let by = build.asked.by.as_ref().or(build.sender.as_ref());
    let names: Vec<&str> =
        by.into_iter().chain([&build.commit.author]).map(String::as_str).collect();
    let known = app.store.users_called(&names).await?;
    let picture_of = |login: &str| known.get(&login.to_lowercase()).map(|user| user.0);
    render(&BuildPage {
        sidebar: Sidebar::load(app, visitor, Some(project.id.0)).await?,
        number: build.number,
        status: build.status.into(),
        is_finished: build.status.is_finished() && jobs.iter().all(|job| job.status.is_finished()),
        may_manage,
        can_restart_failed: jobs
            .iter()
            .any(|job| job.status.is_finished() && job.status != JobStatus::Success),
        url,
        subject: subject(&build.commit.message).to_owned(),
        message_rest,
        author: build.commit.author.clone(),
        ref_url: ref_url(&repository, &build.git_ref),
        git_ref: build.git_ref.to_string(),
        awaits_approval: build.awaits_approval(),
        approved: match &build.approval {
            Approval::Given { by, at } => Some((by.clone(), Time::new(*at, now))),
            Approval::NotNeeded | Approval::Awaited => None,
        },
        pull_request: build.pull_request.map(|pull| Pull {
            url: format!("{repository}/pull/{}", pull.number),
            number: pull.number,
            title: pull.title,
            author: pull.author,
            fork_owner: pull.fork.map(|fork| fork.owner),
        }),
        trigger: words::trigger(build.trigger),
        author_id: picture_of(&build.commit.author),
        by: by.map(|login| (login.clone(), picture_of(login))),
        missed_because: build.missed_because,
        due: build.asked.cron.as_ref().map(|(line, due)| shown_due(line, *due)),
        asked: build.asked,
        is_try: build.trigger == Trigger::Try,
        not_run: app.store.hooks_not_run(build.id).await?,
        full_sha: build.commit.sha.to_string(),
        sha: build.commit.sha.short().to_owned(),
        commit_url: format!("{repository}/commit/{}", build.commit.sha),
        created: Time::new(build.created_at, now),
        took: duration(build.started_at, build.finished_at, now),
        troubles: app.store.report_troubles(build.id).await?,
        token_trouble: token_trouble(app, &project).await?,
        tabs,
        timeline,
        job,
        project,
    })
}

async fn shown_job(
    app: &App,
    project: &Project,
    job: Job,
    (is_latest, times): (bool, &[PhaseTime]),
    view: &View,
    now: Timestamp,
) -> Result<ShownJob, PageError> {
    let jobs_path = format!("/projects/{}/jobs/{}", project.id, job.id);
    let install = app.store.install_steps_of(job.build).await?.remove(&job.id);
    let earlier = app.store.earlier_jobs(job.id).await?;
    let earlier = earlier.iter().map(|job| Tab {
        id: job.id,
        title: job.created_at.to_string(),
        tests: String::new(),
        url: job_path(project, job),
        status: job.status.into(),
        reason: String::new(),
        is_shown: false,
        is_finished: job.status.is_finished(),
    });
    let collection = app.store.collection(job.id).await?;
    let log_id = job.worker.as_ref().map(|_| log_id(&job)).unwrap_or_default();
    Ok(ShownJob {
        tests: match &collection {
            Some(collection) => tests::of_job(app, project, &job, collection).await?,
            None => None,
        },
        artifacts: match &collection {
            Some(collection) => artifacts::of_job(app, project.id, &job, collection).await?,
            None => None,
        },
        kept: kept::of_job(app, job.id, now).await?,
        services: services::of_job(app, project.id, &job).await?,
        notes: collection.map(|collection| collection.notes).unwrap_or_default(),
        earlier: earlier.collect(),
        attempts: phases::attempts(times, now),
        install: install.map(|step| ShownInstall::of(&step, job.status.is_finished(), now)),
        drop_url: format!("{jobs_path}/drop-image/"),
        cancel_url: format!("{jobs_path}/cancel/"),
        restart_url: (is_latest && job.status.is_finished() && !job.is_skipped)
            .then(|| format!("{jobs_path}/restart/")),
        log: match view.log.as_deref() {
            Some("none") => log_page::LogPage::default(),
            _ => log_page::render(app, &job, number(view.page.as_ref())).await,
        },
        url: job_path(project, &job),
        log_name: log_name(project, &job),
        title: job.title,
        image: job.image,
        status: job.status.into(),
        reason: job.reason,
        return_code: job.return_code,
        started: job.started_at.map(|at| Time::new(at, now)),
        took: duration(job.started_at, job.finished_at, now),
        tailer: format!("/tailer/{}/", job.uuid),
        log_id,
        log_url: format!("/projects/{}/jobs/{}/log/", project.id, job.id),
        is_finished: job.status.is_finished(),
    })
}

/// Where GitHub shows a branch or a tag.
fn ref_url(repository: &str, git_ref: &GitRef) -> Option<String> {
    let name = git_ref.branch_name().or_else(|| git_ref.tag_name())?;
    let mut url: url::Url = repository.parse().ok()?;
    url.path_segments_mut().ok()?.push("tree").extend(name.split('/'));
    Some(url.into())
}

/// What is no number is as good as none.
fn number(text: Option<&String>) -> Option<u64> {
    text?.trim().parse().ok()
}

/// `orbit-7-tests`: letters and digits that every file system takes.
fn log_name(project: &Project, job: &Job) -> String {
    let text = format!("{} {} {}", project.repository.full_name, job.id, job.title);
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase().chars().take(100).collect()
}

/// A point in time on the clock of a line.
fn shown_due(line: &str, due: Timestamp) -> String {
    line.parse::<CronLine>().map_or_else(|_| due.to_string(), |line| line.shows(due))
}
