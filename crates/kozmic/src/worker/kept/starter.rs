//! What a shell starts with, and how it is ended.

use crate::engine::{Account, Upload};
use crate::worker::script::exports;

/// Makes a shell what the script found: its variables, and its folder. Also what an
/// image that is pulled starts with.
pub(super) const STARTER: &str = "/kozmic/shell";
pub(super) const FOLDER: &str = "/kozmic/src";

pub(super) fn upload(env: &[(String, String)], account: &Account) -> Upload {
    let home = account.home.iter().map(|home| ("HOME", home.as_str()));
    let env = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let text = format!(
        "# What the script found: its variables and its folder. The script is /kozmic/script.\n\
         {}\
         cd {FOLDER} 2>/dev/null || cd /\n\
         if [ $# -gt 0 ]; then exec \"$@\"; fi\n\
         if [ -x /bin/bash ]; then exec /bin/bash; fi\n\
         exec /bin/sh\n",
        exports(home.chain(env))
    );
    Upload::new(account.owner).file(STARTER.trim_start_matches('/'), text, 0o644)
}

/// Notes the session that the shell leads, in memory that every container has for itself
/// (shm_overview(7)), so that it can be ended.
pub(super) fn command(session: &str) -> String {
    format!("{{ echo $$ >{} ; }} 2>/dev/null; exec /bin/sh {STARTER}", note(session))
}

/// Kills what is of the session, whatever it has started, but for what began a session of
/// its own. With what a shell has of its own: an image need not have ps(1) (proc(5) for
/// the fields).
pub(super) fn end(session: &str) -> String {
    format!(
        "read -r leader <{} || exit 0\n\
         for round in 1 2; do for process in /proc/[0-9]*; do\n\
         read -r line <$process/stat || continue\n\
         set -- ${{line##*) }}\n\
         [ \"$4\" = \"$leader\" ] && kill -9 ${{process#/proc/}}\n\
         done; done 2>/dev/null\n\
         : >{}",
        note(session),
        note(session)
    )
}

fn note(session: &str) -> String {
    format!("/dev/shm/.kozmic-{session}")
}
