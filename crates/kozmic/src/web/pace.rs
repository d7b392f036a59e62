//! Who comes too often: sign-ins by their address, the API by its user, and by the address where
//! nobody is known. Who shows a valid token is never held to what others at their address do.

use super::App;
use super::gate::{Door, Entry, Refusal};
use super::origin::Origin;
use super::visitor::Account;
use crate::rates::{TooOften, What, Who};
use crate::telemetry::count;

/// On the way to GitHub and back.
pub(super) async fn signs_in(app: &App, entry: Entry, origin: Origin) -> Result<(), Refusal> {
    if !entry.path.starts_with("/_auth") {
        return Ok(());
    }
    app.counted(What::SignIn, origin.who()).await
}

/// Counts who asked by a token, or came to the API without a valid one; `asked` is what was
/// found of them, and stays as it is if they may go on.
pub(super) async fn asks(
    app: &App,
    door: Door,
    origin: Origin,
    asked: Result<Option<Account>, Refusal>,
) -> Result<Option<Account>, Refusal> {
    match &asked {
        Ok(Some(account)) if account.session.is_none() => {
            app.counted(What::Api, Who::User(account.id)).await?;
        }
        Err(Refusal::BadToken(_)) => app.counted(What::Stranger, origin.who()).await?,
        Err(Refusal::Anonymous) if door == Door::Api => {
            app.counted(What::Stranger, origin.who()).await?;
        }
        _ => {}
    }
    asked
}

impl App {
    /// Counts one, or tells that it is one too many.
    pub(super) async fn counted(&self, what: What, who: Who) -> Result<(), Refusal> {
        let Err(TooOften(wait)) = self.rates.take(what, who).await else { return Ok(()) };
        Err(self.too_often(what, wait))
    }

    pub(super) fn too_often(&self, what: What, wait: std::time::Duration) -> Refusal {
        count::rate_limited(what.as_str());
        let rate = self.rates.per_minute().of(what).unwrap_or_default();
        let sentence = match what {
            What::SignIn | What::Code => {
                "More sign-ins came from your address than are taken in a minute. If many people \
                 share it, an administrator may allow more (KOZMIC_SIGN_IN_RATE)."
                    .to_owned()
            }
            What::Api => {
                format!("The API answers {rate} requests of a user in a minute (KOZMIC_API_RATE).")
            }
            What::Stranger => {
                format!("More than {rate} requests without a valid token came from this address.")
            }
            What::Delivery => format!(
                "More than {rate} deliveries without a valid signature came from this address; \
                 those with one are taken."
            ),
        };
        Refusal::TooOften(wait, sentence)
    }
}
