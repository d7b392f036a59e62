//! Pictures of people. GitHub says where each lies; nothing is fetched from elsewhere.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{StatusCode, header};
use url::{Host, Url};

use crate::config::Trust;
use crate::outgoing;

/// A picture is small, and nobody waits long for one.
const LIMIT: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AvatarError {
    #[error("{0} is no address of the configured GitHub")]
    Elsewhere(String),
    #[error("the picture is away: {0}")]
    Away(#[from] reqwest::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the picture has more than 256 KiB")]
    TooLarge,
    #[error("it is no PNG, JPEG, GIF or WebP")]
    NoPicture,
}

/// Fetches pictures. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pictures {
    http: reqwest::Client,
    github: Url,
}

impl Pictures {
    /// `github` is the root of GitHub's pages.
    pub fn new(github: &Url, trust: &Trust) -> Result<Self, reqwest::Error> {
        let http = outgoing::http(trust)?
            .timeout(TIMEOUT)
            // Wherever else a picture may be said to lie, it is not fetched from there.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, github: github.clone() })
    }

    /// The bytes of a picture that browsers may show.
    pub async fn avatar(&self, url: &str) -> Result<Vec<u8>, AvatarError> {
        let url = Url::parse(url).ok().filter(|url| is_of(url, &self.github));
        let url = url.ok_or_else(|| AvatarError::Elsewhere(self.github.to_string()))?;
        let answer = self.http.get(url).header(header::ACCEPT, "image/*").send().await?;
        if answer.status() != StatusCode::OK {
            return Err(AvatarError::Status(answer.status()));
        }
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() > LIMIT {
                return Err(AvatarError::TooLarge);
            }
        }
        kind_of(&bytes).ok_or(AvatarError::NoPicture)?;
        Ok(bytes)
    }
}

/// github.com's pictures lie at a host of their own, those of an Enterprise Server at its.
fn is_of(url: &Url, github: &Url) -> bool {
    if github.host_str() == Some("github.com") {
        return url.scheme() == "https"
            && url.port().is_none()
            && url.host() == Some(Host::Domain("avatars.githubusercontent.com"));
    }
    url.origin() == github.origin()
}

/// Its media type, by its first bytes and not by what was said. No SVG: that is a page, with scripts.
pub fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_fetched_from_the_configured_github_only() {
        let url = |url: &str| Url::parse(url).unwrap();
        let cloud = url("https://github.com");
        assert!(is_of(&url("https://avatars.githubusercontent.com/u/1?v=4"), &cloud));
        for foreign in [
            "http://avatars.githubusercontent.com/u/1",
            "https://avatars.githubusercontent.com:8443/u/1",
            "https://avatars.githubusercontent.com.evil.example/u/1",
            "https://evil.example/avatars.githubusercontent.com",
            "https://github.com/u/1",
            "https://169.254.169.254/latest",
            "file:///etc/passwd",
        ] {
            assert!(!is_of(&url(foreign), &cloud), "{foreign}");
        }
        let own = url("https://github.example.com");
        assert!(is_of(&url("https://github.example.com/avatars/u/5"), &own));
        for foreign in [
            "https://avatars.githubusercontent.com/u/1",
            "http://github.example.com/avatars/u/5",
            "https://github.example.com:444/avatars/u/5",
            "http://127.0.0.1/",
        ] {
            assert!(!is_of(&url(foreign), &own), "{foreign}");
        }
    }

    #[test]
    fn a_picture_is_what_begins_like_one() {
        assert_eq!(kind_of(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
        assert_eq!(kind_of(b"GIF89a"), Some("image/gif"));
        assert_eq!(kind_of(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(kind_of(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        for other in [&b"<svg xmlns="[..], b"<?xml", b"<html>", b"", b"GIF", b"\x89PNG"] {
            assert_eq!(kind_of(other), None);
        }
    }
}
