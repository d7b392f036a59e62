//! A log without its escape sequences: what a search looks at, and what a download
//! without colours holds.

/// Takes a log bit by bit; a sequence may be cut anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plain(State);

/// Where in a sequence the last byte was (ECMA-48, 5.3 to 5.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// A control sequence: up to a byte from @ to ~.
    Control,
    /// A command's text: up to BEL, or ESC and a backslash.
    Command,
    EndOfCommand,
}

impl Plain {
    /// What is left of these bytes, after those before.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.0 == State::Text {
                let end = memchr::memchr(0x1b, rest).unwrap_or(rest.len());
                text.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            // A sequence that is not finished ends with its line.
            self.0 = if byte == b'\n' {
                text.push(byte);
                State::Text
            } else {
                self.0.after(byte)
            };
        }
        text
    }
}

impl State {
    fn after(self, byte: u8) -> Self {
        match self {
            Self::Command => match byte {
                0x07 => Self::Text,
                0x1b => Self::EndOfCommand,
                _ => Self::Command,
            },
            Self::Control => match byte {
                b'@'..=b'~' => Self::Text,
                0x1b => Self::Escape,
                _ => Self::Control,
            },
            // An escape that is not a command's end begins something new.
            Self::Text | Self::Escape | Self::EndOfCommand => match byte {
                0x1b | b' '..=b'/' => Self::Escape,
                b'[' => Self::Control,
                b']' | b'P' | b'X' | b'^' | b'_' => Self::Command,
                _ => Self::Text,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(parts: &[&[u8]]) -> String {
        let mut plain = Plain::default();
        let text = parts.iter().flat_map(|part| plain.take(part)).collect();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn sequences_go_wherever_they_are_cut() {
        let log = b"a\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x07.\x1b(B\x1bMb\n\x1b[3\nc\r\n";
        let expected = "ared link.b\n\nc\r\n";
        assert_eq!(plain(&[log]), expected);
        for at in 0..log.len() {
            assert_eq!(plain(&[&log[..at], &log[at..]]), expected, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = log.chunks(1).collect();
        assert_eq!(plain(&bytes), expected);
    }
}
