use proptest::prelude::*;

use super::*;

fn of(bytes: &[u8]) -> Line<'_> {
    Line { bytes, cut: 0 }
}

fn html(line: &str) -> String {
    Renderer::default().line(of(line.as_bytes()))
}

#[test]
fn text_is_escaped_inside_and_outside_of_colours() {
    assert_eq!(html("<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
    assert_eq!(html("\x1b[31m<b>"), "<span class=\"f1\">&lt;b&gt;</span>");
    assert!(!html("a\u{202e}b").contains('\u{202e}'));
    assert_eq!(html("a\u{2028}b\u{85}c\x7fd"), "a\u{fffd}bcd");
}

#[test]
fn colours_and_attributes_become_classes() {
    assert_eq!(html("\x1b[1;92mok\x1b[0m."), "<span class=\"f10 bold\">ok</span>.");
    assert_eq!(html("\x1b[48;5;196mx"), "<span class=\"b196\">x</span>");
    assert_eq!(html("\x1b[38;5;214mx"), "<span class=\"f214\">x</span>");
    assert_eq!(
        html("\x1b[4mx\x1b[24my\x1b[4:3mz\x1b[4:0m."),
        "<span class=\"ul\">x</span>y<span class=\"ul\">z</span>."
    );
    // The colour of an underline takes its numbers with it.
    assert_eq!(html("\x1b[58;5;9mx\x1b[58;2;1;3;4my"), "xy");
}

#[test]
fn exact_colours_have_a_class_for_those_without_the_script() {
    assert_eq!(html("\x1b[48;2;1;2;3mx"), "<span class=\"b16\" data-b=\"010203\">x</span>");
    assert_eq!(html("\x1b[48:2::1:2:3mx"), html("\x1b[48;2;1;2;3mx"));
    assert_eq!(html("\x1b[38;2;255;0;1mx"), "<span class=\"f196\" data-f=\"ff0001\">x</span>");
    assert_eq!(html("\x1b[38;2;255;175;0mx"), "<span class=\"f214\">x</span>");
}

#[test]
fn dark_letters_are_lifted_on_the_logs_ground_and_kept_on_their_own() {
    assert_ne!(html("\x1b[38;5;17mx"), "<span class=\"f17\">x</span>");
    assert_eq!(html("\x1b[38;5;17;48;5;231mx"), "<span class=\"f17 b231\">x</span>");
}

#[test]
fn inverse_swaps_letters_and_ground() {
    assert_eq!(html("\x1b[7mx"), "<span class=\"fi bi\">x</span>");
    assert_eq!(html("\x1b[7;31mx"), "<span class=\"fi g1\">x</span>");
    assert_eq!(html("\x1b[7;41mx"), "<span class=\"h1 bi\">x</span>");
}

#[test]
fn colours_go_on_from_line_to_line() {
    let mut renderer = Renderer::default();
    renderer.line(of(b"\x1b[31mred"));
    assert_eq!(renderer.line(of(b"still")), "<span class=\"f1\">still</span>");
    renderer.skip(of(b"\x1b[0m"));
    assert_eq!(renderer.line(of(b"plain")), "plain");
}

#[test]
fn a_renderer_resumes_in_the_state_of_another() {
    let mut renderer = Renderer::default();
    assert_eq!(renderer.state(), b"");
    renderer.line(of(b"\x1b[1;2;3;4;7;9;38;2;200;201;202;48;2;203;204;205mx"));
    let state = renderer.state();
    assert!(state.len() < 64, "{}", state.len());
    let mut resumed = Renderer::resume(&state);
    assert_eq!(resumed.state(), state);
    assert_eq!(resumed.line(of(b"y")), renderer.line(of(b"y")));
}

#[test]
fn a_line_that_is_skipped_sets_what_it_would_set() {
    for line in [
        "\x1b[31mred\x1b[0m and \x1b[1mbold",
        "\x1b[31m no end",
        "\x1b[4m\x1b]0;a \x1b[0m title\x07 still",
        "\x1b[4m\x1b[1\x1b[0m",
        "\x1b[4mx\x1b",
        "\x1b[1m\x1b7\x1b[0mx\x1b8",
    ] {
        let (mut shown, mut skipped) = (Renderer::default(), Renderer::default());
        shown.line(of(b"\x1b[7m"));
        skipped.skip(of(b"\x1b[7m"));
        shown.line(of(line.as_bytes()));
        skipped.skip(of(line.as_bytes()));
        assert_eq!(shown.state(), skipped.state(), "{line:?}");
    }
}

#[test]
fn the_cursor_moves_within_the_line() {
    assert_eq!(html("10%\r99%"), "99%");
    assert_eq!(html("long line\rab\x1b[K"), "ab");
    assert_eq!(html("ab\x08c"), "ac");
    assert_eq!(html("abc\x1b[2Dx"), "axc");
    assert_eq!(html("a\tb"), "a       b");
    assert_eq!(html("abc\x1b[2Kx"), "   x");
    assert_eq!(html("abcdef\x1b[2G\x1b[2Xx"), "ax def");
    assert_eq!(html("abcdef\x1b[2G\x1b[2P"), "adef");
    assert_eq!(html("abc\x1b[2G\x1b[2@x"), "ax bc");
    assert_eq!(html("ab\x1b7cd\x1b8x"), "abxd");
    assert_eq!(html("ab\x1b[scd\x1b[ux"), "abxd");
}

#[test]
fn movements_to_other_lines_are_ignored() {
    assert_eq!(html("x\x1b[5;1Hy\x1b[Az\x1b[2B."), "xyz.");
    assert_eq!(html("\x1b[1A\x1b[2Kpulled"), "pulled");
    assert_eq!(html("\x1b[?25lx\x1b[?1049h\x1b[2J\ry"), "y");
}

#[test]
fn wide_characters_take_two_cells_and_combining_ones_none() {
    assert_eq!(html("字"), "<span class=\"w\">字</span>");
    assert_eq!(html("字\x08x"), " x");
    assert_eq!(html("字\rx"), "x ");
    assert_eq!(html("字\x1b[5Gx"), "<span class=\"w\">字</span>  x");
    assert_eq!(html("e\u{301}x"), "e\u{301}x");
    assert_eq!(html("e\u{301}\ra"), "a");
    assert_eq!(html("字\u{301}"), "<span class=\"w\">字\u{301}</span>");
    assert_eq!(html(&format!("e{}", "\u{301}".repeat(99))).chars().count(), 9);
    assert_eq!(html("字字\x1b[2G\x1b[P"), " <span class=\"w\">字</span>");
}

#[test]
fn links_lead_to_the_web_and_to_people_only() {
    let link = |address: &str| html(&format!("\x1b]8;;{address}\x1b\\x\x1b]8;;\x07y"));
    let rel = "target=\"_blank\" rel=\"noopener noreferrer nofollow\"";
    assert_eq!(
        link("https://a.example/?b&c"),
        format!("<a href=\"https://a.example/?b&amp;c\" {rel}>x</a>y")
    );
    assert_eq!(
        link("https://a.example/;b"),
        format!("<a href=\"https://a.example/;b\" {rel}>x</a>y")
    );
    assert_eq!(link("mailto:a@b.example"), format!("<a href=\"mailto:a@b.example\" {rel}>x</a>y"));
    for refused in
        ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/relative", "https://"]
    {
        assert_eq!(link(refused), "xy", "{refused}");
    }
    assert_eq!(link(&format!("https://a.example/{}", "x".repeat(3000))), "xy");
    let mut renderer = Renderer::default();
    renderer.line(of(b"\x1b]8;;https://a.example\x1b\\x"));
    assert_eq!(renderer.line(of(b"y")), "y");
}

#[test]
fn what_is_no_text_does_no_harm() {
    assert_eq!(html("a\x1b]0;title\x07b"), "ab");
    assert_eq!(html("a\x1b[38;5m\x1b[999mb"), "ab");
    assert_eq!(html("a\x1b["), "a");
    assert_eq!(Renderer::default().line(of(b"a\xff\xfeb")), "a\u{fffd}\u{fffd}b");
    let mut renderer = Renderer::default();
    renderer.line(of(b"a\x1b[3"));
    assert_eq!(renderer.line(of(b"1mb")), "1mb");
}

#[test]
fn a_line_without_end_is_cut_and_says_so() {
    for line in ["x".repeat(CELLS_LIMIT + 5), format!("\x1b[m{}", "x".repeat(CELLS_LIMIT + 5))] {
        let html = html(&line);
        let end = &html[html.len() - 80..];
        assert!(html.ends_with("… 5 more characters in the plain log</span>"), "{end}");
        assert!(html.len() < CELLS_LIMIT + 100);
    }
}

#[test]
fn the_html_of_a_line_is_bounded() {
    let join = |pieces: Vec<String>| pieces.concat();
    let styles = (0..5000).map(|n| format!("\x1b[38;2;1;2;{n}m<")).collect();
    let long = "&".repeat(2000);
    let links = (0..30).map(|n| format!("\x1b]8;;https://a.example/{long}{n}\x07x")).collect();
    let grounds = (0..5000).map(|n| format!("\x1b[{};48;2;1;2;3m'", 30 + n % 8)).collect();
    for line in [join(styles), join(links), join(grounds), "字".repeat(5000)] {
        let html = html(&line);
        assert!(html.len() < 1 << 20, "{}", html.len());
    }
}

/// Pieces that lines are made of, so that random ones get somewhere.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        "\\x1b\\[[0-9;:]{0,12}[mCDGKJXP@asu]".prop_map(String::into_bytes),
        "\\x1b\\]8;;[a-z:/<>\"'&]{0,20}(\\x07|\\x1b\\\\)".prop_map(String::into_bytes),
        "\\x1b\\]8;;https://[a-z]{1,5}/[<>\"'&; ]{0,9}\\x07".prop_map(String::into_bytes),
        "[\\x08\\r\\t字e\u{301}<>&\"']{1,6}".prop_map(String::into_bytes),
        "\\x1b[78c]".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..40)
        .prop_map(|pieces| pieces.concat().into_iter().filter(|byte| *byte != b'\n').collect())
}

/// Takes the HTML apart again: the elements that the renderer writes, and no others.
fn parsed(html: &str) -> Result<String, String> {
    let (mut text, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(c) = rest.chars().next() {
        if c == '<' {
            let end = rest.find('>').ok_or("a tag without an end")?;
            let tag = &rest[1..end];
            match tag.strip_prefix('/') {
                Some(name) if open.pop() == Some(name) => {}
                Some(name) => return Err(format!("{name} was not open")),
                None => open.push(element(tag)?),
            }
            rest = &rest[end + 1..];
        } else if c == '&' {
            let end = rest.find(';').ok_or("an entity without an end")?;
            let entities = ["&amp", "&lt", "&gt", "&quot", "&#39"];
            if !entities.contains(&&rest[..end]) {
                return Err(format!("the entity {}", &rest[..end]));
            }
            text.push('?');
            rest = &rest[end + 1..];
        } else if matches!(c, '>' | '"' | '\'') || c.is_control() {
            return Err(format!("{c:?} as it is"));
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if open.is_empty() { Ok(text) } else { Err(format!("{open:?} stay open")) }
}

fn element(tag: &str) -> Result<&str, String> {
    let known = regex::Regex::new(
        r#"^(span|a href="(?:https?:|mailto:)[^"<>]*" target="_blank" rel="noopener noreferrer nofollow")( class="[a-z0-9 ]+")?( data-f="[0-9a-f]{6}")?( data-b="[0-9a-f]{6}")?$"#,
    )
    .unwrap();
    if known.is_match(tag) {
        Ok(tag.split(' ').next().unwrap_or_default())
    } else {
        Err(format!("the tag {tag}"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_the_html_is_the_renderers_own(lines in prop::collection::vec(line(), 1..5)) {
        let mut renderer = Renderer::default();
        for bytes in &lines {
            let html = renderer.line(of(bytes));
            prop_assert!(parsed(&html).is_ok(), "{:?} in {html}", parsed(&html));
        }
    }

    #[test]
    fn lines_look_the_same_from_wherever_the_rendering_begins(
        lines in prop::collection::vec(line(), 2..6),
    ) {
        let (mut renderer, mut skipping) = (Renderer::default(), Renderer::default());
        let (last, before) = lines.split_last().unwrap();
        for bytes in before {
            renderer.line(of(bytes));
            skipping.skip(of(bytes));
        }
        let mut resumed = Renderer::resume(&skipping.state());
        let html = renderer.line(of(last));
        prop_assert_eq!(&html, &skipping.line(of(last)));
        prop_assert_eq!(&html, &resumed.line(of(last)));
        prop_assert_eq!(renderer.state(), resumed.state());
    }
}
