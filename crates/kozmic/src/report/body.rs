//! What a webhook is sent: the build as JSON, which docs/webhooks-out.md describes and which
//! only grows; or a line of text, as Slack takes it.

use serde::Serialize;

use super::facts::{Facts, project_url};
use crate::model::{BuildEvent, BuildStatus, JobUuid, WebhookFormat};
use crate::store::{Announcement, Job, Project};

/// Characters of a commit's message.
const MESSAGE: usize = 2_000;
/// Jobs of one build.
const JOBS: usize = 200;

#[derive(Serialize)]
struct Body<'a> {
    /// `finished`, `failed`, `fixed` or `test`.
    event: &'a str,
    delivery: String,
    project: ProjectBody,
    build: Option<BuildBody>,
}

#[derive(Serialize)]
struct ProjectBody {
    id: i64,
    full_name: String,
    url: String,
}

#[derive(Serialize)]
struct BuildBody {
    id: i64,
    number: i64,
    status: &'static str,
    previous_status: Option<&'static str>,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    author: String,
    message: String,
    trigger: &'static str,
    pull_request: Option<i64>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    url: String,
    jobs: Vec<JobBody>,
}

#[derive(Serialize)]
struct JobBody {
    id: i64,
    title: String,
    status: &'static str,
    reason: String,
    return_code: Option<i64>,
    started_at: Option<String>,
    finished_at: Option<String>,
    url: String,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

/// Of a build that has ended.
pub(super) fn of_build(
    facts: &Facts,
    announcement: &Announcement,
    format: WebhookFormat,
    uuid: JobUuid,
) -> String {
    match format {
        WebhookFormat::Json => json(&Body {
            event: announcement.event.as_str(),
            delivery: uuid.to_string(),
            project: project(&facts.project, facts.project_url()),
            build: Some(build(facts, announcement)),
        }),
        WebhookFormat::Slack => json(&Text { text: line(facts, announcement.event) }),
    }
}

/// Of no build: to see whether it arrives.
pub(super) fn test(of: &Project, public_url: &str, format: WebhookFormat, uuid: JobUuid) -> String {
    match format {
        WebhookFormat::Json => json(&Body {
            event: "test",
            delivery: uuid.to_string(),
            project: project(of, project_url(public_url, of)),
            build: None,
        }),
        WebhookFormat::Slack => {
            let name = escaped(&of.repository.full_name.to_string());
            json(&Text {
                text: format!("Kozmic can reach this channel: builds of {name} are told here."),
            })
        }
    }
}

fn json(body: &impl Serialize) -> String {
    // Of texts and numbers; nothing in it can't be written.
    serde_json::to_string(body).unwrap_or_default()
}

fn project(of: &Project, url: String) -> ProjectBody {
    ProjectBody { id: of.id.0, full_name: of.repository.full_name.to_string(), url }
}

fn build(facts: &Facts, announcement: &Announcement) -> BuildBody {
    let of = &facts.build;
    BuildBody {
        id: of.id.0,
        number: of.number,
        status: announcement.status.as_str(),
        previous_status: announcement.was.map(BuildStatus::as_str),
        git_ref: of.git_ref.as_full().to_owned(),
        sha: of.commit.sha.to_string(),
        author: of.commit.author.clone(),
        message: of.commit.message.chars().take(MESSAGE).collect(),
        trigger: of.trigger.as_str(),
        pull_request: of.pull_request.as_ref().map(|pull| pull.number),
        created_at: of.created_at.to_string(),
        started_at: of.started_at.map(|at| at.to_string()),
        finished_at: of.finished_at.map(|at| at.to_string()),
        url: facts.url(),
        jobs: facts.jobs.iter().take(JOBS).map(|one| job(facts, one)).collect(),
    }
}

fn job(facts: &Facts, of: &Job) -> JobBody {
    JobBody {
        id: of.id.0,
        title: of.title.clone(),
        status: of.status.as_str(),
        reason: of.reason.clone(),
        return_code: of.return_code,
        started_at: of.started_at.map(|at| at.to_string()),
        finished_at: of.finished_at.map(|at| at.to_string()),
        url: facts.job_url(of),
    }
}

/// "octo/orbit: main is red: #12 Tests failed (octocat) · Change something", the first part
/// a link.
fn line(facts: &Facts, event: BuildEvent) -> String {
    let mark = match event {
        BuildEvent::Failed => "🔴",
        BuildEvent::Fixed => "🟢",
        BuildEvent::Finished => "⚪",
    };
    let name = escaped(&facts.full_name());
    let headline = escaped(&facts.headline(event));
    let subject = escaped(&facts.subject());
    format!("{mark} <{}|{name}>: {headline}{} · {subject}", facts.url(), facts.took())
}

/// As Slack documents it ("Formatting text for app surfaces": the three control characters).
/// Others that take the same text call everybody for an `@channel` as well: with a space of
/// no width behind it, it calls nobody.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("@\u{200b}"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_commands_slack() {
        assert_eq!(escaped("<!channel> a & b\n"), "&lt;!channel&gt; a &amp; b");
        assert_eq!(escaped("@everyone"), "@\u{200b}everyone");
    }
}
