//! Users and their access tokens.

use jiff::Timestamp;

use super::Invalid;

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) login: String,
    pub(crate) is_organization: bool,
    /// Classic personal access tokens; all of them may do all that the user may.
    pub(crate) tokens: Vec<String>,
    /// What the user's own browser has; unlike a token it is never revoked.
    pub(crate) session: String,
    pub(crate) created_at: Timestamp,
}

impl User {
    /// The address GitHub gives to commits of people who keep theirs private.
    pub(crate) fn email(&self) -> String {
        format!("{}+{}@users.noreply.github.com", self.id, self.login)
    }
}

#[derive(Default)]
pub(crate) struct Users {
    list: Vec<User>,
}

impl Users {
    pub(crate) fn add(
        &mut self,
        id: u64,
        login: &str,
        token: String,
        now: Timestamp,
    ) -> Result<&User, Invalid> {
        if !is_login(login) {
            return Err(Invalid::field("User", "login", "custom").with_message(format!(
                "{login:?} is not a login: letters, digits and single hyphens, at most 39"
            )));
        }
        if self.by_login(login).is_some() {
            return Err(Invalid::field("User", "login", "already_exists")
                .with_message(format!("There is a user {login} already")));
        }
        let session = format!("session-{token}");
        self.list.push(User {
            id,
            login: login.to_owned(),
            is_organization: false,
            tokens: vec![token],
            session,
            created_at: now,
        });
        Ok(&self.list[self.list.len() - 1])
    }

    /// The account of an organization; nobody signs in with it.
    pub(crate) fn add_organization(
        &mut self,
        id: u64,
        login: &str,
        now: Timestamp,
    ) -> Result<(), Invalid> {
        self.add(id, login, String::new(), now)?;
        if let Some(account) = self.by_id_mut(id) {
            account.is_organization = true;
            account.tokens.clear();
            account.session.clear();
        }
        Ok(())
    }

    pub(crate) fn rename(&mut self, id: u64, login: &str) -> Result<(), Invalid> {
        if !is_login(login) || self.by_login(login).is_some_and(|known| known.id != id) {
            return Err(Invalid::field("User", "login", "custom")
                .with_message(format!("{login:?} is no login, or another's")));
        }
        if let Some(user) = self.by_id_mut(id) {
            login.clone_into(&mut user.login);
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.list.retain(|user| user.id != id);
    }

    fn by_id_mut(&mut self, id: u64) -> Option<&mut User> {
        self.list.iter_mut().find(|user| user.id == id)
    }

    /// Somebody has let an app act for them.
    pub(crate) fn add_token(&mut self, user: u64, token: String) {
        if let Some(user) = self.by_id_mut(user) {
            user.tokens.push(token);
        }
    }

    /// Whoever has the token can't use it any more; whether anybody had it.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        let mut known = false;
        for user in &mut self.list {
            let before = user.tokens.len();
            user.tokens.retain(|one| one != token);
            known |= user.tokens.len() < before;
        }
        known
    }

    /// Of people, oldest first.
    pub(crate) fn logins(&self) -> impl Iterator<Item = &str> {
        let people = self.list.iter().filter(|user| !user.is_organization);
        people.map(|user| user.login.as_str())
    }

    /// Logins are case-insensitive on GitHub.
    pub(crate) fn by_login(&self, login: &str) -> Option<&User> {
        self.list.iter().find(|user| user.login.eq_ignore_ascii_case(login))
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&User> {
        self.list.iter().find(|user| user.id == id)
    }

    /// By an access token, or by what the user's own browser has.
    pub(crate) fn by_token(&self, token: &str) -> Option<&User> {
        let of_browser = self.by_session(token);
        of_browser.or_else(|| {
            self.list.iter().find(|user| user.tokens.iter().any(|known| known == token))
        })
    }

    pub(crate) fn by_session(&self, session: &str) -> Option<&User> {
        self.list.iter().find(|user| !session.is_empty() && user.session == session)
    }

    pub(crate) fn by_email(&self, email: &str) -> Option<&User> {
        self.list.iter().find(|user| user.email().eq_ignore_ascii_case(email))
    }
}

fn is_login(login: &str) -> bool {
    !login.is_empty()
        && login.len() <= 39
        && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !login.starts_with('-')
        && !login.ends_with('-')
        && !login.contains("--")
}
