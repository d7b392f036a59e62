//! What goes on from one line to the next: kept in a log's index, so that rendering
//! can begin at any line.

use super::{Color, Line, Renderer, Style};

impl Renderer {
    /// Takes a line's colours into account without rendering it.
    pub fn skip(&mut self, line: Line<'_>) {
        let Some(first) = memchr::memchr(0x1b, line.bytes) else { return };
        // What a line sets before it resets all of it is of no account. A reset within
        // another sequence would not be one: then the line is read as a whole.
        let last = RESETS.iter().filter_map(|reset| {
            memchr::memmem::rfind(line.bytes, reset).map(|at| (at, at + reset.len()))
        });
        let (at, after) = last.max().unwrap_or((first, first));
        let is_reset = after > at && !is_within_sequence(&line.bytes[first..at]);
        if is_reset {
            self.screen.style = Style::default();
        }
        let rest = &line.bytes[if is_reset { after } else { first }..];
        if memchr::memchr(0x1b, rest).is_some() {
            self.line(Line { bytes: rest, cut: 0 });
        }
    }

    /// What goes on from one line to the next, in a few bytes; none for no colours.
    pub fn state(&self) -> Vec<u8> {
        self.screen.style.to_bytes()
    }

    /// Goes on where [`Renderer::state`] was asked. Bytes that no renderer gave are no
    /// colours.
    pub fn resume(state: &[u8]) -> Self {
        let mut renderer = Self::default();
        renderer.screen.style = Style::from_bytes(state).unwrap_or_default();
        renderer
    }
}

/// Select Graphic Rendition without a colour or attribute (ECMA-48, 8.3.117).
const RESETS: [&[u8]; 2] = [b"\x1b[m", b"\x1b[0m"];

/// Whether bytes that begin with a sequence end in the middle of one: it is enough
/// that the last one may not be over.
fn is_within_sequence(bytes: &[u8]) -> bool {
    let Some(last) = memchr::memrchr(0x1b, bytes) else { return false };
    let is_over = match &bytes[last + 1..] {
        [b'[', rest @ ..] => rest.iter().any(|byte| matches!(byte, 0x40..=0x7e)),
        _ => false,
    };
    !is_over
}

impl Style {
    /// Empty for the default.
    fn to_bytes(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let set = [self.bold, self.dim, self.italic, self.underline, self.strike, self.inverse];
        let flags = set.iter().rev().fold(0, |flags, set| flags << 1 | u8::from(*set));
        let mut bytes = vec![flags];
        for color in [self.fg, self.bg] {
            match color {
                Color::Default => bytes.push(0),
                Color::Indexed(n) => bytes.extend([1, n]),
                Color::Rgb(r, g, b) => bytes.extend([2, r, g, b]),
            }
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let (fg, rest) = Color::from_bytes(rest)?;
        let (bg, _) = Color::from_bytes(rest)?;
        let is_set = |bit: u8| flags >> bit & 1 == 1;
        Some(Self {
            fg,
            bg,
            bold: is_set(0),
            dim: is_set(1),
            italic: is_set(2),
            underline: is_set(3),
            strike: is_set(4),
            inverse: is_set(5),
        })
    }
}

impl Color {
    fn from_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        Some(match bytes {
            [0, rest @ ..] => (Self::Default, rest),
            [1, n, rest @ ..] => (Self::Indexed(*n), rest),
            [2, r, g, b, rest @ ..] => (Self::Rgb(*r, *g, *b), rest),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Line<'_> {
        Line { bytes, cut: 0 }
    }

    #[test]
    fn colours_go_on_where_they_were_kept() {
        for line in ["\x1b[1;3;38;5;196;48;2;1;2;3mx", "\x1b[2;4;7;9;93mx", "\x1b[1;0;5m\x1b[31m"] {
            let mut renderer = Renderer::default();
            assert!(renderer.state().is_empty());
            renderer.line(of(line.as_bytes()));
            let mut again = Renderer::resume(&renderer.state());
            assert_eq!(again.line(of(b"text")), renderer.line(of(b"text")), "{line:?}");
        }
        assert_eq!(Renderer::resume(b"\x01\x09").line(of(b"a")), "a");
    }

    #[test]
    fn a_line_that_is_skipped_sets_what_it_would_set() {
        for line in [
            "\x1b[31mred\x1b[0m and \x1b[1mbold",
            "\x1b[31mred\x1b[m",
            "\x1b[31m no end",
            "\x1b[4m\x1b]0;a \x1b[0m title\x07 still",
            "\x1b[4m\x1b[1\x1b[0m",
            "\x1b[4mx\x1b",
        ] {
            let (mut shown, mut skipped) = (Renderer::default(), Renderer::default());
            shown.line(of(b"\x1b[7m"));
            skipped.skip(of(b"\x1b[7m"));
            shown.line(of(line.as_bytes()));
            skipped.skip(of(line.as_bytes()));
            assert_eq!(shown.state(), skipped.state(), "{line:?}");
        }
    }
}
