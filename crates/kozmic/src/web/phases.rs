//! A job's phases as bars beside one another, an attempt at a time.

use crate::model::{Phase, Timestamp, readable};
use crate::store::PhaseTime;

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
    /// In thousandths of the attempt's time in a worker's hands. The queue has no bar:
    /// an hour in it would leave nothing of the rest to be seen.
    pub(super) left: i64,
    pub(super) width: i64,
}

pub(super) fn attempts(times: &[PhaseTime], now: Timestamp) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for of_one in times.chunk_by(|one, next| one.attempt == next.attempt) {
        let worked = || of_one.iter().filter(|time| time.phase != Phase::Queue);
        let start = worked().map(|time| time.started_at.0).min().unwrap_or(0);
        let end = worked().map(|time| time.finished_at.unwrap_or(now).0).max().unwrap_or(0);
        let share = |ms: i64| (ms.max(0) * WHOLE / (end - start).max(1)).min(WHOLE);
        let shown = |time: &PhaseTime| {
            let took = time.finished_at.unwrap_or(now).since(time.started_at);
            let length = i64::try_from(took.as_millis()).unwrap_or(i64::MAX / WHOLE);
            let width = share(length).max(LEAST);
            let (left, width) = match time.phase {
                Phase::Queue => (0, 0),
                _ => (share(time.started_at.0 - start).min(WHOLE - width), width),
            };
            ShownPhase {
                name: time.phase.as_str(),
                took: readable(took),
                is_running: time.finished_at.is_none(),
                is_interrupted: time.is_interrupted,
                left,
                width,
            }
        };
        let phases = of_one.iter().map(shown).collect();
        attempts.push(Attempt { number: of_one.first().map_or(0, |time| time.attempt), phases });
    }
    attempts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(attempt: i64, phase: Phase, start: i64, end: Option<i64>) -> PhaseTime {
        let finished_at = end.map(Timestamp);
        let started_at = Timestamp(start);
        PhaseTime { attempt, phase, started_at, finished_at, is_interrupted: false }
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
        let bars: Vec<(i64, i64)> =
            attempts[0].phases.iter().map(|phase| (phase.left, phase.width)).collect();
        assert_eq!(bars, [(0, 0), (0, 200), (0, LEAST), (200, 800)]);
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
        assert_eq!((attempts[0].phases[1].left, attempts[0].phases[1].width), (0, LEAST));
    }
}
