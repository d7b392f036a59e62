//! The one line that a log's cursor moves in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;
use url::Url;
use vte::{Params, Perform};

use super::style::Style;

/// Cells of one line that are shown; the plain log has all of them.
pub(super) const CELLS_LIMIT: usize = 10_000;
/// Changes of style in one line; what follows the last one is shown without any.
const RUNS_LIMIT: usize = 2_000;
/// Combining characters on one cell.
const MARKS_LIMIT: usize = 8;
/// Bytes of a link's address, and of all addresses in one line's HTML together.
const ADDRESS_LIMIT: usize = 2_048;
const ADDRESSES_LIMIT: usize = 128 * 1024;
/// Links that begin in one line.
const LINKS_LIMIT: usize = 1_000;

/// The second cell of a wide character.
const COVERED: char = '\0';
const BLANK: Cell = Cell { shown: ' ', style: Style::DEFAULT, link: 0 };

#[derive(Debug, Clone, Copy)]
struct Cell {
    shown: char,
    style: Style,
    /// Of the line's links, counted from 1; 0 is none.
    link: u16,
}

#[derive(Default)]
pub(super) struct Screen {
    pub(super) style: Style,
    cells: Vec<Cell>,
    /// Combining characters, by the cell that they stand on.
    marks: BTreeMap<usize, String>,
    links: Vec<String>,
    link: u16,
    column: usize,
    saved: Option<(usize, Style)>,
    /// Characters, or bytes, that are not shown.
    cut: u64,
}

impl Screen {
    /// An empty line, of which so many bytes will not come.
    pub(super) fn begin(&mut self, cut: u64) {
        self.cells.clear();
        self.marks.clear();
        self.links.clear();
        (self.link, self.column, self.saved, self.cut) = (0, 0, None, cut);
    }

    fn put(&mut self, c: char) {
        let width = if c.is_ascii() { 1 } else { c.width().unwrap_or(0) };
        if width == 0 {
            return self.mark(c);
        }
        if self.column + width > CELLS_LIMIT {
            self.cut += 1;
            self.column += width;
            return;
        }
        self.reach(self.column + width);
        self.set(self.column, c);
        if width == 2 {
            self.set(self.column + 1, COVERED);
        }
        self.column += width;
    }

    /// What takes no room stands on the character before it.
    fn mark(&mut self, c: char) {
        let Some(mut at) = self.column.checked_sub(1).filter(|at| *at < self.cells.len()) else {
            return;
        };
        if self.cells[at].shown == COVERED {
            at = at.saturating_sub(1);
        }
        let marks = self.marks.entry(at).or_default();
        if marks.chars().count() < MARKS_LIMIT {
            marks.push(c);
        }
    }

    /// The line has at least so many cells.
    fn reach(&mut self, length: usize) {
        if self.cells.len() < length {
            self.cells.resize(length, BLANK);
        }
    }

    /// A wide character of which one half is overwritten is gone.
    fn set(&mut self, at: usize, shown: char) {
        if self.cells[at].shown == COVERED && shown != COVERED {
            self.blank(at.saturating_sub(1));
        }
        if self.cells.get(at + 1).is_some_and(|next| next.shown == COVERED) {
            self.cells[at + 1].shown = ' ';
        }
        self.cells[at] = Cell { shown, style: self.style, link: self.link };
        if !self.marks.is_empty() {
            self.marks.remove(&at);
        }
    }

    fn blank(&mut self, at: usize) {
        self.cells[at].shown = ' ';
        self.marks.remove(&at);
    }

    fn erase(&mut self, from: usize, to: usize) {
        if to < self.cells.len() {
            let link = std::mem::take(&mut self.link);
            (from..to).for_each(|at| self.set(at, ' '));
            self.link = link;
            return;
        }
        if self.cells.get(from).is_some_and(|cell| cell.shown == COVERED) {
            self.blank(from.saturating_sub(1));
        }
        self.cells.truncate(from);
        self.marks.split_off(&from);
    }

    /// Shifts the rest of the line to the left over `count` cells, or to the right.
    fn delete(&mut self, count: usize) {
        let end = self.column.saturating_add(count).min(self.cells.len());
        if self.column < end {
            self.erase_pieces(self.column, end);
            self.cells.drain(self.column..end);
            let gone = end - self.column;
            self.move_marks(end, |at| at - gone);
        }
    }

    fn insert(&mut self, count: usize) {
        if self.column < self.cells.len() {
            let count = count.min(CELLS_LIMIT - self.column);
            self.erase_pieces(self.column, self.column);
            let blank = Cell { style: self.style, ..BLANK };
            self.cells.splice(self.column..self.column, std::iter::repeat_n(blank, count));
            self.cells.truncate(CELLS_LIMIT);
            self.move_marks(self.column, |at| at + count);
        }
    }

    /// No half of a wide character is left at either end of what goes.
    fn erase_pieces(&mut self, from: usize, to: usize) {
        for at in [from, to] {
            if at > 0 && self.cells.get(at).is_some_and(|cell| cell.shown == COVERED) {
                self.blank(at - 1);
                self.cells[at].shown = ' ';
            }
        }
    }

    fn move_marks(&mut self, from: usize, to: impl Fn(usize) -> usize) {
        let moved = self.marks.split_off(&from);
        let kept = self.column;
        self.marks.retain(|at, _| *at < kept);
        self.marks.extend(moved.into_iter().map(|(at, marks)| (to(at), marks)));
    }

    fn tab(&mut self) {
        let stop = (self.column / 8 + 1) * 8;
        while self.column < stop {
            // Blanks are kept so that columns line up; what stands there stays.
            if self.column < self.cells.len() { self.column += 1 } else { self.put(' ') }
        }
    }

    /// OSC 8: what follows leads to this address (the Hyperlinks in Terminal Emulators
    /// convention). Only to the web and to people; a link ends with its line.
    fn begin_link(&mut self, address: &str) {
        self.link = 0;
        let is_allowed = address.len() <= ADDRESS_LIMIT
            && self.links.len() < LINKS_LIMIT
            && Url::parse(address)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
        if is_allowed {
            self.links.push(address.to_owned());
            self.link = u16::try_from(self.links.len()).unwrap_or(0);
        }
    }

    pub(super) fn html(&self) -> String {
        let mut html = String::with_capacity(self.cells.len() + 16);
        let (mut at, mut runs, mut addresses) = (0, 0, 0);
        while let Some(&Cell { style, link, .. }) = self.cells.get(at) {
            let rest = &self.cells[at..];
            let run = rest.iter().take_while(|cell| cell.style == style && cell.link == link);
            let end = if runs < RUNS_LIMIT { at + run.count() } else { self.cells.len() };
            let attributes = if runs < RUNS_LIMIT { style.attributes() } else { String::new() };
            let address = usize::from(link).checked_sub(1).and_then(|link| self.links.get(link));
            let address = address.filter(|address| {
                addresses += address.len();
                addresses <= ADDRESSES_LIMIT && runs < RUNS_LIMIT
            });
            if let Some(address) = address {
                html.push_str("<a href=\"");
                address.chars().for_each(|c| escape(c, &mut html));
                let _ = write!(
                    html,
                    "\" target=\"_blank\" rel=\"noopener noreferrer nofollow\"{attributes}>"
                );
                self.text(at, end, &mut html);
                html.push_str("</a>");
            } else if attributes.is_empty() {
                self.text(at, end, &mut html);
            } else {
                let _ = write!(html, "<span{attributes}>");
                self.text(at, end, &mut html);
                html.push_str("</span>");
            }
            (at, runs) = (end, runs + 1);
        }
        if self.cut > 0 {
            let _ = write!(
                html,
                "<span class=\"cut\">… {} more characters in the plain log</span>",
                self.cut
            );
        }
        html
    }

    fn text(&self, from: usize, to: usize, html: &mut String) {
        for at in from..to {
            let shown = self.cells[at].shown;
            if shown == COVERED {
                continue;
            }
            // Fonts differ in how wide they draw these; columns line up all the same.
            let is_wide = self.cells.get(at + 1).is_some_and(|next| next.shown == COVERED);
            html.push_str(if is_wide { "<span class=\"w\">" } else { "" });
            escape(shown, html);
            if !self.marks.is_empty()
                && let Some(marks) = self.marks.get(&at)
            {
                marks.chars().for_each(|mark| escape(mark, html));
            }
            html.push_str(if is_wide { "</span>" } else { "" });
        }
    }
}

pub(super) fn escape(c: char, html: &mut String) {
    match c {
        '&' => html.push_str("&amp;"),
        '<' => html.push_str("&lt;"),
        '>' => html.push_str("&gt;"),
        '"' => html.push_str("&quot;"),
        '\'' => html.push_str("&#39;"),
        // They would reorder what stands around them on the page, or break the line.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => {
            html.push('\u{fffd}');
        }
        c if c.is_control() => html.push('\u{fffd}'),
        c => html.push(c),
    }
}

impl Perform for Screen {
    fn print(&mut self, c: char) {
        // DEL, which terminals do not show.
        if c != '\x7f' {
            self.put(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.tab(),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        if !intermediates.is_empty() {
            return;
        }
        let first = params.iter().next().map_or(0, |param| usize::from(param[0]));
        let count = first.max(1);
        match action {
            'm' => self.style.select(params),
            'C' | 'a' => self.column = (self.column + count).min(CELLS_LIMIT),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.column = (count - 1).min(CELLS_LIMIT),
            // In a line that is all of the screen, both erase the same.
            'K' | 'J' => match first {
                0 => self.erase(self.column, usize::MAX),
                1 => self.erase(0, self.column + 1),
                2 => self.erase(0, usize::MAX),
                _ => {}
            },
            'X' => self.erase(self.column, self.column + count),
            'P' => self.delete(count),
            '@' => self.insert(count),
            's' => self.saved = Some((self.column, self.style)),
            'u' => self.column = self.saved.map_or(self.column, |(column, _)| column),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = Some((self.column, self.style)),
            ([], b'8') => (self.column, self.style) = self.saved.unwrap_or((0, Style::DEFAULT)),
            ([], b'c') => self.style = Style::DEFAULT,
            _ => {}
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _bell_terminated: bool) {
        if let [b"8", _, address @ ..] = params {
            // An address may hold semicolons, which vte takes for the next parameter.
            self.begin_link(&String::from_utf8_lossy(&address.join(&b';')));
        }
    }
}

/// For lines that are not shown: nothing but what goes on after them.
pub(super) struct StylesOnly<'a> {
    pub(super) style: &'a mut Style,
    pub(super) saved: Option<Style>,
}

impl Perform for StylesOnly<'_> {
    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        match action {
            'm' if intermediates.is_empty() => self.style.select(params),
            's' if intermediates.is_empty() => self.saved = Some(*self.style),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = Some(*self.style),
            ([], b'8') => *self.style = self.saved.unwrap_or(Style::DEFAULT),
            ([], b'c') => *self.style = Style::DEFAULT,
            _ => {}
        }
    }
}
