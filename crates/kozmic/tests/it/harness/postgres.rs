//! A PostgreSQL server of a test's own, from Debian's package.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Stopped, and its data removed, when it is dropped.
pub struct Postgres {
    pub url: String,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// As tests want it: quick, and gone with the machine.
    pub async fn start() -> Self {
        Self::start_with("-c fsync=off").await
    }

    /// As people run it, with more options or none.
    pub async fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server runs as another user where the tests run as root.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = folder.path().join("data");
        run(
            "initdb",
            &["-D", text(&data), "-A", "trust", "-U", "kozmic", "-E", "UTF8", "--no-sync"],
        )
        .await;
        let options = format!(
            "-c listen_addresses=127.0.0.1 -p {port} -k {} {more}",
            folder.path().display()
        );
        let log = folder.path().join("log");
        run("pg_ctl", &["-D", text(&data), "-w", "-s", "-l", text(&log), "-o", &options, "start"])
            .await;
        // From here on dropped, and so stopped, whatever fails.
        let server = Self { url: format!("postgres://kozmic@127.0.0.1:{port}/kozmic"), folder };
        run("createdb", &["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "kozmic", "kozmic"])
            .await;
        server
    }

    /// What makes it the one that PostgreSQL's own programs ask, as its administrator.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let (user, rest) = self.url.trim_start_matches("postgres://").split_once('@').unwrap();
        let (host, port) = rest.split_once('/').unwrap().0.split_once(':').unwrap();
        [("PGHOST", host), ("PGPORT", port), ("PGUSER", user)]
            .map(|(name, value)| (name, value.to_owned()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let mut stop = as_postgres("pg_ctl").into_std();
        let stopped = stop.args(["-D", text(&data), "-s", "-m", "immediate", "stop"]).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the PostgreSQL server in {} could not be stopped", data.display());
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn run(program: &str, arguments: &[&str]) {
    let output = as_postgres(program).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let program = programs().join(program);
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

/// Debian keeps them by version; the newest is taken.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql");
    let newest = versions
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok()?.parse::<u32>().ok())
        .max();
    Path::new("/usr/lib/postgresql").join(newest.unwrap().to_string()).join("bin")
}
