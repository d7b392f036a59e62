//! Private repositories: a deploy key each, and a fetch over SSH from a real
//! server that lets in what is registered at GitHub.

use std::path::Path;
use std::process::Output;

use github_sim::client::{Fault, FaultKind, Push};
use kozmic::model::ProjectId;
use secrecy::ExposeSecret as _;

use crate::harness::{BASE, Build, Server, Sshd, World, hook};

const PROJECT: ProjectId = ProjectId(1);

/// A world whose repository is private, and an SSH server in it.
async fn private_world() -> (World, Sshd) {
    let world = World::new().await;
    let sshd = Sshd::start(&world).await;
    (prepared(world, &sshd).await, sshd)
}

async fn prepared(mut world: World, sshd: &Sshd) -> World {
    world.sim.set_private("octo/orbit", true).await.unwrap();
    world.set("KOZMIC_SSH_KNOWN_HOSTS", &sshd.known_hosts());
    world
}

/// `project add`, by the repository's owner or with another token.
async fn add(world: &World, token: Option<&str>) -> Output {
    let mut command = world.command("http://127.0.0.1:0", &["project", "add", "octo/orbit"]);
    if let Some(token) = token {
        command.env("KOZMIC_GITHUB_TOKEN", token);
    }
    command.output().await.unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn private_key(world: &World) -> String {
    let key = world.store().await.deploy_key(PROJECT).await.unwrap().unwrap();
    key.private_key.expose_secret().to_owned()
}

/// The files below a folder that hold this text.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    found
}

/// Pushes, waits for the build's end, which is an error; why.
async fn error_of_a_push(world: &World, server: &Server, content: &[u8]) -> (Build, String) {
    let sha = world.push(&[("a", content)]).await;
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("error", None), "{job:?}");
    // The log ends with the same sentence.
    let log = world.log_text(job).await;
    assert!(log.contains(&job.reason), "{log}");
    let reason = job.reason.clone();
    (build, reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_built_and_its_key_stays_outside() {
    let (world, sshd) = private_world().await;
    let server = world.serve().await;
    let added = printed(&add(&world, None).await);
    assert_eq!(
        added,
        "Added octo/orbit as project 1, owned by octo. It is private: a deploy key that can only \
         read was registered at GitHub.\n"
    );
    let keys = world.sim.deploy_keys("octo/orbit").await.unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys[0].read_only, "{keys:?}");
    assert!(keys[0].title.starts_with("Kozmic (http://"), "{keys:?}");
    // A file of the repository's shows that the search finds what it looks for.
    let script = "#!/bin/bash\ncat greeting\ngit config remote.origin.url\ngit config --list\nenv\n\
                  echo found\nsudo grep -rl 'BEGIN OPENSSH' /kozmic/src /tmp /root /home /etc /run /var\n\
                  sudo find / -xdev -name known_hosts\necho end\n";
    world.apply(&server.url, &[hook("Tests", BASE, script)]).await;
    let decoy = b"-----BEGIN OPENSSH PRIVATE KEY-----\n";
    let sha = world.push(&[("greeting", b"hello\n"), ("decoy", decoy)]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    let log = world.log_text(build.job("Tests")).await;
    assert!(log.starts_with(&format!("hello\n{}octo/orbit.git\n", sshd.start)), "{log}");
    assert!(log.contains("KOZMIC_BUILD_NUMBER=1\n") && !log.contains("SSH"), "{log}");
    let found = log.lines().skip_while(|line| *line != "found").collect::<Vec<_>>();
    assert_eq!(found, ["found", "/kozmic/src/decoy", "end"]);
    let token = world.sim.token("octo").await.unwrap();
    assert!(!log.contains(&token), "{log}");
    // Any line of the key's body would give it away.
    let key = private_key(&world).await;
    let body = key.lines().nth(2).unwrap();
    assert!(body.len() > 60 && !log.contains(body), "{log}");
    world.told(&sha, "Kozmic-CI", "success").await;
    world.end(server).await;
    let files_with = |text: &str| files_with(&world.data_dir(), text);
    let database = world.data_dir().join("kozmic.db").display().to_string();
    assert_eq!(files_with("SQLite format 3"), [database]);
    assert_eq!(files_with(body), Vec::<String>::new());
    assert_eq!(files_with("PRIVATE KEY"), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(world.data_dir().join("keys")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_s_pull_request_is_fetched_from_the_project_s_own_repository() {
    let (world, _sshd) = private_world().await;
    let server = world.serve_with("#!/bin/sh\ncat b\ngit rev-parse --abbrev-ref HEAD\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    world.sim.add_user("mallory").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "mallory", "read").await.unwrap();
    world.build_forks(&server.url).await;
    let fork = world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let push = Push::new(fork, "mallory").message("Add b").write("b", "from the fork\n");
    let sha = world.sim.push(&push).await.unwrap();
    world
        .sim
        .open_pull_request("octo/orbit", "mallory", "mallory:main", "main", "Add b", "")
        .await
        .unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.git_ref.as_str(), build.status.as_str()), ("refs/pull/1/head", "success"));
    assert_eq!(world.log_text(build.job("Tests")).await, "from the fork\npull/1/head\n");
    // Only octo's repository has a key; the fork is private, too, and was not asked.
    assert_eq!(world.sim.deploy_keys("octo/orbit").await.unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_fetched_with_the_same_key() {
    let world = World::new().await;
    let sshd = Sshd::like_github(&world).await;
    let world = prepared(world, &sshd).await;
    world.sim.add_repository("octo", "library").await.unwrap();
    let library = Push::new("octo/library", "octo").write("text", "from the library\n");
    world.sim.push(&library).await.unwrap();
    let server =
        world.serve_with("#!/bin/sh\ncat lib/text\ngit -C lib config remote.origin.url\n").await;
    let url = format!("{}octo/library.git", sshd.start);
    let expected = format!("from the library\n{url}\n");
    let relative = Push::new("octo/orbit", "octo").submodule("lib", "../library.git");
    let sha = world.sim.push(&relative).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, expected, "{:?}", build.jobs);
    let modules = format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {url}\n");
    let absolute = Push::new("octo/orbit", "octo").write(".gitmodules", modules);
    let sha = world.sim.push(&absolute).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, expected, "{:?}", build.jobs);
    // What is private opens to the key of its own repository only.
    world.sim.set_private("octo/library", true).await.unwrap();
    let (_, reason) = error_of_a_push(&world, &server, b"1").await;
    assert!(
        reason.starts_with(&format!("can't fetch the submodule {url}: 127."))
            && reason.contains("refuses the deploy key of octo/orbit (Repository not found)")
            && reason.contains("a deploy key opens one repository only"),
        "{reason}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_removed_at_github_is_replaced_before_it_is_needed() {
    let (world, _sshd) = private_world().await;
    let server = world.serve_with("#!/bin/sh\ncat a\n").await;
    let old = world.sim.deploy_keys("octo/orbit").await.unwrap().remove(0);
    world.sim.delete_deploy_key("octo/orbit", old.id).await.unwrap();
    let sha = world.push(&[("a", b"1\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "1\n", "{:?}", build.jobs);
    let new = world.sim.deploy_keys("octo/orbit").await.unwrap();
    assert_eq!(new.len(), 1);
    assert_ne!(new[0].key, old.key, "what was removed is not trusted again");
    assert_eq!(errors(&add(&world, None).await), "kozmic: octo/orbit is a project already\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_github_does_not_let_in_is_an_error_until_it_does() {
    let (world, _sshd) = private_world().await;
    let server = world.serve_with("#!/bin/sh\ncat a\n").await;
    let old = world.sim.deploy_keys("octo/orbit").await.unwrap().remove(0);
    world.sim.delete_deploy_key("octo/orbit", old.id).await.unwrap();
    world.sim.allow_deploy_keys("octo/orbit", false).await.unwrap();
    let (build, reason) = error_of_a_push(&world, &server, b"1\n").await;
    assert_eq!(
        reason,
        "octo/orbit is private and has no deploy key yet; `kozmic project add octo/orbit` makes one"
    );
    world.told(&build.sha, "Kozmic-CI", "error").await;
    world.sim.allow_deploy_keys("octo/orbit", true).await.unwrap();
    let mended = printed(&add(&world, None).await);
    assert_eq!(mended, "octo/orbit was given a deploy key, which can only read.\n");
    let sha = world.push(&[("a", b"2\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "2\n", "{:?}", build.jobs);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_t_be_trusted_or_reached_is_an_error() {
    let (world, mut sshd) = private_world().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    sshd.change_host_key().await;
    let (_, changed) = error_of_a_push(&world, &server, b"1").await;
    assert!(
        changed.starts_with("127.0.0.1 shows another SSH host key than the one it is known by"),
        "{changed}"
    );
    sshd.stop().await;
    let (_, away) = error_of_a_push(&world, &server, b"2").await;
    assert!(
        away.starts_with("can't reach 127.0.0.1 by SSH: connect to host 127.0.0.1 port ")
            && away.contains(": Connection refused; see whether"),
        "{away}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_vouched_for_is_an_error() {
    let (mut world, sshd) = private_world().await;
    world.set("KOZMIC_SSH_KNOWN_HOSTS", "");
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let (_, unknown) = error_of_a_push(&world, &server, b"1").await;
    let known = sshd.known_hosts();
    let (port, _) = known.split_once("]:").unwrap().1.split_once(' ').unwrap();
    assert_eq!(
        unknown,
        format!(
            "the SSH host key of 127.0.0.1 is not known: compare what `ssh-keyscan -p {port} \
             127.0.0.1` prints with the key that its administrator publishes, then put that into \
             KOZMIC_SSH_KNOWN_HOSTS"
        )
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_refuses_is_taken_back() {
    let (world, _sshd) = private_world().await;
    let token = world.sim.add_user("bob").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "bob", "write").await.unwrap();
    let no_rights = errors(&add(&world, Some(&token)).await);
    assert_eq!(
        no_rights,
        "kozmic: octo/orbit was not added: Only somebody who administers octo/orbit at GitHub can \
         turn it on: it takes a webhook.\n"
    );
    world.sim.allow_deploy_keys("octo/orbit", false).await.unwrap();
    let disabled = errors(&add(&world, None).await);
    assert!(
        disabled.contains("Deploy keys are disabled for this repository; allow deploy keys in the"),
        "{disabled}"
    );
    let store = world.store().await;
    let name = "octo/orbit".parse().unwrap();
    assert!(store.project_by_name(&name).await.unwrap().is_none());
    assert!(store.deploy_key(PROJECT).await.unwrap().is_none());
    world.sim.allow_deploy_keys("octo/orbit", true).await.unwrap();
    assert!(printed(&add(&world, None).await).starts_with("Added octo/orbit as project "));
    assert_eq!(world.sim.deploy_keys("octo/orbit").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_that_was_cut_off_is_finished_by_the_next() {
    let (world, _sshd) = private_world().await;
    let fault = Fault {
        method: Some("POST".into()),
        path_contains: "/keys".into(),
        kind: FaultKind::Status(503),
        times: 1,
    };
    world.sim.add_fault(fault).await.unwrap();
    let later = errors(&add(&world, None).await);
    assert!(
        later.contains("is not registered yet") && later.contains("try the same again"),
        "{later}"
    );
    // GitHub has it, but the command ended before it was noted.
    let key = world.store().await.deploy_key(PROJECT).await.unwrap().unwrap();
    assert_eq!(key.gh_id, None);
    let body = serde_json::json!({"title": "Kozmic", "key": key.public_key, "read_only": true});
    let path = "/repos/octo/orbit/keys";
    world.sim.rest("octo", github_sim::client::Method::POST, path, Some(body)).await.unwrap();
    printed(&add(&world, None).await);
    assert_eq!(world.sim.deploy_keys("octo/orbit").await.unwrap().len(), 1);
    let server = world.serve().await;
    world.apply(&server.url, &[hook("Tests", BASE, "#!/bin/sh\ncat a\n")]).await;
    let sha = world.push(&[("a", b"2\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "2\n", "{:?}", build.jobs);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_may_become_private_and_public_again() {
    let mut world = World::new().await;
    let sshd = Sshd::start(&world).await;
    world.set("KOZMIC_SSH_KNOWN_HOSTS", &sshd.known_hosts());
    let server = world.serve_with("#!/bin/sh\ngit config remote.origin.url\n").await;
    world.sim.set_private("octo/orbit", true).await.unwrap();
    let origin = async |content: &[u8]| {
        let sha = world.push(&[("a", content)]).await;
        let build = world.finished(&server.url, &sha).await;
        world.log_text(build.job("Tests")).await
    };
    // The push tells of it, and the key is made before the fetch.
    assert_eq!(origin(b"2").await, format!("{}octo/orbit.git\n", sshd.start));
    assert_eq!(world.sim.deploy_keys("octo/orbit").await.unwrap().len(), 1);
    world.sim.set_private("octo/orbit", false).await.unwrap();
    assert_eq!(origin(b"3").await, format!("{}/octo/orbit.git\n", world.sim.url()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_killed_server_left_is_removed_by_the_next() {
    let world = World::new().await;
    let left = world.data_dir().join("keys/left");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("key"), "a key").unwrap();
    let server = world.serve().await;
    assert!(!left.exists());
    server.stop().await;
}
