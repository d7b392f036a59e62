//! The secrets of a project and of its hooks, as managers see them: names, and who set
//! them. A value goes in and never comes out.

use askama::Template;
use axum::Form;
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{Page, Time};
use super::settings::{self, Said};
use super::visitor::{Access, Account, Acting, Visitor};
use super::words::{answers, problems};
use crate::log::{SHORTEST, lines_too_short};
use crate::model::{HookId, Invalid, ProjectId, SecretName, SecretValue, Timestamp};
use crate::store::{Hook, Secret, SecretChange, SecretScope, StoreError};

/// Changes of secrets that are shown.
const CHANGES: i64 = 20;
/// Characters from which on a secret is not found by chance.
const LONG_ENOUGH: usize = 8;

/// A part of a page: the secrets of a project and all of its hooks, or of one hook.
#[derive(Template)]
#[template(path = "secrets.html")]
pub(super) struct Secrets {
    project: ProjectId,
    /// None: of the project.
    hook: Option<HookId>,
    /// Whose a new one may be.
    hooks: Vec<Hook>,
    rows: Vec<Row>,
    changes: Vec<Change>,
    said: Said,
}

struct Row {
    secret: Secret,
    at: Time,
}

struct Change {
    change: SecretChange,
    at: Time,
}

impl Secrets {
    pub(super) async fn of_project(
        app: &App,
        project: ProjectId,
        said: Said,
    ) -> Result<Self, StoreError> {
        let now = Timestamp::now();
        let changes = app.store.secret_changes(project, CHANGES).await?.into_iter();
        let changes = changes.map(|change| Change { at: Time::new(change.at, now), change });
        Ok(Self {
            project,
            hook: None,
            hooks: app.store.hooks(project).await?,
            rows: rows(app, project).await?,
            changes: changes.collect(),
            said,
        })
    }

    pub(super) async fn of_hook(
        app: &App,
        project: ProjectId,
        hook: HookId,
    ) -> Result<Self, StoreError> {
        let mut rows = rows(app, project).await?;
        rows.retain(|row| row.secret.hook == Some(hook));
        let (hooks, changes) = (Vec::new(), Vec::new());
        Ok(Self { project, hook: Some(hook), hooks, rows, changes, said: Said::default() })
    }
}

async fn rows(app: &App, project: ProjectId) -> Result<Vec<Row>, StoreError> {
    let now = Timestamp::now();
    let secrets = app.store.secrets(project).await?.into_iter();
    Ok(secrets.map(|secret| Row { at: Time::new(secret.updated_at, now), secret }).collect())
}

/// Texts only, so that what can't be understood is never repeated in an answer.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SecretForm {
    name: String,
    value: String,
    /// Its number; empty: all of the project's.
    hook: String,
}

impl SecretForm {
    fn scope(&self, project: ProjectId) -> Result<SecretScope, Invalid> {
        let hook = match self.hook.as_str() {
            "" => None,
            number => Some(HookId(number.parse().map_err(|_| Invalid::new(problems::HOOK_GONE))?)),
        };
        Ok(SecretScope { project, hook })
    }
}

pub(super) async fn set(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Form(form): Form<SecretForm>,
) -> Page {
    let mut said = Said { about: "secrets", ..Said::default() };
    match set_by(&app, access.project.id, &account.login, form).await? {
        Ok(done) => said.done = done,
        Err(why) => said.troubles.push(problems::secret_not_saved(why)),
    }
    settings::page(&app, Visitor(Some(account)), access, said).await
}

/// What was done, or why it was not.
async fn set_by(
    app: &App,
    project: ProjectId,
    by: &str,
    form: SecretForm,
) -> Result<Result<Vec<String>, String>, PageError> {
    let parsed = || {
        let scope = form.scope(project)?;
        let name = form.name.parse::<SecretName>()?;
        // Browsers send CRLF.
        let mut value = form.value.replace("\r\n", "\n");
        if value.ends_with('\n') {
            value.pop();
        }
        Ok::<_, Invalid>((scope, name, SecretValue::parse(value)?))
    };
    let (scope, name, value) = match parsed() {
        Ok(parsed) => parsed,
        Err(problem) => return Ok(Err(problem.to_string())),
    };
    match app.store.secret_set(scope, &name, &value, by, Timestamp::now()).await {
        Ok(is_new) => {
            let first = answers::secret_saved(&name, is_new);
            Ok(Ok(std::iter::once(first).chain(remarks(&value)).collect()))
        }
        Err(StoreError::Refused(why)) => Ok(Err(why)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn remove(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Form(form): Form<SecretForm>,
) -> Page {
    let mut said = Said { about: "secrets", ..Said::default() };
    let name = form.name.trim();
    let removed = match form.scope(access.project.id) {
        Ok(scope) => app.store.secret_removed(scope, name, &account.login, Timestamp::now()).await,
        Err(problem) => Err(StoreError::Refused(problem.to_string())),
    };
    match removed {
        Ok(true) => said.done.push(answers::secret_removed(name)),
        Ok(false) => said.troubles.push(problems::NO_SECRET.into()),
        Err(StoreError::Refused(why)) => said.troubles.push(problems::secret_not_removed(why)),
        Err(error) => return Err(error.into()),
    }
    settings::page(&app, Visitor(Some(account)), access, said).await
}

/// What somebody should know of the value they have saved; nothing of the value itself.
pub(super) fn remarks(value: &SecretValue) -> Vec<String> {
    let value = value.expose();
    let length = value.trim().chars().count();
    let lines = value.trim().lines().count();
    let short = lines_too_short(value);
    let mut remarks = Vec::new();
    if length < SHORTEST {
        remarks.push(answers::secret_not_masked());
    } else if lines > 1 && short > 0 {
        remarks.push(answers::secret_lines_not_masked(short, lines));
    } else if lines == 1 && length < LONG_ENOUGH {
        remarks.push(answers::secret_found_by_chance(LONG_ENOUGH));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_saves_a_secret_learns_what_is_not_masked() {
        let remarks = |value: &str| remarks(&SecretValue::parse(value.into()).unwrap()).concat();
        assert!(remarks("abc").contains("it is not masked"));
        assert!(remarks("abcdefg").contains("is masked in logs, too"));
        assert!(remarks("first line\nab\n\n}").contains("2 of its 4 lines have fewer than 4"));
        assert_eq!(remarks("long enough\nand this as well"), "");
        assert_eq!(remarks("abcdefgh"), "");
    }
}
