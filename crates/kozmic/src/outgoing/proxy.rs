//! Proxies, as the environment names them: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in
//! capitals or not.

use std::time::Duration;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::Url;

/// In the order in which they count.
const NAMES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a proxy's first line, at the most.
const LINE: u64 = 1024;

/// By which something is reached.
pub struct Proxy {
    uri: Uri,
    /// Whether its address is one: of one that is written wrongly, a part of a password may be.
    is_shown: bool,
    /// A header's value. Never shown.
    credentials: Option<Vec<u8>>,
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.is_shown {
            return f.write_str("of the environment");
        }
        let (scheme, host) = (self.uri.scheme_str(), self.uri.host());
        write!(f, "{}://{}", scheme.unwrap_or("http"), host.unwrap_or_default())?;
        self.uri.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Proxy {
    /// None: it is reached directly.
    pub fn of(url: &Url) -> Option<Self> {
        let found = Matcher::from_system().intercept(&url.as_str().parse().ok()?)?;
        let credentials = found.basic_auth().map(|value| value.as_bytes().to_vec());
        let is_shown = proxies().iter().all(|(_, proxy)| proxy.is_ok());
        Some(Self { uri: found.uri().clone(), is_shown, credentials })
    }

    /// Whether it would connect to where a URL leads; nothing is sent there.
    pub async fn try_to(&self, url: &Url) -> Result<(), String> {
        let asked = tokio::time::timeout(PATIENCE, self.connect(url));
        let asked = asked.await.unwrap_or_else(|_| Err("no answer in time".into()));
        asked.map_err(|problem| format!("by the proxy {self}: {problem}"))
    }

    async fn connect(&self, url: &Url) -> Result<(), String> {
        let is_tls = self.uri.scheme_str() == Some("https");
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let connected = TcpStream::connect((host, port)).await;
        let mut stream = connected.map_err(|error| error.to_string())?;
        // What is not encrypted is not tunnelled, and would have to be sent to be tried.
        if is_tls || url.scheme() != "https" {
            return Ok(());
        }
        let to = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default()
        );
        let mut asked = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(credentials) = &self.credentials {
            asked.extend(b"Proxy-Authorization: ");
            asked.extend(credentials);
            asked.extend(b"\r\n");
        }
        asked.extend(b"\r\n");
        stream.write_all(&asked).await.map_err(|error| error.to_string())?;
        let mut line = Vec::new();
        let mut answer = BufReader::new(stream.take(LINE));
        answer.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
        let line = String::from_utf8_lossy(&line);
        match line.trim_end().split_once(' ') {
            Some((_, status)) if status.starts_with('2') => Ok(()),
            Some((_, status)) => Err(format!("it answers {status:?}")),
            None => Err("it is no HTTP proxy".into()),
        }
    }
}

/// The variables that are set, each with its proxy as it may be shown, or with what is wrong
/// with it.
pub fn proxies() -> Vec<(&'static str, Result<String, &'static str>)> {
    let given = |name| Some((name, std::env::var(name).ok().filter(|value| !value.is_empty())?));
    NAMES.into_iter().filter_map(given).map(|(name, value)| (name, shown(&value))).collect()
}

fn shown(value: &str) -> Result<String, &'static str> {
    const WRONG: &str = "must be http://HOST:PORT, with USER:PASSWORD@ before the host where it takes one, and \
         signs in them written like %40";
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let mut url: Url = whole.parse().map_err(|_| WRONG)?;
    let is_proxy = matches!(url.scheme(), "http" | "https") && url.path() == "/";
    if !is_proxy || url.query().is_some() || url.fragment().is_some() {
        return Err(WRONG);
    }
    let (_, _) = (url.set_username(""), url.set_password(None));
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What another program has said, without the proxies' users and passwords.
pub fn without_passwords(text: String) -> String {
    let values = NAMES.into_iter().filter_map(|name| std::env::var(name).ok());
    values.fold(text, |text, value| hidden(&text, &value))
}

fn hidden(text: &str, proxy: &str) -> String {
    let behind = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    match behind.rsplit_once('@') {
        Some((credentials, _)) if !credentials.is_empty() => text.replace(credentials, "***"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        for (value, expected) in [
            ("http://proxy.example.org:3128", "http://proxy.example.org:3128"),
            ("http://me:hush@proxy:3128/", "http://proxy:3128"),
            ("proxy:3128", "http://proxy:3128"),
        ] {
            assert_eq!(shown(value).unwrap(), expected);
        }
        for wrong in ["http://me:hu#sh@proxy:3128", "socks5://proxy:1080", "http://", "http://a/b"]
        {
            assert!(!shown(wrong).unwrap_err().contains("hu#sh"), "{wrong}");
        }
    }

    #[test]
    fn what_other_programs_say_has_no_password() {
        let said = "Unsupported proxy syntax in 'http://me:hu#sh@proxy:3128'";
        let told = hidden(said, "http://me:hu#sh@proxy:3128");
        assert_eq!(told, "Unsupported proxy syntax in 'http://***@proxy:3128'");
        assert_eq!(hidden("as it was", "http://proxy:3128"), "as it was");
    }
}
