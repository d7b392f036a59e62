//! The log as the build's page has it when it arrives: one page of its lines. The
//! viewer goes on from there; without scripts, links lead to the other pages.

use super::App;
use super::jobs::{line_at, removed, unreadable};
use crate::log::{LogError, Reader};
use crate::store::Job;

/// Lines of a page.
const LINES_ON_PAGE: u64 = 500;
/// Bytes of HTML in a page, however long its lines are.
const HTML_ON_PAGE: usize = 4 << 20;

/// A page of a log as HTML.
#[derive(Default)]
pub(super) struct LogPage {
    pub(super) html: String,
    /// Why there is none any more, or none that can be read.
    pub(super) removed: Option<String>,
    /// Lines of the log.
    pub(super) total: u64,
    /// When the job began, in milliseconds since 1970.
    pub(super) start: Option<i64>,
    /// None: all lines are here.
    pub(super) pages: Option<Pages>,
}

/// Where a page is among the others; they are counted from 1.
pub(super) struct Pages {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) previous: Option<u64>,
    pub(super) next: Option<u64>,
    pub(super) count: u64,
}

/// The page of a line.
pub(super) fn page_of(line: u64) -> u64 {
    line.saturating_sub(1) / LINES_ON_PAGE + 1
}

/// The page that is asked for, else the first one; while the job runs, the last one. A log
/// that can't be read says so in its place.
pub(super) async fn render(app: &App, job: &Job, page: Option<u64>) -> LogPage {
    let mut log = LogPage {
        removed: removed(job),
        start: job.started_at.map(|at| at.0),
        ..LogPage::default()
    };
    if log.removed.is_none()
        && let Err(error) = fill(app, job, page, &mut log).await
    {
        log.removed = Some(unreadable(job, &error));
    }
    log
}

async fn fill(app: &App, job: &Job, page: Option<u64>, log: &mut LogPage) -> Result<(), LogError> {
    let Some(mut reader) = app.log_of(job).await? else { return Ok(()) };
    if job.status.is_finished() {
        reader.ended();
    }
    log.total = reader.line_count();
    let count = log.total.div_ceil(LINES_ON_PAGE).max(1);
    let usual = if job.status.is_finished() { 1 } else { count };
    let page = page.unwrap_or(usual).clamp(1, count);
    let first = (page - 1) * LINES_ON_PAGE + 1;
    let last = read(&mut reader, first, log).await?;
    log.pages = (count > 1).then_some(Pages {
        first,
        last,
        previous: (page > 1).then(|| page - 1),
        next: (page < count).then_some(page + 1),
        count,
    });
    Ok(())
}

/// The number of the last line that was read.
async fn read(reader: &mut Reader, first: u64, log: &mut LogPage) -> Result<u64, LogError> {
    let end = first + LINES_ON_PAGE;
    let mut next = first;
    while next < end && log.html.len() < HTML_ON_PAGE {
        let wanted = usize::try_from(end - next).unwrap_or(usize::MAX);
        let rows = reader.rows(next, wanted).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            log.html += &line_at(row.number, row.at, &row.html);
            next = row.number + 1;
        }
    }
    Ok(next - 1)
}
