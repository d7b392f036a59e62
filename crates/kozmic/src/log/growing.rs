//! A log that is read while it grows, to its end.

use super::{LogError, Logs, Reader};
use crate::model::JobUuid;

/// Opens a log's reader when something is written, and once more at the log's end: the rest of a
/// log of another process may be where finished logs are by then.
#[derive(Debug)]
pub struct Growing {
    logs: Logs,
    job: JobUuid,
    reader: Option<Reader>,
    is_over: bool,
    /// Who had the job last, when it is over.
    worker: Option<String>,
}

impl Growing {
    pub fn new(logs: &Logs, job: JobUuid) -> Self {
        Self { logs: logs.clone(), job, reader: None, is_over: false, worker: None }
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Nothing more is written: the last line needs no newline. `worker` had the job last.
    pub fn ended(&mut self, worker: Option<String>) {
        self.reader = None;
        (self.is_over, self.worker) = (true, worker);
    }

    /// None until something is written.
    pub async fn reader(&mut self) -> Result<Option<&mut Reader>, LogError> {
        if self.reader.is_none() {
            self.reader = self.logs.reader_from(self.job, self.worker.as_deref()).await?;
            if let Some(reader) = self.reader.as_mut().filter(|_| self.is_over) {
                reader.ended();
            }
        }
        Ok(self.reader.as_mut())
    }
}
