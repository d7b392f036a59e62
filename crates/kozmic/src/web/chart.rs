//! Builds as bars: how long they took is how tall they are. What did not succeed reaches
//! below the line as well, so that colour alone tells nothing.

use super::page::{StatusMark, duration};
use crate::model::{BuildStatus, ProjectId, Timestamp};
use crate::store::BuildMark;

/// Units of one bar and the gap beside it.
const STEP: usize = 4;
const WIDTH: usize = 3;

/// Bars in a row, the oldest first.
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// Of the whole, in units.
    pub(super) width: usize,
    pub(super) height: usize,
    /// The line above which bars stand.
    pub(super) line: usize,
    /// What it shows, in words.
    pub(super) told: String,
}

pub(super) struct Bar {
    pub(super) url: String,
    pub(super) status: StatusMark,
    pub(super) x: usize,
    pub(super) width: usize,
    pub(super) y: usize,
    pub(super) height: usize,
    /// Reaches below the line by so much.
    pub(super) below: usize,
    pub(super) title: String,
    /// When its build began.
    pub(super) at: String,
}

impl Chart {
    /// Bars of up to `tall` units; `room` for so many, at least: they stand on the right.
    pub(super) fn new(
        project: ProjectId,
        marks: &[BuildMark],
        (tall, room): (usize, usize),
        now: Timestamp,
    ) -> Self {
        let took = |mark: &BuildMark| {
            let started = mark.started_at?;
            Some(mark.finished_at.unwrap_or(now).since(started).as_millis())
        };
        let longest = marks.iter().filter_map(took).max().unwrap_or(0).max(1);
        let room = room.max(marks.len());
        let below = (tall / 6).max(2);
        let bar = |(index, mark): (usize, &BuildMark)| {
            let share = took(mark).unwrap_or(0).saturating_mul(tall as u128) / longest;
            let height = usize::try_from(share).unwrap_or(tall).clamp(2, tall);
            let status = StatusMark::from(mark.status);
            let took = duration(mark.started_at, mark.finished_at, now);
            let took = took.map_or_else(String::new, |took| format!(", {took}"));
            Bar {
                url: format!("/projects/{project}/builds/{}/", mark.id),
                title: format!("#{} {}{took}", mark.number, status.word),
                at: mark.created_at.to_string(),
                status,
                x: (room - marks.len() + index) * STEP,
                width: WIDTH,
                y: tall - height,
                height,
                below: if is_bad(mark.status) { below } else { 0 },
            }
        };
        Self {
            bars: marks.iter().enumerate().map(bar).collect(),
            width: (room * STEP).saturating_sub(STEP - WIDTH),
            height: tall + below + 1,
            line: tall,
            told: told(marks),
        }
    }

    /// How long its builds took, in the middle and at most.
    pub(super) fn durations(marks: &[BuildMark], now: Timestamp) -> Option<(String, String)> {
        let mut ended: Vec<_> = marks
            .iter()
            .filter_map(|mark| Some((mark.started_at?, mark.finished_at?)))
            .map(|(started, finished)| finished.since(started))
            .collect();
        ended.sort_unstable();
        let shown = |took: std::time::Duration| {
            duration(Some(now.minus(took)), Some(now), now).unwrap_or_default()
        };
        Some((shown(*ended.get(ended.len() / 2)?), shown(*ended.last()?)))
    }
}

fn is_bad(status: BuildStatus) -> bool {
    matches!(status.as_str(), "failure" | "error" | "cancelled")
}

/// How many there are of each status, the most frequent first.
fn told(marks: &[BuildMark]) -> String {
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for mark in marks {
        let word = mark.status.as_str();
        match counts.iter_mut().find(|(_, known)| *known == word) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, word)),
        }
    }
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let counts: Vec<String> =
        counts.iter().map(|(count, word)| format!("{count} {word}")).collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BuildId;

    fn mark(number: i64, status: &str, took: Option<i64>) -> BuildMark {
        BuildMark {
            id: BuildId(number),
            number,
            status: status.parse().unwrap(),
            created_at: Timestamp(0),
            started_at: took.map(|_| Timestamp(0)),
            finished_at: took.map(Timestamp),
        }
    }

    #[test]
    fn a_bar_is_as_tall_as_its_build_took() {
        let marks = [
            mark(1, "success", Some(1_000)),
            mark(2, "failure", Some(4_000)),
            mark(3, "enqueued", None),
        ];
        let chart = Chart::new(ProjectId(7), &marks, (40, 10), Timestamp(9_000));
        let shown: Vec<_> =
            chart.bars.iter().map(|bar| (bar.x, bar.y, bar.height, bar.below)).collect();
        assert_eq!(shown, [(28, 30, 10, 0), (32, 0, 40, 6), (36, 38, 2, 0)]);
        assert_eq!((chart.width, chart.height, chart.line), (39, 47, 40));
        assert_eq!(chart.bars[1].title, "#2 failure, 4.0 s");
        assert_eq!(chart.bars[1].url, "/projects/7/builds/2/");
        assert_eq!(chart.told, "1 success, 1 failure, 1 enqueued");
        let (median, longest) = Chart::durations(&marks, Timestamp(9_000)).unwrap();
        assert_eq!((median.as_str(), longest.as_str()), ("4.0 s", "4.0 s"));
    }

    #[test]
    fn nothing_and_what_took_no_time_have_a_chart_as_well() {
        let chart = Chart::new(ProjectId(1), &[], (40, 0), Timestamp(0));
        assert!(chart.bars.is_empty() && chart.told.is_empty());
        assert!(Chart::durations(&[], Timestamp(0)).is_none());
        let marks = [mark(1, "success", Some(0))];
        assert_eq!(Chart::new(ProjectId(1), &marks, (40, 1), Timestamp(0)).bars[0].height, 2);
    }
}
