//! A script in a container: what it finds when it starts, and what it writes
//! until it ends or is ended.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout};

use super::collect::{ARTIFACTS, REPORTS};
use super::folders::Folder;
use super::run::{Interrupted, Interrupts, Run, Stepped, Work};
use super::{GRACE, Progress, Stop, stall};
use crate::engine::{
    Account, Attended, Container, ContainerSpec, Engine, EngineError, Labels, Network,
    NewCachedImage, Output, Step, Unattended, Upload,
};
use crate::log::Sink;
use crate::model::{ErrorKind, JobEnd, Script};
use crate::source::Checkout;

const SCRIPT: &str = "/kozmic/script";
const STARTER: &str = "/kozmic/start";
pub(super) const SECRETS: &str = "/kozmic/secrets";

/// The end of a container is known so soon after that of its output.
const CODE_TIME: Duration = Duration::from_secs(2);

/// How a container looks that an engine killed as it shut down or, after it was
/// killed itself, as it started again (137: SIGKILL); and one whose machine went
/// down under it (255). Whoever saw the script end knows better.
const ENDS_WITH_ENGINE: [i64; 2] = [137, 255];

/// How long output that was written before a kill is waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// Chunks that are written at once when they are there at once: a script that writes
/// fast a line at a time is not to cost a write of ours for each.
const AT_ONCE: usize = 128;

/// How long looking at a stalled container may take.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// A container of an image, and whom its script runs as.
pub(super) struct Made<'engine> {
    container: Container<'engine>,
    account: Account,
    /// Relative to `/`; they are the account's own.
    folders: Vec<String>,
}

/// A container for one of a job's scripts, empty as yet; `becomes` is the image that
/// is made of it. The log has `log_offset` bytes, and nothing may be written to it
/// before the script starts.
pub(super) async fn create<'engine>(
    engine: &'engine Engine,
    work: &Work,
    step: Step,
    image_id: &str,
    becomes: Option<NewCachedImage<'_>>,
    network: Option<&Network>,
    log_offset: u64,
) -> Result<Made<'engine>, EngineError> {
    let labels = Labels { job: work.job, attempt: work.attempt, step, log_offset };
    let account = engine.account(&work.image, image_id, &labels).await?;
    // An image must depend on no cache folder: what it is made of is said in its cache id.
    let folders = if step == Step::Build { work.folders.as_slice() } else { &[] };
    for folder in folders {
        folder.ensure(engine).await?;
    }
    let spec = ContainerSpec {
        image_id: image_id.to_owned(),
        user: account.user.clone(),
        command: vec!["/bin/sh".into(), STARTER.into()],
        limits: work.limits.container,
        no_new_privileges: match step {
            Step::Install => work.no_new_privileges.holds_for_install(),
            _ => work.no_new_privileges.holds_for_build(),
        },
        labels,
        becomes,
        place: network.map(Network::script),
        folders: folders.iter().map(Folder::mount).collect(),
    };
    let container = engine.create(&spec).await?;
    let home = account.home.as_deref();
    let folders = folders.iter().flat_map(|folder| folder.owned(home)).collect();
    Ok(Made { container, account, folders })
}

/// As [`create`], where nothing else is done meanwhile.
pub(super) async fn create_next<'engine>(
    run: &mut Run<'engine>,
    step: Step,
    image_id: &str,
    becomes: Option<NewCachedImage<'_>>,
    network: Option<&Network>,
) -> Stepped<Made<'engine>> {
    let length = run.log.length();
    let made = create(run.engine, run.work, step, image_id, becomes, network, length);
    tokio::select! {
        made = made => Ok(made.map_err(JobEnd::from)?),
        interrupted = run.interrupts.next() => Err(interrupted),
    }
}

/// Puts the checkout and the script into it: it is ready to start.
pub(super) async fn fill<'engine>(
    run: &mut Run<'engine>,
    made: Made<'engine>,
    script: &Script,
    env: &[(String, String)],
    checkout: &Checkout,
) -> Stepped<Container<'engine>> {
    (run.tell)(Progress::Prepares("putting the checkout into a container".into()));
    let Made { container, account, folders } = made;
    let secrets = &run.work.secrets;
    let starter = starter(env, &account, !secrets.is_empty());
    let mut upload = Upload::new(account.owner)
        .folder("kozmic/")
        .folder(REPORTS.trim_start_matches('/'))
        .folder(ARTIFACTS.trim_start_matches('/'));
    for folder in &folders {
        upload = upload.folder(folder);
    }
    if !secrets.is_empty() {
        let secrets = secrets.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        upload = upload.file(SECRETS.trim_start_matches('/'), exports(secrets), 0o400);
    }
    upload = upload
        .file(STARTER.trim_start_matches('/'), starter, 0o600)
        .file(SCRIPT.trim_start_matches('/'), script.as_str(), 0o755)
        .tree("kozmic/src", checkout.path());
    tokio::select! {
        filled = container.upload(upload) => filled.map_err(JobEnd::from)?,
        interrupted = run.interrupts.next() => return Err(interrupted),
    }
    Ok(container)
}

/// What the image's own `/bin/sh` runs, and becomes the script. Both outputs are
/// one pipe, so that lines keep the order in which they were written. Without a
/// shebang, POSIX has the shell run the file itself.
///
/// The variables stand here, in the volume, and not in the container's
/// configuration, which an image made of it would keep. Secrets stand in a file of
/// their own, which is gone when the script begins.
fn starter(env: &[(String, String)], account: &Account, with_secrets: bool) -> String {
    let home = account.home.iter().map(|home| ("HOME", home.as_str()));
    let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut text = format!("exec 2>&1\n{}", exports(home.chain(env)));
    if with_secrets {
        // An image need not have rm(1).
        let _ = writeln!(text, ". {SECRETS}\nrm -f {SECRETS} 2>/dev/null || :");
    }
    text += "cd /kozmic/src || exit 126\nexec /kozmic/script\n";
    text
}

/// For a shell to read, whatever the values hold.
pub(super) fn exports<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    text
}

/// Starts the script and keeps what it writes, until it ends or is ended. A worker
/// that stops leaves it alone: the next one attends to it again.
pub(super) async fn run(
    run: &mut Run<'_>,
    container: &Container<'_>,
    step: Step,
) -> Stepped<JobEnd> {
    (run.tell)(progress(step, "starting"));
    let started = tokio::select! {
        started = container.start() => started.map_err(JobEnd::from)?,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    (run.tell)(progress(step, "running"));
    attend(run, container, started, 0).await.map_err(Interrupted::unattended)
}

/// Goes on with a script that was started before, from the byte that the log has.
pub(super) async fn attend_again(run: &mut Run<'_>, found: &Unattended<'_>) -> Stepped<JobEnd> {
    (run.tell)(progress(found.step, "running"));
    let written = run.log_start.saturating_sub(found.log_offset);
    let started = found.container.attend_again(run.log.goes_on_from(written));
    if let Some(end) = run.work.decided.clone() {
        let mut output = started.output;
        return Err(stop(run, &found.container, &mut output, end.into()).await?);
    }
    let end = attend(run, &found.container, started, written).await;
    match end.map_err(Interrupted::unattended)? {
        JobEnd::Exited(code) if !found.is_running && ENDS_WITH_ENGINE.contains(&code) => {
            let why = "the container engine ended while the script ran, and the script with it; \
                       what the engine kept of its output ends here";
            Err(JobEnd::Error(ErrorKind::LostEngine, why.into()).into())
        }
        end => {
            let may_lack = !found.is_running
                && !found.container.was_seen_throughout().await.map_err(JobEnd::from)?;
            if may_lack {
                run.note(
                    "the container engine was not there all the time until the script ended: what \
                     the script wrote last may be missing here",
                )?;
            }
            Ok(end)
        }
    }
}

fn progress(step: Step, doing: &str) -> Progress {
    match step {
        Step::Build => Progress::Builds(format!("{doing} the build script")),
        Step::Install | Step::Service | Step::Probe | Step::Sandbox | Step::Shell => {
            Progress::Installs(format!("{doing} the install script"))
        }
    }
}

/// `written` is how much of its output the log has.
async fn attend(
    run: &mut Run<'_>,
    container: &Container<'_>,
    started: Attended,
    written: u64,
) -> Stepped<JobEnd> {
    let Attended { mut output, mut code } = started;
    let Run { log, interrupts, .. } = run;
    let log_offset = log.length() - written;
    let interrupted = loop {
        if let Err(interrupted) = follow(&mut output, &mut **log, interrupts).await {
            break interrupted;
        }
        let code = tokio::select! {
            code = timeout(CODE_TIME, &mut code) => code,
            interrupted = interrupts.next() => break interrupted,
        };
        match code {
            Ok(code) => {
                log.settle().map_err(Interrupted::Log)?;
                return exit(container, code).await;
            }
            // The script closed its output and goes on, or the connection was cut. What
            // comes still, or was missed, is in the engine's copy.
            Err(_) => output = container.replay(log.length() - log_offset),
        }
    };
    match &interrupted {
        // Nothing of this attempt may be kept, or all of it may go on.
        Interrupted::Stopped(Stop::LeaseLost | Stop::Shutdown)
        | Interrupted::Log(_)
        | Interrupted::Ended(JobEnd::Error(..)) => Err(interrupted),
        _ => Err(stop(run, container, &mut output, interrupted).await?),
    }
}

/// Stops a script whose end is decided, keeps what it writes until then, and gives
/// back why it was stopped.
async fn stop(
    run: &mut Run<'_>,
    container: &Container<'_>,
    output: &mut Output,
    interrupted: Interrupted,
) -> Stepped<Interrupted> {
    // A container that was stopped looks like one that a dying engine killed: who comes
    // after a crash must know.
    if let Interrupted::Ended(end) = &interrupted {
        (run.tell)(Progress::Ends(end.clone()));
    }
    let report = match interrupted {
        Interrupted::Ended(JobEnd::Stalled(_)) => look_at_stalled(container).await,
        _ => Vec::new(),
    };
    let stopped = if let Interrupted::Ended(JobEnd::LogLimit(_)) = interrupted {
        // The engine waits for a reader of what is written until it has none.
        *output = Box::pin(futures_util::stream::empty());
        container.stop(GRACE).await
    } else {
        let drained = timeout(GRACE + DRAIN, drain(output, &mut *run.log));
        let (stopped, drained) = tokio::join!(container.stop(GRACE), drained);
        if let Ok(drained) = drained {
            drained?;
        }
        stopped
    };
    // An engine that can't stop it any more does not change why it was to stop.
    if let Err(error) = stopped {
        tracing::warn!(%error, "a container could not be stopped");
    }
    // After all of the output: up to here the log's length says how much of it is kept.
    run.log.settle().map_err(Interrupted::Log)?;
    for line in report {
        run.note(&line)?;
    }
    Ok(interrupted)
}

async fn exit(
    container: &Container<'_>,
    code: Result<Result<i64, EngineError>, JoinError>,
) -> Stepped<JobEnd> {
    let panicked = |error: JoinError| JobEnd::Error(ErrorKind::Internal, error.to_string());
    match code.map_err(panicked)?.map_err(JobEnd::from)? {
        0 => Ok(JobEnd::Exited(0)),
        _ if container.is_out_of_memory().await.map_err(JobEnd::from)? => Ok(JobEnd::OutOfMemory),
        code => Ok(JobEnd::Exited(code)),
    }
}

/// Evidence of what hangs, before it is stopped.
async fn look_at_stalled(container: &Container<'_>) -> Vec<String> {
    match timeout(LOOK_TIME, container.exec(stall::LOOK)).await {
        Ok(Ok(looked)) => stall::report(&looked),
        Ok(Err(error)) => vec![format!("its processes can't be looked at: {error}")],
        Err(_) => vec!["its processes can't be looked at: no answer".into()],
    }
}

/// Everything the container writes goes into the log, until it writes no more.
async fn follow(
    output: &mut Output,
    log: &mut dyn Sink,
    interrupts: &mut Interrupts,
) -> Stepped<()> {
    let limits = interrupts.limits;
    let mut silent_since = Instant::now();
    let mut sync = tokio::time::interval(Duration::from_secs(1));
    let mut output = output.ready_chunks(AT_ONCE);
    loop {
        tokio::select! {
            chunks = output.next() => match chunks {
                Some(chunks) => {
                    silent_since = Instant::now();
                    let (chunk, failed) = joined(chunks);
                    let room = limits.log.saturating_sub(log.length());
                    let kept = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
                    log.append(&chunk[..kept]).map_err(Interrupted::Log)?;
                    if kept < chunk.len() {
                        return Err(JobEnd::LogLimit(limits.log).into());
                    }
                    if let Some(error) = failed {
                        return Err(JobEnd::from(error).into());
                    }
                }
                None => return Ok(()),
            },
            () = sleep_until(silent_since + limits.stall) => {
                return Err(JobEnd::Stalled(limits.stall).into());
            }
            interrupted = interrupts.next() => return Err(interrupted),
            _ = sync.tick() => log.sync_when_due().map_err(Interrupted::Log)?,
        }
    }
}

/// What came at once as one chunk, up to what failed.
fn joined(chunks: Vec<Result<Bytes, EngineError>>) -> (Bytes, Option<EngineError>) {
    if let [Ok(only)] = chunks.as_slice() {
        return (only.clone(), None);
    }
    let mut bytes = BytesMut::new();
    for chunk in chunks {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return (bytes.freeze(), Some(error)),
        }
    }
    (bytes.freeze(), None)
}

async fn drain(output: &mut Output, log: &mut dyn Sink) -> Stepped<()> {
    while let Some(Ok(chunk)) = output.next().await {
        log.append(&chunk).map_err(Interrupted::Log)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Owner;

    #[test]
    fn values_reach_the_script_whatever_they_hold() {
        let value = "it's $HOME `id` \\ \"x\"\nsecond line";
        let account = Account {
            user: String::new(),
            owner: Owner { uid: 0, gid: 0 },
            home: Some("/home/it's".into()),
        };
        let text = starter(&[("VALUE".into(), value.into())], &account, false);
        let exports = text.replace("cd /kozmic/src || exit 126\nexec /kozmic/script\n", "");
        let printed = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("{exports}printf '%s|%s' \"$HOME\" \"$VALUE\"")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("/home/it's|{value}"));
    }
}
