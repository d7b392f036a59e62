//! What every request shares: the world, the folder of repositories, the postman.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::{
    contract::{self, Watch},
    deliver::{Letter, Postman},
    git::bare::Bare,
    shape,
    state::{World, deliveries::Delivery, repositories::Repository, webhooks::Webhook},
};

/// Cheap to clone; all clones are the same GitHub.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    root: PathBuf,
    postman: Postman,
    watch: Watch,
}

impl App {
    pub(crate) fn new(base: String, root: PathBuf, watch: Watch) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Shared {
            world: Mutex::new(World::new(base)),
            root,
            postman: Postman::new()?,
            watch,
        })))
    }

    /// Locks the world for a moment; never hold it across an `await`.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a repository's objects are.
    pub(crate) fn bare(&self, repository: &Repository) -> Bare {
        let folder = format!("{}.git", repository.name);
        Bare::at(self.0.root.join(&repository.owner_login).join(folder))
    }

    /// Where objects are that no repository has yet, or any more.
    pub(crate) fn aside(&self, id: u64) -> Bare {
        Bare::at(self.0.root.join(format!(".aside-{id}")))
    }

    /// Where all repositories are.
    pub(crate) fn root(&self) -> &std::path::Path {
        &self.0.root
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    pub(crate) fn postman(&self) -> &Postman {
        &self.0.postman
    }

    /// Tells every active webhook of the repository that subscribes to the event.
    ///
    /// All of them get the same delivery GUID, as on GitHub: it names the event.
    pub(crate) fn tell(&self, repository: u64, event: &str, action: Option<&str>, payload: &Value) {
        let receivers: Vec<u64> = self
            .world()
            .webhooks
            .of(repository)
            .filter(|webhook| webhook.active && webhook.wants(event))
            .map(|webhook| webhook.id)
            .collect();
        let payload = self.with_organization(repository, payload);
        if !receivers.is_empty() {
            contract::check_webhook(self.watch(), event, &payload);
        }
        let letter = Letter::new(event, action, &payload);
        for webhook in receivers {
            self.0.postman.send(self, webhook, letter.clone());
        }
    }

    /// Tells one webhook, whatever it subscribes to.
    pub(crate) fn tell_one(&self, webhook: u64, event: &str, payload: &Value) {
        let repository = self.world().webhooks.by_id(webhook).map(|found| found.repository);
        let payload = self.with_organization(repository.unwrap_or_default(), payload);
        contract::check_webhook(self.watch(), event, &payload);
        self.0.postman.send(self, webhook, Letter::new(event, None, &payload));
    }

    /// Tells a webhook that is no longer there.
    pub(crate) fn tell_removed(
        &self,
        webhook: Webhook,
        event: &str,
        action: &str,
        payload: &Value,
    ) {
        let payload = self.with_organization(webhook.repository, payload);
        contract::check_webhook(self.watch(), event, &payload);
        let letter = Letter::new(event, Some(action), &payload);
        self.0.postman.send_last(self, webhook, letter);
    }

    /// Payloads about an organization's repository name the organization.
    fn with_organization(&self, repository: u64, payload: &Value) -> Value {
        let mut payload = payload.clone();
        let world = self.world();
        let owner = world.repositories.by_id(repository).map(|found| found.owner);
        if let Some(found) = owner.and_then(|owner| world.organizations.by_id(owner)) {
            payload["organization"] = shape::organization::simple(&world, found);
        }
        payload
    }

    /// Sends what was sent before once more, with the same GUID and the secret of now.
    pub(crate) fn redeliver(&self, delivery: &Delivery) {
        self.0.postman.send(self, delivery.webhook, Letter::again(delivery));
    }
}
