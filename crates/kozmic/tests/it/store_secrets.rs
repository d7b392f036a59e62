//! Secrets as the store keeps them: on SQLite and on PostgreSQL.

use kozmic::model::{HookId, JobEnd, SecretName, SecretValue, Timestamp};
use kozmic::store::{ClaimedJob, GivenSecrets, SecretScope, Store, StoreError};
use secrecy::ExposeSecret;

use crate::store::{LEASE, build, delivery, on_both, project};

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

async fn set(store: &Store, scope: SecretScope, of: &str, value: &str) -> Result<bool, StoreError> {
    let value = SecretValue::parse(value.into()).unwrap();
    store.secret_set(scope, &name(of), &value, "octo", Timestamp(5)).await
}

fn values(secrets: &GivenSecrets) -> Vec<(&str, &str)> {
    secrets.given.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect()
}

/// Of the first hook.
async fn claimed(store: &Store) -> ClaimedJob {
    loop {
        let job = store.claim_job("w", LEASE, Timestamp(11)).await.unwrap().unwrap();
        if job.title == "Tests" {
            return job;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_given_its_hook_s_before_its_project_s() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests", "Other"]).await;
        let all = SecretScope { project, hook: None };
        let own = SecretScope { project, hook: Some(hooks[0].id) };
        let other = SecretScope { project, hook: Some(hooks[1].id) };
        assert!(set(&store, all, "A", "of all").await.unwrap());
        assert!(set(&store, all, "B", "first").await.unwrap());
        assert!(!set(&store, all, "B", "second").await.unwrap(), "it was there");
        assert!(set(&store, own, "A", "own").await.unwrap());
        assert!(set(&store, other, "C", "another's").await.unwrap());
        let nowhere = SecretScope { project, hook: Some(HookId(99)) };
        assert!(matches!(set(&store, nowhere, "A", "x").await, Err(StoreError::Refused(_))));

        store
            .hook_called(&delivery(&hooks[0], "g"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let job = claimed(&store).await;
        let given = store.secrets_given(&job).await.unwrap();
        assert_eq!(values(&given), [("A", "own"), ("B", "second")]);
        assert!(given.newer.is_empty());

        // Changed while it runs.
        assert!(!set(&store, all, "B", "third").await.unwrap());
        assert!(store.secret_removed(own, "A", "ada", Timestamp(12)).await.unwrap());
        assert!(!store.secret_removed(own, "A", "ada", Timestamp(12)).await.unwrap());
        let again = store.secrets_of_running(&job).await.unwrap();
        assert_eq!(values(&again), values(&given));
        let newer: Vec<&str> = again.newer.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(newer, ["of all", "third"]);

        // Nothing is kept of what has ended.
        store.job_finished(job.id, job.attempt, &JobEnd::Exited(0), Timestamp(13)).await.unwrap();
        assert!(values(&store.secrets_of_running(&job).await.unwrap()).is_empty());
        assert!(matches!(store.secrets_given(&job).await, Err(StoreError::Stale)));

        let listed = store.secrets(project).await.unwrap().into_iter();
        let listed: Vec<_> = listed.map(|one| (one.name, one.hook_title, one.updated_by)).collect();
        let row = |name: &str, title: Option<&str>| {
            (name.into(), title.map(str::to_owned), "octo".into())
        };
        assert_eq!(listed, [row("A", None), row("B", None), row("C", Some("Other"))]);
        let changes = store.secret_changes(project, 3).await.unwrap().into_iter();
        let changes: Vec<_> =
            changes.map(|it| (it.by, it.action, it.name, it.hook_title)).collect();
        let change = |by: &str, action: &str, name: &str, title: Option<&str>| {
            (by.into(), action.into(), name.into(), title.map(str::to_owned))
        };
        assert_eq!(
            changes,
            [
                change("ada", "removed", "A", Some("Tests")),
                change("octo", "changed", "B", None),
                change("octo", "added", "C", Some("Other")),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_secrets_are_bounded() {
    on_both(async |store| {
        let (project, _) = project(&store, &["Tests"]).await;
        let all = SecretScope { project, hook: None };
        let large = "x".repeat(SecretValue::LIMIT);
        set(&store, all, "L0", &large).await.unwrap();
        // Sealed, they have some bytes more.
        let refused = set(&store, all, "L1", &large).await.unwrap_err().to_string();
        assert!(refused.contains("more than 128 KiB together"), "{refused}");
        for index in 1..100 {
            set(&store, all, &format!("S{index}"), "x").await.unwrap();
        }
        let refused = set(&store, all, "S100", "x").await.unwrap_err().to_string();
        assert!(refused.contains("has 100 secrets already"), "{refused}");
        assert_eq!(store.secrets(project).await.unwrap().len(), 100);
        // One that is there may still be changed.
        assert!(!set(&store, all, "S99", "y").await.unwrap());
    })
    .await;
}
