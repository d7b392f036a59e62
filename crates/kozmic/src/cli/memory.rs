//! Memory that the C library and the system manage for the program. Their defaults are for
//! programs that end soon.

use std::ops::Range;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::shutdown::Shutdown;

/// What a start leaves goes soon after it, and what jobs leave within a minute.
const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_mins(1);

/// glibc would give threads arenas of their own, up to eight for each processor (mallopt(3),
/// `M_ARENA_MAX`). What is free in one is of no use to the others, so a server would grow for
/// thousands of jobs, to several times what it needs. Threads keep small blocks for themselves
/// all the same. To be called before there are threads.
pub(super) fn have_one_arena() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library takes this by a call alone")]
    // SAFETY: two numbers are passed.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back to the system now and then, until shutdown, what is free and what of the program
/// is not in use. By itself glibc does so only at an arena's end; free pages below something
/// that is still needed would stay (malloc_trim(3)).
pub(super) async fn give_back(shutdown: Shutdown) {
    let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        // They walk all that is free and mapped, for milliseconds.
        let given = tokio::task::spawn_blocking(|| {
            trim();
            unmap_program();
        });
        if given.await.is_err() {
            return;
        }
    }
}

fn trim() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the C library takes this by a call alone")]
    // SAFETY: a number is passed, and the call is safe beside other threads (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What ran or was read once, at the start or for the last job, would stay mapped for good, several
/// times as much as a server at rest uses. What is needed again is mapped again then, 16 pages at
/// a time, from the system's cache (madvise(2), `MADV_DONTNEED`).
fn unmap_program() {
    let mapped = std::fs::read_to_string("/proc/self/smaps").ok();
    let program = std::fs::read_link("/proc/self/exe").ok();
    let Some((mapped, program)) = mapped.zip(program) else { return };
    for at in program.to_str().into_iter().flat_map(|program| unchanged(&mapped, program)) {
        #[expect(unsafe_code, reason = "the system takes this by a call alone")]
        // SAFETY: no byte of it was ever written, so that all come back as they are in the file.
        unsafe {
            let from = std::ptr::with_exposed_provenance_mut(at.start);
            libc::madvise(from, at.len(), libc::MADV_DONTNEED);
        }
    }
}

/// Where the program's code and constants lie, by proc_pid_smaps(5), but for what a debugger or a
/// probe has changed, which would be lost.
fn unchanged(mapped: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut lines = mapped.lines();
    while let Some(head) = lines.find(|line| line.ends_with(program)) {
        // What the loader has changed before it became read-only is further on in the file.
        let is_constant = head.contains(" r-xp ") || head.contains(" r--p 00000000 ");
        let sizes = ["Anonymous:", "Swap:"]
            .map(|name| lines.find_map(|line| line.strip_prefix(name)).map(str::trim));
        if is_constant && sizes == [Some("0 kB"); 2] {
            found.extend(range(head));
        }
    }
    found
}

/// The addresses that a line begins with.
fn range(head: &str) -> Option<Range<usize>> {
    let (from, until) = head.split_once(' ')?.0.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(from)?..address(until)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    static CONSTANT: [u8; 3 * 4096] = [7; 3 * 4096];

    #[test]
    fn a_program_goes_on_after_it_was_unmapped() {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let found = || {
            let mapped = std::fs::read_to_string("/proc/self/smaps").unwrap();
            unchanged(&mapped, program.to_str().unwrap())
        };
        let before = found();
        let code = range as *const () as usize;
        assert!(before.iter().any(|it| it.contains(&code)), "{code:x} is not in {before:x?}");
        unmap_program();
        assert_eq!(found(), before);
        assert!(CONSTANT.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn what_was_changed_is_left_alone() {
        let of = |anonymous: &str, swap: &str| {
            let mapped = |head: &str, anonymous: &str, swap: &str| {
                format!("{head}\nRss:  12 kB\nAnonymous:  {anonymous} kB\nSwap:  {swap} kB\n")
            };
            let parts = [
                mapped("1000-2000 r--p 00000000 fe:00 7 /opt/kozmic", "0", "0"),
                mapped("2000-5000 r-xp 00001000 fe:00 7 /opt/kozmic", anonymous, swap),
                mapped("5000-6000 r--p 00004000 fe:00 7 /opt/kozmic", "0", "0"),
                mapped("6000-7000 rw-p 00005000 fe:00 7 /opt/kozmic", "0", "0"),
                mapped("8000-9000 r-xp 00000000 fe:00 8 /lib/libc.so.6", "0", "0"),
            ];
            let found = unchanged(&parts.concat(), "/opt/kozmic");
            found.iter().map(|at| (at.start, at.end)).collect::<Vec<_>>()
        };
        assert_eq!(of("0", "0"), [(0x1000, 0x2000), (0x2000, 0x5000)]);
        assert_eq!(of("4", "0"), [(0x1000, 0x2000)]);
        assert_eq!(of("0", "4"), [(0x1000, 0x2000)]);
    }
}
