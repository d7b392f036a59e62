//! What the store knows of people: sessions, what they see, and secrets sealed anew; on
//! SQLite and on PostgreSQL.

use std::time::Duration;

use kozmic::model::{GithubUser, Timestamp, UserId};
use kozmic::seal::Seal;
use kozmic::store::{Listed, ProjectChange, SESSION_LIFETIME, Store, StoreError};

use crate::store::{build, delivery, on_both, project};

async fn user(store: &Store, gh_id: i64, login: &str) -> UserId {
    let user = GithubUser {
        gh_id,
        login: login.into(),
        name: login.to_uppercase(),
        avatar_url: None,
        email: Some(format!("{login}@example.org")),
    };
    store.user_signed_in(&user, &"token".into(), Timestamp(1)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_slides_and_ends() {
    on_both(async |store| {
        let (ada, bob) = (user(&store, 1, "ada").await, user(&store, 2, "bob").await);
        let first = store.session_begun(ada, Timestamp(0)).await.unwrap();
        let second = store.session_begun(ada, Timestamp(0)).await.unwrap();
        let of_bob = store.session_begun(bob, Timestamp(0)).await.unwrap();
        assert_ne!(first, second);
        let hour = Duration::from_hours(1);
        let used = async |secret: &str, at: Timestamp| {
            let used = store.session_used(secret, at).await.unwrap();
            used.map(|session| (session.user.login, session.is_renewed))
        };
        assert_eq!(used(&first, Timestamp(0).plus(hour)).await, Some(("ada".into(), false)));
        let later = Timestamp(1).plus(hour);
        assert_eq!(used(&first, later).await, Some(("ada".into(), true)));
        // The first lasts longer now, the second as long as before.
        let end = Timestamp(0).plus(SESSION_LIFETIME);
        assert_eq!(used(&second, end).await, None);
        assert_eq!(used(&first, end).await, Some(("ada".into(), true)));
        assert_eq!(used("made up", Timestamp(0)).await, None);
        assert_eq!(store.sessions(ada, end).await.unwrap().len(), 1);
        let known = store.session_used(&of_bob, Timestamp(1)).await.unwrap().unwrap();
        assert_eq!(known.user.email.as_deref(), Some("bob@example.org"));
        store.sessions_ended(ada).await.unwrap();
        assert_eq!(used(&first, Timestamp(1)).await, None);
        store.session_ended(known.id).await.unwrap();
        assert_eq!(used(&of_bob, Timestamp(1)).await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lets_a_user_in_is_kept_with_them() {
    on_both(async |store| {
        let ada = user(&store, 1, "ada").await;
        let secret = store.session_begun(ada, Timestamp(0)).await.unwrap();
        let admitted = async || {
            store.session_used(&secret, Timestamp(1)).await.unwrap().unwrap().user.admitted_by
        };
        assert_eq!(admitted().await, None);
        store.user_admitted(ada, Some("acme"), Timestamp(5)).await.unwrap();
        assert_eq!(admitted().await, Some(("acme".into(), Timestamp(5))));
        // Whoever adds a project with a token of theirs changes neither that nor the address.
        let public = GithubUser {
            gh_id: 1,
            login: "ada".into(),
            name: "Ada".into(),
            avatar_url: None,
            email: None,
        };
        store.user_signed_in(&public, &"other".into(), Timestamp(6)).await.unwrap();
        let known = store.session_used(&secret, Timestamp(7)).await.unwrap().unwrap().user;
        assert_eq!(known.email.as_deref(), Some("ada@example.org"));
        assert_eq!((known.name.as_str(), admitted().await.is_some()), ("Ada", true));
        store.user_admitted(ada, None, Timestamp(8)).await.unwrap();
        assert_eq!(admitted().await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_one_s_own_projects_or_those_visible_to_all() {
    on_both(async |store| {
        let (project, _) = project(&store, &[]).await;
        let owner = store.project(project).await.unwrap().unwrap().owner;
        let stranger = user(&store, 9, "stranger").await;
        let listed = async |of| store.projects_with_latest_builds(of).await.unwrap().len();
        assert_eq!(listed(Listed::All).await, 1);
        assert_eq!(listed(Listed::Of(owner)).await, 1);
        assert_eq!(listed(Listed::Of(stranger)).await, 0);
        assert_eq!(listed(Listed::VisibleToAll).await, 0);
        let change = ProjectChange { is_visible_to_all: Some(true), ..ProjectChange::default() };
        store.project_options_changed(project, &change, Timestamp(9)).await.unwrap();
        assert_eq!(listed(Listed::VisibleToAll).await, 1);
        assert_eq!(listed(Listed::Of(stranger)).await, 0);
        assert!(store.project(project).await.unwrap().unwrap().is_visible_to_all);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_sealed_anew_when_no_other_server_is_at_work() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        let ours = store.seal().key_id();
        assert_eq!(store.sealed_with().await.unwrap(), Some(ours.clone()), "told by the values");
        assert_eq!(store.key_adopted(Timestamp(1)).await.unwrap(), Some(ours.clone()));
        let call = delivery(&hooks[0], "g1");
        store.hook_called(&call, &build("main", 'a'), Timestamp(3)).await.unwrap();
        let lease = Duration::from_secs(30);
        store.claim_job("worker", lease, Timestamp(10)).await.unwrap().unwrap();
        let new = Seal::from_text(&"n".repeat(32).into()).unwrap();
        // A file has one server, which a lock keeps away; a PostgreSQL may have several.
        let during = store.resealed(&new, Timestamp(11)).await;
        let count = match during {
            Err(StoreError::Refused(why)) => {
                assert!(why.contains("a server works on this database"), "{why}");
                assert_eq!(store.sealed_with().await.unwrap(), Some(ours));
                store.resealed(&new, Timestamp(60_000)).await.unwrap()
            }
            during => during.unwrap(),
        };
        assert_eq!(count, 2, "the user's token and the hook's secret");
        assert_eq!(store.sealed_with().await.unwrap(), Some(new.key_id()));
        let opened = store.hook(hooks[0].id).await;
        assert!(matches!(opened, Err(StoreError::Seal(_))), "{opened:?}");
    })
    .await;
}
