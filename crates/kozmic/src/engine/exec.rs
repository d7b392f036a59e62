//! A second process in a running container.

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt as _;

use super::{Container, Result};

/// Bytes of output that are kept.
const OUTPUT_LIMIT: usize = 1 << 20;

impl Container<'_> {
    /// Runs a script with the container's `/bin/sh`, as the user its own script
    /// runs as; what it wrote.
    pub async fn exec(&self, script: &str) -> Result<String> {
        let (engine, failed) =
            (self.engine(), |e| self.engine().failed("look into a container", e));
        let options = CreateExecOptions {
            cmd: Some(vec!["/bin/sh", "-c", script]),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let created = engine.docker.create_exec(self.id(), options).await.map_err(failed)?;
        let mut written = Vec::new();
        let started = engine.docker.start_exec(&created.id, None).await.map_err(failed)?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                written.extend_from_slice(&chunk.map_err(failed)?.into_bytes());
                if written.len() > OUTPUT_LIMIT {
                    break;
                }
            }
        }
        Ok(String::from_utf8_lossy(&written).into_owned())
    }
}
