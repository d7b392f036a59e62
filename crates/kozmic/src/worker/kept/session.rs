//! A shell somebody sits at, from its beginning to its end.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::open::{Left, NotOpened};
use super::{HOLD_AGAIN, Kept, LONGER, starter};
use crate::engine::{Container, EngineError, Terminal};
use crate::model::{JobUuid, Timestamp};
use crate::terminal::{Input, Output, ShellAsk, Window};

/// A shell at which nobody does anything ends.
const IDLE: Duration = Duration::from_hours(1);
/// The end of a process is known so soon after that of its output.
const CODE_TIME: Duration = Duration::from_secs(5);
const CODE_LOOK: Duration = Duration::from_millis(50);
/// What ends a shell may take so long.
const END_TIME: Duration = Duration::from_secs(20);
/// Who is told why their shell ended need not listen.
const TELL_TIME: Duration = Duration::from_secs(10);

/// A shell that runs.
struct Running<'engine> {
    container: Container<'engine>,
    terminal: Terminal,
    /// Names it in the container.
    session: String,
}

impl Kept {
    pub(super) async fn shell(&self, ask: ShellAsk) {
        let ShellAsk { job, by, window, input, output, opened } = ask;
        let left = match self.open(job).await {
            Ok(left) => left,
            Err(error) => return drop(opened.send(Err(error.told(job)))),
        };
        let uuid = left.row.uuid;
        self.use_of(uuid).await.shells += 1;
        match self.start(&left, window).await {
            Ok(running) => {
                tracing::info!(job = %uuid, by, "somebody opened a shell in a failed job");
                let noted = self.worker.store.job_opened(job, "shell", &by, Timestamp::now()).await;
                if let Err(error) = noted {
                    tracing::warn!(job = %uuid, by, %error, "who opened a job could not be noted");
                }
                // Who does not wait for it any more ends it at once.
                if opened.send(Ok(left.row.until)).is_ok() {
                    let end = self.attend(&left, running, input, &output).await;
                    let _ = tokio::time::timeout(TELL_TIME, output.send(end)).await;
                } else {
                    end_session(&running.container, &running.session).await;
                }
                tracing::info!(job = %uuid, by, "a shell ended");
            }
            Err(error) => drop(opened.send(Err(error.told(job)))),
        }
        self.shell_left(&left).await;
    }

    async fn start(
        &self,
        left: &Left<'_>,
        window: Option<Window>,
    ) -> Result<Running<'_>, NotOpened> {
        // One at a time makes the container.
        let _making = self.use_of(left.row.uuid).await;
        let engine = &self.worker.engine;
        let user = &left.account.user;
        let made = engine.shell_container(&left.failed, &left.labels, user, left.bounds).await?;
        let (container, _is_new) = made;
        container.upload(starter::upload(&left.env, &left.account)).await?;
        container.run().await?;
        let session = JobUuid::random().to_string();
        let command = starter::command(&session);
        let size = window.map(|window| (window.columns, window.rows));
        let terminal = container.terminal(&["/bin/sh", "-c", &command], size).await?;
        Ok(Running { container, terminal, session })
    }

    /// The last one who leaves puts out the light: whatever was started and left behind
    /// ends; files stay.
    async fn shell_left(&self, left: &Left<'_>) {
        let uuid = left.row.uuid;
        let mut used = self.use_of(uuid).await;
        used.shells -= 1;
        if used.shells > 0 {
            return;
        }
        let halted = async {
            match self.worker.engine.shell_of(uuid, left.row.attempt).await? {
                Some(shells) => shells.halt().await,
                None => Ok(()),
            }
        };
        if let Err(error) = halted.await {
            tracing::warn!(job = %uuid, %error, "what shells have left runs on for now");
        }
        if used.pulls == 0 {
            self.let_go(left.row.job).await;
        }
    }

    /// Until it ends, or has to.
    async fn attend(
        &self,
        left: &Left<'_>,
        running: Running<'_>,
        mut input: mpsc::Receiver<Input>,
        output: &mpsc::Sender<Output>,
    ) -> Output {
        let Running { container, terminal, session } = running;
        let Terminal { input: mut to_shell, output: mut from_shell, process } = terminal;
        let (moved, mut seen) = watch::channel(Instant::now());
        let taking = async {
            while let Some(piece) = input.recv().await {
                moved.send_replace(Instant::now());
                let taken = match piece {
                    Input::Bytes(bytes) => {
                        to_shell.write_all(&bytes).await.and(to_shell.flush().await)
                    }
                    Input::Resize(window) => {
                        let size = (window.columns, window.rows);
                        if let Err(error) = container.resize(&process, size).await {
                            tracing::debug!(%error, "a terminal keeps its size");
                        }
                        Ok(())
                    }
                    Input::End => to_shell.shutdown().await,
                };
                // A shell that takes no more ends, or goes on without.
                if let Err(error) = taken {
                    tracing::debug!(%error, "a shell takes no input");
                }
            }
        };
        let giving = async {
            while let Some(Ok(bytes)) = from_shell.next().await {
                moved.send_replace(Instant::now());
                if output.send(Output::Bytes(bytes)).await.is_err() {
                    return;
                }
            }
        };
        let idle = async {
            loop {
                let last = *seen.borrow_and_update();
                if last.elapsed() >= IDLE {
                    return;
                }
                sleep_until(last + IDLE).await;
            }
        };
        let over = |why: &str| Output::Over(why.to_owned());
        let end = tokio::select! {
            () = giving => return self.ended(&container, &process, &session).await,
            // Nobody hears it.
            () = taking => over("nobody is at it any more"),
            () = idle => over("The shell was ended: nothing happened in it for an hour."),
            why = self.until_it_must(left) => Output::Over(why),
        };
        end_session(&container, &session).await;
        end
    }

    /// Holds what is left for as long as that may be; why it can't be any more.
    async fn until_it_must(&self, left: &Left<'_>) -> String {
        let mut changes = self.worker.store.leases_changed();
        let limit = left.row.until.plus(LONGER);
        let time_left = limit.since(Timestamp::now());
        let over = sleep(time_left);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = self.shutdown.requested() => {
                    return "The shell was ended: the server stops. What is left of the job stays, \
                            and can be opened when the server is back.".into();
                }
                () = &mut over => {
                    return format!(
                        "The shell was ended: the job's container was kept until {}, and its time \
                         is over.", left.row.until
                    );
                }
                () = sleep(HOLD_AGAIN) => {}
                Ok(()) = changes.changed() => {}
            }
            match self.hold(&left.row).await {
                Ok(true) => {}
                Ok(false) => {
                    return "The shell was ended: the job's container is gone, or its project."
                        .into();
                }
                Err(error) => tracing::warn!(%error, "a kept container could not be held"),
            }
        }
    }

    /// The output is over: the process has ended, or its container was removed.
    async fn ended(&self, container: &Container<'_>, process: &str, session: &str) -> Output {
        let code = tokio::time::timeout(CODE_TIME, async {
            loop {
                match container.code_of(process).await {
                    Ok(None) => sleep(CODE_LOOK).await,
                    Ok(Some(code)) => return Ok(code),
                    Err(error) => return Err(error),
                }
            }
        });
        let code = code.await;
        // What it started in the background goes as well.
        end_session(container, session).await;
        let gone = |why: &str| Output::Over(format!("The shell was ended: {why}."));
        match code {
            Ok(Ok(code)) => Output::Exit(code),
            Ok(Err(EngineError::Refused { .. })) => gone("the job's container was removed"),
            Ok(Err(error)) => gone(&error.to_string()),
            Err(_) => gone("the container engine does not tell how"),
        }
    }
}

async fn end_session(container: &Container<'_>, session: &str) {
    let ending = starter::end(session);
    match tokio::time::timeout(END_TIME, container.exec_as_root(&ending)).await {
        Ok(Ok(())) => {}
        // It may have been removed, with all that was in it.
        Ok(Err(error)) => tracing::debug!(%error, "a shell's processes could not be ended"),
        Err(_) => tracing::warn!("a shell's processes could not be ended in time"),
    }
}
