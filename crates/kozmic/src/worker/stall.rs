//! The stall report: what the processes of a silent container are doing, kept in
//! the log before it is stopped.

use std::collections::{BTreeMap, BTreeSet};

/// Runs in the container's own `/bin/sh`, with nothing but its builtins where the
/// image has no more. Twice, a second apart, so that what works can be told from
/// what waits (proc(5): stat, io, cmdline).
pub(super) const LOOK: &str = r#"
look() {
  for d in /proc/[0-9]*; do
    p=${d#/proc/}
    read -r line 2>/dev/null < $d/stat && echo "stat $line"
    while read -r key value; do echo "io $p $key $value"; done 2>/dev/null < $d/io
    echo "cmd $p $(tr '\000' ' ' 2>/dev/null < $d/cmdline)"
  done
}
echo "self $$"
look
echo again
sleep 1
look
"#;

/// The ticks in which proc(5) counts time; the same on every Linux of today.
const TICKS: u64 = 100;
/// Processes in a report, at the most.
const LIMIT: usize = 200;

#[derive(Debug, Default, Clone)]
struct Process {
    parent: u32,
    state: char,
    name: String,
    command: String,
    ticks: u64,
    read: Option<u64>,
    written: Option<u64>,
}

type Processes = BTreeMap<u32, Process>;

/// The lines of the report; none when nothing could be learned.
pub(super) fn report(looked: &str) -> Vec<String> {
    let own: Option<u32> = looked.lines().find_map(|line| line.strip_prefix("self ")?.parse().ok());
    let (first, second) = looked.split_once("\nagain\n").unwrap_or((looked, ""));
    let (before, mut now) = (parse(first), parse(second));
    if now.is_empty() {
        now.clone_from(&before);
    }
    // Who looks is no part of what is looked at.
    if let Some(own) = own {
        now.retain(|pid, process| *pid != own && process.parent != own);
    }
    let mut lines = Vec::new();
    let parents: BTreeSet<u32> = now.keys().copied().collect();
    for (pid, process) in &now {
        if !parents.contains(&process.parent) {
            write_tree(&now, &before, *pid, 0, &mut lines);
        }
    }
    if lines.is_empty() {
        return lines;
    }
    lines.truncate(LIMIT);
    let head = format!(
        "{:>7}  {:<9} {:>9} {:>5} {:>9} {:>9}  {}",
        "PID", "STATE", "CPU", "NOW", "READ", "WRITTEN", "COMMAND"
    );
    lines.insert(0, head);
    lines
}

fn write_tree(
    now: &Processes,
    before: &Processes,
    pid: u32,
    depth: usize,
    lines: &mut Vec<String>,
) {
    let Some(process) = now.get(&pid) else { return };
    if lines.len() > LIMIT {
        return;
    }
    let worked = before.get(&pid).map_or(0, |earlier| process.ticks.saturating_sub(earlier.ticks));
    let command = if process.command.is_empty() { &process.name } else { &process.command };
    let seconds = format!("{}.{:02} s", process.ticks / TICKS, process.ticks % TICKS);
    lines.push(format!(
        "{pid:>7}  {:<9} {seconds:>9} {:>4}% {:>9} {:>9}  {}{command:.120}",
        state(process.state),
        worked * 100 / TICKS,
        size(process.read),
        size(process.written),
        "  ".repeat(depth.min(20)),
    ));
    let children = now.iter().filter(|(child, process)| process.parent == pid && **child != pid);
    for (child, _) in children {
        write_tree(now, before, *child, depth + 1, lines);
    }
}

fn parse(text: &str) -> Processes {
    let mut processes = Processes::new();
    for line in text.lines() {
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        match kind {
            "stat" => {
                if let Some((pid, process)) = parse_stat(rest) {
                    let known = processes.entry(pid).or_default();
                    *known = Process { command: known.command.clone(), ..process };
                }
            }
            "io" | "cmd" => {
                let (pid, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let Some(process) = pid.parse().ok().and_then(|pid| processes.get_mut(&pid)) else {
                    continue;
                };
                match (kind, rest.split_once(' ')) {
                    ("io", Some(("rchar:", count))) => process.read = count.parse().ok(),
                    ("io", Some(("wchar:", count))) => process.written = count.parse().ok(),
                    ("cmd", _) => {
                        process.command = rest.trim().chars().filter(|c| !c.is_control()).collect();
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    processes
}

/// `pid (name) state ppid …`; the name may hold blanks and parentheses.
fn parse_stat(line: &str) -> Option<(u32, Process)> {
    let (pid, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let process = Process {
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        name: name.chars().filter(|c| !c.is_control()).collect(),
        ticks: number(11)? + number(12)?,
        ..Process::default()
    };
    Some((pid.parse().ok()?, process))
}

fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "in I/O",
        'T' | 't' => "stopped",
        'Z' => "zombie",
        'I' => "idle",
        _ => "unknown",
    }
}

fn size(bytes: Option<u64>) -> String {
    match bytes {
        None => "?".into(),
        Some(bytes @ 0..1_024) => format!("{bytes} B"),
        Some(bytes @ 1_024..1_048_576) => format!("{} KiB", bytes >> 10),
        Some(bytes @ 1_048_576..1_073_741_824) => format!("{} MiB", bytes >> 20),
        Some(bytes) => format!("{} GiB", bytes >> 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKED: &str = "self 40
stat 1 (docker-init) S 0 1 1 0 -1 4194560 100 0 0 0 2 1 0 0 20 0 1 0 0 0
cmd 1 /sbin/docker-init -- /bin/sh /kozmic/start
stat 7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 50 25 0 0 20 0 1 0 0 0
io 7 rchar: 2048
io 7 wchar: 10
cmd 7 bash /kozmic/script
stat 9 (burn) R 7 7 7 0 -1 0 100 0 0 0 1000 0 0 0 20 0 1 0 0 0
cmd 9
stat 40 (sh) S 0 40 40 0 -1 0 100 0 0 0 0 0 0 0 20 0 1 0 0 0
again
stat 1 (docker-init) S 0 1 1 0 -1 4194560 100 0 0 0 2 1 0 0 20 0 1 0 0 0
cmd 1 /sbin/docker-init -- /bin/sh /kozmic/start
stat 7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 50 25 0 0 20 0 1 0 0 0
io 7 rchar: 2048
io 7 wchar: 10
cmd 7 bash /kozmic/script
stat 9 (burn) R 7 7 7 0 -1 0 100 0 0 0 1098 0 0 0 20 0 1 0 0 0
cmd 9
stat 40 (sh) S 0 40 40 0 -1 0 100 0 0 0 0 0 0 0 20 0 1 0 0 0
stat 41 (sleep) S 40 40 40 0 -1 0 100 0 0 0 0 0 0 0 20 0 1 0 0 0
";

    #[test]
    fn a_report_shows_the_tree_and_who_works() {
        let lines = report(LOOKED);
        let shown: Vec<Vec<&str>> =
            lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(shown[0], ["PID", "STATE", "CPU", "NOW", "READ", "WRITTEN", "COMMAND"]);
        assert_eq!(shown[1][..6], ["1", "sleeping", "0.03", "s", "0%", "?"]);
        assert_eq!(
            shown[2],
            ["7", "sleeping", "0.75", "s", "0%", "2", "KiB", "10", "B", "bash", "/kozmic/script"]
        );
        assert_eq!(shown[3], ["9", "running", "10.98", "s", "98%", "?", "?", "burn"]);
        assert_eq!(lines.len(), 4, "who looks is left out");
        assert!(
            lines[3].ends_with("      burn") && lines[2].ends_with("    bash /kozmic/script"),
            "{lines:?}"
        );
    }

    #[test]
    fn what_can_t_be_read_does_no_harm() {
        assert!(report("").is_empty());
        assert!(report("sh: not found\nagain\n").is_empty());
        assert!(report("stat 1\nstat 2 (x\nio\ncmd x y\nstat 3 (y) S\n").is_empty());
        let loops = "stat 5 (a) S 6 0 0 0 0 0 0 0 0 0 0 0\nstat 6 (b) S 5 0 0 0 0 0 0 0 0 0 0 0\n";
        assert!(report(loops).len() <= 3);
    }
}
