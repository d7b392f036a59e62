//! How soon a log of a million lines (101 MB) is open at any line, how long it takes to
//! archive it, and to find a word in it: in a folder, live and archived.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use kozmic::log::{Archived, Bus, LiveLog, Logs, Query, Sink as _};
use kozmic::model::JobUuid;
use kozmic::objects::Objects;

use crate::figures::Figure;
use crate::timing;

const LINES: u64 = 1_000_000;
/// Bytes of a line, its newline included.
const WIDTH: usize = 101;
/// Bytes that come from a container at a time.
const WRITTEN: usize = 32 * 1024;
const ROUNDS: u64 = 15;
/// Where the word stands that is looked for.
const RARE: u64 = 987_654;

/// Compiler output, more or less: colours, a name, numbers that differ.
fn line(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = if number == RARE { "needle" } else { "module" };
    let mut line = format!(
        "\x1b[2m{number:>9}\x1b[0m   Compiling {word}-{:x} v{}.{}.{} (/kozmic/src/crates/{:x})",
        mixed >> 44,
        mixed % 7,
        mixed % 31,
        mixed % 13,
        mixed >> 32 & 0xfff,
    );
    line.truncate(WIDTH - 1);
    while line.len() < WIDTH - 1 {
        line.push('.');
    }
    line.push('\n');
    line
}

fn logs(folder: &Path) -> Logs {
    Logs::new(folder, Objects::in_folder(&folder.join("objects")).unwrap())
}

/// The most memory that this process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Forgets the peak so far (proc(5), clear_refs).
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[tokio::main]
pub async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let job = JobUuid::random();
    let mut live = LiveLog::open(logs(folder.path()).folder(), job, &Bus::default()).unwrap();
    let text: String = (1..=LINES).map(line).collect();
    assert_eq!(text.len(), 101_000_000);
    let begin = Instant::now();
    for part in text.as_bytes().chunks(WRITTEN) {
        live.append(part).unwrap();
    }
    live.sync().unwrap();
    println!("written and indexed in {:.2} s", begin.elapsed().as_secs_f64());
    drop((live, text));
    measure("live", folder.path(), job).await;

    forget_peak();
    let (rest, begin) = (peak(), Instant::now());
    let Archived::Bytes(bytes) = logs(folder.path()).archive(job).await.unwrap() else {
        std::process::exit(1)
    };
    println!(
        "archived and verified in {:.2} s: {:.1} MB, {:.1} times smaller; {} MiB above {rest} MiB at rest",
        begin.elapsed().as_secs_f64(),
        bytes as f64 / 1e6,
        101e6 / bytes as f64,
        peak() - rest
    );
    measure("archived", folder.path(), job).await;
}

/// Each time as a server does that has just been started.
async fn measure(title: &str, folder: &Path, job: JobUuid) {
    forget_peak();
    let rest = peak();
    let query = Query::new("needle-", false, true).unwrap();
    let [mut open, mut jump, mut find, mut read] = [const { Vec::<Duration>::new() }; 4];
    for round in 0..ROUNDS {
        let logs = logs(folder);
        let begin = Instant::now();
        let mut reader = logs.reader(job).await.unwrap().unwrap();
        let rows = reader.rows(900_000, 100).await.unwrap();
        open.push(begin.elapsed());
        assert!(rows[99].number == 900_099 && rows[99].html.contains("900099"));
        let begin = Instant::now();
        let to = 1 + round * 66_000;
        let rows = reader.rows(to, 100).await.unwrap();
        jump.push(begin.elapsed());
        assert!(rows[0].number == to && rows.len() == 100);
        if round % 3 == 0 {
            let begin = Instant::now();
            let (mut from, mut matches) = (1, Vec::new());
            loop {
                let found = reader.find(&query, from).await.unwrap();
                matches.extend(found.matches);
                let Some(next) = found.next else { break };
                from = next;
            }
            find.push(begin.elapsed());
            assert_eq!(matches.iter().map(|it| it.number).collect::<Vec<_>>(), [RARE]);
            let begin = Instant::now();
            let sizes = reader.bytes(0).map_ok(|bytes| bytes.len());
            let size = sizes.try_fold(0, |sum, size| async move { Ok(sum + size) });
            assert_eq!(size.await.unwrap(), 101_000_000);
            read.push(begin.elapsed());
        }
    }
    let mut rows = [
        ("open at line 900,000 (200 at the most)", open),
        ("jump to another line (100 at the most)", jump),
        ("find a word in all of it (1,000 at the most)", find),
        ("read all of it", read),
    ];
    timing::table(title, &mut rows);
    let limits = [Some(200.0), Some(100.0), Some(1000.0), None];
    for ((what, times), limit) in rows.iter().zip(limits) {
        let what = what.split(" (").next().unwrap_or_default();
        let what = format!("a {title} log of 1,000,000 lines: {what}");
        let figure = Figure::times("log_open", &what, times);
        match limit {
            Some(most) => figure.at_most("median", most).write(),
            None => figure.write(),
        }
    }
    println!("memory: {} MiB above {rest} MiB at rest\n", peak() - rest);
}
