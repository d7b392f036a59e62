//! What tells people and other servers of builds, and what an operator watches.

use secrecy::SecretString;
use url::Url;

use super::{ConfigError, Trust, Values};
use crate::model::Networks;

/// How a server for outgoing mail is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// `smtps://`: from the first byte.
    Always,
    /// `?tls=required`: STARTTLS, and nothing without it.
    Required,
    /// `?tls=opportunistic`: STARTTLS where the server has it.
    Opportunistic,
    None,
}

/// A server for outgoing mail.
#[derive(Debug, Clone)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub user: Option<(String, SecretString)>,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca: Option<String>,
    /// The sender, as in a mail: an address, or `Name <address>`.
    pub from: String,
}

#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// None: no mail is sent.
    pub mail: Option<MailServer>,
    /// Whether who chose nothing gets mail.
    pub mail_by_default: bool,
    /// Of one's own, that webhooks may lead to.
    pub webhook_networks: Networks,
    pub trust: Trust,
}

/// What an operator watches.
#[derive(Debug, Clone, Default)]
pub struct WatchSettings {
    /// Opens `/metrics` from elsewhere.
    pub metrics_token: Option<SecretString>,
    /// Where traces go.
    pub otlp_url: Option<Url>,
    pub sentry_dsn: Option<SecretString>,
    /// Lines of JSON instead of text.
    pub log_json: bool,
    pub trust: Trust,
}

impl NotifySettings {
    pub(super) fn read(values: &Values, trust: &Trust) -> Result<Self, ConfigError> {
        let networks = "KOZMIC_WEBHOOK_NETWORKS";
        Ok(Self {
            mail: MailServer::read(values, trust)?,
            trust: trust.clone(),
            mail_by_default: values
                .parsed("KOZMIC_ENABLE_EMAIL_NOTIFICATIONS", "must be true or false")?,
            webhook_networks: values.text(networks).unwrap_or_default().parse().map_err(
                |problem: crate::model::Invalid| ConfigError::Malformed {
                    name: networks,
                    value: values.text(networks).unwrap_or_default(),
                    problem: format!("must be blocks of addresses with commas between: {problem}"),
                },
            )?,
        })
    }
}

impl MailServer {
    fn read(values: &Values, trust: &Trust) -> Result<Option<Self>, ConfigError> {
        const URL: &str = "KOZMIC_SMTP_URL";
        const FROM: &str = "KOZMIC_MAIL_FROM";
        const CA: &str = "KOZMIC_SMTP_CA";
        let Some(value) = values.text(URL) else { return Ok(None) };
        // Never with its value, which may have a password.
        let malformed = |name, value: &str, problem: &str| ConfigError::Malformed {
            name,
            value: value.to_owned(),
            problem: problem.to_owned(),
        };
        let wrong = || {
            malformed(
                URL,
                "(not shown)",
                "must be smtps://USER:PASSWORD@HOST, or smtp://HOST:PORT with ?tls=required behind it \
                 for STARTTLS",
            )
        };
        let url: Url = value.parse().map_err(|_| wrong())?;
        let query: Vec<_> = url.query_pairs().collect();
        let tls = match (url.scheme(), query.as_slice()) {
            ("smtps", []) => MailTls::Always,
            ("smtp", []) => MailTls::None,
            ("smtp", [(name, value)]) if name == "tls" && value == "required" => MailTls::Required,
            ("smtp", [(name, value)]) if name == "tls" && value == "opportunistic" => {
                MailTls::Opportunistic
            }
            _ => return Err(wrong()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let user = (!url.username().is_empty()).then(|| {
            let password = decoded(url.password().unwrap_or_default());
            (decoded(url.username()), password.into())
        });
        let from = values.text(FROM).ok_or_else(|| {
            malformed(FROM, "", "must be the sender's address when KOZMIC_SMTP_URL is set")
        })?;
        if !from.contains('@') || from.chars().any(char::is_control) {
            return Err(malformed(FROM, &from, "must be an address like Kozmic <ci@example.org>"));
        }
        let ca = values.text(CA).map(|path| {
            std::fs::read_to_string(&path).map_err(|error| {
                malformed(CA, &path, &format!("must be a file that can be read: {error}"))
            })
        });
        // As RFC 8314 and RFC 6409 have it; a plain one is a relay of one's own.
        let port = url.port().unwrap_or(match tls {
            MailTls::Always => 465,
            MailTls::Required | MailTls::Opportunistic => 587,
            MailTls::None => 25,
        });
        let ca = match (ca.transpose()?, trust.pem()) {
            (Some(ca), Some(own)) => Some(format!("{ca}\n{own}")),
            (ca, own) => ca.or_else(|| own.map(str::to_owned)),
        };
        Ok(Some(Self { host, port, tls, user, ca, from }))
    }
}

/// Of a URL's part (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    // What `+` and `&` mean in a form they do not in a user's name.
    let text = text.replace('+', "%2B").replace('&', "%26");
    let pair = format!("x={text}");
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

impl WatchSettings {
    pub(super) fn read(values: &Values, trust: &Trust) -> Result<Self, ConfigError> {
        let (token, format, dsn) =
            ("KOZMIC_METRICS_TOKEN", "KOZMIC_LOG_FORMAT", "KOZMIC_SENTRY_DSN");
        let metrics_token = values.text(token);
        if metrics_token.as_ref().is_some_and(|token| token.len() < 16) {
            return Err(ConfigError::Malformed {
                name: token,
                value: "(not shown)".into(),
                problem: "must have 16 characters or more".into(),
            });
        }
        let log_json = match values.text(format).as_deref() {
            Some("text") => false,
            Some("json") => true,
            other => {
                return Err(ConfigError::Malformed {
                    name: format,
                    value: other.unwrap_or_default().to_owned(),
                    problem: "must be text or json".into(),
                });
            }
        };
        let sentry_dsn = values.text(dsn);
        if let Some(given) = &sentry_dsn
            && !given.parse::<Url>().is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && !url.username().is_empty()
            })
        {
            return Err(ConfigError::Malformed {
                name: dsn,
                value: "(not shown)".into(),
                problem: "must be a DSN like https://KEY@HOST/PROJECT".into(),
            });
        }
        Ok(Self {
            metrics_token: metrics_token.map(SecretString::from),
            otlp_url: values.url("KOZMIC_OTLP_URL")?,
            sentry_dsn: sentry_dsn.map(SecretString::from),
            log_json,
            trust: trust.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::Settings;

    fn mail(url: &str) -> Result<MailServer, ConfigError> {
        let given = [("KOZMIC_SMTP_URL", url), ("KOZMIC_MAIL_FROM", "Kozmic <ci@example.org>")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::from_parts(&given, None).map(|settings| settings.notify.mail.unwrap())
    }

    #[test]
    fn a_mail_server_is_told_by_its_url() {
        let server = mail("smtps://me%40x:p%2Fw+d@mail.example.org").unwrap();
        assert_eq!((server.port, server.tls), (465, MailTls::Always));
        let (user, password) = server.user.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("me@x", "p/w+d"));
        let required = mail("smtp://mail.example.org?tls=required").unwrap();
        assert_eq!((required.port, required.tls), (587, MailTls::Required));
        assert_eq!(mail("smtp://127.0.0.1:2525").unwrap().tls, MailTls::None);
    }

    #[test]
    fn a_wrong_one_is_refused_without_being_shown() {
        for url in ["https://x:hush@y", "smtp://y?tls=perhaps&x=hush", "smtp://", "hush"] {
            let problem = mail(url).unwrap_err().to_string();
            assert!(problem.contains("must be smtps://") && !problem.contains("hush"), "{problem}");
        }
        let alone = [("KOZMIC_SMTP_URL".to_owned(), "smtp://x".to_owned())];
        let problem = Settings::from_parts(&alone, None).unwrap_err().to_string();
        assert!(problem.contains("KOZMIC_MAIL_FROM"), "{problem}");
    }
}
