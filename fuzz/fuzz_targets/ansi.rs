//! A log's lines as HTML: whatever a script writes, the page stays whole.
#![no_main]

use kozmic::log::{Line, Renderer};
use libfuzzer_sys::fuzz_target;

/// More than its line may become.
const HTML_LIMIT: usize = 1 << 20;

fuzz_target!(|log: &[u8]| {
    let (mut renderer, mut skipping) = (Renderer::default(), Renderer::default());
    for bytes in log.split(|byte| *byte == b'\n') {
        let line = Line { bytes, cut: 0 };
        let state = renderer.state();
        let html = renderer.line(line);
        check(&html);
        // Whoever begins in the middle of a log sees the same.
        assert_eq!(Renderer::resume(&state).line(line), html);
        assert!(state.len() < 64, "{state:?}");
        skipping.skip(line);
        assert_eq!(skipping.state(), renderer.state());
    }
    // Kept bytes may be damaged.
    check(&Renderer::resume(log).line(Line { bytes: b"x", cut: 1 }));
});

/// Nothing but text, spans and links, each of them closed, and no attribute that does
/// anything.
fn check(html: &str) {
    assert!(html.len() < HTML_LIMIT, "{} bytes", html.len());
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '>']) {
        assert!(rest[at..].starts_with('<'), "a stray > in {html}");
        let end = rest[at..].find('>').expect("a tag that has an end");
        let tag = &rest[at + 1..at + end];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{html}"),
            None => {
                let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
                assert!(matches!(name, "span" | "a"), "{tag} in {html}");
                check_attributes(attributes);
                open.push(name);
            }
        }
        rest = &rest[at + end + 1..];
    }
    assert!(open.is_empty(), "{html}");
    assert!(!html.contains(|c: char| c.is_control() && c != '\t'), "{html:?}");
}

/// `name="value"`, one after the other.
fn check_attributes(mut text: &str) {
    while !text.trim().is_empty() {
        let (name, rest) = text.trim_start().split_once("=\"").expect("an attribute");
        let (value, rest) = rest.split_once('"').expect("a value that has an end");
        match name {
            "class" | "rel" | "target" => {}
            // An exact colour.
            "data-f" | "data-b" => assert!(value.chars().all(|c| c.is_ascii_hexdigit()), "{value}"),
            "href" => assert!(
                ["http://", "https://", "mailto:"].iter().any(|kind| value.starts_with(kind)),
                "a link to {value}"
            ),
            other => panic!("the attribute {other}"),
        }
        text = rest;
    }
}
