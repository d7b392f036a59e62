//! Hooks and their webhooks at GitHub, one to one.

use super::{Result, Upkeep};
use crate::github::HookConfig;
use crate::intake;
use crate::model::{HookEvent, HookId, HookSpec, Timestamp};
use crate::seal::random_hex;
use crate::store::{Hook, HookPlan, Project, StoreError};

/// What a webhook was found to be, and what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ensured {
    AsItMustBe,
    /// It was there, but not so: what was put right, in words.
    Repaired(Vec<&'static str>),
    /// There was none.
    Made,
}

impl Upkeep {
    /// A new hook and its webhook; neither when GitHub does not make the webhook, or when
    /// the hook does not fit with the project's others.
    pub async fn add_hook(&self, project: &Project, spec: &HookSpec, by: &str) -> Result<HookId> {
        self.store.hooks_would_fit(project.id, HookPlan::Add(spec)).await?;
        self.begin_comparison(project, spec).await?;
        let secret = random_hex()?.into();
        let id = self.store.hook_added(project.id, spec, &secret, by, Timestamp::now()).await?;
        let config = self.config(id, spec, &secret);
        match self.make_webhook(project, id, &config).await {
            Ok(()) => Ok(id),
            Err(error) => {
                // Without its webhook nothing would ever call it.
                self.store.hook_abandoned(id).await?;
                Err(error)
            }
        }
    }

    /// A hook's new content; its webhook follows where it asks for other events.
    pub async fn edit_hook(
        &self,
        project: &Project,
        hook: &Hook,
        spec: &HookSpec,
        by: &str,
    ) -> Result<()> {
        // Before GitHub is told anything.
        self.store.hooks_would_fit(project.id, HookPlan::Edit(hook.id, spec)).await?;
        let (before, after) = (&hook.spec.options.wanted, &spec.options.wanted);
        if let (true, Some(gh_id)) = (before.events != after.events, hook.gh_id) {
            self.begin_comparison(project, spec).await?;
            let config = &self.config(hook.id, spec, &hook.secret);
            self.ask(
                project,
                |repository| async move { repository.edit_hook(gh_id, config).await },
            )
            .await?;
        }
        let edited = self.store.hook_edited(hook, spec, by, Timestamp::now()).await;
        if let Err(StoreError::Changed(_)) = edited
            && before.events != after.events
            && let Some(now) = self.store.hook(hook.id).await?
        {
            // GitHub was told of what is not so.
            self.ensure_hook(project, &now).await?;
        }
        Ok(edited?)
    }

    /// Its webhook first: what GitHub goes on calling must be known here. Refused when
    /// another hook waits for it.
    pub async fn delete_hook(&self, project: &Project, hook: &Hook, by: &str) -> Result<()> {
        self.store.hooks_would_fit(project.id, HookPlan::Delete(hook.id)).await?;
        self.delete_webhook(project, hook).await?;
        Ok(self.store.hook_deleted(hook, by, Timestamp::now()).await?)
    }

    pub(super) async fn delete_webhook(&self, project: &Project, hook: &Hook) -> Result<()> {
        let Some(gh_id) = hook.gh_id else { return Ok(()) };
        self.ask(project, |repository| async move { repository.delete_hook(gh_id).await }).await
    }

    /// Sees to it that GitHub has the hook's webhook and that it is as it must be. The
    /// secret can't be compared, so it is set whenever anything else is.
    pub async fn ensure_hook(&self, project: &Project, hook: &Hook) -> Result<Ensured> {
        let config = &self.config(hook.id, &hook.spec, &hook.secret);
        let known = match hook.gh_id {
            Some(gh_id) => self
                .ask(project, |repository| async move { repository.hook(gh_id).await })
                .await?
                .map(|known| (gh_id, known)),
            None => None,
        };
        let Some((gh_id, known)) = known else {
            self.make_webhook(project, hook.id, config).await?;
            return Ok(Ensured::Made);
        };
        let differences = known.differs_from(config);
        if differences.is_empty() {
            return Ok(Ensured::AsItMustBe);
        }
        self.ask(project, |repository| async move { repository.edit_hook(gh_id, config).await })
            .await?;
        Ok(Ensured::Repaired(differences))
    }

    async fn make_webhook(&self, project: &Project, id: HookId, config: &HookConfig) -> Result<()> {
        let gh_id = self
            .ask(project, |repository| async move { repository.create_hook(config).await })
            .await?;
        Ok(self.store.hook_connected(id, gh_id).await?)
    }

    /// What stands at GitHub before a hook wants it is not built.
    async fn begin_comparison(&self, project: &Project, spec: &HookSpec) -> Result<()> {
        let tags = spec.options.wanted.wants_event(HookEvent::Tag);
        Ok(intake::begin_comparison(&self.store, &self.github, project, tags).await?)
    }

    /// Where a hook's webhook delivers.
    pub fn hook_url(&self, id: HookId) -> String {
        format!("{}/_hooks/hook/{id}/", self.public_url)
    }

    fn config(&self, id: HookId, spec: &HookSpec, secret: &secrecy::SecretString) -> HookConfig {
        HookConfig {
            url: self.hook_url(id),
            secret: secret.clone(),
            events: spec.options.wanted.webhook_events(),
        }
    }
}
