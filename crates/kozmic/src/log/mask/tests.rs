//! However output is cut, and whatever is in it, the same is hidden.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::log::Sink;

fn masks(secrets: &[&str]) -> Masks {
    Masks::new(secrets.iter().copied()).unwrap()
}

fn hidden(secrets: &[&str], text: &str) -> String {
    masks(secrets).hide_text(text)
}

/// The same by looking at every place of the text for every form, without an automaton.
fn plainly(secrets: &[&str], text: &[u8]) -> Vec<u8> {
    let forms: std::collections::BTreeSet<String> =
        secrets.iter().flat_map(|secret| forms::forms(secret)).collect();
    let mut hidden = text.to_vec();
    for form in &forms {
        for start in 0..text.len() {
            let Some(places) = found_at(form.as_bytes(), text, start) else { continue };
            for place in places {
                hidden[place] = b'*';
            }
        }
    }
    hidden
}

/// Where each of the form's bytes stands, when the text from `start` on reads as it.
fn found_at(form: &[u8], text: &[u8], start: usize) -> Option<Vec<usize>> {
    let mut place = start;
    let mut places = Vec::new();
    for (index, byte) in form.iter().enumerate() {
        if index > 0 && form.len() >= BROKEN_FROM {
            let rest = text.get(place..)?;
            place += [&b"\r\n"[..], b"\n", b"\r"]
                .iter()
                .find(|end| rest.starts_with(end))
                .map_or(0, |end| end.len());
        }
        if text.get(place)? != byte {
            return None;
        }
        places.push(place);
        place += 1;
    }
    Some(places)
}

fn in_pieces(secrets: &[&str], text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = Stream::new(masks(secrets));
    let mut out = Vec::new();
    let mut rest = text;
    for cut in cuts {
        let (piece, after) = rest.split_at(*cut.min(&rest.len()));
        stream.push(piece, &mut out);
        assert!(stream.held() as u64 <= Masks::REACH, "{} are held back", stream.held());
        rest = after;
    }
    stream.push(rest, &mut out);
    // What would follow is nothing of a secret.
    stream.push(b"\n\n", &mut out);
    stream.finish(&mut out);
    assert_eq!(out.split_off(text.len()), b"\n\n");
    out
}

/// Letters of which secrets, their parts and their encodings are made again and again.
fn texts() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let secret = prop_oneof![
        "[ab]{4,9}",
        "[a-d%+/ ]{4,20}",
        "[ab\n]{4,30}",
        "\\PC{4,100}",
        "[a-zA-Z0-9=+/]{60,200}",
    ];
    proptest::collection::vec(secret, 1..4).prop_flat_map(|secrets| {
        let mut parts: Vec<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| forms::forms(secret))
            .chain(secrets.iter().map(|secret| STANDARD.encode(format!("x{secret}y"))))
            .chain(secrets.iter().cloned())
            .map(String::into_bytes)
            .collect();
        parts.extend(
            [&b"a"[..], b"b", b"\n", b"\r\n", b"\r", b" ", b"\xff\xfe"].map(<[u8]>::to_vec),
        );
        let part = (proptest::sample::select(parts), 0..3_usize, 1..40_usize).prop_map(
            |(part, how, at)| {
                match how {
                    // Whole, its beginning only, or folded.
                    0 => part,
                    1 => part[..at.min(part.len())].to_vec(),
                    _ => part.chunks(at).collect::<Vec<_>>().join(&b"\n"[..]),
                }
            },
        );
        let text = proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat());
        (Just(secrets), text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn it_hides_what_a_plain_search_hides_however_it_is_cut(
        (secrets, text) in texts(),
        cuts in proptest::collection::vec(0..30_usize, 0..40),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let out = in_pieces(&secrets, &text, &cuts);
        prop_assert_eq!(&out, &plainly(&secrets, &text));
        prop_assert_eq!(&out, &in_pieces(&secrets, &text, &[]));
        prop_assert_eq!(&out, &in_pieces(&secrets, &text, &vec![1; text.len()]));
    }

    #[test]
    fn a_log_that_is_gone_on_with_is_the_same(
        (secrets, text) in texts(),
        cuts in proptest::collection::vec(1..30_usize, 1..40),
        crashes in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let expected = masks(&secrets).hide(&text);
        let mut log = Masked::new(Kept(Vec::new()), masks(&secrets));
        let mut given = 0;
        for (cut, crash) in cuts.iter().zip(&crashes) {
            if *crash {
                // As another process does: all that it knows is the length of the log.
                let kept = std::mem::take(&mut log.inner().0);
                log = Masked::new(Kept(kept), masks(&secrets));
                given = usize::try_from(log.goes_on_from(log.length())).unwrap();
            }
            let end = (given + cut).min(text.len());
            log.append(&text[given..end]).unwrap();
            given = end;
        }
        log.append(&text[given..]).unwrap();
        prop_assert_eq!(log.length(), text.len() as u64);
        log.settle().unwrap();
        prop_assert_eq!(&log.inner().0, &expected);
    }
}

#[derive(Debug)]
struct Kept(Vec<u8>);

impl Sink for Kept {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }

    fn note(&mut self, text: &str) -> std::io::Result<()> {
        self.append(format!("[{text}]").as_bytes())
    }

    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn sync_when_due(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_secret_is_hidden_in_its_usual_forms() {
    let secret = "S3cr3t/pass word";
    let encoded = STANDARD.encode(format!("user:{secret}"));
    let text = format!("token={secret}; S3cr3t%2Fpass%20word S3cr3t%2fpass+word {encoded}.");
    let out = hidden(&[secret], &text);
    assert_eq!(out.len(), text.len());
    let stars = "*".repeat(secret.len());
    assert!(out.starts_with(&format!("token={stars}; {} ", "*".repeat(20))), "{out}");
    // `dXNlcj` is `user` and a part of the colon.
    assert!(out.contains(" dXNlcjp****"), "{out}");
    assert!(!out.contains("M2NyM3"), "{out}");
}

#[test]
fn a_secret_of_many_lines_is_hidden_line_by_line() {
    let key = "-----BEGIN KEY-----\n  abcdefgh\nab\nijklmnop==\n-----END KEY-----\n";
    let out = hidden(&[key], "x\nijklmnop==\nab\nabcdefgh -----END KEY-----\n");
    assert_eq!(out, "x\n**********\nab\n******** *****************\n");
    let wrapped: Vec<String> = STANDARD
        .encode(key)
        .as_bytes()
        .chunks(13)
        .map(|line| String::from_utf8_lossy(line).into())
        .collect();
    let out = hidden(&[key], &wrapped.join("\n"));
    assert!(out.bytes().filter(|byte| !matches!(byte, b'*' | b'\n')).count() <= 2, "{out}");
}

#[test]
fn base64_of_coreutils_is_hidden_though_its_lines_are_wrapped() {
    let secret = "k".repeat(50) + &"Z9".repeat(60);
    let mut child = std::process::Command::new("base64")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), secret.as_bytes()).unwrap();
    let wrapped = child.wait_with_output().unwrap().stdout;
    assert!(wrapped.split(|byte| *byte == b'\n').count() > 3);
    let out = masks(&[&secret]).hide(&wrapped);
    let shown: Vec<u8> =
        out.into_iter().filter(|byte| !matches!(byte, b'*' | b'\n' | b'=')).collect();
    assert!(shown.len() <= 1, "{shown:?}");
}

#[test]
fn nothing_that_is_short_is_touched() {
    assert!(masks(&["abc", "", "x\ny"]).is_empty());
    assert_eq!(hidden(&["abc\nlonger"], "abc longer"), "abc ******");
    // A short form is found on one line only.
    assert_eq!(hidden(&["abcd"], "ab\ncd abcd"), "ab\ncd ****");
}

#[test]
fn a_broken_form_is_hidden_and_its_line_ends_stay() {
    assert_eq!(hidden(&["password12"], "pass\r\nwo\nrd12\n"), "****\r\n**\n****\n");
    assert_eq!(hidden(&["password12"], "pass\n\nword12\n"), "pass\n\nword12\n");
}

#[test]
fn what_may_be_a_beginning_waits_and_no_more_than_that() {
    let mut stream = Stream::new(masks(&["password12"]));
    let mut out = Vec::new();
    stream.push(b"the pass", &mut out);
    assert_eq!(out, b"the ");
    stream.push(b" and the passw", &mut out);
    assert_eq!(out, b"the pass and the ");
    stream.push(b"ord12", &mut out);
    assert_eq!(out, b"the pass and the **********");
}

#[test]
fn an_output_that_ends_within_a_secret_shows_less_than_half_of_it() {
    assert_eq!(hidden(&["password12"], "a passw"), "a *****");
    assert_eq!(hidden(&["password12"], "a pass"), "a pass");
}

#[test]
fn overlapping_secrets_are_hidden_together() {
    assert_eq!(hidden(&["abcdef", "defghi"], "abcdefghij"), "*********j");
    assert_eq!(hidden(&["abcdefghij", "cdef"], "abcdefgh cdef"), "ab****gh ****");
}

#[test]
fn notes_are_hidden_and_come_after_what_was_held_back() {
    let mut log = Masked::new(Kept(Vec::new()), masks(&["password12"]));
    log.append(b"pa").unwrap();
    assert_eq!((log.length(), log.inner().length()), (2, 0));
    log.note("sh -c password12").unwrap();
    log.append(b"x").unwrap();
    assert_eq!(log.inner().0, b"pa[sh -c **********]x");
}

#[test]
fn nothing_is_told_of_what_is_hidden() {
    let masks = masks(&["password12"]);
    let mut stream = Stream::new(masks.clone());
    stream.push(b"passwo", &mut Vec::new());
    assert_eq!(
        format!("{masks:?}, {stream:?}"),
        "Masks(some), Stream(Masks(some), 6 bytes held back)"
    );
}
