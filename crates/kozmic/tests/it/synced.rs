//! What is acknowledged is on the disk: the order of the server's system calls.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Child;

use crate::again::press;
use crate::crash::{free_url, said, start_as};
use crate::harness::trace::{self, Call};
use crate::harness::{BASE, World, eventually, hook, push_payload};

/// More than one page of the database.
const SHOWN: &str = "5000";
const CALLS: &str =
    "trace=fsync,fdatasync,write,writev,pwrite64,sendto,sendmsg,read,readv,recvfrom,recvmsg";

/// A delivery, known by its GUID, was in the database's synced log before the first
/// byte of its answer was sent. What is wrong otherwise.
fn is_synced_before_its_answer(calls: &[Call], guid: &str) -> Result<(), String> {
    let asked = calls
        .iter()
        .find(|call| call.on().starts_with("socket:") && call.arguments.contains(guid))
        .ok_or(format!("no request with {guid} was read"))?;
    let answer = calls
        .iter()
        .find(|call| {
            let is_answer = call.writes() && call.arguments.contains("\"HTTP/1.1 200 ");
            call.on() == asked.on() && asked.is_before(call) && is_answer
        })
        .ok_or(format!("{guid} was not answered with 200"))?;
    is_committed(calls, asked, answer, &[guid]).map_err(|what| format!("{guid}: {what}"))
}

/// Between two calls, a page with these words was written to the database's log, and
/// the log then synced by the same thread.
fn is_committed(calls: &[Call], from: &Call, to: &Call, words: &[&str]) -> Result<(), String> {
    let written = written_to_database(calls, from, words)?;
    let synced = calls
        .iter()
        .find(|call| {
            let is_its = call.thread == written.thread && call.on() == written.on();
            is_its && call.has_synced() && written.is_before(call)
        })
        .ok_or("the database's log was not synced")?;
    if synced.is_before(to) { Ok(()) } else { Err("the sync was not over in time".into()) }
}

fn written_to_database<'a>(
    calls: &'a [Call],
    from: &Call,
    words: &[&str],
) -> Result<&'a Call, String> {
    let is_it = |call: &&Call| {
        let is_page = call.writes() && call.on().ends_with("/kozmic.db-wal");
        is_page && from.is_before(call) && words.iter().all(|word| call.arguments.contains(word))
    };
    calls.iter().find(is_it).ok_or(format!("{words:?} was not written to the database"))
}

/// All of a job's log was synced before its end (told by these words beside its
/// UUID) was written to the database.
fn is_log_synced_before_its_end(calls: &[Call], job: &str, end: &str) -> Result<(), String> {
    let name = format!("/{job}.log");
    let last = calls
        .iter()
        .rfind(|call| call.writes() && call.on().ends_with(&name))
        .ok_or(format!("no log of {job} was written"))?;
    // Not only after the log's last line: before it as well, the end would be told.
    let kept = written_to_database(calls, &calls[0], &[job, end])?;
    let is_synced = calls.iter().any(|call| {
        call.has_synced() && call.on() == last.on() && last.is_before(call) && call.is_before(kept)
    });
    if is_synced { Ok(()) } else { Err(format!("the log of {job} was not synced before its end")) }
}

/// A server whose calls are written to a file.
async fn start_traced(world: &World, url: &str, file: &Path) -> Child {
    let serve = world.command(url, &["serve"]);
    let serve = serve.as_std();
    let mut traced = tokio::process::Command::new("strace");
    // -D: the server is this test's child, and strace ends with it.
    traced.args(["-D", "-f", "-y", "--seccomp-bpf", "-a", "1", "-s", SHOWN, "-e", CALLS, "-o"]);
    traced.arg(file).arg(serve.get_program()).args(serve.get_args());
    traced.env_clear().envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.current_dir(world.folder()).stdout(Stdio::null()).kill_on_drop(true);
    let server = start_as(world, url, &mut traced).await;
    let begun = std::fs::read(file).unwrap_or_default();
    assert!(
        !begun.is_empty(),
        "strace can't trace here; give the container that runs the tests CAP_SYS_PTRACE: {}",
        said(world)
    );
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_wrote_is_on_the_disk_while_it_runs() {
    let world = World::new().await;
    let url = free_url();
    let file = world.folder().join("trace");
    let _server = start_traced(&world, &url, &file).await;
    // No more output than one line, and no end, would bring the sync about.
    let script = "#!/bin/sh\necho the only line\nsleep 600\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("code", b"7")]).await;
    eventually("the line to be synced", async || {
        let text = std::fs::read(&file).unwrap();
        let calls = trace::parse(&String::from_utf8_lossy(&text));
        let is_log = |call: &Call| call.on().contains("/logs/");
        let written = calls.iter().find(|call| {
            is_log(call) && call.writes() && call.arguments.contains("the only line")
        })?;
        let is_synced =
            |call: &Call| call.on() == written.on() && call.has_synced() && written.is_before(call);
        calls.iter().any(is_synced).then_some(())
    })
    .await;
    press(&world, &url, "/projects/1/jobs/1/cancel/").await;
    assert_eq!(world.finished(&url, &sha).await.status, "cancelled");
    world.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_the_disk() {
    let world = World::new().await;
    let url = free_url();
    // Pushed before there is a hook: the test delivers them itself.
    let (first, second) =
        (world.push(&[("code", b"7")]).await, world.push(&[("code", b"8")]).await);
    let file = world.folder().join("trace");
    let mut server = start_traced(&world, &url, &file).await;

    let script = "#!/bin/bash\nfor n in 1 2 3; do echo line $n; sleep 0.2; done\nexit $(<code)\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let deliveries = [("guid-of-the-first", &first), ("guid-of-the-second", &second)];
    for (guid, sha) in deliveries {
        let payload = push_payload(project.repository.gh_id, "main", sha, "x");
        let answer = world.deliver(&url, &hook, "push", guid, &payload).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text().await.unwrap().ends_with("with 1 job is enqueued."));
    }
    let (one, two) = (world.finished(&url, &first).await, world.finished(&url, &second).await);
    world.nothing_left().await;
    let pid = server.id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").arg(&pid).status().await.unwrap().success());
    assert_eq!(server.wait().await.unwrap().code(), Some(0), "{}", said(&world));
    let text = eventually("the trace's end", async || {
        let text = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
        // strace pads the numbers of processes.
        let is_end = |line: &str| {
            line.split_whitespace().eq([pid.as_str(), "+++", "exited", "with", "0", "+++"])
        };
        text.lines().any(is_end).then_some(text)
    })
    .await;

    let calls = trace::parse(&text);
    // The same without any sync: what is asked below can be denied.
    let unsynced: Vec<Call> = calls.iter().filter(|call| !call.has_synced()).cloned().collect();
    for (guid, _) in deliveries {
        assert_eq!(is_synced_before_its_answer(&calls, guid), Ok(()));
        let denied = is_synced_before_its_answer(&unsynced, guid).unwrap_err();
        assert_eq!(denied, format!("{guid}: the database's log was not synced"));
    }
    for (build, code) in [(one, 7), (two, 8)] {
        let (job, end) = (&build.jobs[0], format!("the script ended with {code}"));
        assert_eq!((job.return_code, job.reason.as_str()), (Some(code), end.as_str()));
        assert_eq!(is_log_synced_before_its_end(&calls, &job.uuid, &end), Ok(()));
        assert!(is_log_synced_before_its_end(&unsynced, &job.uuid, &end).is_err());
    }
}

/// Two deliveries, each handled by two threads that take turns.
const DELIVERIES: &str = r#"
10 execve("/bin/kozmic", ["kozmic", "serve"], 0x7ff /* 9 vars */) = 0
10 recvfrom(9<socket:[70]>,  <unfinished ...>
11 fdatasync(5</d/kozmic.db-wal>) = 0
10 <... recvfrom resumed>"POST /_hooks/hook/1/ HTTP/1.1\r\nx-github-delivery: g-1\r\n", 8192, 0, NULL, NULL) = 300
12 pwrite64(5</d/kozmic.db-wal>, "\n\2g-1 ) = 0\0", 4096, 56) = 4096
12 fdatasync(5</d/kozmic.db-wal> <unfinished ...>
10 write(3<anon_inode:[eventfd]>, "\1\0\0\0\0\0\0\0", 8) = 8
12 <... fdatasync resumed>) = 0
10 writev(9<socket:[70]>, [{iov_base="HTTP/1.1 200 OK\r\n", iov_len=17}], 1) = 17
10 --- SIGTERM {si_signo=SIGTERM} ---
10 +++ exited with 0 +++
"#;

#[test]
fn an_answer_without_its_sync_is_noticed() {
    let check = |text: &str| is_synced_before_its_answer(&trace::parse(text), "g-1");
    assert_eq!(check(DELIVERIES), Ok(()));
    let without = |wrong: fn(&str) -> bool| {
        DELIVERIES.lines().filter(|line| !wrong(line)).collect::<Vec<_>>().join("\n")
    };
    let never = "g-1: the database's log was not synced";
    for (what, changed, expected) in [
        ("no sync", without(|line| line.contains("fdatasync")), never),
        ("no end of it", without(|line| line.contains("fdatasync resumed")), never),
        (
            "a sync that failed",
            DELIVERIES.replace(
                "fdatasync resumed>) = 0",
                "fdatasync resumed>) = -1 EIO (Input/output error)",
            ),
            never,
        ),
        (
            "of another file",
            DELIVERIES.replace("fdatasync(5</d/kozmic.db-wal> <", "fdatasync(5</d/kozmic.db> <"),
            never,
        ),
        (
            "of another thread",
            DELIVERIES.replace("12 fdata", "11 fdata").replace("12 <", "11 <"),
            never,
        ),
        (
            "nothing was written",
            without(|line| line.contains("pwrite64")),
            "g-1: [\"g-1\"] was not written to the database",
        ),
        ("no request", without(|line| line.contains("recvfrom")), "no request with g-1 was read"),
        ("no answer", DELIVERIES.replace("200 OK", "500 No"), "g-1 was not answered with 200"),
    ] {
        assert_eq!(check(&changed), Err(expected.to_owned()), "{what}");
    }
    // The answer's first byte, while the sync goes on.
    let mut lines: Vec<&str> = DELIVERIES.lines().collect();
    let answer = lines.iter().position(|line| line.contains("writev")).unwrap();
    lines.swap(answer, answer - 1);
    assert_eq!(check(&lines.join("\n")), Err("g-1: the sync was not over in time".into()));
}

#[test]
fn an_end_without_its_log_is_noticed() {
    let text = r#"
10 write(7</d/logs/ab/abc.log>, "line", 4) = 4
10 fdatasync(7</d/logs/ab/abc.log>) = 0
10 write(7</d/logs/ab/abc.log>, "last", 4) = 4
10 fdatasync(7</d/logs/ab/abc.log>) = 0
12 pwrite64(5</d/kozmic.db-wal>, "abc the script ended with 7", 4096, 56) = 4096
"#;
    let check = |text: &str| {
        is_log_synced_before_its_end(&trace::parse(text), "abc", "the script ended with 7")
    };
    assert_eq!(check(text), Ok(()));
    let unsynced = Err("the log of abc was not synced before its end".to_owned());
    let lines: Vec<&str> = text.lines().collect();
    let in_order = |order: &[usize]| order.iter().map(|&n| lines[n]).collect::<Vec<_>>().join("\n");
    assert_eq!(check(&in_order(&[1, 2, 3, 5])), unsynced, "not after the last line");
    assert_eq!(check(&in_order(&[1, 2, 3, 5, 4])), unsynced, "too late");
    assert_eq!(check(&in_order(&[1, 2, 5, 3, 4])), unsynced, "a line after the end");
}
