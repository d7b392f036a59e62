//! The command line: what it prints, and how it fails.

use std::process::Output;

use crate::harness::{BASE, World, hook};

pub fn errors(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `kozmic serve` with these settings instead; what it said before it ended.
async fn refuses(world: &World, changed: &[(&str, &str)]) -> String {
    let mut command = world.command("http://127.0.0.1:0", &["serve"]);
    command.envs(changed.iter().copied());
    let output = tokio::time::timeout(crate::harness::PATIENCE, command.output())
        .await
        .expect("it ends")
        .unwrap();
    let text = errors(&output);
    assert_eq!(text.lines().count(), 1, "one sentence: {text}");
    assert!(text.starts_with("kozmic: "), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_says_in_one_sentence_why_it_can_t_start() {
    let world = World::new().await;
    let engine = refuses(&world, &[("KOZMIC_DOCKER_HOST", "unix:///nowhere/docker.sock")]).await;
    assert!(
        engine.contains("the container engine at unix:///nowhere/docker.sock does not answer"),
        "{engine}"
    );
    let scheme = refuses(&world, &[("KOZMIC_DOCKER_HOST", "ssh://host")]).await;
    assert!(scheme.contains("must begin with unix://, tcp:// or http://"), "{scheme}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = refuses(&world, &[("KOZMIC_LISTEN", &address)]).await;
    assert!(
        port.contains(&format!(
            "can't listen on {address} (KOZMIC_LISTEN): Address already in use"
        )),
        "{port}"
    );

    let (id, secret) = ("KOZMIC_GITHUB_CLIENT_ID", "KOZMIC_GITHUB_CLIENT_SECRET");
    let open = refuses(&world, &[("KOZMIC_LISTEN", "0.0.0.0:0"), (id, ""), (secret, "")]).await;
    assert!(open.contains("0.0.0.0:0, which others can reach, and sign-in is not"), "{open}");
    let nowhere = refuses(&world, &[("KOZMIC_LISTEN", "0.0.0.0:0")]).await;
    assert!(nowhere.contains("set KOZMIC_PUBLIC_URL"), "{nowhere}");
    let half = refuses(&world, &[(secret, "")]).await;
    assert!(half.contains("CLIENT_ID is set, but KOZMIC_GITHUB_CLIENT_SECRET is not"), "{half}");

    let file = world.folder().join("file");
    std::fs::write(&file, "x").unwrap();
    let inside = file.join("data");
    let folder = refuses(&world, &[("KOZMIC_DATA_DIR", inside.to_str().unwrap())]).await;
    assert!(
        folder.contains(&format!("the data folder {} can't be made", inside.display())),
        "{folder}"
    );
    // Root may write everywhere but into a file system that takes nothing.
    let folder = refuses(&world, &[("KOZMIC_DATA_DIR", "/proc")]).await;
    assert!(folder.contains("the data folder /proc can't be written"), "{folder}");

    let malformed = refuses(&world, &[("KOZMIC_STALL_TIMEOUT", "15m")]).await;
    assert!(
        malformed.contains("setting KOZMIC_STALL_TIMEOUT is `15m`: must be a whole number"),
        "{malformed}"
    );
    let unknown = refuses(&world, &[("KOZMIC_LISTN", "x")]).await;
    assert!(unknown.contains("did you mean KOZMIC_LISTEN?"), "{unknown}");
    let key = refuses(&world, &[("KOZMIC_SECRET_KEY", "short")]).await;
    assert!(key.contains("the secret key has 5 characters; it needs at least 32"), "{key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_server() {
    let world = World::new().await;
    let server = world.serve().await;
    let second = refuses(&world, &[]).await;
    assert!(second.contains("another server works in the data folder"), "{second}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_key_is_said_to_be_another() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    server.stop().await;
    std::fs::write(world.data_dir().join("secret-key"), "x".repeat(64)).unwrap();
    let output = world.run("http://127.0.0.1:0", &["hooks", "export", "octo/orbit", "out"]).await;
    let text = errors(&output);
    assert!(text.contains("does not hold the key that the database was sealed with"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_added_once_and_mistakes_are_named() {
    let world = World::new().await;
    let url = "http://127.0.0.1:0";
    let added = printed(&world.run(url, &["project", "add", "octo/orbit"]).await);
    assert_eq!(added, "Added octo/orbit as project 1, owned by octo.\n");
    let again = errors(&world.run(url, &["project", "add", "octo/orbit"]).await);
    assert_eq!(again, "kozmic: octo/orbit is a project already\n");
    let missing = errors(&world.run(url, &["project", "add", "octo/none"]).await);
    assert_eq!(
        missing,
        "kozmic: GitHub has no GET /repos/octo/none, or hides it from this token\n"
    );
    let mut command = world.command(url, &["project", "add", "octo/orbit"]);
    let bad_token = errors(&command.env("KOZMIC_GITHUB_TOKEN", "wrong").output().await.unwrap());
    assert!(bad_token.contains("GitHub does not know the token"), "{bad_token}");
    let mut command = world.command(url, &["project", "add", "octo/orbit"]);
    let no_token = errors(&command.env_remove("KOZMIC_GITHUB_TOKEN").output().await.unwrap());
    assert!(no_token.contains("set KOZMIC_GITHUB_TOKEN"), "{no_token}");
    let mut command = world.command(url, &["project", "add", "octo/orbit"]);
    let away =
        errors(&command.env("KOZMIC_GITHUB_API_URL", "http://127.0.0.1:9").output().await.unwrap());
    assert!(away.contains("GitHub did not answer GET /user: Connection refused"), "{away}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_applied_changed_and_exported() {
    let world = World::new().await;
    let url = "http://127.0.0.1:8080";
    let folder = world.folder().join("hooks");
    std::fs::create_dir(&folder).unwrap();
    let tests = hook("Tests", BASE, "#!/bin/bash\nmake test\n");
    std::fs::write(folder.join("tests.sh"), &tests).unwrap();
    std::fs::write(folder.join("tests.install.sh"), "apt-get install -y cowsay\n").unwrap();
    let apply = ["hooks", "apply", "octo/orbit", "hooks"];
    let unknown = errors(&world.run(url, &apply).await);
    assert!(
        unknown
            .contains("octo/orbit is not a project; add it with `kozmic project add octo/orbit`"),
        "{unknown}"
    );
    printed(&world.run(url, &["project", "add", "octo/orbit"]).await);
    let webhook = printed(&world.run(url, &apply).await);
    assert!(webhook.starts_with("added      Tests (webhook "), "{webhook}");
    let webhooks = world.sim.webhooks("octo/orbit").await.unwrap();
    assert_eq!(webhooks.len(), 1);
    assert_eq!(webhooks[0].url, format!("{url}/_hooks/hook/1/"));
    assert_eq!(webhooks[0].events, ["push", "pull_request"]);
    assert!(webhooks[0].has_secret && webhooks[0].active && webhooks[0].content_type == "json");
    assert_eq!(printed(&world.run(url, &apply).await), "unchanged  Tests\n");
    std::fs::write(folder.join("tests.sh"), tests.replace("make test", "make check")).unwrap();
    assert_eq!(printed(&world.run(url, &apply).await), "changed    Tests\n");
    assert_eq!(world.hook(1).await.spec.build_script.as_str(), "#!/bin/bash\nmake check\n");
    printed(&world.run(url, &["hooks", "export", "octo/orbit", "out"]).await);
    for name in ["tests.sh", "tests.install.sh"] {
        let exported = std::fs::read_to_string(world.folder().join("out").join(name)).unwrap();
        assert_eq!(exported, std::fs::read_to_string(folder.join(name)).unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_github_refuses_is_taken_back() {
    let world = World::new().await;
    let url = "http://127.0.0.1:8080";
    printed(&world.run(url, &["project", "add", "octo/orbit"]).await);
    let folder = world.folder().join("hooks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("tests.sh"), hook("Tests", BASE, ":\n")).unwrap();
    let fault = github_sim::client::Fault {
        method: Some("POST".into()),
        path_contains: "/hooks".into(),
        kind: github_sim::client::FaultKind::Status(503),
        times: 1,
    };
    world.sim.add_fault(fault).await.unwrap();
    let apply = ["hooks", "apply", "octo/orbit", "hooks"];
    let refused = errors(&world.run(url, &apply).await);
    assert!(refused.contains("the hook `Tests` was not added: GitHub did not answer"), "{refused}");
    let store = world.store().await;
    let project = store.project_by_name(&"octo/orbit".parse().unwrap()).await.unwrap().unwrap();
    assert!(store.hooks(project.id).await.unwrap().is_empty());
    assert!(printed(&world.run(url, &apply).await).starts_with("added      Tests"));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_the_database_up_to_date() {
    let world = World::new().await;
    for _ in 0..2 {
        let said = printed(&world.run("http://127.0.0.1:0", &["migrate"]).await);
        assert!(
            said.starts_with("The database sqlite://") && said.ends_with("is up to date.\n"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_or_key_is_stored_in_the_open() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let secret = world.hook(1).await.secret;
    let token = world.sim.token("octo").await.unwrap();
    server.stop().await;
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    for entry in std::fs::read_dir(world.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for hidden in [token.as_bytes(), secret.as_bytes()] {
                let found = bytes.windows(hidden.len()).any(|window| window == hidden);
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
}
