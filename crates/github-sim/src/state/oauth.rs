//! OAuth apps, the codes they were promised a token for, and what their tokens may do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use url::Url;

/// A code is exchanged within ten minutes, or not at all.
const CODE_LIFETIME: Duration = Duration::from_mins(10);
/// Scopes and what each of them includes, as far as the stand-in asks for scopes. Follows
/// <https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>.
const INCLUDES: &[(&str, &[&str])] = &[
    ("repo", &["repo:status", "public_repo", "repo:invite"]),
    ("admin:org", &["write:org", "read:org"]),
    ("write:org", &["read:org"]),
    ("user", &["read:user", "user:email", "user:follow"]),
];

#[derive(Debug, Clone)]
pub(crate) struct OAuthApp {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) name: String,
    pub(crate) callback: Url,
}

impl OAuthApp {
    /// Where the user goes back to: the callback, or what the app asks for below it. Follows
    /// <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#redirect-urls>.
    pub(crate) fn redirect(&self, asked: Option<&str>) -> Option<Url> {
        let Some(asked) = asked else { return Some(self.callback.clone()) };
        let asked: Url = asked.parse().ok()?;
        // A loopback address may have another port than the callback's.
        let is_loopback = matches!(self.callback.host_str(), Some("127.0.0.1" | "[::1]"));
        let same_host = asked.scheme() == self.callback.scheme()
            && asked.host() == self.callback.host()
            && (is_loopback
                || asked.port_or_known_default() == self.callback.port_or_known_default());
        let below = |path: &str| format!("{}/", path.trim_end_matches('/'));
        (same_host && below(asked.path()).starts_with(&below(self.callback.path())))
            .then_some(asked)
    }
}

/// What a user has agreed to, until the app fetches its token.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) user: u64,
    pub(crate) scopes: BTreeSet<String>,
    /// As it was asked for; the exchange names the same one, or none.
    pub(crate) redirect_uri: Option<String>,
    /// Of PKCE, always with the method S256 (RFC 7636).
    pub(crate) challenge: Option<String>,
    pub(crate) made_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct OAuth {
    apps: Vec<OAuthApp>,
    codes: BTreeMap<String, Code>,
    /// By token; a personal one is not among them and may do everything.
    granted: BTreeMap<String, BTreeSet<String>>,
}

impl OAuth {
    pub(crate) fn add_app(&mut self, app: OAuthApp) {
        self.apps.push(app);
    }

    pub(crate) fn app(&self, client_id: &str) -> Option<&OAuthApp> {
        self.apps.iter().find(|app| app.client_id == client_id)
    }

    pub(crate) fn promise(&mut self, code: String, what: Code) {
        self.codes.insert(code, what);
    }

    /// A code serves once, whatever comes of it.
    pub(crate) fn redeem(&mut self, code: &str, client_id: &str, now: Timestamp) -> Option<Code> {
        let code = self.codes.remove(code)?;
        let is_fresh = now.duration_since(code.made_at).unsigned_abs() < CODE_LIFETIME;
        (is_fresh && code.client_id == client_id).then_some(code)
    }

    /// Makes the codes that are out older.
    pub(crate) fn age_codes(&mut self, by: Duration) {
        for code in self.codes.values_mut() {
            code.made_at -= by;
        }
    }

    pub(crate) fn grant(&mut self, token: String, scopes: BTreeSet<String>) {
        self.granted.insert(token, scopes);
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.granted.remove(token);
    }

    /// The scopes of a token as `X-OAuth-Scopes` lists them; none for a personal one.
    pub(crate) fn scopes(&self, token: &str) -> Option<&BTreeSet<String>> {
        self.granted.get(token)
    }

    /// Whether a token may do what needs this scope.
    pub(crate) fn allows(&self, token: &str, scope: &str) -> bool {
        self.scopes(token).is_none_or(|granted| {
            granted.contains(scope)
                || granted.iter().any(|one| {
                    INCLUDES.iter().any(|(whole, parts)| whole == one && parts.contains(&scope))
                })
        })
    }
}

/// The scopes of a request, without those that others of them include: so GitHub keeps them.
pub(crate) fn normalized(scopes: &str) -> BTreeSet<String> {
    let asked: BTreeSet<String> =
        scopes.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    let included: BTreeSet<&str> = INCLUDES
        .iter()
        .filter(|(whole, _)| asked.contains(*whole))
        .flat_map(|(_, parts)| parts.iter().copied())
        .collect();
    asked.iter().filter(|scope| !included.contains(scope.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(callback: &str) -> OAuthApp {
        OAuthApp {
            client_id: "id".into(),
            client_secret: "secret".into(),
            name: "CI".into(),
            callback: callback.parse().unwrap(),
        }
    }

    #[test]
    fn a_redirect_is_below_the_callback_and_a_loopback_s_port_is_free() {
        let ci = app("https://ci.example.org/_auth/");
        let goes = |app: &OAuthApp, to: &str| app.redirect(Some(to)).is_some();
        assert!(goes(&ci, "https://ci.example.org/_auth/callback/"));
        assert!(!goes(&ci, "https://ci.example.org/_authority/"));
        assert!(!goes(&ci, "https://ci.example.org:8443/_auth/"));
        assert!(!goes(&ci, "http://ci.example.org/_auth/"));
        assert!(!goes(&ci, "https://evil.example/_auth/"));
        assert!(goes(&app("http://127.0.0.1/_auth/"), "http://127.0.0.1:4000/_auth/"));
        assert_eq!(ci.redirect(None).unwrap().path(), "/_auth/");
    }

    #[test]
    fn scopes_that_others_include_are_dropped() {
        let scopes = normalized("user:email,user repo read:org");
        assert_eq!(scopes.into_iter().collect::<Vec<_>>(), ["read:org", "repo", "user"]);
    }

    #[test]
    fn a_code_serves_once_and_ten_minutes() {
        let mut oauth = OAuth::default();
        let now = Timestamp::now();
        let code = Code {
            client_id: "id".into(),
            user: 1,
            scopes: BTreeSet::new(),
            redirect_uri: None,
            challenge: None,
            made_at: now,
        };
        for name in ["a", "b", "c"] {
            oauth.promise(name.into(), code.clone());
        }
        assert!(oauth.redeem("a", "id", now).is_some());
        assert!(oauth.redeem("a", "id", now).is_none(), "twice");
        assert!(oauth.redeem("b", "other", now).is_none(), "another app");
        oauth.age_codes(CODE_LIFETIME);
        assert!(oauth.redeem("c", "id", now).is_none(), "too late");
    }
}
