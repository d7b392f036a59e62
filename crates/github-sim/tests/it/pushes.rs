//! A person pushes; a `push` event follows.

use github_sim::client::Push;
use serde_json::json;

use crate::github::{GitHub, PATIENCE, Receiver, SECRET, SITE};

const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

#[tokio::test]
async fn a_push_by_git_arrives_signed_and_complete() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let hook = github.webhook(&receiver.url).await;
    let first = github.push("one").await;
    let second = github.push("two").await;
    github.sim.wait_for_deliveries(SITE, 3, PATIENCE).await.unwrap();

    let delivered = &receiver.all()[2];
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hex::encode(aws_lc_rs::hmac::sign(&key, delivered.body.as_bytes()));
    assert_eq!(delivered.header("x-hub-signature-256"), format!("sha256={signature}"));
    assert!(delivered.header("user-agent").starts_with("GitHub-Hookshot/"));
    assert_eq!(delivered.header("x-github-event"), "push");
    assert_eq!(delivered.header("x-github-hook-id"), hook.to_string());
    assert_eq!(delivered.header("content-type"), "application/json");
    assert!(uuid::Uuid::parse_str(delivered.header("x-github-delivery")).is_ok());

    let created = &receiver.of("push")[0];
    assert_eq!(created["created"], true);
    assert_eq!(created["before"], NO_COMMIT);
    let push = &receiver.of("push")[1];
    assert_eq!(push["ref"], "refs/heads/main");
    assert_eq!(push["before"], json!(first));
    assert_eq!(push["after"], json!(second));
    assert_eq!([&push["created"], &push["deleted"], &push["forced"]], [&json!(false); 3]);
    assert_eq!(push["head_commit"]["id"], json!(second));
    assert_eq!(push["head_commit"]["message"], "two");
    assert_eq!(push["head_commit"]["author"]["username"], "alice");
    assert_eq!(push["commits"].as_array().unwrap().len(), 1);
    assert_eq!(push["commits"][0]["modified"], json!(["README"]));
    assert_eq!(push["commits"][0]["distinct"], true);
    assert_eq!(push["pusher"]["name"], "alice");
    assert_eq!(push["repository"]["full_name"], SITE);
    assert_eq!(push["repository"]["clone_url"], json!(github.clone_url(SITE)));
}

#[tokio::test]
async fn what_was_pushed_can_be_cloned_without_an_account() {
    let github = GitHub::start().await;
    let source = github.folder().join("source");
    std::fs::create_dir_all(source.join("scripts")).unwrap();
    std::fs::create_dir_all(source.join(".git")).unwrap();
    std::fs::write(source.join(".git/config"), "not ours").unwrap();
    std::fs::write(source.join("scripts/build"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("scripts/build", source.join("run")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(source.join("scripts/build"), mode).unwrap();
    github.push("to be replaced").await;
    let push = Push::new(SITE, "alice").from_dir(&source);
    let sha = github.sim.push(&push).await.unwrap();

    github.git(&["clone", "-q", &github.clone_url(SITE), "copy"]).await.unwrap();
    assert_eq!(github.git(&["-C", "copy", "rev-parse", "HEAD"]).await.unwrap(), sha);
    let tree = github.git(&["-C", "copy", "ls-tree", "-r", "HEAD"]).await.unwrap();
    let modes: Vec<(&str, &str)> =
        tree.lines().map(|line| (&line[..6], line.rsplit('\t').next().unwrap())).collect();
    assert_eq!(modes, [("120000", "run"), ("100755", "scripts/build")]);
    // One commit alone, by its id, without its history: as a CI server fetches.
    github.git(&["init", "-q", "shallow"]).await.unwrap();
    let url = github.clone_url(SITE);
    let fetch = ["-C", "shallow", "fetch", "-q", "--depth=1", &url, &sha];
    github.git(&fetch).await.unwrap();
}

#[tokio::test]
async fn strangers_cannot_push() {
    let github = GitHub::start().await;
    github.push("one").await;
    github.sim.add_user("mallory").await.unwrap();
    let push = Push::new(SITE, "mallory").write("README", "mine");
    let error = github.sim.push(&push).await.unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    github.git(&["clone", "-q", &github.clone_url(SITE), "copy"]).await.unwrap();
    let error = github.git(&["-C", "copy", "push", "origin", "HEAD:new"]).await.unwrap_err();
    assert!(error.contains("could not read Username"), "{error}");
    // Git gives a password only when it is asked for one: to push, not to read what is public.
    let wrong = github.clone_url(SITE).replace("http://", "http://alice:wrong@");
    let error = github.git(&["-C", "copy", "push", &wrong, "HEAD:new"]).await.unwrap_err();
    assert!(error.contains("Authentication failed"), "{error}");
}

#[tokio::test]
async fn a_forced_push_says_so_and_the_old_commit_can_vanish() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    github.push("one").await;
    let lost = github.push("two").await;
    let refused = github.sim.vanish(SITE, &lost).await.unwrap_err().to_string();
    assert!(refused.contains("refs/heads/main"), "{refused}");
    github.webhook(&receiver.url).await;
    let push = Push::new(SITE, "alice").write("README", "three").force();
    let new = github.sim.push(&push).await.unwrap();
    github.sim.wait_for_deliveries(SITE, 2, PATIENCE).await.unwrap();
    let event = &receiver.of("push")[0];
    assert_eq!(event["forced"], true);
    assert_eq!(event["before"], json!(lost));
    assert_eq!(event["after"], json!(new));

    let url = github.clone_url(SITE);
    github.git(&["init", "-q", "work"]).await.unwrap();
    let fetch = ["-C", "work", "fetch", "-q", "--depth=1", &url, &lost];
    github.git(&fetch).await.unwrap();
    github.sim.vanish(SITE, &lost).await.unwrap();
    github.git(&["init", "-q", "other"]).await.unwrap();
    let fetch = ["-C", "other", "fetch", "-q", "--depth=1", &url, &lost];
    let error = github.git(&fetch).await.unwrap_err();
    assert!(error.contains("not our ref"), "{error}");
}

#[tokio::test]
async fn tags_and_deletions_are_pushes_too() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let sha = github.push("one").await;
    github.webhook(&receiver.url).await;
    let tagged = github.sim.tag(SITE, "alice", "v1").await.unwrap();
    assert_eq!(tagged, sha);
    let branch = Push::new(SITE, "alice").branch("feature/x").write("x", "x");
    let tip = github.sim.push(&branch).await.unwrap();
    github.sim.delete_branch(SITE, "alice", "feature/x").await.unwrap();
    github.sim.delete_tag(SITE, "alice", "v1").await.unwrap();
    github.sim.wait_for_deliveries(SITE, 5, PATIENCE).await.unwrap();

    let pushes = receiver.of("push");
    let tag = &pushes[0];
    assert_eq!(tag["ref"], "refs/tags/v1");
    assert_eq!(tag["base_ref"], "refs/heads/main");
    assert_eq!(tag["commits"], json!([]));
    assert_eq!(tag["head_commit"]["id"], json!(sha));
    let made = &pushes[1];
    assert_eq!(made["ref"], "refs/heads/feature/x");
    assert_eq!(made["created"], true);
    assert_eq!(made["commits"].as_array().unwrap().len(), 1);
    for (gone, reference, before) in
        [(&pushes[2], "refs/heads/feature/x", &tip), (&pushes[3], "refs/tags/v1", &sha)]
    {
        assert_eq!(gone["ref"], reference);
        assert_eq!(gone["before"], json!(before));
        assert_eq!(gone["after"], NO_COMMIT);
        assert_eq!(gone["deleted"], true);
        assert_eq!(gone["head_commit"], json!(null));
    }
}

#[tokio::test]
async fn a_branch_of_a_known_commit_brings_none_and_equal_content_makes_other_commits() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let sha = github.push("one").await;
    github.webhook(&receiver.url).await;
    let same = github.sim.branch(SITE, "alice", "release", "main").await.unwrap();
    assert_eq!(same, sha);
    let push = |branch: &str| Push::new(SITE, "alice").branch(branch).write("x", "x");
    let left = github.sim.push(&push("left")).await.unwrap();
    let right = github.sim.push(&push("right")).await.unwrap();
    assert_ne!(left, right);
    github.sim.wait_for_deliveries(SITE, 4, PATIENCE).await.unwrap();
    let event = &receiver.of("push")[0];
    assert_eq!(event["ref"], "refs/heads/release");
    assert_eq!(event["base_ref"], "refs/heads/main");
    assert_eq!(event["commits"], json!([]));
    assert_eq!(event["head_commit"]["id"], json!(sha));
    assert_eq!(event["head_commit"]["distinct"], false);
}

#[tokio::test]
async fn more_than_three_tags_at_once_make_no_events() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    github.push("one").await;
    github.webhook(&receiver.url).await;
    let url = github.clone_url(SITE).replace("http://", &format!("http://alice:{}@", github.token));
    github.git(&["clone", "-q", &url, "copy"]).await.unwrap();
    for tag in ["a", "b", "c", "d"] {
        github.git(&["-C", "copy", "tag", tag]).await.unwrap();
    }
    github.git(&["-C", "copy", "push", "-q", "--tags"]).await.unwrap();
    github.push("two").await;
    github.sim.wait_for_deliveries(SITE, 2, PATIENCE).await.unwrap();
    // Deliveries keep their order: had there been tag events, they would have come first.
    assert_eq!(receiver.story(), ["push"]);
    assert_eq!(receiver.of("push")[0]["ref"], "refs/heads/main");
}

#[tokio::test]
async fn a_submodule_can_be_added_and_cloned() {
    let github = GitHub::start().await;
    github.sim.add_repository("alice", "library").await.unwrap();
    let library = Push::new("alice/library", "alice").write("lib.sh", "echo lib\n");
    github.sim.push(&library).await.unwrap();
    let url = github.clone_url("alice/library");
    let push = Push::new(SITE, "alice").write("README", "x").submodule("vendor/library", &url);
    github.sim.push(&push).await.unwrap();
    let clone = ["clone", "-q", "--recurse-submodules", &github.clone_url(SITE), "copy"];
    github.git(&clone).await.unwrap();
    let file = github.folder().join("copy/vendor/library/lib.sh");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "echo lib\n");
}

#[tokio::test]
async fn a_pack_of_many_megabytes_goes_in_and_out() {
    let github = GitHub::start().await;
    // Not compressible, so that git sends it in chunks and the clone streams.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(1_500_000)
    .flatten()
    .collect();
    let push = Push::new(SITE, "alice").write("noise", noise.clone());
    github.sim.push(&push).await.unwrap();
    github.git(&["clone", "-q", &github.clone_url(SITE), "copy"]).await.unwrap();
    assert!(std::fs::read(github.folder().join("copy/noise")).unwrap() == noise);
}
