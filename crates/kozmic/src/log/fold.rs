//! What folds in a log: lines that a script prints as markers.
//!
//! `::group::TITLE` up to `::endgroup::`, as GitHub's runners take them ("Workflow
//! commands for GitHub Actions"), also in the form in which their logs show them,
//! `##[group]`; and `==> TITLE`, which goes up to the next of its kind. Colours before
//! a marker are of no account.

use std::borrow::Cow;

use super::plain::Plain;

/// Bytes of a title that are kept.
const TITLE: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoldKind {
    Heading = 0,
    Group = 1,
    EndGroup = 2,
}

impl FoldKind {
    pub(super) fn of(number: u64) -> Option<Self> {
        [Self::Heading, Self::Group, Self::EndGroup].into_iter().find(|it| *it as u64 == number)
    }
}

/// A marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fold {
    pub(super) line: u64,
    pub(super) kind: FoldKind,
    pub(super) title: String,
}

/// Lines that fold under a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub title: String,
    /// The line of its marker.
    pub first: u64,
    /// Its last line so far; the marker of a group's end is part of it.
    pub last: u64,
    /// 1 inside of another section, else 0.
    pub depth: u8,
}

const MARKERS: [(&[u8], FoldKind); 5] = [
    (b"==> ", FoldKind::Heading),
    (b"::group::", FoldKind::Group),
    (b"##[group]", FoldKind::Group),
    (b"::endgroup::", FoldKind::EndGroup),
    (b"##[endgroup]", FoldKind::EndGroup),
];

/// The marker that this line is.
pub(super) fn of_line(number: u64, line: &[u8]) -> Option<Fold> {
    let line = if line.first() == Some(&0x1b) { after_styles(line) } else { line };
    if !matches!(line.first(), Some(b'=' | b':' | b'#')) {
        return None;
    }
    let (marker, kind) = MARKERS.iter().find(|(marker, _)| line.starts_with(marker))?;
    let title = match kind {
        FoldKind::EndGroup => String::new(),
        _ => title(&line[marker.len()..]),
    };
    Some(Fold { line: number, kind: *kind, title })
}

fn after_styles(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b"\x1b[") {
        let Some(end) = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))
        else {
            break;
        };
        if rest[end] != b'm' {
            break;
        }
        line = &rest[end + 1..];
    }
    line
}

fn title(text: &[u8]) -> String {
    let text = visible(&text[..text.len().min(4 * TITLE)]);
    let text = String::from_utf8_lossy(&text);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut title = String::new();
    for c in text.trim().chars() {
        if title.len() + c.len_utf8() > TITLE {
            title.push('…');
            break;
        }
        title.push(c);
    }
    title
}

/// A line without its escape sequences and the carriage return at its end, as people
/// look for it.
pub(super) fn visible(line: &[u8]) -> Cow<'_, [u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match memchr::memchr(0x1b, line) {
        None => Cow::Borrowed(line),
        Some(_) => Cow::Owned(Plain::default().take(line)),
    }
}

/// The sections of a log with so many lines. A group ends where the next one begins,
/// too: they do not nest, but in a heading's section.
pub(super) fn sections(folds: &[Fold], lines: u64) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut heading, mut group): (Option<usize>, Option<usize>) = (None, None);
    let close = |open: &mut Option<usize>, last: u64, sections: &mut Vec<Section>| {
        if let Some(at) = open.take() {
            sections[at].last = last.max(sections[at].first);
        }
    };
    for fold in folds.iter().filter(|fold| fold.line <= lines) {
        let before = fold.line - 1;
        match fold.kind {
            FoldKind::EndGroup => close(&mut group, fold.line, &mut sections),
            kind => {
                close(&mut group, before, &mut sections);
                if kind == FoldKind::Heading {
                    close(&mut heading, before, &mut sections);
                }
                let depth = u8::from(kind == FoldKind::Group && heading.is_some());
                let open = if kind == FoldKind::Group { &mut group } else { &mut heading };
                *open = Some(sections.len());
                let title = fold.title.clone();
                sections.push(Section { title, first: fold.line, last: fold.line, depth });
            }
        }
    }
    close(&mut group, lines, &mut sections);
    close(&mut heading, lines, &mut sections);
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections_of(log: &str) -> Vec<(String, u64, u64, u8)> {
        let lines = log.lines().zip(1..);
        let folds: Vec<Fold> =
            lines.filter_map(|(line, number)| of_line(number, line.as_bytes())).collect();
        let count = log.lines().count() as u64;
        let sections = sections(&folds, count).into_iter();
        sections.map(|it| (it.title, it.first, it.last, it.depth)).collect()
    }

    #[test]
    fn groups_end_at_their_end_and_headings_at_the_next() {
        let log = "a\n==> One\nb\n::group::Sub\nc\n::endgroup::\nd\n==> Two\ne";
        let expected = [("One".into(), 2, 7, 0), ("Sub".into(), 4, 6, 1), ("Two".into(), 8, 9, 0)];
        assert_eq!(sections_of(log), expected);
        assert_eq!(
            sections_of("##[group]A\nx\n##[group]B\ny\n##[endgroup]\nz"),
            [("A".into(), 1, 2, 0), ("B".into(), 3, 5, 0)]
        );
        assert_eq!(sections_of("::group::open\nx\n\n"), [("open".into(), 1, 3, 0)]);
        assert_eq!(sections_of("::endgroup::\nx"), []);
    }

    #[test]
    fn a_marker_may_be_coloured_and_must_begin_its_line() {
        let title = |line: &str| of_line(1, line.as_bytes()).map(|fold| fold.title);
        assert_eq!(title("\x1b[1;34m==> \x1b[0mInstall\r").as_deref(), Some("Install"));
        assert_eq!(title("::group::").as_deref(), Some(""));
        for plain in ["x ==> y", "==>", "=== 5 passed ===", "--- a/file", "::error::x", ""] {
            assert_eq!(title(plain), None, "{plain:?}");
        }
        let long = title(&format!("==> {}", "ä".repeat(500))).unwrap();
        assert!(long.ends_with('…') && long.len() < 210, "{} bytes", long.len());
    }

    #[test]
    fn the_visible_text_has_no_sequences() {
        let text = |line: &[u8]| String::from_utf8(visible(line).into_owned()).unwrap();
        assert_eq!(text(b"plain\r"), "plain");
        assert_eq!(text(b"\x1b[31mer\x1b[1mror\x1b[0m: x"), "error: x");
        assert_eq!(text(b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x07."), "link.");
        assert_eq!(text(b"a\x1b[12"), "a");
        assert_eq!(text(b"a\x1b"), "a");
        assert_eq!(text(b"a\x1bMb"), "ab");
    }
}
