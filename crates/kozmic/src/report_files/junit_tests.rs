//! The dialects as the tools write them, and what is no report at all.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::report_files::reports::{Gathered, Hide, ReportLimits, Reports, read_report};

fn as_it_is() -> Hide {
    Arc::new(str::to_owned)
}

fn read_within(xml: &[u8], limits: ReportLimits) -> Reports {
    read_report("junit.xml", xml, limits, as_it_is())
}

fn read_all(xml: impl AsRef<[u8]>) -> Reports {
    read_within(xml.as_ref(), ReportLimits::default())
}

fn outcomes(reports: &Reports) -> Vec<(&str, &str, TestOutcome)> {
    let outcome = |case: &'_ TestCase| case.outcome;
    reports.cases.iter().map(|case| (&*case.class, &*case.name, outcome(case))).collect()
}

use TestOutcome::{Error, Failed, Flaky, Passed, Skipped};

#[test]
fn pytest() {
    let reports = read_all(
        r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.074" hostname="vm"><testcase classname="test_x" name="test_ok" time="0.0004" /><testcase classname="test_x" name="test_bad" time="0.001"><failure message="AssertionError: assert [1, 2] == 'a&amp;b&lt;c'">&gt;   def test_bad():
E   AssertionError: assert [1, 2] == 'a&amp;b&lt;c'

test_x.py:3: AssertionError</failure><system-out>said #x1B[31mred</system-out></testcase><testcase classname="test_x" name="test_skip" time="0.000"><skipped type="pytest.skip" message="not now">test_x.py:4: not now</skipped></testcase><testcase classname="test_x" name="test_err" time="12.5"><error message="failed on setup with &quot;RuntimeError: setup&quot;">boom</error></testcase></testsuite></testsuites>"#,
    );
    assert_eq!(reports.notes, Vec::<String>::new());
    assert_eq!(
        outcomes(&reports),
        [
            ("test_x", "test_ok", Passed),
            ("test_x", "test_bad", Failed),
            ("test_x", "test_skip", Skipped),
            ("test_x", "test_err", Error)
        ]
    );
    let bad = &reports.cases[1];
    assert_eq!(bad.suite, "pytest");
    assert_eq!(bad.message, "AssertionError: assert [1, 2] == 'a&b<c'");
    assert!(bad.details.starts_with(">   def test_bad():\nE   AssertionError"), "{}", bad.details);
    assert_eq!(bad.output, "said #x1B[31mred");
    assert_eq!(reports.cases[2].message, "not now");
    assert_eq!(reports.cases[3].duration, Some(12_500));
    assert_eq!(reports.cases[0].duration, Some(0));
}

#[test]
fn surefire_and_nextest_try_again() {
    let reports = read_all(
        r#"<testsuites><testsuite name="org.ATest" file="ATest.java"><properties><property name="x" value="y"/></properties>
        <testcase name="flips" classname="org.ATest" time="1,234.567" line="17"><flakyFailure message="no luck" type="java.lang.AssertionError"><stackTrace><![CDATA[at A & B]]></stackTrace><system-out>of the first try</system-out></flakyFailure><system-err>of the last</system-err></testcase>
        <testcase name="fails" classname="org.ATest"><failure message="bad" type="X">trace</failure><rerunFailure message="bad again"><stackTrace>later</stackTrace></rerunFailure></testcase>
        <testcase name="dies" classname="org.ATest"><rerunError type="T"/><error type="java.lang.NullPointerException"/></testcase>
        </testsuite></testsuites>"#,
    );
    assert_eq!(
        outcomes(&reports),
        [
            ("org.ATest", "flips", Flaky),
            ("org.ATest", "fails", Failed),
            ("org.ATest", "dies", Error)
        ]
    );
    let flips = &reports.cases[0];
    assert_eq!((&*flips.message, &*flips.details), ("no luck", "at A & B"));
    assert_eq!(flips.output, "of the last", "not what the earlier try wrote");
    assert_eq!((&*flips.place, flips.duration), ("ATest.java:17", Some(1_234_567)));
    assert!(reports.cases[1].details.contains("later"), "{}", reports.cases[1].details);
    assert_eq!(reports.cases[2].message, "T");
}

#[test]
fn node_go_jest_php_and_gtest() {
    let reports = read_all(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
	<testcase name="fails &lt;here> &amp; there" time="0.000679" classname="test" failure="1 == 2">
		<failure type="testCodeFailure" message="1 == 2">
[Error [ERR_TEST_FAILURE]: 1 == 2] {
		</failure>
	</testcase>
	<testsuite name="outer" file="/src/ATest.php"><testsuite name="" tests="1"><testcase name="inner" class="ATest" classname="A.Test" file="/src/B.php" line="9" assertions="1"><skipped/></testcase></testsuite><testcase name="inherits" ><failure/></testcase></testsuite>
	<testsuite name="gtest" disabled="1"><testcase name="Off" status="notrun" result="suppressed" time="0." classname="Suite"/>
	<testcase name="Two" status="run" result="completed" time="0" classname="Suite"><failure message="a.cc:3&#x0A;Expected: 1" type=""><![CDATA[a.cc:3]]></failure><failure message="a.cc:4" type=""/></testcase></testsuite>
	<testsuite name="broken"><error message="class setup"/></testsuite>
</testsuites>"#,
    );
    assert_eq!(reports.notes, Vec::<String>::new());
    assert_eq!(
        outcomes(&reports),
        [
            ("test", "fails <here> & there", Failed),
            ("ATest", "inner", Skipped),
            ("", "inherits", Failed),
            ("Suite", "Off", Skipped),
            ("Suite", "Two", Failed),
            ("", "(the suite broken)", Error),
        ]
    );
    assert_eq!(reports.cases[0].details, "[Error [ERR_TEST_FAILURE]: 1 == 2] {");
    assert_eq!((&*reports.cases[1].suite, &*reports.cases[1].place), ("outer", "/src/B.php:9"));
    assert_eq!(reports.cases[2].place, "/src/ATest.php");
    assert_eq!(reports.cases[4].message, "a.cc:3\nExpected: 1");
    assert!(reports.cases[4].details.contains("a.cc:4"));
}

/// What is wrong, in words, and how many tests count nevertheless.
#[test]
fn what_is_broken_is_said_and_harms_nothing() {
    let laughs = r#"<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><testsuite><testcase name="&lol2;"/></testsuite>"#;
    let outside = r#"<!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]><testsuite><testcase name="a"><failure>&xxe;</failure></testcase></testsuite>"#;
    let deep = format!("<testsuites>{}", "<testsuite>".repeat(100_000));
    let cases: &[(&[u8], &str, usize)] = &[
        (b"", "no XML, or empty", 0),
        (b"just words", "no XML, or empty", 0),
        (b"\x00\x01\x02", "no XML, or empty", 0),
        (b"<html><body/></html>", "no JUnit report: it begins with <html>", 0),
        (laughs.as_bytes(), "document type declares", 0),
        (outside.as_bytes(), "document type declares", 0),
        (
            b"<testsuite><testcase name='a'/><testcase name='b'><failure>&xxe;</failure></testcase></testsuite>",
            "the entity &xxe;, which is not XML's own; the one test before that counts",
            1,
        ),
        (deep.as_bytes(), "deeper than 100 levels", 0),
        (b"<testsuite><testcase name='a'/><testcase name='b'>", "ends too early", 1),
        (b"<testsuite><testcase name='a'/></testcase>", "broken at byte", 1),
        (b"<testsuite><testcase name=", "", 0),
        (b"\xff\xfe<\0t\0", "UTF-16", 0),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><testsuite/>", "ISO-8859-1; only UTF-8", 0),
        (b"<testsuite><testcase name='\xff'/></testsuite>", "not UTF-8; they were replaced", 1),
    ];
    for (xml, said, count) in cases {
        let reports = read_all(xml);
        let shown = String::from_utf8_lossy(&xml[..xml.len().min(200)]).into_owned();
        assert_eq!(reports.cases.len(), *count, "{shown}: {:?}", reports.notes);
        assert_eq!(reports.notes.len(), 1, "{shown}: {:?}", reports.notes);
        assert!(reports.notes[0].starts_with("junit.xml: "), "{:?}", reports.notes);
        assert!(reports.notes[0].contains(said), "{shown}: {:?}", reports.notes);
    }
    let external = "<!DOCTYPE testsuite SYSTEM 'http://example.org/x.dtd'><testsuite><testcase name='a'/></testsuite>";
    let reports = read_all(external);
    assert_eq!((reports.cases.len(), reports.notes.len()), (1, 0), "nothing is fetched");
}

#[test]
fn texts_are_clean_and_of_bounded_length() {
    let long = "x".repeat(100_000);
    let reports = read_all(format!(
        "<testsuite name='{long}'><testcase name='{long}'><failure message='{long}'>begin {long} end</failure>\
         <system-out>begin {long} end</system-out></testcase>\
         <testcase name='a&#10;b&#27;[31mc&#0;'><failure>\u{1b}[31mred\u{1b}[0m\r\nline\u{0}&#27;[1m</failure></testcase></testsuite>"
    ));
    let case = &reports.cases[0];
    assert_eq!((case.suite.chars().count(), case.name.chars().count()), (501, 501));
    assert!(case.message.len() <= MESSAGE + 3);
    assert!(case.details.starts_with("begin ") && case.details.ends_with("\n(its end was cut)"));
    assert!(case.output.starts_with("(its beginning was cut)\n") && case.output.ends_with(" end"));
    assert!(case.details.len() <= DETAILS + 40 && case.output.len() <= OUTPUT + 40);
    let case = &reports.cases[1];
    assert_eq!(case.name, "a bc");
    assert_eq!(case.details, "red\nline");
    assert_eq!(case.message, "red");
}

#[test]
fn a_job_has_limits() {
    let mut xml = "<testsuite>".to_owned();
    for index in 0..50 {
        let _ = write!(
            xml,
            "<testcase name='{index}'><failure>{}</failure></testcase>",
            "y".repeat(99)
        );
    }
    xml += "</testsuite>";
    let limits = ReportLimits { tests: 20, ..ReportLimits::default() };
    let reports = read_within(xml.as_bytes(), limits);
    assert_eq!((reports.cases.len(), &*reports.notes[0]), (20, "only the first 20 tests are kept"));
    let limits = ReportLimits { text: 1_000, ..ReportLimits::default() };
    let reports = read_within(xml.as_bytes(), limits);
    assert_eq!(reports.cases.len(), 50);
    assert!(reports.cases[..4].iter().all(|case| !case.details.is_empty()));
    assert!(reports.cases[6..].iter().all(|case| case.details.is_empty()));
    assert_eq!(reports.notes.len(), 1, "{:?}", reports.notes);
    let mut gathered = Gathered::new(ReportLimits::default(), as_it_is());
    for _ in 0..100 {
        read("x.xml", b"<a/>", Instant::now() + Duration::from_secs(1), &mut gathered);
    }
    let notes = gathered.finish().notes;
    assert_eq!((notes.len(), &*notes[20]), (21, "and 80 more of the like"));
}

#[test]
fn times_are_read_as_tools_write_them() {
    for (time, expected) in [
        ("0.001", Some(1)),
        ("1,234.5", Some(1_234_500)),
        ("0,25", Some(250)),
        ("3", Some(3_000)),
        ("1e-3", Some(1)),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("1e300", None),
        ("", None),
        ("soon", None),
    ] {
        assert_eq!(milliseconds(time), expected, "{time}");
    }
}

#[test]
fn a_million_attributes_take_no_time_worth_a_thought() {
    let many = " a='1'".repeat(300_000);
    let reports = read_all(format!("<testsuite><testcase name='a'{many}/></testsuite>"));
    assert_eq!(reports.cases.len(), 1);
}

#[test]
fn reading_ends_at_its_deadline() {
    let xml = format!("<testsuite>{}</testsuite>", "<testcase name='a'/>".repeat(50_000));
    let mut gathered = Gathered::new(ReportLimits::default(), as_it_is());
    read("junit.xml", xml.as_bytes(), Instant::now(), &mut gathered);
    let reports = gathered.finish();
    assert!(reports.cases.len() < 50_000 && reports.notes[0].contains("took too long"));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('>', "&gt;")
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let _ = read_all(&bytes);
    }

    #[test]
    fn no_markup_does_harm(parts in proptest::collection::vec(
        prop_oneof![
            Just("<testsuite>"), Just("</testsuite>"), Just("<testcase name='a' time='1'>"),
            Just("</testcase>"), Just("<failure message='&lt;'>"), Just("</failure>"), Just("<skipped/>"),
            Just("&amp;"), Just("&#0;"), Just("&x;"), Just("<![CDATA[x]]>"), Just("<!--"), Just("-->"),
            Just("<?xml?>"), Just("<!DOCTYPE a>"), Just("<error"), Just("<flakyFailure>"),
            Just("</flakyFailure>"), Just("<system-out>"), Just("</system-out>"), Just("text"), Just("\u{1b}["),
        ], 0..40)) {
        let _ = read_all(parts.concat());
    }

    #[test]
    fn what_is_written_is_read(names in proptest::collection::vec("[ -~äß€]{1,30}", 1..20), text in "[ -~\n]{0,200}") {
        let mut xml = "<testsuites>".to_owned();
        for name in &names {
            let _ = write!(xml, "<testcase name=\"{}\"><failure>{}</failure></testcase>", escaped(name), escaped(&text));
        }
        let reports = read_all(xml + "</testsuites>");
        prop_assert_eq!(&reports.notes, &Vec::<String>::new());
        let expected: Vec<_> = names.iter().map(|name| match name.trim() {
            "" => "(no name)".to_owned(),
            name => name.to_owned(),
        }).collect();
        let found: Vec<_> = reports.cases.iter().map(|case| case.name.clone()).collect();
        prop_assert_eq!(found, expected);
        for case in &reports.cases {
            prop_assert_eq!(&*case.details, text.trim_matches('\n').trim_end());
        }
    }
}

#[test]
fn half_of_a_secret_is_not_left_by_a_cut() {
    let hide: Hide = Arc::new(|text| text.replace("hunter2-hunter2", "***"));
    let case = |name: usize, message: usize| {
        format!(
            "<testsuite><testcase name=\"{}hunter2-hunter2\"><failure message=\"{}hunter2-hunter2\"/>\
             </testcase></testsuite>",
            "n".repeat(name),
            "m".repeat(message)
        )
    };
    for before_the_limit in 1..15 {
        let xml = case(NAME - before_the_limit, MESSAGE - before_the_limit);
        let read = read_report("x.xml", xml.as_bytes(), ReportLimits::default(), hide.clone());
        let case = &read.cases[0];
        assert!(case.name.len() > 400 && case.message.len() > 4_000);
        assert!(!case.name.contains('h') && !case.message.contains('h'), "{case:?}");
    }
}
