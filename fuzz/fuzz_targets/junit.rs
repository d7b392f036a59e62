//! Test reports: read within their limits, or noted.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use kozmic::report_files::{ReportLimits, read_report};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hunter2!";

fuzz_target!(|xml: &[u8]| {
    let limits = ReportLimits { tests: 50, time: Duration::from_secs(5), ..Default::default() };
    let hide = Arc::new(|text: &str| text.replace(SECRET, "********"));
    let read = read_report("fuzz.xml", xml, limits, hide);
    assert!(read.cases.len() <= limits.tests && read.notes.len() <= 22);
    for case in &read.cases {
        for text in [&case.suite, &case.class, &case.name, &case.place, &case.message] {
            assert!(text.len() <= 8 << 10 && !text.contains(SECRET));
            assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
        }
        assert!(case.details.len() <= 40 << 10 && case.output.len() <= 40 << 10);
    }
});
