//! Names from outside: which of them may be a path here, and how they are shown.

/// Bytes of a path, and folders within folders.
const PATH: usize = 1024;
const DEPTH: usize = 64;

/// The path below the folder that was asked for, which is its first part.
pub(super) fn path(name: &[u8]) -> Result<String, (String, &'static str)> {
    let problem = |what| Err((shown(&String::from_utf8_lossy(name)), what));
    let Ok(text) = std::str::from_utf8(name) else {
        return problem("its name is not UTF-8");
    };
    if text.chars().any(is_unfit) {
        return problem("its name has control characters");
    }
    let text = text.strip_suffix('/').unwrap_or(text);
    let text = text.strip_prefix("./").unwrap_or(text);
    if text.starts_with('/') {
        return problem("its name is absolute");
    }
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return problem("its name leads elsewhere");
    }
    if text.len() > PATH || parts.len() > DEPTH {
        return problem("its name is too long");
    }
    Ok(parts[1..].join("/"))
}

/// Moves the cursor, turns the direction of what follows, or is no character.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// A name from outside, for a sentence.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(121).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    if shown.chars().count() > 120 {
        shown = shown.chars().take(120).chain(['…']).collect();
    }
    shown
}
