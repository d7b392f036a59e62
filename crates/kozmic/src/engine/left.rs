//! What the attempts of jobs have left at the engine, known by its labels.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::{Container, Engine, Result, Step, cached, label};
use crate::model::JobUuid;

/// What is left of an attempt that nobody attends to.
pub enum Found<'engine> {
    /// The container of its latest step that was started.
    Started(Unattended<'engine>),
    /// A container for its build script, which may lack the checkout or half of it.
    NeverStarted,
    Nothing,
}

/// A container that went on, or ended, while nobody attended to it.
pub struct Unattended<'engine> {
    pub container: Container<'engine>,
    pub step: Step,
    /// What goes into the image that it is to become; empty for a build script's.
    pub inputs: Vec<(String, String)>,
    /// Not when it has ended meanwhile.
    pub is_running: bool,
    /// How long the job's log was before it wrote anything.
    pub log_offset: u64,
}

impl Engine {
    /// Removes what these attempts of a job left behind.
    pub async fn remove_of_job(&self, job: JobUuid, attempts: RangeInclusive<i64>) -> Result<()> {
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let attempt = label::attempt(found.labels.as_ref());
            if let Some(id) = found.id.filter(|_| attempt.is_some_and(|it| attempts.contains(&it)))
            {
                Container { engine: self, id }.remove().await?;
            }
        }
        Ok(())
    }

    /// What this attempt has left here.
    pub async fn unattended(&self, job: JobUuid, attempt: i64) -> Result<Found<'_>> {
        let mut latest: Option<Unattended<'_>> = None;
        let mut never_started = false;
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let labels = found.labels.as_ref();
            if label::attempt(labels) != Some(attempt) {
                continue;
            }
            let step = label::step(labels).filter(|step| step.is_script());
            let state = found.state.unwrap_or(State::EMPTY);
            if matches!(state, State::CREATED | State::EMPTY) {
                never_started |= step == Some(Step::Build);
                continue;
            }
            let is_later = step > latest.as_ref().map(|latest| latest.step);
            if let (true, Some(id), Some(step), Some(log_offset)) =
                (is_later, found.id, step, label::log_offset(labels))
            {
                latest = Some(Unattended {
                    container: Container { engine: self, id },
                    step,
                    inputs: labels.map(cached::inputs).unwrap_or_default(),
                    is_running: !matches!(state, State::EXITED | State::DEAD),
                    log_offset,
                });
            }
        }
        Ok(match latest {
            Some(latest) => Found::Started(latest),
            None if never_started => Found::NeverStarted,
            None => Found::Nothing,
        })
    }

    /// The jobs and attempts of all containers of this installation.
    pub async fn containers_by_job(&self) -> Result<Vec<(JobUuid, i64)>> {
        let found = self.list(&label::of_instance(&self.instance)).await?;
        let labels = found.iter().map(|found| found.labels.as_ref());
        Ok(labels.filter_map(|labels| label::job(labels).zip(label::attempt(labels))).collect())
    }

    pub(super) async fn list(
        &self,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
        self.docker
            .list_containers(Some(options))
            .await
            .map_err(|e| self.failed("list containers", e))
    }
}
