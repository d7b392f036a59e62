//! Test reports: the `.xml` files of a folder, read one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;

use super::archive::{Archive, Kind};
use super::names::shown;
use super::{FilesError, junit};
use crate::model::TestCase;

/// Notes of one job, and of what kind soever.
const NOTES: usize = 20;

/// What is read of one job's reports at the most; the rest is left out with a note.
#[derive(Debug, Clone, Copy)]
pub struct ReportLimits {
    /// Bytes of one file.
    pub file: usize,
    /// Bytes of all of them.
    pub job: u64,
    pub files: usize,
    pub tests: usize,
    /// Bytes of messages, details and outputs that are kept.
    pub text: usize,
    pub time: Duration,
}

impl Default for ReportLimits {
    fn default() -> Self {
        Self {
            file: 32 << 20,
            job: 64 << 20,
            files: 10_000,
            tests: 100_000,
            text: 16 << 20,
            time: Duration::from_mins(1),
        }
    }
}

/// What test reports say.
#[derive(Debug, Default)]
pub struct Reports {
    pub cases: Vec<TestCase>,
    pub notes: Vec<String>,
}

/// Masks what must not be seen in a text.
pub type Hide = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What was read so far, within the limits.
pub(super) struct Gathered {
    pub(super) cases: Vec<TestCase>,
    notes: Vec<String>,
    limits: ReportLimits,
    hide: Hide,
    text: usize,
    unnoted: usize,
}

impl Gathered {
    pub(super) fn new(limits: ReportLimits, hide: Hide) -> Self {
        Self { cases: Vec::new(), notes: Vec::new(), limits, hide, text: 0, unnoted: 0 }
    }

    /// A text that is going to be cut: afterwards, half a secret would not be known.
    pub(super) fn hidden(&self, text: &str) -> String {
        (self.hide)(text)
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES { self.notes.push(note) } else { self.unnoted += 1 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.cases.len() >= self.limits.tests
    }

    pub(super) fn take(&mut self, mut case: TestCase) {
        if self.is_full() {
            return;
        }
        let length = case.message.len() + case.details.len() + case.output.len();
        let had_room = self.text <= self.limits.text;
        self.text += length;
        if self.text > self.limits.text {
            (case.details, case.output) = (String::new(), String::new());
            if had_room {
                let name = shown(&case.name);
                self.note(format!(
                    "from the test {name} on only the messages are kept: the texts of this job's \
                     tests are longer than {} MiB",
                    self.limits.text >> 20
                ));
            }
        }
        self.cases.push(case);
    }

    pub(super) fn finish(mut self) -> Reports {
        if self.is_full() {
            let limit = self.limits.tests;
            self.notes.push(format!("only the first {limit} tests are kept"));
        }
        if self.unnoted > 0 {
            self.notes.push(format!("and {} more of the like", self.unnoted));
        }
        Reports { cases: self.cases, notes: self.notes }
    }
}

/// Reads one file.
pub fn read_report(name: &str, xml: &[u8], limits: ReportLimits, hide: Hide) -> Reports {
    let mut gathered = Gathered::new(limits, hide);
    junit::read(name, xml, Instant::now() + limits.time, &mut gathered);
    gathered.finish()
}

/// Reads the reports in a folder that comes as a tar; names and messages are given to `hide`
/// before they are cut, the longer texts are cut at the ends of lines. What is wrong with one of them is
/// a note; an error only means that the folder did not come.
pub async fn read_reports(
    folder: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
    limits: ReportLimits,
    hide: Hide,
) -> Result<Reports, FilesError> {
    let deadline = Instant::now() + limits.time;
    // What is no report is skipped, but not for ever.
    let mut archive = Archive::new(folder, limits.job.saturating_mul(4));
    let mut gathered = Gathered::new(limits, hide);
    let (mut files, mut bytes) = (0, 0);
    while let Some(entry) = archive.next().await? {
        let path = match (entry.path, entry.kind) {
            (Ok(path), Kind::Folder) if path.is_empty() => continue,
            (Ok(path), _) if path.is_empty() => {
                gathered.note("/kozmic/reports is no folder any more; nothing was read".into());
                break;
            }
            (Ok(path), Kind::File) if is_xml(&path) => path,
            (_, Kind::Folder) | (Ok(_), Kind::File) => continue,
            (Ok(path), Kind::Other(what)) => {
                gathered.note(format!("{}: it is {what}, which is not read", shown(&path)));
                continue;
            }
            (Err((path, problem)), _) => {
                gathered.note(format!("{path}: {problem}; it was not read"));
                continue;
            }
        };
        let path = shown(&path);
        if entry.size > limits.file as u64 {
            let (size, limit) = (entry.size >> 20, limits.file >> 20);
            gathered.note(format!("{path}: it has {size} MiB; no file beyond {limit} MiB is read"));
            continue;
        }
        (files, bytes) = (files + 1, bytes + entry.size);
        if files > limits.files || bytes > limits.job {
            gathered.note(format!(
                "{path}: it and what follows was not read: {} files, or {} MiB, are the most",
                limits.files,
                limits.job >> 20
            ));
            break;
        }
        let mut xml = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
        while let Some(chunk) = archive.chunk().await? {
            xml.extend_from_slice(&chunk);
        }
        // Off the threads that serve others: it keeps one busy for a second or more.
        gathered = tokio::task::spawn_blocking(move || {
            junit::read(&path, &xml, deadline, &mut gathered);
            gathered
        })
        .await
        .map_err(std::io::Error::other)?;
        if gathered.is_full() {
            break;
        }
    }
    if archive.is_exhausted() {
        gathered.note("/kozmic/reports holds too much; its rest was not read".into());
    }
    Ok(gathered.finish())
}

fn is_xml(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|it| it.eq_ignore_ascii_case("xml"))
}
