//! Looks for a text or a regular expression in a log.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use super::fold::visible;

/// Characters of a pattern.
const PATTERN: usize = 1_000;
/// Bytes that a compiled pattern may take; counted repetitions of repetitions take many.
const COMPILED: usize = 2 << 20;
/// Characters of a line around a match that are given.
const BEFORE: usize = 60;
const EXCERPT: usize = 240;

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("there is nothing to look for; type a text or a pattern")]
    Empty,
    #[error("the pattern has {0} characters; at most {PATTERN} are taken")]
    Long(usize),
    #[error("the pattern is no regular expression: {0}")]
    Regex(String),
}

/// What is looked for: in each line on its own, in its text without colours.
#[derive(Debug, Clone)]
pub struct Query(Regex);

impl Query {
    /// A plain text, or a regular expression in the syntax of the crate regex, which
    /// takes linear time in the line's length.
    pub fn new(text: &str, is_regex: bool, match_case: bool) -> Result<Self, QueryError> {
        if text.is_empty() {
            return Err(QueryError::Empty);
        }
        let length = text.chars().count();
        if length > PATTERN {
            return Err(QueryError::Long(length));
        }
        let pattern = if is_regex { text.to_owned() } else { regex::escape(text) };
        RegexBuilder::new(&pattern)
            .case_insensitive(!match_case)
            .size_limit(COMPILED)
            .dfa_size_limit(COMPILED)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    QueryError::Regex("it is too large when compiled; repeat less".into())
                }
                error => {
                    // The last line says what is wrong, those before show where.
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default().trim();
                    QueryError::Regex(last.trim_start_matches("error: ").to_owned())
                }
            })
    }

    /// The first match of a line.
    pub(super) fn find(&self, number: u64, line: &[u8]) -> Option<Match> {
        let text = visible(line);
        let found = self.0.find(&text)?;
        Some(Match::new(number, &text, found.range()))
    }
}

/// A line that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub number: u64,
    /// The line's text around the first match of it, without colours.
    pub text: String,
    /// The match in that text, in characters.
    pub at: Range<usize>,
}

impl Match {
    fn new(number: u64, text: &[u8], found: Range<usize>) -> Self {
        let before = String::from_utf8_lossy(&text[..found.start]);
        let skipped = before.chars().count().saturating_sub(BEFORE);
        let mut excerpt: String = if skipped > 0 { "…".into() } else { String::new() };
        excerpt.extend(before.chars().skip(skipped).map(shown));
        let start = excerpt.chars().count();
        let end = text.len().min(found.end.saturating_add(4 * EXCERPT));
        let matched = String::from_utf8_lossy(&text[found.clone()]);
        let matched: Vec<char> = matched.chars().take(EXCERPT).map(shown).collect();
        excerpt.extend(&matched);
        let rest = EXCERPT.saturating_sub(matched.len());
        excerpt
            .extend(String::from_utf8_lossy(&text[found.end..end]).chars().take(rest).map(shown));
        Self { number, text: excerpt, at: start..start + matched.len() }
    }
}

fn shown(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By line, at most [`super::reader::MATCHES`].
    pub matches: Vec<Match>,
    /// The last line that was looked at.
    pub looked_to: u64,
    /// Where to go on, when time or matches were used up; none: this was all there is.
    pub next: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(query: &Query, line: &str) -> Option<(String, Range<usize>)> {
        query.find(1, line.as_bytes()).map(|found| (found.text, found.at))
    }

    #[test]
    fn a_plain_text_is_taken_as_it_is() {
        let query = Query::new("a.b", false, true).unwrap();
        assert_eq!(find(&query, "xa.by"), Some(("xa.by".into(), 1..4)));
        assert_eq!(find(&query, "axb"), None);
        assert_eq!(find(&query, "A.B"), None);
        assert!(find(&Query::new("a.b", false, false).unwrap(), "A.B").is_some());
    }

    #[test]
    fn a_match_is_found_through_colours_and_beside_what_is_no_text() {
        let query = Query::new("error: x", false, true).unwrap();
        assert!(find(&query, "\x1b[31merror\x1b[0m: x").is_some());
        let query = Query::new(r"^\w+ \d+$", true, true).unwrap();
        assert!(find(&query, "line 12\r").is_some());
        let bytes = query.find(7, b"\xff line 12");
        assert_eq!(bytes, None);
        let query = Query::new("ü+", true, false).unwrap();
        assert_eq!(find(&query, "xÜü."), Some(("xÜü.".into(), 1..3)));
    }

    #[test]
    fn a_long_line_is_shown_around_its_match() {
        let query = Query::new("needle", false, true).unwrap();
        let line = format!("{}needle{}", "a".repeat(5_000), "ä".repeat(5_000));
        let (text, at) = find(&query, &line).unwrap();
        assert!(text.chars().count() < 400, "{}", text.chars().count());
        assert_eq!(text.chars().skip(at.start).take(at.len()).collect::<String>(), "needle");
    }

    #[test]
    fn what_cannot_be_looked_for_says_why() {
        let error = |text: &str| Query::new(text, true, true).unwrap_err().to_string();
        assert!(error("").contains("nothing to look for"));
        assert!(error("a(").contains("unclosed group"), "{}", error("a("));
        assert!(error(&"x".repeat(1_001)).contains("1001 characters"));
        assert!(error("(((a{100}){100}){100})").contains("too large"));
    }
}
