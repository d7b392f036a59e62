//! The forms in which a secret may turn up in a log.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What is shorter, in characters, is never looked for: it would be found everywhere.
pub const SHORTEST: usize = 4;

/// A longer form is looked for in pieces of this many bytes, and not quite twice as many
/// at its end: so little must be held back to know it, and a part of it is hidden, too.
const PIECE: usize = 32;

/// In longer lines only capital digits of percent-encoding are looked for, which are what
/// RFC 3986 asks for (2.1): each form more takes its time at the start of a job.
const SMALL_DIGITS: usize = 4 << 10;

/// No piece has more bytes.
pub(super) const LONGEST: usize = 2 * PIECE - 1 + 3;

/// Every form of a value, cut into pieces.
pub(super) fn forms(value: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    encoded(value, &mut all);
    for line in value.split(['\n', '\r']) {
        // Who prints one often leaves its indentation out.
        let line = line.trim();
        if line.chars().count() < SHORTEST {
            continue;
        }
        all.insert(line.to_owned());
        encoded(line, &mut all);
        escaped(line, &mut all);
    }
    let long_enough = all.iter().filter(|form| form.chars().count() >= SHORTEST);
    long_enough.flat_map(|form| pieces(form)).map(str::to_owned).collect()
}

/// How many of a value's lines are too short to be looked for; those without any text do
/// not count.
pub fn lines_too_short(value: &str) -> usize {
    let lines = value.split(['\n', '\r']).map(|line| line.trim().chars().count());
    lines.filter(|length| (1..SHORTEST).contains(length)).count()
}

/// All of the form, each piece on a character's boundary.
fn pieces(form: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = form;
    while rest.len() >= 2 * PIECE {
        let mut end = PIECE;
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Base64 (RFC 4648) and hexadecimal digits, of all bytes.
fn encoded(value: &str, all: &mut BTreeSet<String>) {
    let bytes = value.as_bytes();
    if value.chars().count() < SHORTEST {
        return;
    }
    for before in 0..3 {
        // Three bytes make four digits of six bits. A digit that holds bits of a neighbour
        // is another one beside another neighbour.
        let padded = [vec![0; before], bytes.to_vec()].concat();
        let own = (8 * before).div_ceil(6)..8 * padded.len() / 6;
        all.insert(STANDARD.encode(&padded)[own.clone()].to_owned());
        all.insert(URL_SAFE.encode(&padded)[own].to_owned());
    }
    all.insert(hex::encode(bytes));
    all.insert(hex::encode_upper(bytes));
}

/// As URLs, JSON, XML and shells write a line.
fn escaped(line: &str, all: &mut BTreeSet<String>) {
    // What stays as it is: as RFC 3986 has it, and for a form; in a path; as JavaScript's
    // encodeURIComponent and encodeURI do it; as WHATWG has forms sent.
    for (stays, space) in [
        ("-._~", "%20"),
        ("-._~", "+"),
        ("-._~/", "%20"),
        ("-._~!*'()", "%20"),
        ("-._~!*'();,/?:@&=+$#", "%20"),
        ("-._*", "+"),
    ] {
        all.insert(percent(line, stays, space, true));
        if line.len() < SMALL_DIGITS {
            all.insert(percent(line, stays, space, false));
        }
    }
    for ascii in [false, true] {
        let plain = json(line, ascii);
        all.insert(plain.replace('/', "\\/"));
        // As Go does it, for pages.
        let for_pages = plain.replace('&', "\\u0026");
        all.insert(for_pages.replace('<', "\\u003c").replace('>', "\\u003e"));
        all.insert(plain);
    }
    let xml = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    all.insert(xml.replace('"', "&quot;"));
    for apostrophe in ["&apos;", "&#39;", "&#x27;"] {
        all.insert(xml.replace('"', "&quot;").replace('\'', apostrophe));
        all.insert(xml.replace('"', "&#34;").replace('\'', apostrophe));
    }
    all.insert(xml);
    all.insert(line.replace('\'', r"'\''"));
    all.insert(line.replace('\'', r#"'"'"'"#));
    all.insert(backslashed(line, |c| !(c.is_alphanumeric() || "_-./:@%+=,".contains(c))));
    all.insert(backslashed(line, |c| "\"\\$`".contains(c)));
}

fn percent(line: &str, stays: &str, space: &str, upper: bool) -> String {
    let mut text = String::new();
    for byte in line.bytes() {
        let _ = match byte {
            b' ' => write!(text, "{space}"),
            _ if byte.is_ascii_alphanumeric() || stays.as_bytes().contains(&byte) => {
                write!(text, "{}", char::from(byte))
            }
            _ if upper => write!(text, "%{byte:02X}"),
            _ => write!(text, "%{byte:02x}"),
        };
    }
    text
}

/// Within its quotes (RFC 8259).
fn json(line: &str, ascii: bool) -> String {
    let mut text = String::new();
    for c in line.chars() {
        let _ = match c {
            '"' | '\\' => write!(text, "\\{c}"),
            '\t' => write!(text, "\\t"),
            '\u{8}' => write!(text, "\\b"),
            '\u{c}' => write!(text, "\\f"),
            c if u32::from(c) < 0x20 || (ascii && !c.is_ascii()) => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(text, "\\u{unit:04x}"))
            }
            c => write!(text, "{c}"),
        };
    }
    text
}

fn backslashed(line: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    for c in line.chars() {
        if is_special(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `coreutils` and Python's standard library said these.
    #[test]
    fn the_forms_are_those_of_the_tools() {
        let all = forms("it's <a> & \"b\"/c\\d=100%~é\u{1f511}");
        for form in [
            "it's <a> & \"b\"/c\\d=100%~é\u{1f511}",
            // urllib.parse.quote, quote_plus
            "it%27s%20%3Ca%3E%20%26%20%22b%22",
            "it%27s+%3Ca%3E+%26+%22b%22",
            "it%27s%20%3ca%3e%20%26%20%22b%22",
            // json.dumps
            "\\/c\\\\d=100%~é",
            "=100%~\\u00e9\\ud83d\\udd11",
            // xml.sax.saxutils
            "it&apos;s &lt;a&gt; &amp; &quot;b&quot;",
            // shlex.quote
            r#"it'"'"'s <a> & "b"/c"#,
            // printf %q
            r#"it\'s\ \<a\>\ \&\ \"b\"/c\\d="#,
        ] {
            let joined =
                all.iter().any(|known| known.contains(form) || form.contains(known.as_str()));
            assert!(joined, "{form} is not in {all:#?}");
        }
    }

    #[test]
    fn base64_is_known_at_each_alignment() {
        let secret = "correct horse";
        let all = forms(secret);
        for before in ["", "u", "us", "use"] {
            for after in ["", ";", ";;"] {
                let text = STANDARD.encode(format!("{before}{secret}{after}"));
                let hidden = all.iter().filter(|form| text.contains(form.as_str()));
                let longest = hidden.map(String::len).max().unwrap_or(0);
                // All but at most one digit on each side, which holds a neighbour's bits.
                assert!(longest >= (8 * secret.len() / 6) - 1, "{text}: {longest}");
            }
        }
    }

    #[test]
    fn long_forms_are_cut_and_none_of_it_is_left_out() {
        for length in [1, 31, 32, 63, 64, 95, 96, 97, 1000] {
            let form = "é€x".repeat(length);
            let pieces = pieces(&form);
            assert_eq!(pieces.concat(), form);
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST), "{length}");
        }
    }

    #[test]
    fn what_is_too_short_is_no_form() {
        assert!(forms("abc").is_empty());
        assert!(forms("a\nb\n").iter().all(|form| form.len() >= SHORTEST));
        assert!(forms("\n").is_empty());
        assert_eq!(lines_too_short("abc\n\n abcd\nx\r\n"), 2);
        // Three characters, though six bytes.
        assert!(!forms("äöü").contains("äöü"));
    }
}
