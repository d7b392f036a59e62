//! What the store knows of people: sessions, what they see, and secrets sealed anew; on
//! SQLite and on PostgreSQL.

use std::time::Duration;

use kozmic::model::{GithubUser, RemoteRepository, Role, Timestamp, UserId};
use kozmic::seal::Seal;
use kozmic::store::{
    Listed, OfferedRepository, Organization, ProjectChange, SESSION_LIFETIME, Store, StoreError,
    UserRepositories,
};

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
async fn with_too_many_sessions_the_one_not_used_for_longest_ends() {
    on_both(async |store| {
        let (ada, bob) = (user(&store, 1, "ada").await, user(&store, 2, "bob").await);
        let of_bob = store.session_begun(bob, Timestamp(0)).await.unwrap();
        let first = store.session_begun(ada, Timestamp(0)).await.unwrap();
        let second = store.session_begun(ada, Timestamp(1)).await.unwrap();
        let later = Timestamp(2).plus(Duration::from_hours(2));
        store.session_used(&first, later).await.unwrap().unwrap();
        for _ in 0..49 {
            store.session_begun(ada, later).await.unwrap();
        }
        assert_eq!(store.sessions(ada, later).await.unwrap().len(), 50);
        assert!(store.session_used(&first, later).await.unwrap().is_some());
        assert!(store.session_used(&second, later).await.unwrap().is_none());
        assert!(store.session_used(&of_bob, later).await.unwrap().is_some());
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
        let listed = async |of| crate::store::listed(&store, of).await.len();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_login_means_who_had_it_first_as_long_as_the_settings_name_it() {
    on_both(async |store| {
        let means = async |gh_id| store.login_named("Ada", gh_id, Timestamp(3)).await.unwrap();
        user(&store, 1, "ADA").await;
        store.logins_named(&["ada", "bob"], Timestamp(2)).await.unwrap();
        assert_eq!(means(2).await, 1, "a user who was here before");
        assert_eq!(store.login_named("bob", 7, Timestamp(3)).await.unwrap(), 7);
        // Another start with the same settings changes nothing.
        let taker = user(&store, 2, "ada").await;
        store.logins_named(&["Ada", "bob"], Timestamp(4)).await.unwrap();
        assert_eq!(means(2).await, 1);
        let secret = store.session_begun(taker, Timestamp(4)).await.unwrap();
        let login_means = async || {
            let used = store.session_used(&secret, Timestamp(5)).await.unwrap().unwrap();
            (used.user.login, used.user.login_means)
        };
        assert_eq!(login_means().await, ("ada".into(), Some(1)));
        store.logins_named(&["bob"], Timestamp(6)).await.unwrap();
        assert_eq!(login_means().await, ("ada".into(), None));
        store.logins_named(&["ada"], Timestamp(7)).await.unwrap();
        assert_eq!(login_means().await, ("ada".into(), Some(2)));
        store.logins_named(&[], Timestamp(8)).await.unwrap();
        assert_eq!(login_means().await, ("ada".into(), None));
        assert_eq!(store.login_named("bob", 8, Timestamp(9)).await.unwrap(), 8);
    })
    .await;
}

/// More of each than a statement takes at once.
const MANY: i64 = 1_000;

fn repository(gh_id: i64) -> RemoteRepository {
    RemoteRepository {
        gh_id,
        full_name: format!("acme/r{gh_id}").parse().unwrap(),
        ssh_clone_url: format!("git@github.com:acme/r{gh_id}.git"),
        https_clone_url: format!("https://github.com/acme/r{gh_id}.git"),
        default_branch: "main".into(),
        is_public: true,
    }
}

/// A project of an organization in which everybody works, seen from both sides.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_people_and_projects_are_synchronized_by_their_differences() {
    on_both(async |store| {
        let owner = user(&store, 1_000_000, "owner").await;
        for gh_id in 1..=MANY {
            user(&store, gh_id, &format!("u{gh_id}")).await;
        }
        let project = store.project_added(&repository(1), owner, Timestamp(1)).await.unwrap();
        let count = async |role| {
            let members = store.members(project).await.unwrap();
            members.iter().filter(|member| member.role == role).count()
        };
        // GitHub tells of more people than ever signed in here, and of the owner.
        let mut people: Vec<(i64, bool)> =
            (1..=2 * MANY).map(|gh_id| (gh_id, gh_id % 2 == 0)).collect();
        people.push((1_000_000, true));
        store.members_synchronized(project, &people, true, Timestamp(2)).await.unwrap();
        assert_eq!((count(Role::Manager).await, count(Role::Member).await), (500, 500));
        // Not all of it is told: roles change, and nobody goes.
        let some: Vec<(i64, bool)> = (1..=10).map(|gh_id| (gh_id, true)).collect();
        store.members_synchronized(project, &some, false, Timestamp(3)).await.unwrap();
        assert_eq!((count(Role::Manager).await, count(Role::Member).await), (505, 495));
        store.members_synchronized(project, &some, true, Timestamp(4)).await.unwrap();
        assert_eq!((count(Role::Manager).await, count(Role::Member).await), (10, 0));
        assert_eq!(count(Role::Owner).await, 1);

        // One of them, and a thousand projects.
        for gh_id in 2..=MANY {
            store.project_added(&repository(gh_id), owner, Timestamp(5)).await.unwrap();
        }
        let one = user(&store, 1, "u1").await;
        let offered =
            |gh_id| OfferedRepository { repository: repository(gh_id), is_archived: false };
        let mut repositories = UserRepositories::default();
        // GitHub's list may move while it is read: the same one comes twice.
        repositories.own.extend([offered(5_000), offered(5_001), offered(5_000)]);
        let organization = |gh_id: i64| Organization {
            gh_id,
            login: format!("org{gh_id}"),
            repositories: (0..MANY).map(|number| offered(gh_id * 10_000 + number)).collect(),
        };
        repositories.organizations.extend([organization(1), organization(2)]);
        let mut accessible: Vec<(i64, bool)> =
            (1..=2 * MANY).map(|gh_id| (gh_id, gh_id <= 300)).collect();
        accessible.push((300, false));
        let synchronized = async |accessible: &[(i64, bool)]| {
            let now = Timestamp(6);
            store.user_synchronized(one, &repositories, accessible, now).await.unwrap();
            let projects = store.projects(Listed::Of(one)).await.unwrap();
            let mut managed = 0;
            for project in projects.iter().filter(|project| project.repository.gh_id >= 290) {
                let role = store.role(project.id, one).await.unwrap();
                managed += usize::from(role == Some(Role::Manager));
            }
            (projects.len(), managed)
        };
        assert_eq!(synchronized(&accessible).await, (1_000, 11));
        let offers = store.offers(one).await.unwrap().by_owner;
        let offers: Vec<usize> = offers.iter().map(|(_, offers)| offers.len()).collect();
        assert_eq!(offers, [2, 1_000, 1_000]);
        assert_eq!(synchronized(&[(300, false)]).await, (1, 0));
        assert_eq!(synchronized(&[]).await, (0, 0));
    })
    .await;
}
