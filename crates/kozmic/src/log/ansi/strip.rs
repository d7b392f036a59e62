//! A log's text without its escape sequences.

use vte::{Parser, Perform};

/// Takes a log in pieces, however they are cut, and gives its text: lines stay as long
/// and as many as they are, bytes that are no UTF-8 become U+FFFD.
#[derive(Default)]
pub struct Stripper {
    parser: Parser,
}

impl Stripper {
    /// The text of these bytes; what they leave unfinished comes with the next ones.
    pub fn strip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Text(String::with_capacity(bytes.len()));
        // An unfinished sequence ends with its line, as it does on pages.
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.split_last() {
                Some((b'\n', line)) => {
                    self.parser.advance(&mut text, line);
                    self.parser.advance(&mut text, b"\x18\n");
                }
                _ => self.parser.advance(&mut text, line),
            }
        }
        text.0.into_bytes()
    }
}

impl std::fmt::Debug for Stripper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stripper")
    }
}

struct Text(String);

impl Perform for Text {
    fn print(&mut self, c: char) {
        self.0.push(c);
    }

    fn execute(&mut self, byte: u8) {
        if matches!(byte, b'\n' | b'\r' | b'\t' | 0x08) {
            self.0.push(char::from(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_and_lines_stay() {
        let log = "\x1b[1mbold\x1b[0m\ta\r\n\x1b]8;;https://a.example\x1b\\link\x1b]8;;\x07 字\n\x1b[3\nlast";
        let expected = "bold\ta\r\nlink 字\n\nlast";
        let whole = Stripper::default().strip(log.as_bytes());
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        for cut in 0..log.len() {
            let mut stripper = Stripper::default();
            let (first, second) = log.as_bytes().split_at(cut);
            let pieces = [stripper.strip(first), stripper.strip(second)].concat();
            assert_eq!(String::from_utf8(pieces).unwrap(), expected, "cut at {cut}");
        }
        assert_eq!(Stripper::default().strip(b"a\xffb\n"), "a\u{fffd}b\n".as_bytes());
    }
}
