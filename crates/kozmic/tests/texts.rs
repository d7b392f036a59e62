//! What people read on pages stands in templates and in `web/words`, so that it can be put into
//! another language there: no other file of the room `web` has a sentence for them. The API's
//! problems (`web/api`) are for programs and stay where they are.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What reads like a text and is none, each with why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("Bearer", "a word of HTTP"),
    ("no message", "of a panic, in the server's log"),
    ("the other end takes too little of what it is sent", "of a connection, in the server's log"),
];

/// Calls whose texts go to the server's log, or to whoever reads a panic.
const FOR_LOGS: &[&str] = &[
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "info_span",
    "debug_span",
    "bail",
    "anyhow",
    "expect",
    "internal",
    "panic",
    "unreachable",
    "assert",
    "assert_eq",
];

/// A text of the code, and its line.
type Literal = (usize, String);

/// All texts but those of attributes, logs and tests.
fn literals(code: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    look(code.parse().unwrap(), &mut found);
    found
}

fn look(tokens: TokenStream, found: &mut Vec<Literal>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let (next, after) = (tokens.get(at + 1), tokens.get(at + 2));
        at += match (token, next, after) {
            // Of an attribute, nothing; of what is only for tests, nothing either.
            (TokenTree::Punct(mark), Some(TokenTree::Group(group)), _) if mark.as_char() == '#' => {
                if group.to_string().replace(' ', "") == "[cfg(test)]" {
                    rest_of_item(&tokens, at)
                } else {
                    2
                }
            }
            (TokenTree::Punct(mark), Some(TokenTree::Punct(inner)), Some(TokenTree::Group(_)))
                if mark.as_char() == '#' && inner.as_char() == '!' =>
            {
                3
            }
            (TokenTree::Ident(name), Some(TokenTree::Punct(mark)), Some(TokenTree::Group(_)))
                if mark.as_char() == '!' && is_for_logs(&name.to_string()) =>
            {
                3
            }
            (TokenTree::Ident(name), Some(TokenTree::Group(group)), _)
                if group.delimiter() == Delimiter::Parenthesis
                    && is_for_logs(&name.to_string()) =>
            {
                2
            }
            (TokenTree::Group(group), ..) => {
                look(group.stream(), found);
                1
            }
            (TokenTree::Literal(literal), ..) => {
                found.extend(
                    text(&literal.to_string()).map(|text| (literal.span().start().line, text)),
                );
                1
            }
            _ => 1,
        };
    }
}

fn is_for_logs(name: &str) -> bool {
    FOR_LOGS.contains(&name)
}

/// To the end of the item that begins at a token: its braces, or a semicolon.
fn rest_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    };
    tokens[from..].iter().position(is_end).map_or(tokens.len(), |end| end + 1)
}

/// What stands between the quotes, in one line; nothing for numbers, characters and bytes.
fn text(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('r').unwrap_or(literal).trim_matches('#');
    let inner = inner.strip_prefix('"')?.strip_suffix('"')?;
    let unescaped = inner.replace("\\\n", " ").replace("\\n", " ").replace("\\\"", "\"");
    Some(unescaped.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Two words beside one another, or a word and a value; or what begins with a capital letter
/// and goes on with small ones; or what ends as sentences do. A script is none of these.
fn reads_like_words(text: &str) -> bool {
    if text.starts_with("#!") {
        return false;
    }
    let words: Vec<Kind> = text.split(' ').map(kind).collect();
    let is_phrase = words.windows(2).any(|two| match two {
        [one, other] => {
            (*one == Kind::Word && *other != Kind::Other)
                || (*one != Kind::Other && *other == Kind::Word)
        }
        _ => false,
    });
    let is_title = words.len() == 1
        && words[0] == Kind::Word
        && text.starts_with(char::is_uppercase)
        && text.chars().skip(1).any(char::is_lowercase);
    let ends = text.strip_suffix(['.', '!', '?']);
    let is_sentence = ends.is_some_and(|rest| {
        rest.ends_with(|last: char| last.is_alphabetic() || "})`".contains(last))
            && !rest.contains(['/', '<'])
    });
    is_phrase || is_title || is_sentence
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// What a format fills in.
    Value,
    Other,
}

fn kind(word: &str) -> Kind {
    let bare = word.trim_matches(|c: char| ".,;:!?\"`()…".contains(c));
    let is_letters = |c: char| c.is_alphabetic() || c == '\'' || c == '’';
    if bare.chars().count() > 1 && !bare.starts_with('\'') && bare.chars().all(is_letters) {
        return Kind::Word;
    }
    let is_value = bare.starts_with('{') && bare.ends_with('}') && bare.matches('{').count() == 1;
    if is_value { Kind::Value } else { Kind::Other }
}

fn wrong(code: &str) -> Vec<Literal> {
    let is_excepted = |text: &str| EXCEPTIONS.iter().any(|(known, _)| *known == text);
    literals(code)
        .into_iter()
        .filter(|(_, text)| reads_like_words(text) && !is_excepted(text))
        .collect()
}

/// The files of the room that have no place for texts.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let has_texts = path.ends_with("web/words") || path.ends_with("web/api");
        if path.is_dir() && !has_texts {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn texts_stand_where_they_can_be_translated() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    let files = files(&room);
    assert!(files.len() > 40, "{files:?}");
    let (mut told, mut all) = (Vec::new(), String::new());
    for path in files {
        let code = std::fs::read_to_string(&path).unwrap();
        all.push_str(&code);
        told.extend(wrong(&code).into_iter().map(|(line, text)| {
            format!("{}:{line}: {text:?} is for people: it belongs into web/words", path.display())
        }));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    for (text, why) in EXCEPTIONS {
        assert!(all.contains(&format!("{text:?}")), "no exception is needed for {text:?}, {why}");
    }
}

#[test]
fn the_check_sees_what_it_should() {
    let found = |code: &str| wrong(code).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    for planted in [
        r#"fn f() -> String { format!("The hook {title} was\
            deleted.") }"#,
        r#"fn f() -> &'static str { "Saved." }"#,
        r#"const TITLE: &str = "Title";"#,
        r#"fn f() { g(&[h(format!("ran for {took}"))]) }"#,
        r##"fn f() { r#"the "old" script"# }"##,
        r#"fn f() { "from {address}" }"#,
        r#"fn f() { format!("{error}.") }"#,
        r#"#[cfg(test)] use x; fn f() { "Not found" }"#,
    ] {
        assert_eq!(found(planted).len(), 1, "{planted}");
    }
    for fine in [
        r#"fn f() { tracing::info!(by, "an API token was made"); }"#,
        r#"fn f() { x.expect("it was looked for"); }"#,
        r#"#[error("KOZMIC_LISTEN is {0}, which others can reach")] struct A;"#,
        r#"#[cfg(test)] mod tests { fn f() { "The hook was deleted." } }"#,
        r#"/// The hook was deleted.
           fn f() { "text/html; charset=utf-8"; "default-src 'none'; img-src 'self'" }"#,
        r#"fn f() { format!("/projects/{}/builds/{}/", a, b); "no-cache, max-age=0"; "{} {} {}" }"#,
        r#"fn f() { b"The bytes of a text."; 'T'; 1.5; "other.rs"; "…" }"#,
    ] {
        assert_eq!(found(fine), Vec::<String>::new(), "{fine}");
    }
}
