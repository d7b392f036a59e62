//! The installation, for its administrators.

use axum::Json;
use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{DiskAccount, Timestamp};
use crate::store::{KnownWorker, ProjectFacts};
use crate::web::App;
use crate::web::gate::Door::Api;
use crate::web::gate::Who::Administrator;
use crate::web::routes::{Route, get};

const LIST: &str = "all-projects";
/// Projects in one answer, unless more are wanted.
const PAGE: i64 = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/administration", Api, Administrator, overview)
            .is("get_administration", "The versions, and the settings that are in force.")
            .answers::<OverviewAnswer>(),
        get("/api/v1/administration/workers", Api, Administrator, workers)
            .is("list_workers", "The workers, what they run, and their disks.")
            .query::<Paging>()
            .answers::<WorkersAnswer>(),
        get("/api/v1/administration/projects", Api, Administrator, projects)
            .is("list_all_projects", "All projects by name, with what they take.")
            .query::<Paging>()
            .answers::<FactsAnswer>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct OverviewAnswer {
    version: &'static str,
    database: String,
    schema: i64,
    settings: Vec<SettingAnswer>,
}

#[derive(Serialize, ToSchema)]
struct SettingAnswer {
    name: &'static str,
    /// Without what is secret.
    value: String,
}

#[derive(Serialize, ToSchema)]
struct WorkersAnswer {
    workers: Vec<WorkerAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct WorkerAnswer {
    name: String,
    labels: String,
    /// Jobs at once.
    concurrency: i64,
    /// Why it takes no job now.
    trouble: Option<String>,
    seen_at: String,
    is_lost: bool,
    version: String,
    engine: String,
    /// The jobs that it runs.
    jobs: Vec<i64>,
    disk: Option<DiskAnswer>,
}

#[derive(Serialize, ToSchema)]
struct DiskAnswer {
    /// Bytes that Kozmic has there.
    used: u64,
    /// Bytes that it may have; null: as many as there are.
    budget: Option<u64>,
    file_systems: Vec<FileSystemAnswer>,
}

#[derive(Serialize, ToSchema)]
struct FileSystemAnswer {
    path: String,
    free: u64,
    total: u64,
    /// What is to stay free.
    reserve: u64,
}

#[derive(Serialize, ToSchema)]
struct FactsAnswer {
    projects: Vec<FactAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FactAnswer {
    id: i64,
    full_name: String,
    owner: String,
    builds: i64,
    built_at: Option<String>,
    /// Of its archived logs and its artifacts.
    bytes: u64,
    /// What is wrong with it at GitHub.
    trouble: Option<String>,
}

async fn overview(State(app): State<App>) -> Result<Json<OverviewAnswer>, Problem> {
    let database = app.store.database_version().await?;
    let settings = app.in_force.iter();
    let settings =
        settings.map(|setting| SettingAnswer { name: setting.name, value: setting.value.clone() });
    Ok(Json(OverviewAnswer {
        version: env!("CARGO_PKG_VERSION"),
        database: database.database,
        schema: database.schema,
        settings: settings.collect(),
    }))
}

async fn workers(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<WorkersAnswer>, Problem> {
    let workers = app.store.workers_known(Timestamp::now()).await?;
    let (workers, next) =
        paging::part(workers, &paging, "workers", |worker| worker.state.name.clone())?;
    Ok(Json(WorkersAnswer { workers: workers.into_iter().map(worker).collect(), next }))
}

fn worker(known: KnownWorker) -> WorkerAnswer {
    let KnownWorker { state, seen_at, is_lost, jobs } = known;
    WorkerAnswer {
        name: state.name,
        labels: state.labels.to_string(),
        concurrency: state.concurrency,
        trouble: state.trouble,
        seen_at: seen_at.to_string(),
        is_lost,
        version: state.about.version,
        engine: state.about.engine,
        jobs: jobs.iter().map(|(_, _, job)| job.id.0).collect(),
        disk: state.about.disk.map(disk),
    }
}

fn disk(account: DiskAccount) -> DiskAnswer {
    let file_systems = account.file_systems.into_iter().map(|it| FileSystemAnswer {
        path: it.path,
        free: it.free,
        total: it.total,
        reserve: it.reserve,
    });
    DiskAnswer { used: account.used, budget: account.budget, file_systems: file_systems.collect() }
}

async fn projects(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<FactsAnswer>, Problem> {
    let (limit, after) = (paging.limit(PAGE)?, paging.after::<String>(LIST)?);
    let mut found = app.store.projects_after(&after.unwrap_or_default(), limit + 1).await?;
    let next = paging::page(&mut found, limit, LIST, |project| project.full_name.clone());
    let answer = |facts: ProjectFacts| FactAnswer {
        id: facts.id.0,
        full_name: facts.full_name,
        owner: facts.owner,
        builds: facts.builds,
        built_at: facts.built_at.map(|at| at.to_string()),
        bytes: facts.bytes,
        trouble: facts.trouble,
    };
    Ok(Json(FactsAnswer { projects: found.into_iter().map(answer).collect(), next }))
}
