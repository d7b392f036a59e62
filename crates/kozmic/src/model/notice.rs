//! What people and other servers are told of builds that have ended.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The longest URL of a webhook, in bytes.
const LONGEST_URL: usize = 2_000;
/// The longest secret of a webhook, in bytes.
const LONGEST_SECRET: usize = 500;
/// The shortest: what is shorter can be tried out.
const SHORTEST_SECRET: usize = 16;

/// Which mails somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailChoice {
    Never,
    /// Of their own commits, pull requests, and builds that they started.
    Own,
    /// Of every build.
    All,
}

impl MailChoice {
    pub const EVERY: [Self; 3] = [Self::Never, Self::Own, Self::All];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Own => "own",
            Self::All => "all",
        }
    }

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Own => "when my own commits fail",
            Self::All => "when any build fails",
        }
    }
}

impl FromStr for MailChoice {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::EVERY.into_iter().find(|choice| choice.as_str() == text);
        found.ok_or_else(|| Invalid::new("mail is sent never, own or all"))
    }
}

/// How a build ended, as far as that is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildEvent {
    /// It is over, and was neither of the others.
    Finished,
    /// Its end was failure or error.
    Failed,
    /// It passed, and the one before on its branch had not.
    Fixed,
}

impl BuildEvent {
    pub const ALL: [Self; 3] = [Self::Finished, Self::Failed, Self::Fixed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Fixed => "fixed",
        }
    }

    /// What who chooses it is told of.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Finished => "every build that ends",
            Self::Failed => "a build fails, or can't be carried out",
            Self::Fixed => "a branch is green again",
        }
    }
}

impl fmt::Display for BuildEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BuildEvent {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| Invalid::new(format!("`{text}` is not finished, failed or fixed")))
    }
}

/// What a webhook's body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// The build as JSON, signed.
    Json,
    /// A line of text, as Slack, Mattermost and Discord (`/slack`) take it.
    Slack,
}

impl WebhookFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
        }
    }
}

impl FromStr for WebhookFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "json" => Ok(Self::Json),
            "slack" => Ok(Self::Slack),
            _ => Err(Invalid::new("the format of a webhook is json or slack")),
        }
    }
}

/// A webhook that is to be. `Debug` shows neither the path nor the secret: Slack's URLs
/// are secrets.
#[derive(Clone)]
pub struct WebhookSpec {
    pub format: WebhookFormat,
    pub url: url::Url,
    /// It signs; none with Slack's format.
    pub secret: Option<String>,
    pub events: BTreeSet<BuildEvent>,
}

impl fmt::Debug for WebhookSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookSpec({} to {})", self.format.as_str(), self.host())
    }
}

impl WebhookSpec {
    pub fn parse<'a>(
        format: &str,
        url: &str,
        secret: &str,
        events: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Invalid> {
        let format = format.parse()?;
        // Neither is repeated in what is said: it may hold a secret.
        let wrong =
            || Invalid::new("the URL must be an http or https URL, like https://example.org/ci");
        let url = url.trim();
        if url.len() > LONGEST_URL {
            return Err(Invalid::new(format!("the URL has more than {LONGEST_URL} characters")));
        }
        let url: url::Url = url.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new("the URL must have no user name and no password"));
        }
        let secret = match (format, secret.trim()) {
            (WebhookFormat::Slack, "") => None,
            (WebhookFormat::Slack, _) => {
                return Err(Invalid::new("Slack's format has no secret: its URL is one"));
            }
            (WebhookFormat::Json, secret) => {
                if !(SHORTEST_SECRET..=LONGEST_SECRET).contains(&secret.len()) {
                    return Err(Invalid::new(format!(
                        "the secret must have {SHORTEST_SECRET} to {LONGEST_SECRET} characters"
                    )));
                }
                Some(secret.to_owned())
            }
        };
        let events = events.into_iter().map(str::parse).collect::<Result<BTreeSet<_>, _>>()?;
        if events.is_empty() {
            return Err(Invalid::new("choose at least one event"));
        }
        Ok(Self { format, url, secret, events })
    }

    /// All of the URL that is shown.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn mistakes_say_what_is_right_and_repeat_no_secret() {
        let url = "https://example.org/SECRET";
        for (format, url, secret, events, said) in [
            ("xml", url, SECRET, "failed", "json or slack"),
            ("json", "ftp://example.org/SECRET", SECRET, "failed", "http or https"),
            ("json", "SECRET", SECRET, "failed", "http or https"),
            ("json", "https://u:SECRET@example.org/", SECRET, "failed", "no user name"),
            ("json", url, "SECRET", "failed", "16 to 500 characters"),
            ("slack", url, "SECRET", "failed", "has no secret"),
            ("json", url, SECRET, "red", "finished, failed or fixed"),
        ] {
            let problem =
                WebhookSpec::parse(format, url, secret, [events]).unwrap_err().to_string();
            assert!(problem.contains(said) && !problem.contains("SECRET"), "{problem}");
        }
        assert!(WebhookSpec::parse("json", url, SECRET, []).is_err());
    }

    #[test]
    fn only_the_host_is_shown() {
        let spec =
            WebhookSpec::parse("slack", "https://hooks.example.org:8443/T/B/xyz", "", ["fixed"]);
        let spec = spec.unwrap();
        assert_eq!(spec.host(), "hooks.example.org:8443");
        assert!(!format!("{spec:?}").contains("xyz"));
    }
}
