//! Secrets in a log: however it is cut, the same is hidden, and nothing of a secret stays.
#![no_main]

use kozmic::log::{Masks, SHORTEST, Stream};
use libfuzzer_sys::fuzz_target;

// Up to three secrets, each ended by a 0 byte; how the text is cut; the text, in which a
// byte from 1 to 3 stands for that secret.
fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(5, |byte| *byte == 0);
    let mut secrets = Vec::new();
    for part in parts.by_ref().take(3) {
        let Ok(secret) = std::str::from_utf8(part) else { return };
        secrets.push(secret);
    }
    let cuts = parts.next().unwrap_or_default();
    let mut text = Vec::new();
    for byte in parts.next().unwrap_or_default() {
        match secrets.get(usize::from(*byte).wrapping_sub(1)) {
            Some(secret) => text.extend(secret.bytes()),
            None => text.push(*byte),
        }
    }
    let masks = Masks::new(secrets.iter().copied()).expect("no secret is that long here");
    let whole = masks.hide(&text);
    assert_eq!(whole.len(), text.len());
    for (hidden, byte) in whole.iter().zip(&text) {
        assert!(hidden == byte || (*hidden == b'*' && !matches!(byte, b'\n' | b'\r')));
    }

    let (mut stream, mut out, mut rest) = (Stream::new(masks), Vec::new(), &text[..]);
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        stream.push(piece, &mut out);
        assert!(stream.held() as u64 <= Masks::REACH);
        rest = after;
    }
    stream.push(rest, &mut out);
    stream.finish(&mut out);
    assert_eq!(out, whole);

    for line in secrets.iter().flat_map(|secret| secret.split(['\n', '\r'])) {
        let line = line.trim();
        if line.chars().count() >= SHORTEST && line.bytes().any(|byte| byte != b'*') {
            let stays = whole.windows(line.len()).any(|window| window == line.as_bytes());
            // Asterisks may make what was not there.
            assert!(!stays || line.contains('*'), "{line:?} stays");
        }
    }
});
