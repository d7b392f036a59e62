//! The key that everything secret is sealed with: missing, changed, and rotated.

use std::process::Output;

use kozmic::model::{ProjectId, SecretValue, Timestamp};
use kozmic::store::SecretScope;
use secrecy::ExposeSecret as _;
use sqlx::{AnyConnection, Connection as _};

use crate::cli::{errors, printed};
use crate::harness::{BASE, World, eventually, hook};

const URL: &str = "http://127.0.0.1:0";

async fn rotate(world: &World) -> Output {
    world.run(URL, &["secret-key", "rotate"]).await
}

/// A private project with a hook, so that there is a secret of every kind.
async fn world_with_secrets(extra: &[(&str, &str)]) -> World {
    let world = World::with(extra).await;
    world.sim.set_private("octo/orbit", true).await.unwrap();
    world.project(URL, &[hook("Tests", BASE, ":\n")]).await;
    let scope = SecretScope { project: ProjectId(1), hook: None };
    let (name, value) = ("TOKEN".parse().unwrap(), SecretValue::parse("hush".into()).unwrap());
    let store = world.store().await;
    store.secret_set(scope, &name, &value, "octo", Timestamp(1)).await.unwrap();
    store.close().await;
    world
}

/// The user's token, the project's private key and the hook's secret.
async fn secrets(world: &World) -> [String; 3] {
    let store = world.store().await;
    let hook = store.hook(kozmic::model::HookId(1)).await.unwrap().unwrap();
    let project = store.project(hook.project).await.unwrap().unwrap();
    let token = store.user(project.owner).await.unwrap().unwrap().token.unwrap();
    let key = store.deploy_key(project.id).await.unwrap().unwrap().private_key;
    store.close().await;
    [token, key, hook.secret].map(|secret| secret.expose_secret().to_owned())
}

fn key(world: &World) -> String {
    std::fs::read_to_string(world.data_dir().join("secret-key")).unwrap()
}

fn put_key(world: &World, name: &str, text: &str) {
    std::fs::write(world.data_dir().join(name), text).unwrap();
}

async fn database(world: &World) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&world.settings().database_url).await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 0").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_changed_key_is_named_before_anything_is_served() {
    let world = world_with_secrets(&[]).await;
    let good = key(&world);
    let refused = async || errors(&world.run(URL, &["serve"]).await);
    std::fs::remove_file(world.data_dir().join("secret-key")).unwrap();
    let missing = refused().await;
    assert!(missing.contains("secret-key is missing, and the database was sealed"), "{missing}");
    assert!(missing.contains("set KOZMIC_SECRET_KEY to the key with the id "), "{missing}");
    assert!(!world.data_dir().join("secret-key").exists(), "no new one is made");
    put_key(&world, "secret-key", &"x".repeat(64));
    let changed = refused().await;
    assert!(
        changed.contains("does not hold the key that the database was sealed with"),
        "{changed}"
    );
    let mut given = world.command(URL, &["serve"]);
    given.env("KOZMIC_SECRET_KEY", "y".repeat(64));
    let given = errors(&given.output().await.unwrap());
    assert!(given.contains("KOZMIC_SECRET_KEY is not the key that the database"), "{given}");
    put_key(&world, "secret-key", &good);
    world.serve().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_only_the_new_key_opens() {
    let world = world_with_secrets(&[]).await;
    let server = world.serve().await;
    let owner = world.owner(&server.url).await.clone();
    let busy = errors(&rotate(&world).await);
    assert!(busy.contains("stop the server before its key is changed"), "{busy}");
    server.stop().await;
    let (old, before) = (key(&world), secrets(&world).await);
    let said = printed(&rotate(&world).await);
    assert!(said.starts_with("Sealed 4 values with the key "), "{said}");
    assert_ne!(key(&world), old);
    assert_eq!(secrets(&world).await, before);
    assert!(!world.data_dir().join("secret-key.new").exists());
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(world.data_dir().join("secret-key")).unwrap(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // Who was signed in still is.
    let server = world.serve().await;
    let page = owner.get(format!("{}/account/settings/", server.url)).send().await.unwrap();
    assert_eq!(page.status(), 200);
    server.stop().await;
    put_key(&world, "secret-key", &old);
    let refused = errors(&world.run(URL, &["serve"]).await);
    assert!(refused.contains("does not hold the key"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_given_key_is_changed_for_another_given_one() {
    let (old, new) = ("o".repeat(40), "n".repeat(40));
    let mut world = world_with_secrets(&[("KOZMIC_SECRET_KEY", &old)]).await;
    let before = secrets(&world).await;
    let lacking = errors(&rotate(&world).await);
    assert!(lacking.contains("set KOZMIC_NEW_SECRET_KEY for this command"), "{lacking}");
    for (given, told) in [("short", "it needs at least 32"), (old.as_str(), "already")] {
        let mut command = world.command(URL, &["secret-key", "rotate"]);
        command.env("KOZMIC_NEW_SECRET_KEY", given);
        let wrong = errors(&command.output().await.unwrap());
        assert!(wrong.contains(told), "{wrong}");
    }
    let mut command = world.command(URL, &["secret-key", "rotate"]);
    command.env("KOZMIC_NEW_SECRET_KEY", &new);
    let said = printed(&command.output().await.unwrap());
    assert!(said.contains("Set KOZMIC_SECRET_KEY to the new key before the next start."), "{said}");
    let refused = errors(&world.run(URL, &["serve"]).await);
    assert!(refused.contains("KOZMIC_SECRET_KEY is not the key"), "{refused}");
    world.set("KOZMIC_SECRET_KEY", &new);
    assert_eq!(secrets(&world).await, before);
    world.serve().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rotation_changes_nothing() {
    let world = world_with_secrets(&[]).await;
    let (old, before) = (key(&world), secrets(&world).await);
    let mut database = database(&world).await;
    // The users' tokens are sealed anew; then comes a hook, and takes for ever.
    sqlx::query(
        "CREATE TRIGGER slow AFTER UPDATE OF secret ON hooks BEGIN \
         SELECT COUNT(*) FROM (WITH RECURSIVE n (i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000000) SELECT i FROM n); END",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let mut rotating = world.command(URL, &["secret-key", "rotate"]).spawn().unwrap();
    eventually("the rotation to be under way", async || {
        assert!(rotating.try_wait().unwrap().is_none(), "the rotation has ended");
        let has_key = world.data_dir().join("secret-key.new").exists();
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await;
        if begun.is_ok() {
            sqlx::query("ROLLBACK").execute(&mut database).await.unwrap();
        }
        (has_key && begun.is_err()).then_some(())
    })
    .await;
    rotating.kill().await.unwrap();
    assert_eq!((key(&world), secrets(&world).await), (old, before.clone()));
    sqlx::query("DROP TRIGGER slow").execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    world.serve().await.stop().await;
    // The next one starts anew.
    printed(&rotate(&world).await);
    assert_eq!(secrets(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_fails_halfway_changes_nothing() {
    let world = world_with_secrets(&[]).await;
    let (old, before) = (key(&world), secrets(&world).await);
    world.change("UPDATE hooks SET secret = X'00'").await;
    let wrong = errors(&rotate(&world).await);
    assert!(wrong.contains("hooks:1:secret can't be opened: it is damaged"), "{wrong}");
    assert!(!world.data_dir().join("secret-key.new").exists());
    assert_eq!(key(&world), old);
    let store = world.store().await;
    let token = store.user(kozmic::model::UserId(1)).await.unwrap().unwrap().token.unwrap();
    assert_eq!(token.expose_secret(), before[0]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_killed_after_its_end_is_finished_by_the_next_start() {
    let world = world_with_secrets(&[]).await;
    let (old, before) = (key(&world), secrets(&world).await);
    printed(&rotate(&world).await);
    let new = key(&world);
    // The database has changed; the file was not there yet.
    put_key(&world, "secret-key.new", &new);
    put_key(&world, "secret-key", &old);
    world.serve().await.stop().await;
    assert_eq!((key(&world), secrets(&world).await), (new, before));
    assert!(!world.data_dir().join("secret-key.new").exists());
}
