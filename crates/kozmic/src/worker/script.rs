//! A script in a container: what it finds when it starts, and what it writes
//! until it ends or is ended.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until, timeout};

use super::run::{Interrupted, Interrupts, Run, Stepped};
use super::{GRACE, Stop, stall};
use crate::engine::{
    Account, Container, ContainerSpec, EngineError, Labels, NewCachedImage, Output, Step, Upload,
};
use crate::log::Sink;
use crate::model::{JobEnd, Script};
use crate::source::Checkout;

const SCRIPT: &str = "/kozmic/script";
const STARTER: &str = "/kozmic/start";

/// How long output that was written before a kill is waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// How long looking at a stalled container may take.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// Which of a job's scripts, and on what.
pub(super) struct ScriptRun<'a> {
    pub(super) step: Step,
    pub(super) script: &'a Script,
    pub(super) image_id: &'a str,
    pub(super) checkout: &'a Checkout,
    /// The image that is made of an install script's container.
    pub(super) becomes: Option<NewCachedImage<'a>>,
}

/// A container that holds the checkout and the script, ready to start.
pub(super) async fn prepare<'engine>(
    run: &mut Run<'engine>,
    script: &ScriptRun<'_>,
) -> Stepped<Container<'engine>> {
    let (engine, work, log_offset) = (run.engine, run.work, run.log.length());
    let prepared = async {
        let labels = Labels { job: work.job, attempt: work.attempt, step: script.step, log_offset };
        let account = engine.account(&work.image, script.image_id, &labels).await?;
        let spec = ContainerSpec {
            image_id: script.image_id.to_owned(),
            user: account.user.clone(),
            command: vec!["/bin/sh".into(), STARTER.into()],
            limits: work.limits.container,
            labels,
            becomes: script.becomes,
        };
        let container = engine.create(&spec).await?;
        let upload = Upload::new(account.owner)
            .folder("kozmic/")
            .file(STARTER.trim_start_matches('/'), starter(&work.env, &account), 0o600)
            .file(SCRIPT.trim_start_matches('/'), script.script.as_str(), 0o755)
            .tree("kozmic/src", script.checkout.path());
        container.upload(upload).await?;
        Ok(container)
    };
    tokio::select! {
        prepared = prepared => prepared.map_err(|error: EngineError| JobEnd::from(error).into()),
        interrupted = run.interrupts.next() => Err(interrupted),
    }
}

/// What the image's own `/bin/sh` runs, and becomes the script. Both outputs are
/// one pipe, so that lines keep the order in which they were written. Without a
/// shebang, POSIX has the shell run the file itself.
///
/// The variables stand here, in the volume, and not in the container's
/// configuration, which an image made of it would keep.
fn starter(env: &[(String, String)], account: &Account) -> String {
    let mut text = String::from("exec 2>&1\n");
    let home = account.home.iter().map(|home| ("HOME", home.as_str()));
    let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in home.chain(env) {
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    text += "cd /kozmic/src || exit 126\nexec /kozmic/script\n";
    text
}

/// Starts the script and keeps what it writes, until it ends or is ended.
pub(super) async fn run(run: &mut Run<'_>, container: &Container<'_>) -> Stepped<JobEnd> {
    let output = tokio::select! {
        started = container.start() => started.map_err(JobEnd::from)?,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    attend(run, container, output).await
}

/// Keeps what a started script writes, until it ends or is ended. A worker that
/// stops leaves it alone: the next one attends to it again.
pub(super) async fn attend(
    run: &mut Run<'_>,
    container: &Container<'_>,
    mut output: Output,
) -> Stepped<JobEnd> {
    let Run { log, interrupts, .. } = run;
    let interrupted = match follow(&mut output, &mut **log, interrupts).await {
        Ok(()) => {
            let exit = tokio::select! {
                exit = container.exit() => exit.map_err(JobEnd::from)?,
                interrupted = interrupts.next() => return Err(interrupted),
            };
            return Ok(match exit.code {
                0 => JobEnd::Exited(0),
                _ if exit.out_of_memory => JobEnd::OutOfMemory,
                code => JobEnd::Exited(code),
            });
        }
        Err(interrupted) => interrupted,
    };
    if let Interrupted::Ended(JobEnd::Stalled(_)) = interrupted {
        report_stall(container, *log).await?;
    }
    // An engine that can't stop it any more does not change why it was to stop.
    let stopped = match &interrupted {
        // Nothing of this attempt may be kept, or all of it may go on.
        Interrupted::Stopped(Stop::LeaseLost | Stop::Shutdown)
        | Interrupted::Log(_)
        | Interrupted::Ended(JobEnd::Error(..)) => Ok(()),
        Interrupted::Ended(JobEnd::LogLimit(_)) => {
            // The engine waits for a reader of what is written until it has none.
            drop(output);
            container.stop(GRACE).await
        }
        _ => {
            let drained = timeout(GRACE + DRAIN, drain(&mut output, &mut **log));
            let (stopped, drained) = tokio::join!(container.stop(GRACE), drained);
            if let Ok(drained) = drained {
                drained?;
            }
            stopped
        }
    };
    if let Err(error) = stopped {
        tracing::warn!(%error, "a container could not be stopped");
    }
    Err(interrupted)
}

/// Evidence of what hangs, before it is stopped.
async fn report_stall(container: &Container<'_>, log: &mut dyn Sink) -> Stepped<()> {
    let looked = timeout(LOOK_TIME, container.exec(stall::LOOK)).await;
    let lines = match looked {
        Ok(Ok(looked)) => stall::report(&looked),
        Ok(Err(error)) => vec![format!("its processes can't be looked at: {error}")],
        Err(_) => vec!["its processes can't be looked at: no answer".into()],
    };
    for line in lines {
        log.note(&line).map_err(Interrupted::Log)?;
    }
    Ok(())
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
    loop {
        tokio::select! {
            chunk = output.next() => match chunk {
                Some(chunk) => {
                    silent_since = Instant::now();
                    let chunk = chunk.map_err(JobEnd::from)?;
                    let room = limits.log.saturating_sub(log.length());
                    let kept = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
                    log.append(&chunk[..kept]).map_err(Interrupted::Log)?;
                    if kept < chunk.len() {
                        return Err(JobEnd::LogLimit(limits.log).into());
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
        let text = starter(&[("VALUE".into(), value.into())], &account);
        let exports = text.replace("cd /kozmic/src || exit 126\nexec /kozmic/script\n", "");
        let printed = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("{exports}printf '%s|%s' \"$HOME\" \"$VALUE\"")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("/home/it's|{value}"));
    }
}
