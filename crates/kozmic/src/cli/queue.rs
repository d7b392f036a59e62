//! `kozmic queue`, and what `kozmic logs -f` says while there is no log yet.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::say;
use super::server::Server;
use super::table::table;
use crate::model::FullName;

/// Between two questions what a job waits for.
const ASK_EVERY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Queue {
    jobs: Vec<Queued>,
}

#[derive(Deserialize)]
struct Queued {
    project: String,
    #[serde(flatten)]
    job: Job,
}

#[derive(Deserialize)]
struct Job {
    id: i64,
    title: String,
    status: String,
    reason: String,
}

/// What runs first, then what waits, as it came.
pub(super) async fn run(server: &Server, project: Option<&FullName>) -> anyhow::Result<()> {
    if let Some(name) = project {
        // A name that is none of theirs is told apart from an empty queue.
        server.project(name).await?;
    }
    let mut queue: Queue = server.json(Method::GET, "queue").await?;
    queue.jobs.sort_by_key(|queued| queued.job.status == "enqueued");
    let name = project.map(|name| name.to_string().to_lowercase());
    let is_wanted =
        |queued: &Queued| name.as_ref().is_none_or(|name| queued.project.to_lowercase() == *name);
    let rows = queue.jobs.into_iter().filter(is_wanted).map(|Queued { project, job }| {
        [job.id.to_string(), project, job.title, job.status, job.reason]
    });
    say(&table(["job", "project", "title", "status", "because"], rows));
    Ok(())
}

/// Says on standard error what a job waits for, until it waits no more. Whoever asks for
/// its log is told of errors by that.
#[allow(clippy::print_stderr, reason = "standard output is the log's")]
pub(super) async fn tell_while_it_waits(server: &Server, job: i64) {
    let mut told = String::new();
    while let Ok(found) = server.json::<Job>(Method::GET, &format!("jobs/{job}")).await {
        if found.status != "enqueued" {
            return;
        }
        if found.reason != told {
            eprintln!("kozmic: job {} ({}): {}", found.id, found.title, found.reason);
            told = found.reason;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
