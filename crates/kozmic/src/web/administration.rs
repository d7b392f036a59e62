//! For the administrators of the installation: its workers, its queue, its disks, its
//! projects, what is set, and who changed what.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use super::audit::{Audit, From};
use super::page::{Page, Sidebar, StatusMark, Time, cut, render};
use super::visitor::Visitor;
use super::words::administration as words;
use crate::config::InForce;
use crate::model::{DiskAccount, JobId, Timestamp, readable_bytes};
use crate::store::{KnownWorker, Listed, ProjectFacts};

/// Jobs of one page of the queue: what each waits for is looked up by itself.
const JOBS: i64 = 50;
const PROJECTS: i64 = 50;

#[derive(Template)]
#[template(path = "administration.html")]
struct OverviewPage<'a> {
    sidebar: Sidebar,
    workers: Vec<Worker>,
    versions: Vec<(&'static str, String)>,
    settings: &'a [InForce],
}

struct Worker {
    name: String,
    labels: String,
    concurrency: i64,
    trouble: Option<String>,
    seen: Time,
    is_lost: bool,
    jobs: Vec<Running>,
    engine: String,
    version: String,
    disk: Option<Disk>,
}

struct Running {
    url: String,
    name: String,
}

/// Sizes as people read them.
struct Disk {
    counted: Option<Time>,
    uses: Vec<(&'static str, u64, String)>,
    used: String,
    budget: Option<String>,
    file_systems: Vec<FileSystem>,
}

struct FileSystem {
    holds: String,
    path: String,
    free: String,
    total: String,
    reserve: String,
}

impl Disk {
    fn new(account: &DiskAccount, counted: Option<Time>) -> Self {
        let uses = account.uses.iter().filter(|it| it.count > 0);
        let file_systems = account.file_systems.iter().map(|it| FileSystem {
            holds: it.holds.join(", "),
            path: it.path.clone(),
            free: readable_bytes(it.free),
            total: readable_bytes(it.total),
            reserve: readable_bytes(it.reserve),
        });
        Self {
            counted,
            uses: uses.map(|it| (it.kind.plural(), it.count, readable_bytes(it.bytes))).collect(),
            used: readable_bytes(account.used),
            budget: account.budget.map(readable_bytes),
            file_systems: file_systems.collect(),
        }
    }
}

impl Worker {
    fn new(known: KnownWorker, now: Timestamp) -> Self {
        let KnownWorker { state, seen_at, is_lost, jobs } = known;
        let counted = state.about.counted_at.map(|at| Time::new(Timestamp(at), now));
        let running = jobs.into_iter().map(|(project, name, job)| Running {
            url: format!("/projects/{project}/builds/{}/jobs/{}/", job.build, job.id),
            name: format!("{name}, {}", job.title),
        });
        Self {
            name: state.name,
            labels: state.labels.to_string(),
            concurrency: state.concurrency,
            trouble: state.trouble,
            seen: Time::new(seen_at, now),
            is_lost,
            jobs: running.collect(),
            engine: state.about.engine,
            version: state.about.version,
            disk: state.about.disk.map(|account| Disk::new(&account, counted)),
        }
    }
}

pub(super) async fn overview(State(app): State<App>, visitor: Visitor) -> Page {
    let now = Timestamp::now();
    let workers = app.store.workers_known(now).await?.into_iter();
    let database = app.store.database_version().await?;
    let versions = vec![
        (words::PRODUCT, env!("CARGO_PKG_VERSION").to_owned()),
        (words::DATABASE, database.database),
        (words::SCHEMA, database.schema.to_string()),
    ];
    render(&OverviewPage {
        sidebar: Sidebar::load(&app, &visitor, None).await?,
        workers: workers.map(|worker| Worker::new(worker, now)).collect(),
        versions,
        settings: &app.in_force,
    })
}

#[derive(Template)]
#[template(path = "administration_queue.html")]
struct QueuePage {
    sidebar: Sidebar,
    jobs: Vec<Queued>,
    newest: bool,
    more: Option<i64>,
}

struct Queued {
    url: String,
    cancel_url: String,
    project: String,
    title: String,
    status: StatusMark,
    reason: String,
    since: Time,
}

#[derive(Deserialize)]
pub(super) struct AfterJob {
    after: Option<i64>,
}

/// What runs and what waits, as it came, each with why.
pub(super) async fn queue(
    State(app): State<App>,
    visitor: Visitor,
    Query(from): Query<AfterJob>,
) -> Page {
    let now = Timestamp::now();
    let after = JobId(from.after.unwrap_or(0));
    let mut found = app.store.queued(Listed::All, after, JOBS + 1, now).await?;
    let has_more = cut(&mut found, JOBS);
    let more = found.last().map(|(_, _, job)| job.id.0).filter(|_| has_more);
    let jobs = found.into_iter().map(|(id, project, job)| Queued {
        url: format!("/projects/{id}/builds/{}/jobs/{}/", job.build, job.id),
        cancel_url: format!("/projects/{id}/jobs/{}/cancel/", job.id),
        project,
        title: job.title,
        status: job.status.into(),
        reason: job.reason,
        since: Time::new(job.started_at.unwrap_or(job.created_at), now),
    });
    render(&QueuePage {
        sidebar: Sidebar::load(&app, &visitor, None).await?,
        jobs: jobs.collect(),
        newest: from.after.is_some(),
        more,
    })
}

#[derive(Template)]
#[template(path = "administration_projects.html")]
struct ProjectsPage {
    sidebar: Sidebar,
    projects: Vec<ProjectRow>,
    first: bool,
    more: Option<String>,
}

struct ProjectRow {
    facts: ProjectFacts,
    built: Option<Time>,
    size: String,
}

#[derive(Deserialize)]
pub(super) struct AfterName {
    #[serde(default)]
    after: String,
}

/// All projects, by name.
pub(super) async fn projects(
    State(app): State<App>,
    visitor: Visitor,
    Query(from): Query<AfterName>,
) -> Page {
    let now = Timestamp::now();
    let mut found = app.store.projects_after(&from.after, PROJECTS + 1).await?;
    let has_more = cut(&mut found, PROJECTS);
    let last = found.last().map(|project| project.full_name.clone()).filter(|_| has_more);
    let more = last.map(|name| {
        let mut link =
            url::form_urlencoded::Serializer::new(String::from("/administration/projects/?"));
        link.append_pair("after", &name).finish()
    });
    let projects = found.into_iter().map(|facts| ProjectRow {
        built: facts.built_at.map(|at| Time::new(at, now)),
        size: readable_bytes(facts.bytes),
        facts,
    });
    render(&ProjectsPage {
        sidebar: Sidebar::load(&app, &visitor, None).await?,
        projects: projects.collect(),
        first: from.after.is_empty(),
        more,
    })
}

#[derive(Template)]
#[template(path = "administration_audit.html")]
struct AuditPage {
    sidebar: Sidebar,
    audit: Audit,
}

pub(super) async fn audit(
    State(app): State<App>,
    visitor: Visitor,
    Query(from): Query<From>,
) -> Page {
    render(&AuditPage {
        sidebar: Sidebar::load(&app, &visitor, None).await?,
        audit: Audit::load(&app, None, &from, "/administration/audit/").await?,
    })
}
