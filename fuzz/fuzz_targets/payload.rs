//! The bodies of webhooks: read, or refused in words.
#![no_main]

use kozmic::github::{Event, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for event in ["ping", "push", "pull_request", "release", "star"] {
        match parse(event, body) {
            Ok(read) => {
                if let Some(repository) = read.repository() {
                    let _ = repository.current();
                }
                assert_eq!(event == "star", matches!(read, Event::Other));
            }
            Err(problem) => assert!(!problem.to_string().is_empty()),
        }
    }
});
