//! Files that a script leaves are kept with its job, and served so that they can't act
//! as a part of the site.

use std::process::Stdio;

use kozmic::model::{Artifact, Collected, JobEnd, Timestamp};
use kozmic::objects::Objects;
use kozmic::store::{Recorded, StoreError, prefix_of_attempt};
use reqwest::Response;
use serde_json::Value;

use crate::crash::{free_url, said, start};
use crate::harness::{BASE, S3, Server, World, eventually, free_port, hook};
use crate::store::{LEASE, build, delivery, on_both, project};

const LEAVE: &str = r#"#!/bin/bash
cd $KOZMIC_ARTIFACTS
mkdir -p "dist/a b"
printf '0123456789' > dist/digits.bin
printf '<script>alert(document.cookie)</script>' > dist/evil.html
printf '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>' > evil.svg
printf 'hello' > "dist/a b/größe.txt"
: > empty
"#;

impl World {
    async fn artifacts(&self, server: &str, job: i64) -> Value {
        self.answer(&format!("{server}/api/v1/jobs/{job}/artifacts")).await
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.get(url).bearer_auth(self.api_token().await);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

fn paths(artifacts: &Value) -> Vec<&str> {
    let listed = artifacts["artifacts"].as_array().unwrap().iter();
    listed.map(|artifact| artifact["path"].as_str().unwrap()).collect()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn left(script: &str) -> (World, Server, String) {
    let world = World::new().await;
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    (world, server, sha)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_leaves_is_listed_and_downloaded() {
    let (world, server, _) = left(LEAVE).await;
    let listed = world.artifacts(&server.url, 1).await;
    let expected = ["dist/a b/größe.txt", "dist/digits.bin", "dist/evil.html", "empty", "evil.svg"];
    assert_eq!(paths(&listed), expected);
    let digits = &listed["artifacts"][1];
    assert_eq!(digits["size"], 10);
    // sha256sum of 0123456789.
    let digest = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    assert_eq!(digits["sha256"], digest);

    let base = format!("{}/projects/1/jobs/1/artifacts", server.url);
    let url = format!("{base}/dist/digits.bin");
    let whole = world.get(&url, &[]).await;
    assert_eq!(header(&whole, "content-length"), "10");
    assert_eq!(header(&whole, "etag"), format!("\"{digest}\""));
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");
    let part = world.get(&url, &[("range", "bytes=2-5")]).await;
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 2-5/10"));
    assert_eq!(part.bytes().await.unwrap(), "2345");
    let beyond = world.get(&url, &[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status().as_u16(), header(&beyond, "content-range")), (416, "bytes */10"));
    let known = world.get(&url, &[("if-none-match", &format!("\"{digest}\""))]).await;
    assert_eq!(known.status(), 304);
    let other = world.get(&url, &[("range", "bytes=2-5"), ("if-range", "\"x\"")]).await;
    assert_eq!(other.status(), 200, "it is another one than the client has a part of");

    for path in ["dist/evil.html", "evil.svg"] {
        let answer = world.get(&format!("{base}/{path}"), &[]).await;
        assert_eq!(header(&answer, "content-type"), "application/octet-stream");
        assert!(header(&answer, "content-disposition").starts_with("attachment; "));
        assert_eq!(header(&answer, "content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    }
    let text = world.get(&format!("{base}/dist/a%20b/gr%C3%B6%C3%9Fe.txt"), &[]).await;
    assert_eq!(
        header(&text, "content-disposition"),
        "inline; filename=\"gr__e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt"
    );
    assert_eq!(header(&text, "content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(text.text().await.unwrap(), "hello");
    for path in ["nothing", "dist", "..%2Flog", "dist%2F..%2Fempty", "%00", "dist%2Fdigits.bin%00"]
    {
        assert_eq!(world.get(&format!("{base}/{path}"), &[]).await.status(), 404, "{path}");
    }

    let tar = world.get(&base, &[]).await;
    assert_eq!(
        header(&tar, "content-disposition"),
        "attachment; filename=\"artifacts-1.tar\"; filename*=UTF-8''artifacts-1.tar"
    );
    let tar = tar.bytes().await.unwrap();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
        found.push((entry.path().unwrap().display().to_string(), content));
    }
    assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!((found[0].1.as_str(), found[1].1.as_str()), ("hello", "0123456789"));

    let page = world.page(&format!("{}/projects/1/builds/1/jobs/1/", server.url)).await;
    assert!(page.contains("5 artifacts, "), "{page}");
    assert!(
        page.contains("/projects/1/jobs/1/artifacts/dist/a%20b/gr%C3%B6%C3%9Fe.txt\""),
        "{page}"
    );

    let folder = world.folder().join("downloaded");
    let token = world.api_token().await.to_owned();
    let run = world
        .command(&server.url, &["artifacts", "1", "--output", folder.to_str().unwrap()])
        .env("KOZMIC_SERVER", &server.url)
        .env("KOZMIC_TOKEN", token)
        .stderr(Stdio::inherit())
        .output()
        .await
        .unwrap();
    assert!(run.status.success());
    assert_eq!(std::fs::read(folder.join("dist/digits.bin")).unwrap(), b"0123456789");
    assert_eq!(std::fs::read(folder.join("dist/a b/größe.txt")).unwrap(), b"hello");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_of_a_branch_is_that_of_its_newest_green_build() {
    let script = "#!/bin/bash\ncp state $KOZMIC_ARTIFACTS/state.txt\n[ \"$(cat state)\" != bad ]\n";
    let world = World::new().await;
    let server = world.serve_with(script).await;
    for state in ["one", "two", "bad"] {
        let sha = world.push(&[("state", state.as_bytes())]).await;
        world.finished(&server.url, &sha).await;
    }
    let latest = format!("{}/projects/1/builds/latest/artifacts/state.txt", server.url);
    for query in ["?ref=main", "", "?ref=main&job=Tests"] {
        let answer = world.get(&format!("{latest}{query}"), &[]).await;
        assert_eq!(answer.status(), 303);
        let place = format!("{}{}", server.url, header(&answer, "location"));
        assert_eq!(world.get(&place, &[]).await.text().await.unwrap(), "two", "{query}");
    }
    for query in ["?ref=other", "?job=Other"] {
        assert_eq!(world.get(&format!("{latest}{query}"), &[]).await.status(), 404, "{query}");
    }
    // A build that failed has its own.
    let answer = world.get(&latest.replace("latest", "3"), &[]).await;
    let place = format!("{}{}", server.url, header(&answer, "location"));
    assert_eq!(world.get(&place, &[]).await.text().await.unwrap(), "bad");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_files_and_too_many_are_left_out_and_named() {
    let script = r"#!/bin/bash
cd $KOZMIC_ARTIFACTS
ln -s /etc/passwd link
ln -s / root
printf kept > kept; ln kept hard
mkfifo pipe
printf x > $'new\nline'
printf x > $'\xff\xfe'
printf x > $'\u202egpj.exe'
truncate -s 1T sparse
head -c 200000 /dev/zero > large
sleep 600 &
exit 3
";
    let world = World::with(&[("KOZMIC_ARTIFACTS_LIMIT", "100K")]).await;
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.status.as_str(), build.jobs[0].return_code), ("failure", Some(3)));
    let listed = world.artifacts(&server.url, 1).await;
    assert!(paths(&listed).iter().all(|path| matches!(*path, "kept" | "hard")), "{listed}");
    let tests = world.answer(&format!("{}/api/v1/jobs/1/tests", server.url)).await;
    let notes = tests["notes"].to_string();
    assert!(notes.contains("artifacts: "), "{notes}");
    let page = world.page(&format!("{}/projects/1/builds/1/", server.url)).await;
    assert!(page.contains("class=\"note\""), "{page}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_meanwhile_keeps_all_of_them_once() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash\nhead -c 300000000 /dev/zero > $KOZMIC_ARTIFACTS/big\nexit 4\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the collection", async || {
        let build = world.build_of(&url, &sha).await;
        build.job("Tests").reason.contains("taking what it left").then_some(())
    })
    .await;
    server.kill().await.unwrap();
    let store = world.store().await;
    assert!(store.artifacts(kozmic::model::JobId(1)).await.unwrap().is_empty(), "none before all");
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.job("Tests").return_code, Some(4), "{}", said(&world));
    let listed = world.artifacts(&url, 1).await;
    assert_eq!(listed["artifacts"][0]["size"], 300_000_000);
    let objects = Objects::in_folder(&world.data_dir().join("objects")).unwrap();
    assert_eq!(count(&objects, "artifacts").await, 1);
    assert!(store.artifact_leftovers(9).await.unwrap().is_empty());
    server.kill().await.unwrap();
    world.nothing_left().await;
}

async fn count(objects: &Objects, prefix: &str) -> usize {
    use futures_util::StreamExt as _;
    objects.list(prefix).count().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_or_too_much_goes_and_the_page_says_so() {
    let mut world = World::new().await;
    let server =
        world.serve_with("#!/bin/bash\nhead -c 60000 /dev/zero > $KOZMIC_ARTIFACTS/x\n").await;
    for content in [b"1", b"2", b"3"] {
        let sha = world.push(&[("a", content)]).await;
        world.finished(&server.url, &sha).await;
    }
    let objects = Objects::in_folder(&world.data_dir().join("objects")).unwrap();
    assert_eq!(count(&objects, "artifacts").await, 3);
    server.stop().await;
    world.set("KOZMIC_ARTIFACTS_PROJECT_LIMIT", "150000");
    let server = world.serve().await;
    eventually("the oldest to go", async || {
        (count(&objects, "artifacts").await == 2).then_some(())
    })
    .await;
    let listed = world.artifacts(&server.url, 1).await;
    assert!(listed["removed"].as_str().unwrap().contains("newer ones fill its"), "{listed}");
    let gone = world.get(&format!("{}/projects/1/jobs/1/artifacts/x", server.url), &[]).await;
    assert_eq!(gone.status(), 410);
    assert_eq!(paths(&world.artifacts(&server.url, 2).await), ["x"]);
    let page = world.page(&format!("{}/projects/1/builds/1/", server.url)).await;
    assert!(page.contains("The artifacts were removed on"), "{page}");
    server.stop().await;
    world.set("KOZMIC_ARTIFACTS_AGE", "1");
    let server = world.serve().await;
    eventually("all to go", async || (count(&objects, "artifacts").await == 0).then_some(())).await;
    world.end(server).await;
}

/// Kept, read, and gone with its project, wherever objects lie.
async fn they_go_with_their_project(world: World) {
    let server = world.serve_with(LEAVE).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let settings = world.settings();
    let objects = Objects::open(&settings.objects, &settings.data_dir).unwrap();
    assert_eq!(count(&objects, "artifacts").await, 5);
    let base = format!("{}/projects/1/jobs/1/artifacts", server.url);
    let digits = world.get(&format!("{base}/dist/digits.bin"), &[("range", "bytes=2-5")]).await;
    assert_eq!(digits.bytes().await.unwrap(), "2345");
    let empty = world.get(&format!("{base}/empty"), &[]).await;
    assert_eq!((empty.status().as_u16(), empty.bytes().await.unwrap().len()), (200, 0));
    world.store().await.project_deleted(kozmic::model::ProjectId(1)).await.unwrap();
    server.stop().await;
    // The next sweep is that of the next start.
    let server = world.serve().await;
    eventually("the artifacts to go", async || {
        (count(&objects, "artifacts").await == 0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_with_their_project_from_a_folder() {
    they_go_with_their_project(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_with_their_project_from_s3() {
    let storage = S3::start(free_port(), "kept").await;
    let settings = S3::environment(&storage.url, "s3://kept/of/kozmic");
    they_go_with_their_project(World::with(&settings).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_ends_is_known_until_it_is_removed() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let delivery = delivery(&hooks[0], "g");
        let called = store.hook_called(&delivery, &build("main", '1'), Timestamp(10)).await;
        assert!(matches!(called.unwrap(), Recorded::Built { .. }));
        let job = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let prefix = prefix_of_attempt(project, job.uuid, job.attempt);
        store.upload_begins(&prefix, job.uuid, job.attempt).await.unwrap();
        store.upload_begins(&prefix, job.uuid, job.attempt).await.unwrap();
        assert!(store.artifact_leftovers(9).await.unwrap().is_empty(), "it is under way");
        let artifact = |path: &str, size| Artifact {
            path: path.into(),
            size,
            sha256: "ab".into(),
            object: format!("{prefix}/0"),
        };
        let collected = Collected {
            artifacts: vec![artifact("b", 60), artifact("ä", 40)],
            ..Collected::default()
        };
        store.job_collected(job.id, job.attempt, &collected, Timestamp(30)).await.unwrap();
        let kept = async || store.projects_after("", 9).await.unwrap()[0].bytes;
        assert_eq!(kept().await, 100);
        // Cut off before it had an answer, it comes again.
        store.job_collected(job.id, job.attempt, &collected, Timestamp(30)).await.unwrap();
        assert_eq!(kept().await, 100);
        assert_eq!(store.artifact(job.id, "ä").await.unwrap().unwrap().size, 40);
        assert_eq!(store.artifact(job.id, "a\0").await.unwrap(), None);
        let end = JobEnd::Exited(0);
        store.job_finished(job.id, job.attempt, &end, Timestamp(40)).await.unwrap();
        assert!(store.artifact_leftovers(9).await.unwrap().is_empty(), "they are listed");
        let latest = store.latest_artifact(project, None, None, "b").await.unwrap();
        assert_eq!(latest, Some(job.id));

        assert!(store.old_artifacts(Timestamp(30), 100, 9).await.unwrap().is_empty());
        assert_eq!(store.old_artifacts(Timestamp(31), 100, 9).await.unwrap().len(), 1);
        let old = store.old_artifacts(Timestamp(0), 99, 9).await.unwrap();
        assert_eq!(
            (old.len(), old[0].bytes, old[0].name.as_str()),
            (1, 100, "of octo/orbit #1 Tests")
        );
        store.artifacts_removed(&old[0], "too much", Timestamp(50)).await.unwrap();
        assert_eq!(kept().await, 0);
        assert!(store.artifacts(job.id).await.unwrap().is_empty());
        let collection = store.collection(job.id).await.unwrap().unwrap();
        assert_eq!(collection.artifacts_removed, Some((Timestamp(50), "too much".into())));
        assert_eq!(store.artifact_leftovers(9).await.unwrap(), [old[0].prefix()]);
        store.leftover_removed(&old[0].prefix()).await.unwrap();

        // Of an attempt that is stale, from its first byte on.
        let late = prefix_of_attempt(project, job.uuid, 7);
        store.upload_begins(&late, job.uuid, 7).await.unwrap();
        let stale = store.job_collected(job.id, 7, &collected, Timestamp(60)).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        assert_eq!(store.artifact_leftovers(9).await.unwrap(), [late]);
        store.project_deleted(project).await.unwrap();
        assert_eq!(store.artifact_leftovers(9).await.unwrap()[0], format!("artifacts/{project}"));
    })
    .await;
}

/// `kozmic run` puts them into a folder, and tells the tests that failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_server_leaves_them_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for arguments in [
        &["init", "--quiet", tree.to_str().unwrap()][..],
        &[
            "-C",
            tree.to_str().unwrap(),
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "First",
        ],
    ] {
        let done = tokio::process::Command::new("git").args(arguments).status().await.unwrap();
        assert!(done.success());
    }
    let script = folder.path().join("build.sh");
    let content = "#!/bin/bash
echo kept > $KOZMIC_ARTIFACTS/file
echo '<testsuite><testcase name=\"falls\" classname=\"Orbit\"><failure message=\"down\"/></testcase><testcase name=\"ok\"/></testsuite>' > $KOZMIC_REPORTS/r.xml
exit 6
";
    std::fs::write(&script, content).unwrap();
    let out = folder.path().join("out");
    let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_kozmic"))
        .args(["run", "--image", BASE, "--build", script.to_str().unwrap()])
        .args(["--artifacts", out.to_str().unwrap(), tree.to_str().unwrap()])
        .current_dir(folder.path())
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(6), "{told}");
    assert!(
        told.contains("kozmic: failed Orbit falls: down\nkozmic: 1 of 2 tests failed\n"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(out.join("file")).unwrap(), "kept\n");
}
