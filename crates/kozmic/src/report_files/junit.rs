//! JUnit's XML, in the dialects of surefire, pytest, nextest, go-junit-report, jest,
//! PHPUnit, gtest and node. There is no schema that all of them keep; what is common is
//! `testsuite` with `testcase`s in it, in any depth, and in them `failure`, `error` and
//! `skipped`; surefire's and nextest's `flakyFailure` and `rerunFailure` tell of tries.
//!
//! The reader has no memory of the document but for where it stands: no entity is
//! expanded but XML's five and characters, nothing is fetched, and a document type with
//! declarations of its own is refused.

use std::mem::take;
use std::time::Instant;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::reports::Gathered;
use super::text::{Cut, clean, cut, milliseconds, unescaped};
use crate::model::{TestCase, TestOutcome};

/// Elements within elements.
const DEPTH: usize = 100;
/// Attributes that are looked at.
const ATTRIBUTES: usize = 64;
/// Characters of a suite's, a class's, a test's, and a file's name.
const NAME: usize = 500;
/// Bytes of what failed, of its details, and of what the test wrote.
const MESSAGE: usize = 4 << 10;
const DETAILS: usize = 32 << 10;
const OUTPUT: usize = 16 << 10;
/// Events between two looks at the clock.
const LOOK: u32 = 10_000;

/// What an element is to this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Suites,
    Suite,
    Case,
    /// `failure`, `error`, and those that tell of an earlier try.
    Trouble(Trouble),
    Skipped,
    /// Within an earlier try.
    StackTrace,
    /// Of the test itself, or of one of its tries.
    Output,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Failure,
    Error,
    /// Another try of it follows, or went before.
    Try,
}

/// Reads one file into `into`; what is wrong with it becomes a note.
pub(super) fn read(file: &str, xml: &[u8], deadline: Instant, into: &mut Gathered) {
    let before = into.cases.len();
    let mut document = Document::new(into);
    let read = document.read(xml, deadline);
    if document.is_lossy {
        into.note(format!("{file}: it has bytes that are not UTF-8; they were replaced"));
    }
    if let Err(problem) = read {
        let counted = match into.cases.len() - before {
            0 => "nothing of it counts".to_owned(),
            1 => "the one test before that counts".to_owned(),
            count => format!("the {count} tests before that count"),
        };
        into.note(format!("{file}: {problem}; {counted}"));
    }
}

struct Document<'a> {
    into: &'a mut Gathered,
    open: Vec<Element>,
    suites: Vec<Suite>,
    case: Option<OpenCase>,
    is_lossy: bool,
}

#[derive(Default)]
struct Suite {
    name: String,
    file: String,
}

struct OpenCase {
    case: TestCase,
    details: Cut,
    output: Cut,
}

impl OpenCase {
    /// Whatever order its elements come in.
    fn worsen(&mut self, outcome: TestOutcome) {
        let rank = |outcome| match outcome {
            TestOutcome::Passed => 0,
            TestOutcome::Skipped => 1,
            TestOutcome::Flaky => 2,
            TestOutcome::Failed => 3,
            TestOutcome::Error => 4,
        };
        if rank(outcome) > rank(self.case.outcome) {
            self.case.outcome = outcome;
        }
    }
}

impl<'a> Document<'a> {
    fn new(into: &'a mut Gathered) -> Self {
        Self { into, open: Vec::new(), suites: Vec::new(), case: None, is_lossy: false }
    }

    fn read(&mut self, xml: &[u8], deadline: Instant) -> Result<(), String> {
        if xml.starts_with(&[0xff, 0xfe]) || xml.starts_with(&[0xfe, 0xff]) {
            return Err("it is written in UTF-16; only UTF-8 is read".into());
        }
        let mut reader = Reader::from_reader(xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml));
        let (mut until_look, mut seen_any) = (LOOK, false);
        loop {
            until_look -= 1;
            if until_look == 0 {
                if Instant::now() > deadline {
                    return Err("reading it took too long".into());
                }
                until_look = LOOK;
            }
            let position = reader.buffer_position();
            let event = reader.read_event().map_err(|error| match error {
                quick_xml::Error::IllFormed(_) | quick_xml::Error::Syntax(_) if !seen_any => {
                    format!("it is no XML ({error})")
                }
                error => format!("it is broken at byte {position}: {error}"),
            })?;
            match event {
                Event::Start(start) => {
                    seen_any = true;
                    self.start(&start)?;
                }
                Event::Empty(start) => {
                    seen_any = true;
                    self.start(&start)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(&text.into_inner()),
                Event::CData(text) => self.text(&text.into_inner()),
                Event::GeneralRef(reference) => self.reference(&reference)?,
                Event::Decl(declaration) => check_encoding(&declaration)?,
                Event::DocType(text) if text.contains(&b'[') => {
                    return Err("its document type declares entities or elements of its own, \
                                which is refused"
                        .into());
                }
                Event::DocType(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
            if self.into.is_full() {
                return Ok(());
            }
        }
        if !self.open.is_empty() {
            return Err("it ends too early, as if the script had been stopped".into());
        }
        if !seen_any {
            return Err("it is no XML, or empty".into());
        }
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() >= DEPTH {
            return Err(format!("its elements lie deeper than {DEPTH} levels"));
        }
        let mut element = element(start.local_name().as_ref());
        if self.open.is_empty()
            && !matches!(element, Element::Suites | Element::Suite | Element::Case)
        {
            let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
            let name = super::names::shown(&name);
            return Err(format!("it is no JUnit report: it begins with <{name}>"));
        }
        match element {
            Element::Suite => self.suite(start)?,
            Element::Case if self.case.is_some() => element = Element::Other,
            Element::Case => self.case = Some(self.open_case(start)?),
            Element::Trouble(trouble) => self.trouble(trouble, start)?,
            Element::Skipped => {
                let message = self.attributes(start)?.message;
                if let Some(open) = &mut self.case {
                    open.worsen(TestOutcome::Skipped);
                    open.case.message = message.unwrap_or_else(|| take(&mut open.case.message));
                }
            }
            // What a suite wrote is of no test.
            Element::Output if self.case.is_none() => element = Element::Other,
            Element::Suites | Element::StackTrace | Element::Output | Element::Other => {}
        }
        self.open.push(element);
        Ok(())
    }

    fn suite(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        let given = self.attributes(start)?;
        let around = self.suites.last();
        let inherited = |own: Option<String>, of: fn(&Suite) -> &String| {
            own.filter(|own| !own.is_empty())
                .or_else(|| around.map(|suite| of(suite).clone()))
                .unwrap_or_default()
        };
        let suite = Suite {
            name: inherited(given.name, |suite| &suite.name),
            file: inherited(given.file, |suite| &suite.file),
        };
        self.suites.push(suite);
        Ok(())
    }

    fn open_case(&mut self, start: &BytesStart<'_>) -> Result<OpenCase, String> {
        let given = self.attributes(start)?;
        let mut open = self.new_case(given.name.unwrap_or_default());
        open.case.class = given.class.unwrap_or_default();
        open.case.duration = given.time.as_deref().and_then(milliseconds);
        let file = given.file.or_else(|| self.suites.last().map(|suite| suite.file.clone()));
        if let Some(file) = file.filter(|file| !file.is_empty()) {
            let line = given.line.filter(|line| line.parse::<u32>().is_ok());
            open.case.place = line.map_or(file.clone(), |line| format!("{file}:{line}"));
        }
        // gtest has no element for these.
        let states = [given.status.as_deref(), given.result.as_deref()];
        let is_off = states
            .iter()
            .flatten()
            .any(|state| matches!(*state, "notrun" | "suppressed" | "skipped" | "disabled"));
        if is_off {
            open.worsen(TestOutcome::Skipped);
        }
        Ok(open)
    }

    fn new_case(&self, name: String) -> OpenCase {
        let name = if name.is_empty() { "(no name)".into() } else { name };
        let case = TestCase {
            suite: self.suites.last().map(|suite| suite.name.clone()).unwrap_or_default(),
            class: String::new(),
            name,
            outcome: TestOutcome::Passed,
            duration: None,
            place: String::new(),
            message: String::new(),
            details: String::new(),
            output: String::new(),
        };
        OpenCase { case, details: Cut::new(DETAILS, false), output: Cut::new(OUTPUT, true) }
    }

    fn trouble(&mut self, trouble: Trouble, start: &BytesStart<'_>) -> Result<(), String> {
        let given = self.attributes(start)?;
        if self.case.is_none() {
            // Ant's, when a whole suite could not be set up.
            let suite = self.suites.last().map(|suite| suite.name.clone()).unwrap_or_default();
            self.case = Some(self.new_case(format!("(the suite {suite})")));
        }
        let Some(open) = &mut self.case else { return Ok(()) };
        match trouble {
            Trouble::Failure => open.worsen(TestOutcome::Failed),
            Trouble::Error => open.worsen(TestOutcome::Error),
            Trouble::Try => open.worsen(TestOutcome::Flaky),
        }
        if open.case.message.is_empty() {
            open.case.message = given.message.or(given.kind).unwrap_or_default();
        } else if let Some(message) = given.message {
            open.details.push(&format!("\n{message}\n"));
        }
        Ok(())
    }

    fn end(&mut self) {
        let ended = self.open.pop();
        match ended {
            Some(Element::Suite) => drop(self.suites.pop()),
            Some(Element::Case) => self.close_case(),
            // Of a suite, not of a test in it.
            Some(Element::Trouble(_)) if !self.open.contains(&Element::Case) => self.close_case(),
            _ => {}
        }
    }

    fn close_case(&mut self) {
        let Some(open) = self.case.take() else { return };
        let mut case = open.case;
        if case.outcome == TestOutcome::Passed {
            (case.message, case.place) = (String::new(), String::new());
        } else {
            case.details = open.details.finish();
            if case.outcome != TestOutcome::Skipped {
                case.output = open.output.finish();
            }
            if case.message.is_empty() {
                let first = case.details.lines().find(|line| !line.trim().is_empty());
                let first = first.map(|line| self.into.hidden(line.trim()));
                case.message = first.map(|line| cut(&line, NAME)).unwrap_or_default();
            }
            case.message.truncate(case.message.floor_char_boundary(MESSAGE));
        }
        self.into.take(case);
    }

    fn attributes(&mut self, start: &BytesStart<'_>) -> Result<Given, String> {
        let mut given = Given::default();
        // Without the check for doubles, which takes the square of their number.
        for attribute in start.attributes().with_checks(false).take(ATTRIBUTES) {
            let attribute =
                attribute.map_err(|error| format!("it has a broken attribute: {error}"))?;
            let (field, limit) = match attribute.key.local_name().as_ref() {
                b"name" => (&mut given.name, NAME),
                b"classname" | b"class" => (&mut given.class, NAME),
                b"file" | b"filepath" => (&mut given.file, NAME),
                b"line" => (&mut given.line, NAME),
                b"time" => (&mut given.time, NAME),
                b"status" => (&mut given.status, NAME),
                b"result" => (&mut given.result, NAME),
                b"message" => (&mut given.message, MESSAGE),
                b"type" => (&mut given.kind, NAME),
                _ => continue,
            };
            let raw = String::from_utf8_lossy(&attribute.value);
            self.is_lossy |= matches!(raw, std::borrow::Cow::Owned(_));
            // Cut before it is unescaped: no text grows by that.
            let raw = &raw[..raw.floor_char_boundary(raw.len().min(8 * limit))];
            let text = unescaped(raw);
            let text = clean(&text);
            let text = if limit == NAME { text.replace(['\n', '\t'], " ") } else { text };
            let text = cut(&self.into.hidden(text.trim()), limit);
            if field.is_none() && !text.is_empty() {
                *field = Some(text);
            }
        }
        Ok(given)
    }

    /// A piece of text, to where it belongs.
    fn text(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.is_lossy |= matches!(text, std::borrow::Cow::Owned(_));
        self.add(&text);
    }

    fn add(&mut self, text: &str) {
        let Some(open) = &mut self.case else { return };
        let within_trouble = || {
            let (_, around) = self.open.split_last()?;
            around.iter().any(|element| matches!(element, Element::Trouble(_))).then_some(())
        };
        match self.open.last() {
            Some(Element::Trouble(_) | Element::Skipped | Element::StackTrace) => {
                open.details.push(text);
            }
            // An earlier try's is left out.
            Some(Element::Output) if within_trouble().is_none() => open.output.push(text),
            _ => {}
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), String> {
        let mut buffer = [0; 4];
        let text: &str = match reference.resolve_char_ref() {
            Ok(Some(c)) => c.encode_utf8(&mut buffer),
            Ok(None) => match &**reference {
                b"lt" => "<",
                b"gt" => ">",
                b"amp" => "&",
                b"apos" => "'",
                b"quot" => "\"",
                name => {
                    let name = super::names::shown(&String::from_utf8_lossy(name));
                    return Err(format!("it has the entity &{name};, which is not XML's own"));
                }
            },
            // XML knows no such character; many tools write them nevertheless.
            Err(_) => "\u{fffd}",
        };
        self.add(text);
        Ok(())
    }
}

fn element(name: &[u8]) -> Element {
    match name {
        b"testsuites" => Element::Suites,
        b"testsuite" => Element::Suite,
        b"testcase" => Element::Case,
        b"failure" => Element::Trouble(Trouble::Failure),
        b"error" => Element::Trouble(Trouble::Error),
        b"flakyFailure" | b"flakyError" | b"rerunFailure" | b"rerunError" => {
            Element::Trouble(Trouble::Try)
        }
        b"skipped" => Element::Skipped,
        b"stackTrace" => Element::StackTrace,
        b"system-out" | b"system-err" => Element::Output,
        _ => Element::Other,
    }
}

fn check_encoding(declaration: &quick_xml::events::BytesDecl<'_>) -> Result<(), String> {
    let Some(Ok(encoding)) = declaration.encoding() else { return Ok(()) };
    let encoding = String::from_utf8_lossy(&encoding).into_owned();
    if matches!(encoding.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "us-ascii" | "ascii") {
        return Ok(());
    }
    let encoding = super::names::shown(&encoding);
    Err(format!("it is written in {encoding}; only UTF-8 is read"))
}

#[derive(Default)]
struct Given {
    name: Option<String>,
    class: Option<String>,
    file: Option<String>,
    line: Option<String>,
    time: Option<String>,
    status: Option<String>,
    result: Option<String>,
    message: Option<String>,
    kind: Option<String>,
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
