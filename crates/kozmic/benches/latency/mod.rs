//! How long a line is on its way from a script to a viewer. Both look at the same clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;

use crate::harness::World;
use crate::harness::tailer::{Socket, tailer};

/// Before the time in each line, which no number of a row has.
const MARK: &str = "at=";

/// How long scripts write, BENCH_SECONDS or a minute.
pub fn seconds() -> usize {
    std::env::var("BENCH_SECONDS").map_or(60, |text| text.parse().unwrap())
}

/// Writes each line with its time in microseconds, a hundredth of a second's at a time.
pub fn script(per_second: usize, seconds: usize) -> String {
    let (rounds, lines) = if per_second >= 100 {
        (seconds * 100, per_second / 100)
    } else {
        (seconds * per_second, 1)
    };
    format!(
        r#"#!/usr/bin/perl
use Time::HiRes qw(time sleep);
$| = 1;
my $start = time;
for my $round (1 .. {rounds}) {{
  for (1 .. {lines}) {{ printf "{MARK}%d some words of a line as tests write them\n", time * 1e6 }}
  my $rest = $start + $round * {seconds} / {rounds} - time;
  sleep $rest if $rest > 0;
}}
"#
    )
}

/// The times of all lines, as far as they were on their way.
pub async fn watch(
    world: &World,
    url: &str,
    uuid: &str,
) -> impl Future<Output = Vec<Duration>> + Send + use<> {
    let socket = tailer(world, url, uuid, "").await;
    seen(socket)
}

/// Each line once, in its order.
async fn seen(mut socket: Socket) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let mut next = 1_u64;
    while let Some(message) = socket.next().await {
        let message = message.unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let Ok(text) = message.to_text() else { continue };
        if text.contains("\"finished\"") {
            return latencies;
        }
        for row in text.split(" id=\\\"L").skip(1) {
            let number: u64 = row.split_once('\\').unwrap().0.parse().unwrap();
            assert_eq!(number, next, "a line is lost, or came twice");
            next += 1;
            let at = row.split_once(MARK).unwrap().1.split_once(' ').unwrap().0;
            let at = Duration::from_micros(at.parse().unwrap());
            latencies.push(now.saturating_sub(at));
        }
    }
    panic!("the socket was closed before `finished`");
}

/// Of all lines and viewers.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn times(&self) -> &[Duration] {
        &self.0
    }

    /// Those of one viewer, who saw so many lines.
    pub fn add(&mut self, of_one: Vec<Duration>, lines: usize) {
        assert_eq!(of_one.len(), lines);
        self.0.extend(of_one);
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        let (median, p99, most) = (at(50), at(99), at(100));
        write!(f, "median {median:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms")
    }
}
