//! What there is to tell of a build that has ended.

use crate::model::{BuildEvent, BuildId, BuildStatus, JobStatus, readable};
use crate::store::{Build, Job, Project, Store, StoreError};

/// A build, with what mails and webhooks say of it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) project: Project,
    pub(super) build: Build,
    pub(super) jobs: Vec<Job>,
    /// The root of links, without a trailing slash.
    public_url: String,
}

pub(super) fn project_url(public_url: &str, of: &Project) -> String {
    format!("{public_url}/projects/{}/", of.id)
}

impl Facts {
    /// None when the build is gone.
    pub(super) async fn of(
        store: &Store,
        build: BuildId,
        public_url: &str,
    ) -> Result<Option<Self>, StoreError> {
        let Some(build) = store.build(build).await? else { return Ok(None) };
        let Some(project) = store.project(build.project).await? else { return Ok(None) };
        let jobs = store.jobs_of(build.id).await?;
        Ok(Some(Self { project, build, jobs, public_url: public_url.to_owned() }))
    }

    pub(super) fn full_name(&self) -> String {
        self.project.repository.full_name.to_string()
    }

    pub(super) fn project_url(&self) -> String {
        project_url(&self.public_url, &self.project)
    }

    pub(super) fn url(&self) -> String {
        format!("{}builds/{}/", self.project_url(), self.build.id)
    }

    pub(super) fn job_url(&self, job: &Job) -> String {
        format!("{}jobs/{}/", self.url(), job.id)
    }

    /// "main", "tag v1", "pull request 7".
    pub(super) fn place(&self) -> String {
        let git_ref = &self.build.git_ref;
        let pull = self.build.pull_request.as_ref();
        match (git_ref.branch_name(), git_ref.tag_name(), pull) {
            (Some(branch), _, _) => branch.to_owned(),
            (None, Some(tag), _) => format!("tag {tag}"),
            (None, None, Some(pull)) => format!("pull request {}", pull.number),
            (None, None, None) => git_ref.as_full().to_owned(),
        }
    }

    /// The first line of the commit's message, not too long.
    pub(super) fn subject(&self) -> String {
        let line = self.build.commit.message.lines().next().unwrap_or_default().trim();
        let mut subject: String = line.chars().take(100).collect();
        if subject.len() < line.len() {
            subject.push('…');
        }
        subject
    }

    /// The jobs to blame: those that failed, and those that could not be carried out.
    pub(super) fn to_blame(&self) -> impl Iterator<Item = &Job> {
        let is_bad = |job: &&Job| matches!(job.status, JobStatus::Failure | JobStatus::Error);
        self.jobs.iter().filter(is_bad)
    }

    /// " in 12 s", or nothing.
    pub(super) fn took(&self) -> String {
        let took = self.build.started_at.zip(self.build.finished_at);
        took.map_or_else(String::new, |(from, to)| format!(" in {}", readable(to.since(from))))
    }

    /// "main is red: #12 Tests failed (octocat)".
    pub(super) fn headline(&self, event: BuildEvent) -> String {
        let (place, number) = (self.place(), self.build.number);
        let titles: Vec<&str> = self.to_blame().map(|job| job.title.as_str()).collect();
        let titles = match titles.as_slice() {
            [] => String::new(),
            titles if titles.len() > 3 => {
                format!("{} and {} more ", titles[..3].join(", "), titles.len() - 3)
            }
            titles => format!("{} ", titles.join(", ")),
        };
        let by = &self.build.commit.author;
        match (event, self.build.status) {
            (BuildEvent::Fixed, _) => format!("{place} is green again: #{number} ({by})"),
            (_, BuildStatus::Failure) => format!("{place} is red: #{number} {titles}failed ({by})"),
            (_, BuildStatus::Error) => {
                format!("{place} could not be built: #{number} {titles}had an error ({by})")
            }
            (_, BuildStatus::Cancelled) => format!("{place}: #{number} was cancelled ({by})"),
            _ => format!("{place} is green: #{number} ({by})"),
        }
    }
}
