//! `kozmic backup` and `kozmic restore`: what a server had, another one has.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kozmic::model::ProjectId;
use kozmic::objects::Objects;
use kozmic::store::{Part, Store, TableSum};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::cli::{errors, printed};
use crate::crash::{free_url, start};
use crate::harness::{
    BASE, Build, Postgres, S3, World, containers_of, docker, eventually, free_port, hook,
};

const SCRIPT: &str = "#!/bin/sh\necho \"the word has ${#WORD} letters\"\n\
                      head -c 3000000 /dev/urandom > /kozmic/artifacts/bytes\n\
                      : > /kozmic/artifacts/empty\n";
/// Its first attempt at the second commit does not end by itself.
const SLOW: &str = "#!/bin/sh\necho begun\n[ \"$KOZMIC_JOB_ATTEMPT$(cat a)\" != 1b ] || sleep 600\n\
                    echo \"done in attempt $KOZMIC_JOB_ATTEMPT\"\n";

async fn api(world: &World, url: &str, path: &str) -> Value {
    let request = world.http.get(format!("{url}/api/v1/{path}"));
    let answer = request.bearer_auth(world.api_token().await).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

async fn bytes(world: &World, url: String) -> Vec<u8> {
    let answer = world.http.get(&url).bearer_auth(world.api_token().await).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.bytes().await.unwrap().to_vec()
}

/// What users see of the build that is over, byte by byte.
async fn seen(world: &World, url: &str) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for path in ["projects/1/secrets", "jobs/1", "jobs/1/artifacts"] {
        seen.push(api(world, url, path).await.to_string().into_bytes());
    }
    for path in ["log/", "artifacts/bytes", "artifacts/empty"] {
        seen.push(bytes(world, format!("{url}/projects/1/jobs/1/{path}")).await);
    }
    assert_eq!((seen[4].len(), seen[5].len()), (3_000_000, 0));
    seen
}

/// A server that has somebody signed in, a private key, a secret, a build that is over with
/// its log and artifacts, and one that runs.
async fn filled(world: &World, url: &str) -> tokio::process::Child {
    let server = start(world, url).await;
    world.project(url, &[hook("Tests", BASE, SCRIPT)]).await;
    let secret = world.folder().join("word");
    std::fs::write(&secret, "hush-hush").unwrap();
    let set = ["secret", "set", "octo/orbit", "WORD", "--file", secret.to_str().unwrap()];
    let mut command = world.command(url, &set);
    command.env("KOZMIC_SERVER", url).env("KOZMIC_TOKEN", world.api_token().await);
    printed(&command.output().await.unwrap());
    let page = world.page(&format!("{url}/projects/1/settings/")).await;
    assert!(page.contains("octo"), "{page}");
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(url, &sha).await;
    assert_eq!(build.status, "success");
    world.apply(url, &[hook("Tests", BASE, SCRIPT), hook("Slow", BASE, SLOW)]).await;
    let sha = world.push(&[("a", b"b")]).await;
    eventually("the slow script to begin", async || {
        let build = world.build_of(url, &sha).await;
        let is_over = build.job("Tests").status == "success";
        (is_over && world.log_text(build.job("Slow")).await.contains("begun")).then_some(())
    })
    .await;
    // Finished logs are archived a moment after their jobs.
    eventually("the logs to be archived", async || (objects(world).await >= 2).then_some(())).await;
    let store = world.store().await;
    let (key, now) = ("a private key".into(), kozmic::model::Timestamp(5));
    store.deploy_key_made(ProjectId(1), &key, "ssh-ed25519 of-nobody", now).await.unwrap();
    store.close().await;
    server
}

/// How many finished logs there are.
async fn objects(world: &World) -> usize {
    use futures_util::StreamExt as _;
    let settings = world.settings();
    let objects = Objects::open(&settings.objects, &settings.data_dir).unwrap();
    objects.list("logs").count().await
}

/// The sums of all tables, the audit log apart, which says that there was a restore.
fn but_audit(mut tables: Vec<TableSum>) -> Vec<TableSum> {
    let all = tables.len();
    tables.retain(|table| table.name != "audit");
    assert_eq!(tables.len(), all - 1);
    assert!(tables.len() > 20, "{tables:?}");
    tables
}

async fn sums(store: &Store) -> Vec<TableSum> {
    let snapshot = store.snapshot(async |_: Part| Ok::<_, kozmic::store::StoreError>(()));
    but_audit(snapshot.await.unwrap().1)
}

/// What a backup says of its tables, read as other programs do.
fn told(file: &Path) -> Vec<TableSum> {
    use std::io::Read as _;
    let packed = std::fs::File::open(file).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut manifest =
        entries.find(|entry| entry.path().unwrap().to_str() == Some("manifest.json")).unwrap();
    let mut text = String::new();
    manifest.read_to_string(&mut text).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    but_audit(serde_json::from_value(manifest["contents"]["tables"].clone()).unwrap())
}

/// Another machine, with these settings instead of those of the first one.
fn move_to(world: &mut World, name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let folder = world.folder().join(name);
    world.set("KOZMIC_DATA_DIR", folder.to_str().unwrap());
    for (name, value) in settings {
        world.set(name, value);
    }
    folder
}

/// Damages a copy of the file, wherever a part of it lies; none becomes an installation.
async fn damaged_ones_are_refused(world: &World, url: &str, file: &Path) {
    let whole = std::fs::read(file).unwrap();
    let damaged = world.folder().join("damaged.backup");
    let at = |part: usize| whole.len() * part / 7;
    for part in 0..=7 {
        let mut content = whole.clone();
        match part {
            0 => content.clear(),
            7 => content.truncate(whole.len() - 1),
            _ if part % 2 == 1 => content.truncate(at(part)),
            _ => content[at(part)] ^= 0x10,
        }
        std::fs::write(&damaged, content).unwrap();
        let refused = world.run(url, &["restore", damaged.to_str().unwrap()]).await;
        let said = errors(&refused);
        assert!(
            said.contains("damaged.backup is damaged: ") || said.contains("no backup of Kozmic's"),
            "{part}: {said}"
        );
    }
}

/// Backs up while a job runs, loses the machine, and goes on elsewhere.
async fn goes_on_elsewhere(mut world: World, there: &[(&str, &str)]) {
    let url = &free_url();
    let mut server = filled(&world, url).await;
    let before = seen(&world, url).await;
    let file = world.folder().join("it.backup");
    let backup = ["backup", file.to_str().unwrap()];
    let said = printed(&world.run(url, &backup).await);
    assert!(said.contains("2 finished logs, 1 live logs, 4 other files"), "{said}");
    assert!(said.contains("The secret key is not in it."), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(errors(&world.run(url, &backup).await).contains("is there already"));
    let audit = printed(&world.run(url, &["audit"]).await);
    assert!(audit.contains("backup.made"), "{audit}");

    // The machine is gone, with its engine.
    let instance = world.instance().await;
    server.kill().await.unwrap();
    for left in containers_of(None, &instance).await {
        if let Some(container) = left.strip_prefix("container ") {
            docker(&["rm", "--force", "--volumes", container]).await;
        }
    }
    let key = std::fs::read_to_string(world.data_dir().join("secret-key")).unwrap();
    let folder = move_to(&mut world, "there", there);
    let restore = ["restore", file.to_str().unwrap()];
    let said = errors(&world.run(url, &restore).await);
    assert!(said.contains("was made without its secret key; set KOZMIC_SECRET_KEY"), "{said}");
    assert!(!folder.exists(), "nothing was written");
    let checked = printed(&world.run(url, &["restore", "--check", restore[1]]).await);
    assert!(checked.contains("is whole, but the secret key is not at hand"), "{checked}");
    world.set("KOZMIC_SECRET_KEY", &"another key".repeat(9));
    let said = errors(&world.run(url, &restore).await);
    assert!(said.contains("KOZMIC_SECRET_KEY has the key with the id "), "{said}");
    assert!(!folder.exists(), "nothing was written");

    world.set("KOZMIC_SECRET_KEY", key.trim());
    damaged_ones_are_refused(&world, url, &file).await;
    let said = printed(&world.run(url, &restore).await);
    assert!(said.contains("2 finished logs, 1 live logs, 4 other files"), "{said}");
    let again = errors(&world.run(url, &restore).await);
    assert!(again.contains(" is not empty: it has "), "{again}");
    let store = world.store().await;
    assert_eq!(sums(&store).await, told(&file));
    let deploy_key = store.deploy_key(ProjectId(1)).await.unwrap().unwrap();
    assert_eq!(deploy_key.private_key.expose_secret(), "a private key");
    // The repository is public, and needs none.
    store.deploy_key_removed(ProjectId(1)).await.unwrap();
    store.close().await;

    let mut server = start(&world, url).await;
    assert!(seen(&world, url).await == before, "something is not as it was");
    // The owner's browser is still signed in.
    let page = world.page(&format!("{url}/projects/1/settings/")).await;
    assert!(page.contains("octo"), "{page}");
    let running = eventually("the job to begin again, and end", async || {
        let builds = world.builds(url).await;
        builds.into_iter().find(|build| build.number == 2).filter(Build::is_finished)
    })
    .await;
    let slow = running.job("Slow");
    assert_eq!(slow.status, "success", "{slow:?}");
    let log = world.log_text(slow).await;
    assert!(log.starts_with("begun\n") && log.ends_with("done in attempt 2\n"), "{log}");
    // GitHub's signature is verified and the secret given: both open.
    let sha = world.push(&[("a", b"c")]).await;
    let build = world.finished(url, &sha).await;
    assert_eq!((build.number, build.status.as_str()), (3, "success"));
    assert_eq!(world.log_text(build.job("Tests")).await, "the word has 9 letters\n");
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_one_machine_to_postgres_and_s3() {
    let postgres = Postgres::start().await;
    let storage = S3::start(free_port(), "kept").await;
    let mut there = S3::environment(&storage.url, "s3://kept/of/kozmic").to_vec();
    there.push(("KOZMIC_DATABASE_URL", &postgres.url));
    goes_on_elsewhere(World::new().await, &there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_postgres_and_s3_to_one_machine() {
    let postgres = Postgres::start().await;
    let storage = S3::start(free_port(), "kept").await;
    let mut here = S3::environment(&storage.url, "s3://kept").to_vec();
    here.push(("KOZMIC_DATABASE_URL", &postgres.url));
    let world = World::with(&here).await;
    let sqlite = format!("sqlite://{}", world.folder().join("there/kozmic.db").display());
    let objects = format!("file://{}", world.folder().join("objects").display());
    let there = [("KOZMIC_DATABASE_URL", sqlite.as_str()), ("KOZMIC_LOG_URL", &objects)];
    goes_on_elsewhere(world, &there).await;
}

/// An installation without builds.
async fn small(world: &World) -> String {
    let url = free_url();
    world.project(&url, &[hook("Tests", BASE, SCRIPT)]).await;
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_its_key_needs_nothing_else_and_goes_through_a_pipe() {
    let mut world = World::new().await;
    let url = &small(&world).await;
    let made = world.run(url, &["backup", "--with-key", "-"]).await;
    assert!(made.status.success());
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        said.contains("in standard output.") && said.contains("The secret key is in it"),
        "{said}"
    );
    let file = world.folder().join("piped");
    std::fs::write(&file, made.stdout).unwrap();
    let folder = move_to(&mut world, "there", &[]);
    let checked = printed(&world.run(url, &["restore", "--check", file.to_str().unwrap()]).await);
    assert!(checked.contains("is whole, and its secrets open"), "{checked}");
    assert!(!folder.exists(), "nothing was written");
    printed(&world.run(url, &["restore", file.to_str().unwrap()]).await);
    assert_eq!(std::fs::metadata(folder.join("secret-key")).unwrap().mode() & 0o777, 0o600);
    let shown = printed(&world.run(url, &["project", "show", "octo/orbit"]).await);
    assert!(shown.contains("octo/orbit"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_restore_left_is_not_used_and_done_again() {
    let mut world = World::new().await;
    let url = &small(&world).await;
    let file = world.folder().join("it.backup");
    let file = file.to_str().unwrap();
    printed(&world.run(url, &["backup", "--with-key", "--to", file]).await);
    let folder = move_to(&mut world, "there", &[]);
    // As a killed one leaves it.
    let left = folder.join("objects/artifacts/1/a");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half").unwrap();
    let said = errors(&world.run(url, &["restore", file]).await);
    assert!(said.contains("is not empty: it has artifacts/1/a"), "{said}");
    std::fs::write(folder.join("restore-unfinished"), "").unwrap();
    let said = errors(&world.run(url, &["migrate"]).await);
    assert!(said.contains("was cut off; do it again with `kozmic restore FILE`"), "{said}");
    let _ = std::fs::remove_file(folder.join("secret-key"));
    printed(&world.run(url, &["restore", file]).await);
    assert!(!left.exists());
    assert!(!folder.join("restore-unfinished").exists());
    printed(&world.run(url, &["migrate"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_where_there_is_nothing_to_back_up() {
    let world = World::new().await;
    let url = &free_url();
    assert!(errors(&world.run(url, &["backup", "x"]).await).contains("the data folder "));
    std::fs::create_dir_all(world.data_dir()).unwrap();
    assert!(errors(&world.run(url, &["backup", "x"]).await).contains("nothing to back up"));
    assert!(!world.folder().join("x").exists());
    let entries = std::fs::read_dir(world.data_dir()).unwrap().count();
    assert_eq!(entries, 0, "no database was made");
    let missing = errors(&world.run(url, &["restore", "nowhere"]).await);
    assert!(missing.contains("nowhere"), "{missing}");
}

/// A backup of before an update is restored by the Kozmic of after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let seal = || kozmic::seal::Seal::from_text(&"k".repeat(32).into()).unwrap();
    let old = Store::open(&url("old"), seal()).await.unwrap();
    let earlier = 25;
    assert!(earlier < Store::newest_schema());
    old.migrate_to(earlier).await.unwrap();
    let instance = old.instance(kozmic::model::Timestamp(5)).await.unwrap();
    let mut parts = Vec::new();
    let take = async |part: Part| {
        parts.push(part);
        Ok::<_, kozmic::store::StoreError>(())
    };
    let (schema, sums) = old.snapshot(take).await.unwrap();
    assert_eq!(schema, earlier);
    let new = Store::open(&url("new"), seal()).await.unwrap();
    new.migrate_to(schema).await.unwrap();
    let mut restoring = new.restoring().await.unwrap();
    for part in parts {
        let Part::Rows { table, lines } = part else { panic!("{part:?}") };
        restoring.rows(&table, &lines).await.unwrap();
    }
    restoring.finish(&sums).await.unwrap();
    new.migrate().await.unwrap();
    assert_eq!(new.schema_number().await.unwrap(), Store::newest_schema());
    assert_eq!(new.instance(kozmic::model::Timestamp(9)).await.unwrap(), instance);
}
