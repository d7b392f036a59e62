//! What a mail says: as text and as HTML, in one thread per branch, with a link that ends
//! it (RFC 2369, RFC 2919, RFC 8058).

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use futures_util::StreamExt as _;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::facts::Facts;
use super::mail::Mailer;
use crate::log::{Logs, Plain};
use crate::model::{BuildEvent, BuildStatus, Invalid, Timestamp};
use crate::seal::sha256_hex;
use crate::store::{Job, Message};

/// Jobs that are told of, each with the end of its log.
const JOBS: usize = 5;
/// Lines of a log, and the bytes they are looked for in.
const LINES: usize = 40;
const BYTES: u64 = 8 * 1024;
/// Characters of a line.
const LINE: usize = 300;

/// Who gets it, and where they choose.
pub(super) struct Addressee {
    pub(super) address: String,
    pub(super) login: String,
    pub(super) choices_url: String,
    pub(super) unsubscribe_url: String,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Letter<'a> {
    headline: &'a str,
    url: &'a str,
    name: &'a str,
    number: i64,
    sentence: &'a str,
    subject: &'a str,
    sha: &'a str,
    author: &'a str,
    jobs: &'a [Blamed],
    more: usize,
    choices_url: &'a str,
    unsubscribe_url: &'a str,
}

struct Blamed {
    title: String,
    url: String,
    reason: String,
    /// The last lines of its log.
    tail: String,
}

/// What belongs to every mail.
struct Envelope<'a> {
    mailer: &'a Mailer,
    message: &'a Message,
    to: &'a Addressee,
}

impl Envelope<'_> {
    fn sealed(
        &self,
        subject: &str,
        headers: &[(&'static str, String)],
        text: String,
        html: String,
    ) -> Result<lettre::Message, Invalid> {
        let unfit = |_| Invalid::new("it can't be written as a mail");
        let (to, domain) = (self.to, self.mailer.domain());
        let address = to.address.parse().map_err(|_| {
            Invalid::new(format!("`{}` is no address of the kind that mail is sent to", to.address))
        })?;
        let at = Duration::from_millis(u64::try_from(self.message.created_at.0).unwrap_or(0));
        let mut builder = self
            .mailer
            .message()
            .to(Mailbox::new(Some(to.login.clone()), address))
            .subject(subject.chars().filter(|c| !c.is_control()).collect::<String>())
            .date(UNIX_EPOCH + at)
            .message_id(Some(format!("<{}@{domain}>", self.message.uuid)));
        let automatic = [("Auto-Submitted", "auto-generated".to_owned())];
        for (name, value) in headers.iter().chain(&automatic) {
            let name = HeaderName::new_from_ascii_str(name);
            // Addresses of ours: nothing in them has to be encoded, and folding would break them.
            builder = builder.raw_header(HeaderValue::dangerous_new_pre_encoded(
                name,
                value.clone(),
                value.clone(),
            ));
        }
        builder.multipart(MultiPart::alternative_plain_html(text, html)).map_err(unfit)
    }
}

/// Of one build.
pub(super) async fn of_build(
    mailer: &Mailer,
    message: &Message,
    facts: &Facts,
    event: BuildEvent,
    to: &Addressee,
    logs: &Logs,
) -> Result<lettre::Message, Invalid> {
    let name = facts.full_name();
    let headline = facts.headline(event);
    let mut blamed = Vec::new();
    for job in facts.to_blame().take(JOBS) {
        blamed.push(Blamed {
            title: job.title.clone(),
            url: facts.job_url(job),
            reason: sentence(&job.reason),
            tail: tail(logs, job).await,
        });
    }
    let (place, took, url) = (facts.place(), facts.took(), facts.url());
    let (subject, sha, author) =
        (facts.subject(), facts.build.commit.sha.short(), &facts.build.commit.author);
    let letter = Letter {
        headline: &headline,
        url: &url,
        name: &name,
        number: facts.build.number,
        sentence: &match (event, facts.build.status) {
            (BuildEvent::Fixed, _) => format!("passed{took}. {place} is green again."),
            (_, BuildStatus::Error) => format!("could not be carried out{took}, on {place}."),
            _ => format!("failed{took}, on {place}."),
        },
        subject: &subject,
        sha,
        author,
        more: facts.to_blame().count().saturating_sub(blamed.len()),
        jobs: &blamed,
        choices_url: &to.choices_url,
        unsubscribe_url: &to.unsubscribe_url,
    };
    let html = letter.render().map_err(|_| Invalid::new("it can't be written as HTML"))?;
    let domain = mailer.domain();
    let of_branch = format!("{}:{}", facts.project.id, facts.build.git_ref.as_full());
    let thread = format!("<branch.{}@{domain}>", &sha256_hex(of_branch.as_bytes())[..24]);
    let list = name.to_lowercase().replace('/', ".");
    let headers = [
        ("In-Reply-To", thread.clone()),
        ("References", thread),
        ("List-Id", format!("<{list}.kozmic.{domain}>")),
        ("List-Unsubscribe", format!("<{}>", to.unsubscribe_url)),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()),
        ("X-Kozmic-Event", event.as_str().to_owned()),
    ];
    let envelope = Envelope { mailer, message, to };
    envelope.sealed(&format!("[{name}] {headline}"), &headers, letter.text(), html)
}

impl Letter<'_> {
    fn text(&self) -> String {
        let mut text = format!("{} #{} {}\n{}\n", self.name, self.number, self.sentence, self.url);
        if !self.subject.is_empty() {
            let _ = write!(text, "\n{}\n{} by {}\n", self.subject, self.sha, self.author);
        }
        for Blamed { title, url, reason, tail } in self.jobs {
            let _ = write!(text, "\n{title}: {reason}\n{url}\n");
            if !tail.is_empty() {
                let _ = write!(text, "\n    {}\n", tail.replace('\n', "\n    "));
            }
        }
        if self.more > 0 {
            let _ = write!(text, "\nAnd {} more jobs.\n", self.more);
        }
        let _ = write!(
            text,
            "\n-- \nKozmic sends this because of your choice of mails: {}\nNo more mails of {}: {}\n",
            self.choices_url, self.name, self.unsubscribe_url
        );
        text
    }
}

/// Many builds in one mail, because there were too many.
pub(super) fn of_many(
    mailer: &Mailer,
    message: &Message,
    builds: &[Facts],
    count: u64,
    to: &Addressee,
) -> Result<lettre::Message, Invalid> {
    let mut text = format!(
        "{count} more builds failed, or were green again, after as many mails as Kozmic sends within an hour.\n\n"
    );
    for facts in builds {
        let event = match facts.build.status {
            BuildStatus::Success => BuildEvent::Fixed,
            _ => BuildEvent::Failed,
        };
        let _ =
            writeln!(text, "{}: {}\n{}\n", facts.full_name(), facts.headline(event), facts.url());
    }
    let _ = write!(text, "-- \nYour choice of mails: {}\n", to.choices_url);
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let html =
        format!("<!DOCTYPE html>\n<html lang=\"en\"><body><pre>{html}</pre></body></html>\n");
    let envelope = Envelope { mailer, message, to };
    envelope.sealed(&format!("[Kozmic] {count} more builds within the hour"), &[], text, html)
}

/// With an end: reasons have none.
fn sentence(reason: &str) -> String {
    let reason = reason.trim();
    if reason.ends_with(['.', '!', '?']) { reason.to_owned() } else { format!("{reason}.") }
}

/// The last lines of a job's log, as it was kept: what is secret was hidden before. Empty
/// when there is none, or it can't be read.
async fn tail(logs: &Logs, job: &Job) -> String {
    let reader = match logs.reader_from(job.uuid, job.worker.as_deref()).await {
        Ok(Some(reader)) => reader,
        Ok(None) => return String::new(),
        Err(error) => {
            tracing::warn!(%error, job = %job.id, "the end of a log can't be mailed");
            return String::new();
        }
    };
    let from = reader.byte_length().saturating_sub(BYTES);
    let mut bytes = Vec::new();
    let mut parts = std::pin::pin!(reader.bytes(from));
    while let Some(Ok(part)) = parts.next().await {
        bytes.extend_from_slice(&part);
    }
    let mut text = String::from_utf8_lossy(&Plain::default().take(&bytes)).into_owned();
    // What is left of a line whose beginning is not here.
    if from > 0 {
        text = text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned());
    }
    last_lines(&text)
}

fn last_lines(text: &str) -> String {
    // As a terminal: what follows a carriage return is over what was before.
    let shown = |line: &str| -> String {
        let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        let mut shown: String =
            line.chars().filter(|c| !c.is_control() || *c == '\t').take(LINE).collect();
        if shown.len() < line.len() && line.chars().count() > LINE {
            shown.push('…');
        }
        shown
    };
    let lines: Vec<String> = text.trim_end().lines().map(shown).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// How long ago.
pub(super) fn age(message: &Message) -> Duration {
    Timestamp::now().since(message.created_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_read_as_on_a_terminal() {
        assert_eq!(last_lines("a\n10%\r100%\r\n\n"), "a\n100%");
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let many = many.join("\n") + "\n";
        let last = last_lines(&many);
        assert!(last.starts_with("60\n") && last.ends_with("\n99"), "{last}");
        assert_eq!(last_lines(&"ü".repeat(400)).chars().count(), LINE + 1);
    }
}
