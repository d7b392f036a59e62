//! Who may sign in, and by which OAuth app.

use secrecy::SecretString;

use super::{ConfigError, Values};

/// What GitHub gave to whoever registered the OAuth app.
#[derive(Debug, Clone)]
pub struct OAuthKeys {
    pub client_id: String,
    pub client_secret: SecretString,
}

impl OAuthKeys {
    pub(super) fn read(values: &Values) -> Result<Option<Self>, ConfigError> {
        const ID: &str = "KOZMIC_GITHUB_CLIENT_ID";
        const SECRET: &str = "KOZMIC_GITHUB_CLIENT_SECRET";
        match (values.text(ID), values.text(SECRET)) {
            (Some(client_id), Some(secret)) => {
                Ok(Some(Self { client_id, client_secret: secret.into() }))
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(ConfigError::Half { given: ID, missing: SECRET }),
            (None, Some(_)) => Err(ConfigError::Half { given: SECRET, missing: ID }),
        }
    }
}

/// Whom the settings let in.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    administrators: Logins,
    users: Logins,
    organizations: Logins,
}

impl Admission {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            administrators: Logins::read(values, "KOZMIC_ADMINS")?,
            users: Logins::read(values, "KOZMIC_ALLOWED_USERS")?,
            organizations: Logins::read(values, "KOZMIC_ALLOWED_ORGANIZATIONS")?,
        })
    }

    /// Whether everyone with an account at GitHub is let in.
    pub fn is_open(&self) -> bool {
        self.users.0.is_empty() && self.organizations.0.is_empty()
    }

    /// Whether the login lets somebody in. A login may have changed hands: the store
    /// knows whom it means.
    pub fn names(&self, login: &str) -> bool {
        self.is_administrator(login) || self.users.have(login)
    }

    pub fn is_administrator(&self, login: &str) -> bool {
        self.administrators.have(login)
    }

    /// All logins of people.
    pub fn logins(&self) -> Vec<&str> {
        self.administrators.0.iter().chain(&self.users.0).map(String::as_str).collect()
    }

    /// Those whose members may sign in.
    pub fn organizations(&self) -> &[String] {
        &self.organizations.0
    }

    /// Whether members of this organization are let in.
    pub fn names_organization(&self, name: &str) -> bool {
        self.organizations.have(name)
    }
}

/// Names of users or organizations; GitHub's differ by more than case.
#[derive(Debug, Clone, Default)]
struct Logins(Vec<String>);

impl Logins {
    fn read(values: &Values, name: &'static str) -> Result<Self, ConfigError> {
        let text = values.text(name).unwrap_or_default();
        let logins = text.split(',').map(str::trim).filter(|login| !login.is_empty());
        // An Enterprise Server's may have underscores.
        let is_login = |login: &str| {
            login.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match logins.clone().find(|login| !is_login(login)) {
            None => Ok(Self(logins.map(str::to_owned).collect())),
            Some(wrong) => Err(ConfigError::Malformed {
                name,
                value: wrong.to_owned(),
                problem: "must be logins of GitHub with commas between them".into(),
            }),
        }
    }

    fn have(&self, login: &str) -> bool {
        self.0.iter().any(|known| known.eq_ignore_ascii_case(login))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn settings(given: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let given: Vec<_> =
            given.iter().map(|(n, v)| (format!("KOZMIC_{n}"), (*v).to_owned())).collect();
        Settings::from_parts(&given, None)
    }

    #[test]
    fn half_an_oauth_app_is_an_error_that_names_the_other_half() {
        let error = settings(&[("GITHUB_CLIENT_ID", "x")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "KOZMIC_GITHUB_CLIENT_ID is set, but KOZMIC_GITHUB_CLIENT_SECRET is not; \
             sign-in takes both"
        );
        let error = settings(&[("GITHUB_CLIENT_SECRET", "hush")]).unwrap_err().to_string();
        assert!(error.contains("KOZMIC_GITHUB_CLIENT_ID is not") && !error.contains("hush"));
        assert!(settings(&[]).unwrap().oauth.is_none());
    }

    #[test]
    fn who_is_named_or_a_member_may_sign_in_and_administrators_always() {
        let open = settings(&[("ADMINS", "ada")]).unwrap().admission;
        assert!(open.is_open() && open.is_administrator("ADA") && !open.names("anyone"));
        let named = settings(&[("ADMINS", "ada"), ("ALLOWED_USERS", " bob , carol,")]).unwrap();
        let named = named.admission;
        assert!(named.names("Bob") && named.names("carol") && named.names("ada"));
        assert!(!named.is_open() && !named.names("dave") && !named.names_organization("acme"));
        assert_eq!(named.logins(), ["ada", "bob", "carol"]);
        let member = settings(&[("ALLOWED_ORGANIZATIONS", "acme")]).unwrap().admission;
        assert!(member.names_organization("Acme") && !member.names_organization("other"));
        assert!(!member.is_open() && !member.names("dave"));
    }

    #[test]
    fn what_is_no_login_is_named() {
        let error = settings(&[("ADMINS", "ada, b c")]).unwrap_err().to_string();
        assert!(error.contains("KOZMIC_ADMINS is `b c`: must be logins"), "{error}");
    }
}
