//! Memory that the C library manages. glibc's defaults are for programs that end soon.

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

/// Gives free memory back to the system now and then, until shutdown. By itself glibc does so
/// only at an arena's end; free pages below something that is still needed would stay
/// (malloc_trim(3)).
pub(super) async fn give_back(shutdown: Shutdown) {
    let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        // It walks all that is free, for milliseconds.
        if tokio::task::spawn_blocking(trim).await.is_err() {
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
