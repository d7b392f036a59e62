//! The lines of a growing log as HTML, in their order, from any of them on.

use std::io;
use std::path::PathBuf;

use super::jobs::line_html;
use crate::log::{Lines, Renderer, open};

/// Bytes of HTML read in one go, about.
const PIECE: usize = 32 * 1024;
/// Lines skipped in one go.
const SKIPPED: usize = 10_000;

/// Reads a log's file at its own pace.
pub(super) struct Tail {
    path: PathBuf,
    /// None until something is written.
    lines: Option<Lines>,
    renderer: Renderer,
    /// Of the line that is read next.
    number: u64,
    /// The first line that is wanted.
    from: u64,
}

impl Tail {
    pub(super) fn new(path: PathBuf, from: u64) -> Self {
        Self { path, lines: None, renderer: Renderer::default(), number: 1, from }
    }

    /// The number of the line that comes next.
    pub(super) fn next(&self) -> u64 {
        self.number.max(self.from)
    }

    /// Passes over the lines that are there. Whether there may be more.
    pub(super) async fn skip(&mut self) -> io::Result<bool> {
        let Some(lines) = opened(&mut self.lines, &self.path).await? else { return Ok(false) };
        for _ in 0..SKIPPED {
            let Some(line) = lines.next().await? else { return Ok(false) };
            self.renderer.skip(line);
            self.number += 1;
        }
        Ok(true)
    }

    /// Some of the next complete lines before `until`, and the number of the first; none
    /// when no more are written yet.
    pub(super) async fn read(&mut self, until: u64) -> io::Result<Option<(u64, String)>> {
        let Some(lines) = opened(&mut self.lines, &self.path).await? else { return Ok(None) };
        let first = self.number.max(self.from);
        let mut html = String::new();
        while html.len() < PIECE && self.number < until {
            let Some(line) = lines.next().await? else { break };
            if self.number < self.from {
                self.renderer.skip(line);
            } else {
                html.push_str(&line_html(self.number, &self.renderer.line(line)));
            }
            self.number += 1;
        }
        Ok((!html.is_empty()).then_some((first, html)))
    }

    /// What follows the last newline, once nothing comes any more.
    pub(super) fn last_line(&mut self) -> Option<(u64, String)> {
        let lines = self.lines.take()?;
        let line = lines.rest().filter(|_| self.number >= self.from)?;
        let html = line_html(self.number, &self.renderer.line(line));
        self.number += 1;
        Some((self.number - 1, html))
    }

    /// Whether something follows the last newline.
    pub(super) fn is_amid_line(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.rest().is_some())
    }

    /// The line under way as far as it is written; it is given out again when it is whole.
    pub(super) fn unfinished(&self) -> Option<String> {
        let line = self.lines.as_ref()?.rest().filter(|_| self.number >= self.from)?;
        let mut renderer = Renderer::resume(&self.renderer.state());
        Some(line_html(self.number, &renderer.line(line)))
    }
}

async fn opened<'a>(
    lines: &'a mut Option<Lines>,
    path: &std::path::Path,
) -> io::Result<Option<&'a mut Lines>> {
    if lines.is_none() {
        *lines = open(path, 0).await?.map(Lines::new);
    }
    Ok(lines.as_mut())
}
