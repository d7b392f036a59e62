//! A process in a running container that somebody sits at: with a terminal of its own,
//! or with pipes.

use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::AsyncWrite;
use tokio_util::io::ReaderStream;

use super::{Container, EngineError, Output, Result};
use crate::model::with_causes;

/// Columns and rows.
pub type Size = (u16, u16);

/// Its input ends what is written to it when it is shut down.
pub struct Terminal {
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Both outputs; ends with the process.
    pub output: Output,
    /// By this its size is set, and its end asked for.
    pub process: String,
}

impl Container<'_> {
    /// Starts a command, as the container's own user; with a terminal where a size is
    /// given.
    pub async fn terminal(&self, command: &[&str], size: Option<Size>) -> Result<Terminal> {
        let (engine, failed) = (self.engine(), |e| self.engine().failed("start a shell", e));
        let options = CreateExecOptions {
            cmd: Some(command.to_vec()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(size.is_some()),
            ..Default::default()
        };
        let process = engine.docker.create_exec(self.id(), options).await.map_err(failed)?.id;
        let Some(size) = size else {
            let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
            let started = engine.docker.start_exec(&process, Some(options)).await;
            let StartExecResults::Attached { input, output } = started.map_err(failed)? else {
                return Err(EngineError::Refused {
                    what: "start a shell",
                    problem: "it is not attached to it".into(),
                });
            };
            let host = engine.host.clone();
            let output = output.map_ok(LogOutput::into_bytes).map_err(move |error| {
                EngineError::Away { host: host.clone(), problem: with_causes(&error) }
            });
            return Ok(Terminal { input, output: Box::pin(output), process });
        };
        let terminal = self.raw(&process).await?;
        // A process that has ended already has no size.
        if let Err(error) = self.resize(&process, size).await {
            tracing::debug!(%error, "a terminal keeps its first size");
        }
        Ok(Terminal { process, ..terminal })
    }

    /// Both ways are bytes, and nothing else: the client library would take some of what
    /// a terminal brings for the head of a frame.
    async fn raw(&self, process: &str) -> Result<Terminal> {
        let engine = self.engine();
        let away = |error: reqwest::Error| EngineError::Away {
            host: engine.host.clone(),
            problem: with_causes(&error),
        };
        let (client, root) = engine.plain_client();
        let url = format!("{root}/exec/{process}/start");
        let asked = client.build().map_err(away)?.post(url);
        let asked = asked.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        let answer = asked
            .json(&serde_json::json!({"Detach": false, "Tty": true}))
            .send()
            .await
            .map_err(away)?;
        if answer.status() != reqwest::StatusCode::SWITCHING_PROTOCOLS {
            let problem = answer.text().await.map_err(away)?;
            return Err(EngineError::Refused { what: "start a shell", problem });
        }
        let (output, input) = tokio::io::split(answer.upgrade().await.map_err(away)?);
        let host = engine.host.clone();
        let output = ReaderStream::new(output).map_err(move |error| EngineError::Away {
            host: host.clone(),
            problem: error.to_string(),
        });
        Ok(Terminal { input: Box::pin(input), output: output.boxed(), process: String::new() })
    }

    /// What the terminal of a process shows at once.
    pub async fn resize(&self, process: &str, (width, height): Size) -> Result<()> {
        let options = ResizeExecOptions { height, width };
        let resized = self.engine().docker.resize_exec(process, options).await;
        resized.map_err(|e| self.engine().failed("set a terminal's size", e))
    }

    /// The code of a process that has ended; none while it goes on.
    pub async fn code_of(&self, process: &str) -> Result<Option<i64>> {
        let found = self.engine().docker.inspect_exec(process).await;
        let found = found.map_err(|e| self.engine().failed("ask for a shell's end", e))?;
        Ok(found.exit_code.filter(|_| found.running == Some(false)))
    }

    /// Runs a script with the container's `/bin/sh`, as root.
    pub async fn exec_as_root(&self, script: &str) -> Result<()> {
        let (engine, failed) =
            (self.engine(), |e| self.engine().failed("end what a shell has left", e));
        let options = CreateExecOptions {
            cmd: Some(vec!["/bin/sh", "-c", script]),
            user: Some("0"),
            attach_stdout: Some(true),
            ..Default::default()
        };
        let created = engine.docker.create_exec(self.id(), options).await.map_err(failed)?;
        let started = engine.docker.start_exec(&created.id, None).await.map_err(failed)?;
        if let StartExecResults::Attached { mut output, .. } = started {
            // Ends with the script.
            while output.next().await.is_some() {}
        }
        Ok(())
    }
}
