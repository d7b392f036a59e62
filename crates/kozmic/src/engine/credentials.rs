//! Credentials of registries, from where `docker login` puts them: the file
//! `config.json` in DOCKER_CONFIG or in `~/.docker`, and the helpers it names.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What Docker Hub is called in that file.
const HUB: &str = "https://index.docker.io/v1/";
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// `user:password` in Base64.
    auth: String,
    identitytoken: Option<String>,
}

/// For the registry of an image; none when nobody logged in there. What can't be
/// read is told in the server's log: without credentials, public images work.
pub(super) async fn of_image(image: &str) -> Option<DockerCredentials> {
    let path = config_path()?;
    let text = tokio::fs::read_to_string(&path).await.ok()?;
    let config: Config = match serde_json::from_str(&text) {
        Ok(config) => config,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "registry credentials can't be read");
            return None;
        }
    };
    let server = server_of(image);
    let helper = config.cred_helpers.get(&server).or(config.creds_store.as_ref());
    if let Some(helper) = helper {
        return ask_helper(helper, &server).await;
    }
    stored(&config, &server)
}

fn config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// The registry of an image: its first part if that looks like a host, as the
/// reference grammar has it; Docker Hub otherwise.
fn server_of(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => HUB.to_owned(),
            host => host.to_owned(),
        },
        _ => HUB.to_owned(),
    }
}

fn stored(config: &Config, server: &str) -> Option<DockerCredentials> {
    let bare = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://");
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let auth = config.auths.get(server).or_else(|| {
        config.auths.iter().find(|(name, _)| bare(name) == bare(server)).map(|(_, auth)| auth)
    })?;
    let decoded = STANDARD.decode(&auth.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((user, password)) => (user.to_owned(), password.trim_end_matches('\0').to_owned()),
        None => (String::new(), String::new()),
    };
    if user.is_empty() && auth.identitytoken.is_none() {
        return None;
    }
    Some(credentials(server, user, password, auth.identitytoken.clone()))
}

/// The protocol of docker-credential-helpers: the server in, JSON out.
async fn ask_helper(helper: &str, server: &str) -> Option<DockerCredentials> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let asked = async {
        let mut child = Command::new(format!("docker-credential-{helper}"))
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        child.stdin.take()?.write_all(server.as_bytes()).await.ok()?;
        let output = child.wait_with_output().await.ok()?;
        serde_json::from_slice::<Answer>(&output.stdout).ok()
    };
    let answer = tokio::time::timeout(HELPER_TIMEOUT, asked).await.ok().flatten();
    let Some(answer) = answer else {
        tracing::debug!(helper, server, "the credential helper had nothing");
        return None;
    };
    // Helpers give identity tokens under this name.
    Some(match answer.username.as_str() {
        "<token>" => credentials(server, String::new(), String::new(), Some(answer.secret)),
        _ => credentials(server, answer.username, answer.secret, None),
    })
}

fn credentials(
    server: &str,
    user: String,
    password: String,
    token: Option<String>,
) -> DockerCredentials {
    DockerCredentials {
        username: Some(user).filter(|user| !user.is_empty()),
        password: Some(password).filter(|password| !password.is_empty()),
        identitytoken: token,
        serveraddress: Some(server.to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_is_a_host_when_it_looks_like_one() {
        assert_eq!(server_of("debian:12"), HUB);
        assert_eq!(server_of("library/debian"), HUB);
        assert_eq!(server_of("docker.io/library/debian"), HUB);
        assert_eq!(server_of("ghcr.io/o/i:1"), "ghcr.io");
        assert_eq!(server_of("localhost/x"), "localhost");
        assert_eq!(server_of("127.0.0.1:5000/a/b"), "127.0.0.1:5000");
    }

    #[test]
    fn what_docker_login_wrote_is_read() {
        let text = r#"{"auths": {
            "127.0.0.1:5000": {"auth": "YWRhOnNlOnNhbWU="},
            "https://ghcr.io/v2/": {"auth": "eDp5"},
            "empty.example": {},
            "broken.example": {"auth": "%"}}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let found =
            |server: &str| stored(&config, server).map(|found| (found.username, found.password));
        assert_eq!(found("127.0.0.1:5000"), Some((Some("ada".into()), Some("se:same".into()))));
        assert_eq!(found("ghcr.io"), Some((Some("x".into()), Some("y".into()))));
        for nothing in ["empty.example", "broken.example", "other.example", HUB] {
            assert_eq!(found(nothing), None, "{nothing}");
        }
    }
}
