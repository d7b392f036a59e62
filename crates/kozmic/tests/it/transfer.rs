//! `kozmic move`: from SQLite to PostgreSQL and back, without loss.

use kozmic::model::JobEnd;
use serde_json::Value;

use crate::cli::{errors, printed};
use crate::crash::{free_url, start};
use crate::harness::{
    BASE, Checkout, OTHER_ROLE, Postgres, World, as_here, hook, shown, succeeded,
};

const SCRIPT: &str = "#!/bin/sh\necho \"the word has ${#WORD} letters\"\n";

async fn api(world: &World, url: &str, path: &str) -> Value {
    let request = world.http.get(format!("{url}/api/v1/{path}"));
    let answer = request.bearer_auth(world.api_token().await).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

/// What users see of it, addresses of the server apart.
async fn seen(world: &World, url: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for path in ["projects", "projects/1/builds", "projects/1/secrets", "jobs/1", "jobs/2"] {
        seen.push(api(world, url, path).await.to_string().replace(url, "SERVER"));
    }
    seen
}

/// A database that is made as the page says, at a PostgreSQL that asks its owner for the password;
/// its address, without and with that.
async fn another_database(folder: &std::path::Path) -> (Postgres, [String; 2]) {
    let access = folder.join("pg_hba.conf");
    let host = "127.0.0.1/32";
    let text = format!(
        "local all all trust\nhost orbit all {host} scram-sha-256\nhost all all {host} trust\n"
    );
    std::fs::write(&access, text).unwrap();
    // PostgreSQL runs as another user where the tests run as root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder, open).unwrap();
    let options = format!("-c fsync=off -c hba_file={}", access.display());
    let postgres = Postgres::start_with(&options).await;
    let text = as_here(&shown("transfer::database"), &OTHER_ROLE);
    Checkout::new().await.carry_out_at(&postgres, &text, "sesame").await;
    let [_, (_, port), _] = postgres.environment();
    let urls =
        ["orbit", "orbit:sesame"].map(|who| format!("postgres://{who}@127.0.0.1:{port}/orbit"));
    (postgres, urls)
}

async fn stop(server: &mut tokio::process::Child) {
    server.kill().await.unwrap();
}

/// The counts that `kozmic move` tells.
fn rows(told: &str) -> Vec<&str> {
    told.lines().skip(1).take_while(|line| !line.starts_with("Copied")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_moves_to_postgres_and_back_and_goes_on() {
    let mut world = World::new().await;
    // GitHub goes on calling the same address.
    let url = &free_url();
    let mut server = start(&world, url).await;
    world.project(url, &[hook("Tests", BASE, SCRIPT)]).await;
    let secret = world.folder().join("word");
    std::fs::write(&secret, "hush-hush").unwrap();
    let set = ["secret", "set", "octo/orbit", "WORD", "--file", secret.to_str().unwrap()];
    let mut command = world.command(url, &set);
    command.env("KOZMIC_SERVER", url).env("KOZMIC_TOKEN", world.api_token().await);
    printed(&command.output().await.unwrap());
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(url, &sha).await;
    // A job that names the one which replaced it.
    let restart = world.http.post(format!("{url}/api/v1/jobs/1/restart"));
    restart.bearer_auth(world.api_token().await).send().await.unwrap();
    world.finished(url, &sha).await;
    let before = seen(&world, url).await;

    let place = tempfile::tempdir().unwrap();
    let (_postgres, [to, with_password]) = another_database(place.path()).await;
    let running = world.run(url, &["move", "--to", &with_password]).await;
    assert!(errors(&running).contains("another server works in the data folder"));
    stop(&mut server).await;

    let values = [("…", "sesame"), ("postgres://kozmic@db.example.org/kozmic", &*to)];
    let copy = as_here(&shown("transfer::copy"), &values);
    let there = succeeded(world.shell(url, &copy).output().await.unwrap());
    assert!(there.contains("and compared them. Set KOZMIC_DATABASE_URL"), "{there}");
    let again = errors(&world.run(url, &["move", "--to", &with_password]).await);
    assert!(again.contains("the database to copy to is not empty: it has "), "{again}");

    world.set("KOZMIC_DATABASE_URL", &with_password);
    let mut server = start(&world, url).await;
    assert_eq!(seen(&world, url).await, before);
    let sha = world.push(&[("a", b"b")]).await;
    let build = world.finished(url, &sha).await;
    assert_eq!((build.number, build.status.as_str()), (2, "success"));
    // The secret opens there, and is hidden as before.
    assert_eq!(world.log_text(&build.jobs[0]).await, "the word has 9 letters\n");
    let moved = seen(&world, url).await;
    stop(&mut server).await;

    let file = world.folder().join("again.db");
    let sqlite = format!("sqlite://{}", file.display());
    let back = printed(&world.run(url, &["move", "--to", &sqlite]).await);
    assert!(rows(&back).len() >= rows(&there).len(), "{back}");
    world.set("KOZMIC_DATABASE_URL", &sqlite);
    let mut server = start(&world, url).await;
    assert_eq!(seen(&world, url).await, moved);
    let sha = world.push(&[("a", b"c")]).await;
    let build = world.finished(url, &sha).await;
    assert_eq!((build.number, build.status.as_str()), (3, "success"));
    stop(&mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_given_out_again_after_a_move() {
    crate::store::on_both(async |store| {
        let (_, hooks) = crate::store::project(&store, &["One", "Two"]).await;
        let now = kozmic::model::Timestamp(5);
        let (delivery, build) =
            (crate::store::delivery(&hooks[0], "g"), crate::store::build("main", '1'));
        store.hook_called(&delivery, &build, now).await.unwrap();
        let job = store.claim_job("w", crate::store::LEASE, now).await.unwrap().unwrap();
        store.job_finished(job.id, 1, &JobEnd::Exited(0), now).await.unwrap();
        assert!(store.log_archived(job.id, 123).await.unwrap());
        assert_eq!(store.projects_after("", 9).await.unwrap()[0].bytes, 123);
        store.hook_deleted(&hooks[1], "octo", now).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("k.db").display());
        let other = store.open_other(&url).await.unwrap();
        other.migrate().await.unwrap();
        let copied = store.copy_to(&other).await.unwrap();
        assert_eq!(
            other.projects_after("", 9).await.unwrap(),
            store.projects_after("", 9).await.unwrap(),
            "how much is kept of each is counted anew"
        );
        let hooks_copied = copied.iter().find(|it| it.table == "hooks").unwrap();
        assert_eq!(hooks_copied.rows, 1);
        let spec = crate::store::spec("Three");
        let project = hooks[0].project;
        let new = other.hook_added(project, &spec, &"hush".into(), "octo", now).await.unwrap();
        assert_eq!(new.0, hooks[1].id.0 + 1, "GitHub may still call the one that was deleted");
        other.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_up_to_date_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let seal = || kozmic::seal::Seal::from_text(&"k".repeat(32).into()).unwrap();
    let from = kozmic::store::Store::open(&url("from"), seal()).await.unwrap();
    from.migrate().await.unwrap();
    let to = from.open_other(&url("to")).await.unwrap();
    assert!(from.copy_to(&to).await.is_err(), "it has no tables yet");
}
