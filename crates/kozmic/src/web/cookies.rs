//! The two cookies: the session's, and the one that remembers a sign-in under way.
//! Neither is read by scripts, nor sent with other sites' forms.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::seal::{Seal, SealError, random_hex};
use crate::store::SESSION_LIFETIME;

/// A visit to GitHub's page takes no longer; a code serves as long.
const SIGN_IN_LIFETIME: Duration = Duration::from_mins(10);
/// What a sealed cookie is sealed for.
const PLACE: &str = "cookie:sign-in";

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cookies {
    /// Sent over HTTPS only, and to this host only.
    is_secure: bool,
    seal: Arc<Seal>,
}

/// A sign-in between the way to GitHub and the way back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub(super) state: String,
    /// Of PKCE.
    pub(super) verifier: String,
    /// A path of this site.
    pub(super) back: String,
    ends_at: i64,
}

impl UnderWay {
    pub(super) fn new(back: String, now: Timestamp) -> Result<Self, SealError> {
        let (state, verifier) = (random_hex()?, random_hex()?);
        Ok(Self { state, verifier, back, ends_at: now.plus(SIGN_IN_LIFETIME).0 })
    }
}

impl Cookies {
    /// `public_url` is where browsers reach the server.
    pub fn new(public_url: &url::Url, seal: Arc<Seal>) -> Self {
        Self { is_secure: public_url.scheme() == "https", seal }
    }

    /// The secret of the session that a request comes with.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<String> {
        read(headers, self.session_name())
    }

    pub(super) fn keep_session(&self, secret: &str) -> Option<HeaderValue> {
        self.set(self.session_name(), secret, SESSION_LIFETIME)
    }

    pub(super) fn forget_session(&self) -> Option<HeaderValue> {
        self.set(self.session_name(), "", Duration::ZERO)
    }

    /// What a browser remembers while its user is at GitHub.
    pub(super) fn keep_sign_in(
        &self,
        under_way: &UnderWay,
    ) -> Result<Option<HeaderValue>, SealError> {
        let text = serde_json::to_vec(under_way).unwrap_or_default();
        let sealed = URL_SAFE_NO_PAD.encode(self.seal.seal(PLACE, &text)?);
        Ok(self.set(self.sign_in_name(), &sealed, SIGN_IN_LIFETIME))
    }

    /// None: it began in another browser, too long ago, or not here.
    pub(super) fn sign_in(&self, headers: &HeaderMap, now: Timestamp) -> Option<UnderWay> {
        let sealed = URL_SAFE_NO_PAD.decode(read(headers, self.sign_in_name())?).ok()?;
        let text = self.seal.open(PLACE, &sealed).ok()?;
        let under_way: UnderWay = serde_json::from_slice(&text).ok()?;
        (under_way.ends_at > now.0).then_some(under_way)
    }

    pub(super) fn forget_sign_in(&self) -> Option<HeaderValue> {
        self.set(self.sign_in_name(), "", Duration::ZERO)
    }

    /// The prefix keeps other hosts of the same domain from setting it (RFC 6265bis, 4.1.3.2).
    fn session_name(&self) -> &'static str {
        if self.is_secure { "__Host-kozmic" } else { "kozmic" }
    }

    fn sign_in_name(&self) -> &'static str {
        if self.is_secure { "__Host-kozmic-sign-in" } else { "kozmic-sign-in" }
    }

    fn set(&self, name: &'static str, value: &str, lifetime: Duration) -> Option<HeaderValue> {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(0);
        let cookie = Cookie::build((name, value))
            .path("/")
            .http_only(true)
            // A link from elsewhere, and GitHub's way back, come with it; forms do not.
            .same_site(SameSite::Lax)
            .secure(self.is_secure)
            .max_age(cookie::time::Duration::seconds(seconds));
        HeaderValue::from_str(&cookie.build().to_string()).ok()
    }
}

fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(Cookie::split_parse).flatten().find_map(|cookie| {
        (cookie.name() == name).then(|| cookie.value().to_owned()).filter(|value| !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(url: &str) -> Cookies {
        let seal = Seal::from_text(&"k".repeat(32).into()).unwrap();
        Cookies::new(&url.parse().unwrap(), Arc::new(seal))
    }

    fn sent(set: &HeaderValue) -> HeaderMap {
        let pair = set.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("other=1; {pair}").parse().unwrap());
        headers
    }

    #[test]
    fn a_session_s_cookie_is_for_this_host_alone() {
        let set = cookies("https://ci.example").keep_session("s").unwrap();
        assert_eq!(
            set.to_str().unwrap(),
            "__Host-kozmic=s; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=2592000"
        );
        let set = cookies("http://localhost:8080").keep_session("s").unwrap();
        assert_eq!(
            set.to_str().unwrap(),
            "kozmic=s; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"
        );
    }

    #[test]
    fn a_sign_in_is_remembered_ten_minutes_and_can_t_be_made_up() {
        let cookies = cookies("http://localhost:8080");
        let under_way = UnderWay::new("/projects/1/".into(), Timestamp(0)).unwrap();
        let headers = sent(&cookies.keep_sign_in(&under_way).unwrap().unwrap());
        let known = cookies.sign_in(&headers, Timestamp(599_999)).unwrap();
        assert_eq!((known.state, known.back), (under_way.state, "/projects/1/".to_owned()));
        assert!(cookies.sign_in(&headers, Timestamp(600_000)).is_none());
        let mut made_up = HeaderMap::new();
        made_up.insert(header::COOKIE, "kozmic-sign-in=AAAA".parse().unwrap());
        assert!(cookies.sign_in(&made_up, Timestamp(0)).is_none());
    }
}
