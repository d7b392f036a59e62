//! Texts and times from reports, made fit to be kept: cut, without control characters.

/// Bytes beside a cut that are looked through for the end of a line, and left out where
/// there is none.
const HALF: usize = 4 << 10;

/// A text that keeps its beginning or its end when it is too long.
pub(super) struct Cut {
    text: String,
    limit: usize,
    keeps_end: bool,
    lacks_some: bool,
}

impl Cut {
    pub(super) fn new(limit: usize, keeps_end: bool) -> Self {
        Self { text: String::new(), limit, keeps_end, lacks_some: false }
    }

    pub(super) fn push(&mut self, more: &str) {
        if self.keeps_end {
            self.text.push_str(more);
            // Not with each piece: moving it takes as long as it is.
            if self.text.len() > 4 * self.limit {
                self.drop_beginning();
            }
        } else if self.text.len() <= self.limit {
            let room = self.limit + 1 - self.text.len();
            self.text.push_str(&more[..more.floor_char_boundary(room.min(more.len()))]);
            self.lacks_some |= room < more.len();
        } else {
            self.lacks_some = true;
        }
    }

    /// Back to a whole line: half of one may be half of a secret, which nobody would know.
    fn drop_half_lines(&mut self) {
        if self.keeps_end {
            let near = self.text.len().min(HALF);
            let near = self.text.ceil_char_boundary(near);
            let end = self.text[..near].find('\n').map_or(near, |at| at + 1);
            self.text.drain(..end);
        } else {
            let near = self.text.floor_char_boundary(self.text.len().saturating_sub(HALF));
            let end = self.text[near..].rfind('\n').map_or(near, |at| near + at);
            self.text.truncate(end);
        }
    }

    fn drop_beginning(&mut self) {
        if self.text.len() > self.limit {
            let start = self.text.ceil_char_boundary(self.text.len() - self.limit);
            self.text.drain(..start);
            self.lacks_some = true;
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.keeps_end {
            self.drop_beginning();
        }
        if self.lacks_some {
            self.drop_half_lines();
        }
        let text = clean(&self.text);
        let text = text.trim_matches('\n').trim_end();
        match (self.lacks_some, self.keeps_end) {
            (false, _) => text.to_owned(),
            (true, true) => format!("(its beginning was cut)\n{text}"),
            (true, false) => format!("{text}\n(its end was cut)"),
        }
    }
}

/// With XML's five entities and its characters; whatever else looks like one stays.
pub(super) fn unescaped(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('&') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        let character = end.and_then(|end| match &rest[1..end] {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                Some(code.ok().and_then(char::from_u32).unwrap_or('\u{fffd}'))
            }
        });
        match (character, end) {
            (Some(character), Some(end)) => {
                text.push(character);
                rest = &rest[end + 1..];
            }
            _ => {
                text.push('&');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// At most so many characters.
pub(super) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without colours and other control characters; lines end with `\n` alone.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => cleaned.push(c),
            '\r' => {
                if rest.peek() != Some(&'\n') {
                    cleaned.push('\n');
                }
            }
            // A control sequence: ECMA-48, 5.4.
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                while let Some(c) = rest.next_if(|c| ('\u{20}'..='\u{7e}').contains(c)) {
                    if ('\u{40}'..='\u{7e}').contains(&c) {
                        break;
                    }
                }
            }
            c if c.is_control() => {}
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// Seconds with a point, or with a comma where that is the custom; `1,234.5` has both.
pub(super) fn milliseconds(time: &str) -> Option<i64> {
    let text = if time.contains('.') { time.replace(',', "") } else { time.replace(',', ".") };
    let seconds: f64 = text.parse().ok()?;
    // A year of test is none.
    if !(0.0..31_536_000.0).contains(&seconds) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "within the range above")]
    Some((seconds * 1000.0).round() as i64)
}
