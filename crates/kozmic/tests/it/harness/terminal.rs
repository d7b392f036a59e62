//! `kozmic shell` in a pseudo terminal, as a person uses it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use super::{World, eventually};

/// Said when the client is gone.
const AS_BEFORE: &str = "the terminal is as before";

/// Somebody at a terminal: util-linux's script(1) makes it and passes on the exit code.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
    /// Up to here it was looked at.
    seen: usize,
    pub device: String,
}

impl Terminal {
    /// Opens a shell in a job, in a terminal of 91 columns and 33 rows.
    pub async fn shell(world: &World, url: &str, job: i64) -> Self {
        let program = env!("CARGO_BIN_EXE_kozmic");
        let line = format!(
            "tty; stty cols 91 rows 33; before=$(stty -g); '{program}' shell {job}; code=$?\n\
             [ \"$(stty -g)\" = \"$before\" ] && echo '{AS_BEFORE}'; exit $code"
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("KOZMIC_SERVER", url)
            .env("KOZMIC_TOKEN", world.api_token().await)
            .current_dir(world.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("script(1), of Debian's bsdutils");
        let keyboard = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = screen.clone();
        tokio::spawn(async move {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece).await {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        let mut terminal = Self { child, keyboard, screen, seen: 0, device: String::new() };
        let first = terminal.until("\n").await;
        first.trim().clone_into(&mut terminal.device);
        assert!(terminal.device.starts_with("/dev/"), "{first}");
        terminal
    }

    pub async fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).await.unwrap();
        self.keyboard.flush().await.unwrap();
    }

    /// What it showed since it was looked at last, up to `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let (screen, seen) = (self.screen.clone(), self.seen);
        let what = format!("{end:?} on the screen");
        let looking = eventually(&what, async || {
            let screen = screen.lock().unwrap();
            let at = screen[seen..].find(end)?;
            Some(screen[seen..seen + at + end.len()].to_owned())
        });
        let shown =
            futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(looking)).await;
        let shown = shown.unwrap_or_else(|_| {
            panic!("no {end:?} on the screen: {:?}", &self.screen.lock().unwrap()[seen..])
        });
        self.seen += shown.len();
        shown
    }

    /// Types a command; what it printed.
    pub async fn runs(&mut self, command: &str) -> String {
        // The terminal shows the command as well, but not its output's end in one piece.
        self.types(&format!("{command}; echo ===\"\"===\n")).await;
        let shown = self.until("======").await;
        shown.trim_end_matches('=').replace('\r', "")
    }

    /// Makes the terminal as large as that.
    pub async fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let resized = Command::new("stty")
            .args(["-F", &self.device, "cols", &columns, "rows", &rows])
            .status()
            .await
            .unwrap();
        assert!(resized.success());
    }

    /// What it showed last, and the exit code. The terminal must be as it was before.
    pub async fn ends(mut self) -> (String, i32) {
        let ended = tokio::time::timeout(super::PATIENCE, self.child.wait()).await;
        let code = ended.expect("the client ends").unwrap().code().unwrap();
        let screen = self.screen.lock().unwrap();
        let shown = screen[self.seen..].to_owned();
        assert!(shown.contains(AS_BEFORE), "the terminal is not put right: {shown:?}");
        (shown, code)
    }

    /// The process of the client, not of script(1).
    pub fn client(&self) -> String {
        let child_of = |process: &str| {
            let children = format!("/proc/{process}/task/{process}/children");
            std::fs::read_to_string(children).unwrap().trim().to_owned()
        };
        // Between them is a shell.
        child_of(&child_of(&self.child.id().unwrap().to_string()))
    }
}
