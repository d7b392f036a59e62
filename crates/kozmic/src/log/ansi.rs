//! A line as a terminal would show it, as HTML. The escape sequences are parsed
//! by vte; here they move a cursor within the line and set styles (ECMA-48).
//! Movements to other lines are ignored. Everything that is shown is escaped.

mod palette;
mod screen;
mod style;

use vte::Parser;

use self::screen::{CELLS_LIMIT, Screen, StylesOnly, escape};
use super::Line;

pub use palette::style_sheet;

/// Renders the lines of a log in their order: colours go on from line to line,
/// nothing else does.
#[derive(Default)]
pub struct Renderer {
    parser: Parser,
    screen: Screen,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renderer")
    }
}

impl Renderer {
    /// A renderer in the [`state`](Self::state) of another one; whatever else stands
    /// in these bytes has no effect.
    pub fn resume(state: &[u8]) -> Self {
        let mut renderer = Self::default();
        renderer.skip(Line { bytes: state, cut: 0 });
        renderer
    }

    /// What goes on with the next line, as the escape sequence that sets it: fewer than
    /// 64 bytes, and none at all while nothing is set.
    pub fn state(&self) -> Vec<u8> {
        self.screen.style.sequence().into_bytes()
    }

    /// The HTML of one line; less than 1 MiB, whatever the line is.
    pub fn line(&mut self, line: Line<'_>) -> String {
        if let Some(html) = self.plain(line) {
            return html;
        }
        self.screen.begin(line.cut);
        self.parser.advance(&mut self.screen, line.bytes);
        // An unfinished sequence ends with its line.
        self.parser.advance(&mut self.screen, b"\x18");
        self.screen.html()
    }

    /// Takes a line's colours into account without rendering it.
    pub fn skip(&mut self, line: Line<'_>) {
        if memchr::memchr(0x1b, line.bytes).is_some() {
            let mut styles = StylesOnly { style: &mut self.screen.style, saved: None };
            self.parser.advance(&mut styles, line.bytes);
            self.parser.advance(&mut styles, b"\x18");
        }
    }

    /// Most lines are nothing but letters.
    fn plain(&self, line: Line<'_>) -> Option<String> {
        let is_plain = self.screen.style.is_default()
            && line.cut == 0
            && line.bytes.len() <= CELLS_LIMIT
            && line.bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        is_plain.then(|| {
            let mut html = String::with_capacity(line.bytes.len() + 16);
            line.bytes.iter().for_each(|byte| escape(char::from(*byte), &mut html));
            html
        })
    }
}

#[cfg(test)]
mod tests;
