//! Secrets: scripts get them, and nobody else finds them anywhere.

use std::path::Path;
use std::process::{Output, Stdio};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use github_sim::client::Push;
use tokio::io::AsyncWriteExt as _;

use crate::cli::printed;
use crate::crash::{free_url, said, start_as};
use crate::harness::{
    BASE, Registry, World, busybox, cached_images, docker, eventually, hook, remove_cached_images,
    touch,
};

const TOKEN: &str =
    "t0k3n/with+plus & a sp4ce; it's ~long~ enough to be wrapped by base64, which it is";
const KEY: &str = "-----BEGIN TEST KEY-----\nQmFzZTY0IGxvb2tzIGxpa2UgdGhpcw\nab\nYW5kIHRoaXMgaXMgaXRzIGVuZA==\n-----END TEST KEY-----";

/// Runs a command of the client, with this on its standard input.
async fn client(world: &World, url: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = world.command(url, &[&["secret"], arguments].concat());
    command.env("KOZMIC_SERVER", url).env("KOZMIC_TOKEN", world.api_token().await);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    child.wait_with_output().await.unwrap()
}

pub async fn set(world: &World, url: &str, name: &str, value: &str) -> String {
    printed(&client(world, url, &["set", "octo/orbit", name], value).await)
}

/// How the secrets may turn up: as they are, line by line, and encoded.
fn needles() -> Vec<Vec<u8>> {
    let mut needles: Vec<String> =
        KEY.lines().filter(|line| line.len() > 3).map(str::to_owned).collect();
    for value in [TOKEN, KEY] {
        for before in ["", "x", "xx"] {
            let text = STANDARD.encode(format!("{before}{value}"));
            // Without what may hold bits of neighbours; a third of it is enough to be found.
            needles.push(text[4..text.len() / 3].to_owned());
            needles.push(text[text.len() / 2..text.len() - 4].to_owned());
        }
    }
    needles.push(TOKEN.to_owned());
    needles.push(TOKEN[..40].to_owned());
    needles.push(TOKEN.replace('\'', r"'\''"));
    needles.push("t0k3n%2Fwith%2Bplus%20%26%20a".into());
    needles.into_iter().map(String::into_bytes).collect()
}

fn assert_none_in(what: &str, bytes: &[u8]) {
    // Also where lines were broken.
    let joined: Vec<u8> =
        bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    for needle in needles() {
        for text in [bytes, &joined] {
            let found = memchr::memmem::find(text, &needle);
            assert!(found.is_none(), "{what} holds {}", String::from_utf8_lossy(&needle));
        }
    }
}

/// Every file below a folder; how many there are.
fn assert_none_below(folder: &Path) -> usize {
    let mut count = 0;
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            // Layers are compressed.
            let bytes =
                if bytes.starts_with(&[0x1f, 0x8b]) { unzipped(entry.path()) } else { bytes };
            assert_none_in(&entry.path().display().to_string(), &bytes);
            count += 1;
        }
    }
    count
}

fn unzipped(path: &Path) -> Vec<u8> {
    let output = std::process::Command::new("gzip")
        .arg("-dc")
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// The running container of this world, once there is one that looks so.
async fn running(instance: &str, step: &str) -> String {
    let instance = format!("label=kozmic.instance={instance}");
    let step = format!("label=kozmic.step={step}");
    eventually("the script's container", async || {
        let listed = docker(&["ps", "--quiet", "--filter", &instance, "--filter", &step]).await;
        listed.lines().next().map(str::to_owned)
    })
    .await
}

async fn let_go(container: &str) {
    touch(container, "/tmp/go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_containers_nor_images_nor_layers_hold_them() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    world.add_project(url).await;
    set(&world, url, "TOKEN", TOKEN).await;
    set(&world, url, "KEY", KEY).await;
    let script = "#!/bin/sh
echo \"${#TOKEN} ${#KEY}\"
until [ -e /tmp/go ]; do sleep 1; done
rm -f /tmp/go
";
    let build = hook("Tests", busybox().await, script);
    let build = build.replacen("# kozmic: image", "# kozmic: track = a\n# kozmic: image", 1);
    world.apply_files(url, &[("t.sh", &build), ("t.install.sh", script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let instance = world.instance().await;
    for step in ["install", "build"] {
        let container = running(&instance, step).await;
        let inspected = docker(&["inspect", &container]).await;
        assert!(inspected.contains("/kozmic/start"), "it is the script's: {inspected}");
        assert_none_in("docker inspect", inspected.as_bytes());
        assert_none_in("docker top", docker(&["top", &container]).await.as_bytes());
        let_go(&container).await;
        if step == "install" {
            eventually("the image", async || cached_images(&instance).await.into_iter().next())
                .await;
        }
    }
    let build = world.finished(url, &sha).await;
    assert_eq!(build.status, "success", "{build:?}");
    let log = world.log_text(&build.jobs[0]).await;
    let seen = format!("{} {}", TOKEN.len(), KEY.len());
    assert_eq!(
        log.lines().filter(|line| **line == seen).count(),
        2,
        "both scripts get them: {log}"
    );

    let image = cached_images(&instance).await.remove(0);
    let described = docker(&["inspect", &image]).await;
    let history = docker(&["history", "--no-trunc", &image]).await;
    assert_none_in("docker inspect", described.as_bytes());
    assert_none_in("docker history", history.as_bytes());
    let registry = Registry::start().await;
    registry.push(&image, "cached:latest").await;
    // Two layers, their image's description and its manifest, at least.
    assert!(assert_none_below(registry.folder()) >= 4);
    remove_cached_images(&instance).await;
    world.end(server).await;
}

const FORMS: &str = r#"#!/bin/bash
ls /kozmic
sum() { printf %s "$1" | sha256sum | cut -c1-64; }
echo "sums $(sum "$TOKEN") $(sum "$KEY")"
echo "other ${#OTHER}"
echo "whole $TOKEN."
printf 'halves %s' "${TOKEN:0:9}"; sleep 1; printf '%s.\n' "${TOKEN:9}"
printf '%s\n' "$KEY"
echo base64
printf %s "$TOKEN" | base64
printf 'user:%s' "$TOKEN" | base64 -w0; echo
printf 'it:%s' "$KEY" | base64
LC_ALL=C
for ((i = 0; i < ${#TOKEN}; i++)); do
    c=${TOKEN:i:1}
    case $c in [a-zA-Z0-9.~_-]) printf %s "$c" ;; *) printf '%%%02X' "'$c" ;; esac
done
echo
set -x
: "$TOKEN"
env >&2
exit 3
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_scripts_write_of_them_is_masked_and_nothing_of_the_server_s_holds_them() {
    let world = World::new().await;
    let url = free_url();
    let mut command = world.command(&url, &["serve"]);
    command.env("KOZMIC_LOG", "debug");
    let mut server = start_as(&world, &url, &mut command).await;
    world.project(&url, &[hook("Tests", BASE, FORMS)]).await;
    let told = set(&world, &url, "TOKEN", &format!("{TOKEN}\n")).await;
    assert_eq!(told, "TOKEN is saved. Jobs that start from now on get it.\n");
    let told = set(&world, &url, "KEY", KEY).await;
    assert!(told.contains("1 of its 5 lines have fewer than 4 characters"), "{told}");
    set(&world, &url, "OTHER", "of the project").await;
    let of_hook = ["set", "octo/orbit", "OTHER", "--hook", "Tests"];
    printed(&client(&world, &url, &of_hook, "of the hook").await);

    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    let job = build.job("Tests");
    assert_eq!(job.return_code, Some(3), "{}", said(&world));
    let log = world.log_text(job).await;
    assert_none_in("the log", log.as_bytes());
    let lines: Vec<&str> = log.lines().collect();
    let line_of = |start: &str| {
        *lines
            .iter()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {log}"))
    };
    // The secrets' file was gone when the script began.
    assert_eq!(lines[..5], ["artifacts", "reports", "script", "src", "start"]);
    assert_eq!(line_of("sums "), format!("sums {} {}", sha256(TOKEN), sha256(KEY)));
    assert_eq!(line_of("other "), format!("other {}", "of the hook".len()));
    let stars = "*".repeat(TOKEN.len());
    assert_eq!(line_of("whole "), format!("whole {stars}."));
    assert_eq!(line_of("halves "), format!("halves {stars}."));
    let key: Vec<String> = KEY
        .lines()
        .map(|line| if line == "ab" { line.into() } else { "*".repeat(line.len()) })
        .collect();
    assert!(log.contains(&format!("{}\nbase64\n", key.join("\n"))), "{log}");
    // Nearly nothing of the encoded ones is left, and their lines are as long as they were.
    let wrapped: Vec<&str> =
        lines.iter().skip_while(|line| **line != "base64").skip(1).copied().collect();
    assert_eq!((wrapped[0].len(), wrapped[0].trim_matches('*')), (76, ""), "{log}");
    // Else the first command of `set -x` would be a hint.
    assert!(!log.contains("sp4ce"), "{log}");

    let page = world.page(&build.url).await;
    assert_none_in("the page", page.as_bytes());
    assert!(page.contains(&stars), "{page}");
    server.kill().await.unwrap();
    server.wait().await.unwrap();
    let logged = said(&world);
    assert!(logged.contains(" DEBUG ") && logged.contains("job finished"), "{logged}");
    assert!(assert_none_below(world.folder()) > 10);
    assert_eq!(kept_with_jobs(&world).await, 0);
    world.nothing_left().await;
}

/// How many jobs have something kept of what they were given.
async fn kept_with_jobs(world: &World) -> i64 {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&world.settings().database_url).await.unwrap();
    let row =
        sqlx::query("SELECT COUNT(*) AS kept FROM job_secrets").fetch_one(&pool).await.unwrap();
    pool.close().await;
    sqlx::Row::get(&row, "kept")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_half_written_when_the_server_is_killed_stays_hidden() {
    let world = World::new().await;
    let url = free_url();
    let mut server = crate::crash::start(&world, &url).await;
    let script = "#!/bin/bash
printf 'begin %s' \"${TOKEN:0:20}\"
until [ -e /tmp/go ]; do sleep 0.1; done
printf '%s.\\n' \"${TOKEN:20}\"
cat newer
";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    set(&world, &url, "TOKEN", TOKEN).await;
    let sha = world.push(&[("newer", b"what it is from now on\n")]).await;
    eventually("the first half", async || {
        let build = world.build_of(&url, &sha).await;
        world.log_text(build.job("Tests")).await.contains("begin ").then_some(())
    })
    .await;
    assert_eq!(kept_with_jobs(&world).await, 1);
    let told = set(&world, &url, "TOKEN", "what it is from now on").await;
    assert!(told.starts_with("TOKEN has a new value."), "{told}");
    server.kill().await.unwrap();
    let mut server = crate::crash::start(&world, &url).await;
    let_go(&running(&world.instance().await, "build").await).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success", "{}", said(&world));
    let log = world.log_text(build.job("Tests")).await;
    // The job has what it was given; what it was changed to is as secret.
    let expected = format!("begin {}.\n{}\n", "*".repeat(TOKEN.len()), "*".repeat(22));
    assert_eq!(log, expected);
    assert_eq!(kept_with_jobs(&world).await, 0);
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_requests_from_forks_get_none() {
    let world = World::new().await;
    let server =
        world.serve_with("#!/bin/sh\necho \"[${TOKEN-unset}] guess: hush-hush-hush\"\n").await;
    let url = &server.url;
    set(&world, url, "TOKEN", "hush-hush-hush").await;
    let sha = world.push(&[("b", b"ours\n")]).await;
    let build = world.finished(url, &sha).await;
    let log = world.log_text(&build.jobs[0]).await;
    assert_eq!(log, "[**************] guess: **************\n");

    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let push = Push::new("mallory/orbit", "mallory").branch("main").message("Change b");
    let sha = world.sim.push(&push.write("b", "theirs\n")).await.unwrap();
    let open =
        world.sim.open_pull_request("octo/orbit", "mallory", "mallory:main", "main", "B", "");
    open.await.unwrap();
    let build = world.build_of(url, &sha).await;
    assert_eq!(build.approval, "awaited");
    // Also not when a manager has agreed that it runs.
    let approve = format!("{url}/api/v1/builds/{}/approve?sha={sha}", build.id);
    world.http.post(approve).bearer_auth(world.api_token().await).send().await.unwrap();
    let build = world.finished(url, &sha).await;
    let log = world.log_text(&build.jobs[0]).await;
    // Nothing is masked either: that would tell which guess is right.
    let note = "[kozmic] the project's secret is left out: pull requests from forks get none\n";
    assert_eq!(log, format!("{note}[unset] guess: hush-hush-hush\n"));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_set_them_in_the_settings_and_see_names_only() {
    let world = World::new().await;
    let server = world.serve_with(":\n").await;
    let url = &server.url;
    let settings = format!("{url}/projects/1/settings/");
    let post = async |path: &str, form: &[(&str, &str)]| {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = world.owner(url).await.post(format!("{url}/projects/1/secrets/{path}/"));
        let request = request
            .header("origin", url)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.unwrap().text().await.unwrap()
    };
    let page =
        post("set", &[("name", "TOKEN"), ("value", "hush\r\nhush-hush\r\nx"), ("hook", "")]).await;
    assert!(page.contains("TOKEN is saved. Jobs that start from now on get it."), "{page}");
    assert!(page.contains("1 of its 3 lines have fewer than 4 characters"), "{page}");
    let page = post("set", &[("name", "OWN"), ("value", "hush-hush-hush"), ("hook", "1")]).await;
    assert!(page.contains("OWN is saved."), "{page}");
    for (name, hook, why) in [
        ("PATH", "", "needed to start scripts"),
        ("KOZMIC_X", "", "is set by Kozmic itself"),
        ("1A", "", "is not the name of a variable"),
        ("A", "77", "the hook is not there any more"),
        ("A", "hush", "the hook is not there any more"),
    ] {
        let page = post("set", &[("name", name), ("value", "hush-hush"), ("hook", hook)]).await;
        assert!(page.contains("The secret was not saved") && page.contains(why), "{name}: {page}");
        assert!(!page.contains("hush"), "{page}");
    }
    let page = world.page(&settings).await;
    assert!(page.contains("<code class=\"name\">TOKEN</code>"), "{page}");
    assert!(page.contains("<code class=\"name\">OWN</code>, only for <bdi>Tests</bdi>"), "{page}");
    assert!(page.contains("octo added <code>OWN</code> of <bdi>Tests</bdi>"), "{page}");
    assert!(!page.contains("hush"), "{page}");
    let page = world.page(&format!("{url}/projects/1/hooks/1/edit/")).await;
    assert!(page.contains(">OWN</code>") && !page.contains(">TOKEN</code>"), "{page}");

    // As it was typed, with the line ends of scripts.
    assert_eq!(stored(&world).await, ["hush\nhush-hush\nx", "hush-hush-hush"]);

    world.sim.add_user("member").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "member", "pull").await.unwrap();
    let member = world.visitor(url, "member").await;
    let page = member.get(&settings).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Members") && !page.contains("TOKEN"), "{page}");

    let page = post("remove", &[("name", "OWN"), ("hook", "1")]).await;
    assert!(page.contains("OWN is removed.") && page.contains("octo removed <code>OWN"), "{page}");
    let page = post("remove", &[("name", "TOKEN"), ("hook", "1")]).await;
    assert!(page.contains("There is no such secret any more."), "{page}");
    world.end(server).await;
}

/// The values that are kept, oldest first.
async fn stored(world: &World) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&world.settings().database_url).await.unwrap();
    let rows =
        sqlx::query("SELECT id, value FROM secrets ORDER BY id").fetch_all(&pool).await.unwrap();
    pool.close().await;
    let store = world.store().await;
    let open = |row: &sqlx::any::AnyRow| {
        let (id, value): (i64, Vec<u8>) = (sqlx::Row::get(row, "id"), sqlx::Row::get(row, "value"));
        let opened = store.seal().open(&format!("secrets:{id}:value"), &value).unwrap();
        String::from_utf8(opened).unwrap()
    };
    let values = rows.iter().map(open).collect();
    store.close().await;
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_lists_and_removes_them() {
    let world = World::new().await;
    let server = world.serve_with(":\n").await;
    let url = &server.url;
    let list = async || printed(&client(&world, url, &["list", "octo/orbit"], "").await);
    // A file's last line end is left out, and no more.
    let file = world.folder().join("value");
    std::fs::write(&file, "two\nlines\n\n").unwrap();
    let from_file = ["set", "octo/orbit", "FILE", "--file", file.to_str().unwrap()];
    let told = printed(&client(&world, url, &from_file, "").await);
    assert!(told.contains("1 of its 2 lines have fewer than 4 characters"), "{told}");
    let of_hook = ["set", "Octo/Orbit", "FILE", "--hook", "Tests"];
    let told = printed(&client(&world, url, &of_hook, "abc\n").await);
    assert!(told.contains("fewer than 4 characters, so logs show it"), "{told}");
    assert_eq!(stored(&world).await, ["two\nlines\n", "abc"]);
    let listed = list().await;
    let rows: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..3]).collect();
    assert_eq!(
        rows,
        [["SECRET", "HOOK", "SET"], ["FILE", "all", "octo"], ["FILE", "Tests", "octo"]]
    );

    // What is wrong with the command line itself ends with another code.
    let refused = async |arguments: &[&str], input: &str| {
        let output = client(&world, url, arguments, input).await;
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (name, input, why) in [
        ("A", "", "the value is empty"),
        ("A", "hush\0", "holds a NUL byte"),
        ("LD_PRELOAD", "x", "is needed to start scripts"),
    ] {
        let told = refused(&["set", "octo/orbit", name], input).await;
        assert!(told.contains(why) && !told.contains("hush"), "{told}");
    }
    let large = refused(&["set", "octo/orbit", "A"], &"hush".repeat(20_000)).await;
    assert!(large.contains("at most 65536 are taken") && !large.contains("hush"), "{large}");
    let told = refused(&["set", "octo/orbit", "A", "--hook", "None"], "hush").await;
    assert!(told.contains("There is no such hook"), "{told}");
    let told = refused(&["set", "octo/orbit", "A", "hush"], "").await;
    assert!(told.contains("unexpected argument"), "no value stands in a command line: {told}");

    let removed = printed(&client(&world, url, &["remove", "octo/orbit", "FILE"], "").await);
    assert_eq!(removed, "FILE is removed.\n");
    let told = refused(&["remove", "octo/orbit", "FILE"], "").await;
    assert!(told.contains("There is no such secret"), "{told}");
    assert_eq!(stored(&world).await, ["abc"]);

    // With the API alone; a value that is no text is not repeated either.
    let api = format!("{url}/api/v1/projects/1/secrets");
    let put = world.http.put(format!("{api}/A")).bearer_auth(world.api_token().await);
    let answer = put.body(&b"hush\xff"[..]).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let told = answer.text().await.unwrap();
    assert!(told.contains("no text in UTF-8") && !told.contains("hush"), "{told}");
    let answer = world.http.get(&api).bearer_auth(world.api_token().await).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    let one = &answer["secrets"][0];
    assert_eq!(
        (&one["name"], &one["hook"], &one["updated_by"]),
        (&"FILE".into(), &"Tests".into(), &"octo".into())
    );
    assert_eq!(one.as_object().unwrap().len(), 4, "{one}");
    world.end(server).await;
}
