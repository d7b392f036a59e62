//! Why somebody is not signed in, and what they do, or an administrator.

pub(in crate::web) const NOT_BEGUN: &str = "This sign-in was not begun in this browser, or more than ten minutes ago. Please begin it \
     again; cookies of this site must be allowed.";
/// Somebody sends codes that GitHub does not know.
pub(in crate::web) const TOO_MANY: &str = "Too many sign-ins that GitHub did not know came within a minute, so it is not asked for now. \
     Please begin yours again in a minute.";
pub(in crate::web) const DENIED: &str = "You did not let Kozmic act for you at GitHub, so it does not know who you are. Nothing was \
     kept; you can sign in any time.";
pub(in crate::web) const BAD_CODE: &str = "GitHub does not know this sign-in any more: it was used already, or took more than ten \
     minutes. Please begin it again.";
pub(in crate::web) const UNVERIFIED_EMAIL: &str = "Your account at GitHub has no verified e-mail address. Verify one in GitHub's settings, then \
     sign in again.";
pub(in crate::web) const GITHUB_AWAY: &str =
    "GitHub did not answer, or not as expected. Please try again in a minute.";
pub(in crate::web) const WRONG_SECRET: &str = "The client secret is not the one that GitHub knows: an administrator makes a new one there \
     and sets KOZMIC_GITHUB_CLIENT_SECRET.";
pub(in crate::web) const SUSPENDED: &str =
    "GitHub has suspended Kozmic's OAuth app: its owner asks GitHub's support why.";

pub(in crate::web) fn other_callback(callback: &str) -> String {
    format!(
        "GitHub knows another callback URL: an administrator sets the one of the OAuth app to \
         {callback}, or corrects KOZMIC_PUBLIC_URL."
    )
}

/// By a word that we do not know.
pub(in crate::web) fn refused(word: &str) -> String {
    format!("GitHub refused with `{word}`. Please try again.")
}

pub(in crate::web) fn scopes_missing(scopes: &[&str]) -> String {
    format!(
        "GitHub did not give Kozmic what it needs: the scope {} is missing. Please sign in again \
         and agree to all that is asked for.",
        scopes.join(" and the scope ")
    )
}

/// The settings name the login, and mean who had it before.
pub(in crate::web) fn is_another(login: &str) -> String {
    format!(
        "The settings of this server name {login}, and mean the account that had this login \
         before yours. If you are meant now, an administrator takes the name out of the settings, \
         starts the server, puts the name back and starts it again."
    )
}

pub(in crate::web) fn not_admitted(login: &str) -> String {
    format!(
        "This server lets in certain users and members of certain organizations, and {login} is \
         none of them. An administrator adds you to KOZMIC_ALLOWED_USERS; if your organization is \
         allowed, see that it has approved Kozmic's OAuth app and that your membership is active."
    )
}

/// To who would be signed in by a cookie that does not come back.
pub(in crate::web) fn by_http(public_url: &str) -> String {
    format!(
        "You came by http, and who is signed in is kept in a cookie for https alone. Please go to \
         {public_url}/login/. If you are there, the proxy says otherwise: an administrator lets it \
         set X-Forwarded-Proto to what the browser has used."
    )
}
