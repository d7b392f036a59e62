//! A real server for outgoing mail: aiosmtpd, which keeps what it is sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{eventually, free_port};

/// Ends, and forgets all, when it is dropped.
pub struct MailServer {
    pub port: u16,
    folder: TempDir,
    _child: Child,
}

/// A mail that arrived, as a parser of mail understands it.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Whether it came through TLS.
    pub tls: bool,
    pub login: Option<String>,
    pub kind: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    pub parts: Vec<Part>,
    pub defects: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Part {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn part(&self, kind: &str) -> &str {
        &self.parts.iter().find(|part| part.kind == kind).expect("the part").text
    }
}

impl MailServer {
    /// With any of `--tls`, `--starttls` and `--auth`.
    pub async fn start(options: &[&str]) -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
        let python = tools.join("aiosmtpd/bin/python");
        assert!(python.exists(), "there is no {}; scripts/test brings it", python.display());
        let folder = tempfile::tempdir().unwrap();
        make_certificates(folder.path()).await;
        let port = free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/harness/smtp_sink.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder.path()).arg(port.to_string()).args(options);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        eventually("the mail server to answer", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { port, folder, _child: child }
    }

    /// The certificate to trust.
    pub fn ca(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// What has arrived so far, the first first.
    pub fn mails(&self) -> Vec<Mail> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "json"));
        names.sort();
        names
            .iter()
            .map(|name| serde_json::from_slice(&std::fs::read(name).unwrap()).unwrap())
            .collect()
    }

    /// Waits for so many.
    pub async fn arrived(&self, count: usize) -> Vec<Mail> {
        eventually(&format!("{count} mails"), async || {
            Some(self.mails()).filter(|mails| mails.len() >= count)
        })
        .await
    }

    /// What is answered from now on: a mailbox to `refuse`, or that it is `busy`.
    pub fn tell(&self, name: &str, content: &str) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// How often somebody was told to come again.
    pub fn was_busy(&self) -> usize {
        std::fs::read(self.folder.path().join("was_busy")).map_or(0, |marks| marks.len())
    }
}

/// An authority, and a server's certificate by it for 127.0.0.1 and localhost.
async fn make_certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(folder, &[&authority[..], &key].concat()).await;
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let leaf =
        ["req", "-x509", "-subj", "/CN=localhost", "-keyout", "leaf.key", "-out", "leaf.pem"];
    let signed = [
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-addext",
        names,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    openssl(folder, &[&leaf[..], &key, &signed].concat()).await;
}

async fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(folder).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
