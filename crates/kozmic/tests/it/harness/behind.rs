//! A network from which everything goes by a proxy, to servers whose certificates are by an
//! authority of one's own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{eventually, free_port};

const USER: &str = "kozmic";
/// From where the proxy connects: nobody else has this one of the machine's addresses.
const FROM: &str = "127.0.0.77";

/// Debian's tinyproxy; ends when it is dropped.
pub struct Tinyproxy {
    pub url: String,
    log: PathBuf,
    _child: Child,
}

impl Tinyproxy {
    pub const PASSWORD: &str = "hush-hush-of-the-proxy";

    pub async fn start(folder: &Path) -> Self {
        let port = free_port();
        let (settings, log) = (folder.join("tinyproxy.conf"), folder.join("tinyproxy.log"));
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nBind {FROM}\nLogFile \"{}\"\nLogLevel Info\n\
             Allow 127.0.0.1\nBasicAuth {USER} {}\n",
            log.display(),
            Self::PASSWORD
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&settings).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("Debian's package tinyproxy-bin");
        let address = ("127.0.0.1", port);
        eventually("the proxy", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        let url = format!("http://{USER}:{}@127.0.0.1:{port}", Self::PASSWORD);
        Self { url, log, _child: child }
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// TLS before other servers, by an authority that nobody knows: HAProxy.
pub struct Tls {
    /// The authority's certificate.
    pub ca: PathBuf,
    folder: PathBuf,
}

/// Ends when it is dropped.
pub struct Before {
    _child: Child,
}

impl Tls {
    /// An authority, and by it the certificate of localhost with its key.
    pub async fn new(folder: &Path) -> Self {
        let key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let authority = ["req", "-x509", "-subj", "/CN=Test authority", "-keyout", "own.key"];
        openssl(folder, &[&authority[..], &key, &["-out", "own.pem"]].concat()).await;
        let leaf = ["req", "-x509", "-subj", "/CN=localhost", "-keyout", "tls.key"];
        let signed = ["-CA", "own.pem", "-CAkey", "own.key", "-out", "tls.crt"];
        let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let more = ["-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(folder, &[&leaf[..], &key, &signed, &names, &more].concat()).await;
        let both = ["tls.crt", "tls.key"].map(|name| std::fs::read(folder.join(name)).unwrap());
        std::fs::write(folder.join("tls.pem"), both.concat()).unwrap();
        Self { ca: folder.join("own.pem"), folder: folder.to_owned() }
    }

    /// The certificate and its key.
    pub fn leaf(&self) -> [PathBuf; 2] {
        ["tls.crt", "tls.key"].map(|name| self.folder.join(name))
    }

    /// Listens before each of these `(port, address)`. Of HTTP, by the proxy only: who comes from
    /// elsewhere is not let in.
    pub async fn serve(&self, http: &[(u16, &str)], other: &[(u16, &str)]) -> Before {
        let mut text =
            "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
                .to_owned();
        let pem = self.folder.join("tls.pem").display().to_string();
        let all = http.iter().map(|it| (it, true)).chain(other.iter().map(|it| (it, false)));
        for ((port, behind), by_proxy) in all {
            let (mode, only) = if by_proxy {
                ("http", format!("  tcp-request connection reject if !{{ src {FROM} }}\n"))
            } else {
                ("tcp", String::new())
            };
            writeln!(
                text,
                "listen l{port}\n  mode {mode}\n  bind 127.0.0.1:{port} ssl crt {pem}\n{only}  \
                 server s {behind}"
            )
            .unwrap();
        }
        let settings = self.folder.join("tls.cfg");
        std::fs::write(&settings, text).unwrap();
        let log = std::fs::File::create(self.folder.join("tls.log")).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&settings).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().expect("Debian's package haproxy");
        let (port, _) = http.last().or(other.last()).unwrap();
        let address = ("127.0.0.1", *port);
        eventually("TLS", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        Before { _child: child }
    }
}

async fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().await;
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
