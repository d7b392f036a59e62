//! Where the time of jobs went: the phases of one as bars beside one another, an attempt at a
//! time, and all jobs of a build on one clock.

use std::collections::HashMap;

use super::page::StatusMark;
use super::words::job as words;
use crate::model::{JobId, Phase, Timestamp, readable};
use crate::store::{Job, PhaseTime};

/// Of the whole width of a bar's place.
const WHOLE: i64 = 1000;
/// What is short is seen as well.
const LEAST: i64 = 4;

pub(super) struct Attempt {
    pub(super) number: i64,
    pub(super) phases: Vec<ShownPhase>,
}

pub(super) struct ShownPhase {
    pub(super) name: &'static str,
    pub(super) took: String,
    pub(super) is_running: bool,
    pub(super) is_interrupted: bool,
    /// The queue has no bar: an hour in it would leave nothing of the rest to be seen.
    pub(super) bar: Option<Bar>,
}

/// In thousandths of the time that is shown.
pub(super) struct Bar {
    pub(super) left: i64,
    pub(super) width: i64,
}

/// The time in workers' hands, which is what a bar's place shows.
struct Span {
    start: i64,
    end: i64,
}

impl Span {
    fn of<'a>(times: impl Iterator<Item = &'a PhaseTime>, now: Timestamp) -> Option<Self> {
        let worked = times.filter(|time| time.phase != Phase::Queue);
        worked.fold(None, |span: Option<Self>, time| {
            let (start, end) = (time.started_at.0, time.finished_at.unwrap_or(now).0);
            let span = span.unwrap_or(Self { start, end });
            Some(Self { start: span.start.min(start), end: span.end.max(end) })
        })
    }

    /// What lies before the span is cut off.
    fn bar(&self, time: &PhaseTime, now: Timestamp) -> Bar {
        let share = |ms: i64| (ms.max(0) * WHOLE / (self.end - self.start).max(1)).min(WHOLE);
        let began = time.started_at.0.max(self.start);
        let width = share(time.finished_at.unwrap_or(now).0 - began).max(LEAST);
        Bar { left: share(began - self.start).min(WHOLE - width), width }
    }
}

pub(super) fn attempts(times: &[PhaseTime], now: Timestamp) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for of_one in times.chunk_by(|one, next| one.attempt == next.attempt) {
        let span = Span::of(of_one.iter(), now);
        let shown = |time: &PhaseTime| ShownPhase {
            name: words::phase(time.phase),
            took: took(time, now),
            is_running: time.finished_at.is_none(),
            is_interrupted: time.is_interrupted,
            bar: match time.phase {
                Phase::Queue => None,
                _ => span.as_ref().map(|span| span.bar(time, now)),
            },
        };
        let phases = of_one.iter().map(shown).collect();
        attempts.push(Attempt { number: of_one.first().map_or(0, |time| time.attempt), phases });
    }
    attempts
}

fn took(time: &PhaseTime, now: Timestamp) -> String {
    readable(time.finished_at.unwrap_or(now).since(time.started_at))
}

/// All jobs of a build on one clock.
#[derive(Default)]
pub(super) struct Timeline {
    /// Nothing where there is one job, or none has begun.
    pub(super) lanes: Vec<Lane>,
    /// The phases that are seen, as the style sheet and as people know them.
    pub(super) legend: Vec<(&'static str, &'static str)>,
}

/// A job among the others of its build.
pub(super) struct Lane {
    pub(super) title: String,
    pub(super) url: String,
    pub(super) status: StatusMark,
    pub(super) is_shown: bool,
    /// How long it waited, all times together.
    pub(super) waited: Option<String>,
    /// And how long workers had it.
    pub(super) worked: Option<String>,
    pub(super) parts: Vec<Part>,
}

/// A phase in a lane.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) told: String,
    pub(super) bar: Bar,
}

/// `link` gives a job's page.
pub(super) fn timeline(
    jobs: &[Job],
    shown: Option<JobId>,
    times: &HashMap<JobId, Vec<PhaseTime>>,
    link: impl Fn(&Job) -> String,
    now: Timestamp,
) -> Timeline {
    let of = |job: &Job| times.get(&job.id).map(Vec::as_slice).unwrap_or_default();
    let Some(span) = Span::of(jobs.iter().flat_map(of), now) else {
        return Timeline::default();
    };
    if jobs.len() < 2 {
        return Timeline::default();
    }
    let lane = |job: &Job| {
        let (waits, works): (Vec<&PhaseTime>, Vec<&PhaseTime>) =
            of(job).iter().partition(|time| time.phase == Phase::Queue);
        let waited =
            waits.iter().map(|time| time.finished_at.unwrap_or(now).since(time.started_at));
        let part = |time: &&PhaseTime| Part {
            class: time.phase.as_str(),
            name: words::phase(time.phase),
            told: format!("{}, {}", words::phase(time.phase), took(time, now)),
            bar: span.bar(time, now),
        };
        // A wait that was over before the first job began has no place here.
        let is_seen = |time: &&&PhaseTime| time.finished_at.is_none_or(|at| at.0 > span.start);
        Lane {
            title: job.title.clone(),
            url: link(job),
            status: job.status.into(),
            is_shown: shown == Some(job.id),
            waited: (!waits.is_empty()).then(|| readable(waited.sum())),
            worked: Span::of(works.iter().copied(), now)
                .map(|span| readable(Timestamp(span.end).since(Timestamp(span.start)))),
            parts: waits.iter().filter(is_seen).chain(&works).map(part).collect(),
        }
    };
    let lanes: Vec<Lane> = jobs.iter().map(lane).collect();
    let mut legend: Vec<(&str, &str)> = Vec::new();
    for part in lanes.iter().flat_map(|lane| &lane.parts) {
        if !legend.iter().any(|(class, _)| *class == part.class) {
            legend.push((part.class, part.name));
        }
    }
    Timeline { lanes, legend }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(attempt: i64, phase: Phase, start: i64, end: Option<i64>) -> PhaseTime {
        let finished_at = end.map(Timestamp);
        let started_at = Timestamp(start);
        PhaseTime { attempt, phase, started_at, finished_at, is_interrupted: false }
    }

    fn place(phase: &ShownPhase) -> Option<(i64, i64)> {
        phase.bar.as_ref().map(|bar| (bar.left, bar.width))
    }

    #[test]
    fn bars_stand_where_their_phases_were() {
        let times = [
            time(1, Phase::Queue, 0, Some(3_600_000)),
            time(1, Phase::Fetch, 3_600_000, Some(3_602_000)),
            time(1, Phase::Image, 3_600_000, Some(3_600_001)),
            time(1, Phase::Build, 3_602_000, None),
        ];
        let attempts = attempts(&times, Timestamp(3_610_000));
        let bars: Vec<_> = attempts[0].phases.iter().map(place).collect();
        assert_eq!(bars, [None, Some((0, 200)), Some((0, LEAST)), Some((200, 800))]);
        assert!(attempts[0].phases[3].is_running && !attempts[0].phases[1].is_running);
        assert_eq!(attempts[0].phases[1].took, "2.0 s");
    }

    #[test]
    fn attempts_stand_apart_and_clocks_may_jump() {
        let times = [
            time(1, Phase::Queue, 5, Some(9)),
            time(1, Phase::Fetch, 9, Some(4)),
            time(2, Phase::Queue, 9, None),
        ];
        let attempts = attempts(&times, Timestamp(1));
        assert_eq!(attempts.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(place(&attempts[0].phases[1]), Some((0, LEAST)));
    }

    #[test]
    fn a_wait_is_shown_from_where_the_first_job_begins() {
        let times = [
            time(1, Phase::Queue, 0, Some(6_000)),
            time(1, Phase::Build, 6_000, Some(11_000)),
            time(1, Phase::Fetch, 1_000, Some(6_000)),
        ];
        let span = Span::of(times.iter(), Timestamp(99)).unwrap();
        let bars: Vec<_> = times.iter().map(|time| span.bar(time, Timestamp(99))).collect();
        let bars: Vec<_> = bars.iter().map(|bar| (bar.left, bar.width)).collect();
        assert_eq!(bars, [(0, 500), (500, 500), (0, 500)]);
    }
}
