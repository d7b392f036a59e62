//! A job's services: images, a network, containers, and the wait until all are ready, while
//! the commit is fetched and the install script runs.

use std::io;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::Progress;
use super::execute::{Here, ensure_image};
use super::run::{Interrupted, Run, Stepped, Work};
use crate::engine::{
    Container, Engine, EngineError, Labels, Looked, Network, Probe, ServiceImage, Step,
};
use crate::log::Plain;
use crate::model::{JobEnd, Phase, Service, ServiceName, readable};

/// Between two looks whether a service is ready.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A service that nothing is known of is ready when it has run for so long.
const RUNS_FOR: Duration = Duration::from_secs(1);
/// How long a job waits for a network that is free, and between two looks.
const NETWORK_TIME: Duration = Duration::from_secs(30);
const NETWORK_EVERY: Duration = Duration::from_secs(1);
/// Lines of a service's log that the job's log has when the service fails.
const LAST_LINES: usize = 20;
/// Bytes that they are looked for in, and characters of each.
const LAST_BYTES: usize = 64 << 10;
const LINE_LENGTH: usize = 500;

/// All services are ready.
#[derive(Default)]
pub(super) struct Up {
    /// None without services.
    pub(super) network: Option<Network>,
    /// For the log.
    pub(super) notes: Vec<String>,
}

/// They are not, and why.
pub(super) struct Down {
    notes: Vec<String>,
    end: JobEnd,
}

impl From<JobEnd> for Down {
    fn from(end: JobEnd) -> Self {
        Self { notes: Vec::new(), end }
    }
}

impl From<EngineError> for Down {
    fn from(error: EngineError) -> Self {
        JobEnd::from(error).into()
    }
}

impl Down {
    /// Once the log has it.
    pub(super) fn told(self, run: &mut Run<'_>) -> Stepped<Interrupted> {
        for note in &self.notes {
            run.note(note)?;
        }
        Ok(self.end.into())
    }
}

/// Starts them all, and returns when each is ready, or one is not in its time.
pub(super) async fn start(
    engine: &Engine,
    work: &Work,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Up, Down> {
    if work.services.is_empty() {
        return Ok(Up::default());
    }
    tell(Progress::Begins(Phase::Services));
    let (job, attempt) = (work.job, work.attempt);
    // Those of a worker before this one: its build script has not begun.
    for service in engine.services(job, attempt).await? {
        service.container.remove().await?;
    }
    engine.remove_holders_of_job(job, attempt).await?;
    engine.remove_networks_of_job(job, attempt..=attempt).await?;
    let images = work.services.iter().map(async |service| {
        let Here { id, note } = ensure_image(engine, &service.image, tell).await?;
        Ok::<_, Down>((engine.service_image(&id).await?, note))
    });
    let images = try_join_all(images).await?;
    let labels = Labels { job, attempt, step: Step::Service, log_offset: 0 };
    let names = work.services.iter().map(|service| service.name.clone()).collect();
    let network = free_network(engine, &labels, names, tell).await?;
    let started = work.services.iter().zip(&images).enumerate();
    let started = started.map(async |(at, (service, (image, _)))| {
        let place = (&network, at);
        let limits = &work.service_limits;
        let container = engine.start_service(service, image, place, limits, &labels).await?;
        until_ready(service, image, &container, place).await
    });
    let mut notes: Vec<String> = images.iter().filter_map(|(_, note)| note.clone()).collect();
    match try_join_all(started).await {
        Ok(told) => notes.extend(told),
        Err(down) => {
            let notes = notes.into_iter().chain(down.notes).collect();
            return Err(Down { notes, ..down });
        }
    }
    tell(Progress::Over(Phase::Services));
    Ok(Up { network: Some(network), notes })
}

/// A network, once one is free: other jobs end, and give theirs back.
async fn free_network(
    engine: &Engine,
    labels: &Labels,
    names: Vec<ServiceName>,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Network, EngineError> {
    let start = Instant::now();
    loop {
        match engine.create_network(labels, names.clone()).await {
            Err(error @ EngineError::NoNetwork(_)) if start.elapsed() < NETWORK_TIME => {
                tell(Progress::Prepares(format!("waiting for a network: {error}")));
                tokio::time::sleep(NETWORK_EVERY).await;
                // Those that are kept ready for other jobs have addresses, too.
                engine.remove_free_sandboxes().await?;
            }
            made => return made,
        }
    }
}

/// A sentence for the log when it is.
async fn until_ready(
    service: &Service,
    image: &ServiceImage,
    container: &Container<'_>,
    place: (&Network, usize),
) -> Result<String, Down> {
    let (start, limit) = (Instant::now(), service.ready_within());
    let probe = image.probe(service.ready.as_ref());
    let named = format!("the service {} ({})", service.name, service.image);
    let mut said = "it was not looked at".to_owned();
    let looking = async {
        loop {
            match container.look(&probe, place).await? {
                // Many a program ends at once when it has been called wrongly.
                Looked::Ready if probe == Probe::Runs && start.elapsed() < RUNS_FOR => {}
                Looked::Ready => return Ok::<_, EngineError>(None),
                Looked::NotYet(words) => said = words,
                Looked::Ended(end) => return Ok(Some(end)),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let why = match tokio::time::timeout(limit, looking).await {
        Ok(Ok(None)) => {
            return Ok(format!("{named} is ready after {}", readable(start.elapsed())));
        }
        Ok(Ok(Some(end))) => format!("{named} {end} before it was ready"),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => format!("{named} was not ready after {} s", limit.as_secs()),
    };
    let mut notes = Vec::new();
    if probe != Probe::Runs {
        notes.push(format!("{named}: the last look, by {probe}: {}", on_one_line(&said)));
    }
    notes.extend(last_lines(&named, container).await);
    Err(Down { notes, end: JobEnd::ServiceFailed(why) })
}

/// The log of a job whose services ended while its script ran says so: it may be why the
/// script failed.
pub(super) async fn tell_of_ended(run: &mut Run<'_>, script: &Stepped<JobEnd>) -> io::Result<()> {
    let is_over = matches!(script, Ok(_) | Err(Interrupted::Ended(_)));
    if run.work.services.is_empty() || !is_over {
        return Ok(());
    }
    let looked = async {
        let services = run.engine.services(run.work.job, run.work.attempt).await?;
        let ends = services.iter().map(async |service| {
            let Some(end) = service.container.ended_by_itself().await? else {
                return Ok::<_, EngineError>(Vec::new());
            };
            let named = format!("the service {}", service.name);
            let first = format!("{named} {end} while the script ran, at {}", end.at);
            let rest = last_lines(&named, &service.container).await;
            Ok(std::iter::once(first).chain(rest).collect())
        });
        join_all(ends).await.into_iter().collect::<Result<Vec<_>, _>>()
    };
    match looked.await {
        Ok(notes) => notes.iter().flatten().try_for_each(|note| run.log.note(note)),
        Err(error) => run.log.note(&format!("its services can't be looked at: {error}")),
    }
}

/// What it wrote last, for the log.
async fn last_lines(named: &str, container: &Container<'_>) -> Vec<String> {
    let written = match container.written(LAST_BYTES).await {
        Ok(written) => written,
        Err(error) => return vec![format!("{named}: its log can't be read: {error}")],
    };
    let text = String::from_utf8_lossy(&Plain::default().take(&written)).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return vec![format!("{named} has written nothing")];
    }
    let first = lines.len().saturating_sub(LAST_LINES);
    let shown = lines[first..].iter().map(|line| format!("  {}", on_one_line(line)));
    std::iter::once(format!("{named} has written last:")).chain(shown).collect()
}

/// As long as a line of a log may well be.
fn on_one_line(text: &str) -> String {
    let words = text.trim_end().replace(|c: char| c.is_control(), " ");
    words.chars().take(LINE_LENGTH).collect()
}
