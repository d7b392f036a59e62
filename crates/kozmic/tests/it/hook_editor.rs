//! A hook in the browser's form: checked while it is written, tried before it is saved, and
//! its changes looked at.

use serde_json::Value;

use crate::harness::{BASE, Build, Server, World, eventually, post_form};
use github_sim::client::Push;

const SAVED: &str = "#!/bin/sh\necho saved\nexit 3\n";
const TYPED: &str = "#!/bin/sh\necho \"typed: $(cat word) for $KOZMIC_BUILD_TRIGGER on \
                     $KOZMIC_BUILD_REF, ${#SHARED_KEY} ${#OWN_KEY}\"\n";

/// What the form sends: a browser ends lines with CRLF.
fn form<'a>(hook: &'a str, script: &'a str, reference: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("title", "Tests"),
        ("image", BASE),
        ("install_script", ""),
        ("tracked", ""),
        ("build_script", script),
        ("options", "env = LEVEL=7"),
        ("hook", hook),
        ("ref", reference),
    ]
}

async fn post(
    world: &World,
    server: &Server,
    path: &str,
    fields: &[(&str, &str)],
) -> reqwest::Response {
    let owner = world.owner(&server.url).await;
    post_form(owner, &format!("{}/projects/1/{path}", server.url), fields).await
}

async fn checked(world: &World, server: &Server, fields: &[(&str, &str)]) -> (u16, Value) {
    let answer = post(world, server, "hooks/check/", fields).await;
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The sentences about a field.
fn said(checked: &Value, kind: &str, field: &str) -> String {
    let all = checked[kind].as_array().unwrap().iter().filter(|said| said["field"] == field);
    all.map(|said| said["sentence"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// The build with this number, once it is over.
async fn ended(world: &World, server: &Server, number: i64) -> Build {
    eventually("the build's end", async || {
        let builds = world.builds(&server.url).await;
        builds.into_iter().find(|build| build.number == number && build.is_finished())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_tried_as_it_stands_in_the_form_and_told_to_nobody() {
    let world = World::new().await;
    let server = world.serve_with(SAVED).await;
    let main = world.push(&[("word", b"main")]).await;
    assert_eq!(world.finished(&server.url, &main).await.status, "failure");
    let all_told = async |sha: &str| {
        for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
            world.told(sha, context, "failure").await;
        }
    };
    all_told(&main).await;
    let push = Push::new("octo/orbit", "octo").branch("feature/x").write("word", "feature");
    let feature = world.sim.push(&push).await.unwrap();
    world.finished(&server.url, &feature).await;
    all_told(&feature).await;
    let told = async || {
        let on_main = world.sim.statuses("octo/orbit", &main).await.unwrap().len();
        on_main + world.sim.statuses("octo/orbit", &feature).await.unwrap().len()
    };
    let before = told().await;
    for (hook, name) in [("", "SHARED_KEY"), ("1", "OWN_KEY")] {
        let fields = [("name", name), ("hook", hook), ("value", "ten letter")];
        assert_eq!(post(&world, &server, "secrets/set/", &fields).await.status(), 200);
    }

    // A branch, by a hook that is saved otherwise.
    let crlf = TYPED.replace('\n', "\r\n");
    let answer = post(&world, &server, "hooks/try/", &form("1", &crlf, "feature/x")).await;
    assert_eq!(answer.status(), 303);
    let tried = ended(&world, &server, 3).await;
    let place = answer.headers()["location"].to_str().unwrap();
    assert!(tried.url.ends_with(place), "{place} is not {}", tried.url);
    assert_eq!((tried.status.as_str(), tried.trigger.as_str()), ("success", "try"));
    assert_eq!(tried.sha, feature);
    let log = world.log_text(tried.job("Tests")).await;
    assert!(log.contains("typed: feature for try on feature/x, 10 10\n"), "{log}");
    let page = world.page(&tried.url).await;
    assert!(page.contains("It runs a hook as <bdi>octo</bdi> had written it"), "{page}");
    assert_eq!(world.hook(1).await.spec.build_script.as_str(), SAVED, "nothing is saved");

    // A new one, on the default branch: it has no secrets of its own.
    let answer = post(&world, &server, "hooks/try/", &form("", TYPED, "")).await;
    assert_eq!(answer.status(), 303);
    let new = ended(&world, &server, 4).await;
    let log = world.log_text(new.job("Tests")).await;
    assert!(log.contains("typed: main for try on main, 10 0\n"), "{log}");

    // Run again, it is what it was, also when the hook has become something else.
    let restart = format!("{}/api/v1/builds/{}/restart", server.url, tried.id);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    let again = eventually("the try's second end", async || {
        let builds = world.builds(&server.url).await;
        let build = builds.into_iter().find(|build| build.id == tried.id)?;
        (build.is_finished() && build.job("Tests").id != tried.job("Tests").id).then_some(build)
    })
    .await;
    assert_eq!(again.status, "success");

    let badge = format!("{}/badges/octo/orbit/feature/x", server.url);
    let badge = world.http.get(badge).send().await.unwrap().text().await.unwrap();
    assert!(badge.contains("failure"), "{badge}");
    let latest = format!("{}/projects/1/builds/latest/?ref=feature/x", server.url);
    let latest = world.owner(&server.url).await.get(latest).send().await.unwrap();
    assert!(latest.headers()["location"].to_str().unwrap().ends_with("/builds/2/"));
    assert_eq!(told().await, before, "nobody is told");

    for (fields, status, says) in [
        (
            form("1", TYPED, "nowhere"),
            422,
            "It was not tried: octo/orbit has no branch, tag or commit",
        ),
        (form("1", TYPED, "refs/pull/1/head"), 422, "only branches, tags and commits"),
        (form("1", " ", ""), 422, "Build script: the script is empty"),
        (form("77", TYPED, ""), 404, "no such hook"),
        (form("x", TYPED, ""), 404, "no such hook"),
    ] {
        let answer = post(&world, &server, "hooks/try/", &fields).await;
        assert_eq!(answer.status().as_u16(), status, "{says}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(says), "{says}: {page}");
    }
    assert_eq!(world.builds(&server.url).await.len(), 4);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_checked_by_what_would_save_it_and_no_registry_is_asked() {
    let world = World::new().await;
    let server = world.serve_with(SAVED).await;
    let registry = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    registry.set_nonblocking(true).unwrap();
    let image = format!("{}/none:latest", registry.local_addr().unwrap());

    let mut fields = form("1", TYPED, "");
    fields[1].1 = &image;
    let (status, told) = checked(&world, &server, &fields).await;
    assert_eq!(status, 200);
    assert_eq!(told["problems"], serde_json::json!([]));
    assert!(said(&told, "notes", "image").contains("No job of this project ran on this image"));
    assert_eq!(said(&told, "notes", "build_script"), "The image’s /bin/sh runs it.");
    let asked = registry.accept().map(|_| ()).unwrap_err();
    assert_eq!(asked.kind(), std::io::ErrorKind::WouldBlock, "a registry was asked");

    // What a page would say that was sent is said here.
    let (title, options) = ("x".repeat(101), "memory = much");
    let wrong = [
        ("title", title.as_str()),
        ("image", "No Image"),
        ("build_script", "\u{feff}"),
        ("tracked", "../x"),
        ("options", options),
    ];
    let (_, told) = checked(&world, &server, &wrong).await;
    let page = post(&world, &server, "hooks/add/", &wrong).await.text().await.unwrap();
    for field in ["title", "image", "build_script", "tracked", "options"] {
        let sentence = said(&told, "problems", field);
        assert!(!sentence.is_empty(), "{field}");
        let escaped = sentence.replace('"', "&#34;").replace('\'', "&#39;");
        assert!(page.contains(&escaped), "{field}: {sentence}");
    }
    // A title that is taken, where it is another hook's.
    let (_, told) = checked(&world, &server, &form("", TYPED, "")).await;
    assert!(said(&told, "problems", "").contains("Tests"), "{told}");

    let mut trap = form("1", "#!/usr/bin/env bash -e\r\ntrue\r\n", "");
    trap[2].1 = "\n#!/bin/bash\n";
    let (_, told) = checked(&world, &server, &trap).await;
    assert!(said(&told, "notes", "build_script").contains("-S bash -e"), "{told}");
    assert!(said(&told, "notes", "install_script").contains("first two characters"), "{told}");

    // What became of the image is known once a job has needed it.
    drop(registry);
    let answer = post(&world, &server, "hooks/try/", &fields).await;
    assert_eq!(answer.status(), 422, "there is no branch yet");
    let sha = world.push(&[("word", b"main")]).await;
    world.finished(&server.url, &sha).await;
    assert_eq!(post(&world, &server, "hooks/try/", &fields).await.status(), 303);
    assert_eq!(ended(&world, &server, 2).await.status, "error");
    let (_, told) = checked(&world, &server, &fields).await;
    assert!(said(&told, "notes", "image").contains("did not get it"), "{told}");
    let (_, told) = checked(&world, &server, &form("1", TYPED, "")).await;
    assert!(said(&told, "notes", "image").starts_with("A job ran on this image"), "{told}");
    let missing = post(&world, &server, "hooks/check/", &form("77", TYPED, "")).await;
    assert_eq!(missing.status(), 404);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_shown_line_by_line_and_can_be_had_back() {
    let world = World::new().await;
    let server = world.serve_with(SAVED).await;
    let script = "#!/bin/sh\necho '<b>'\nexit 3\n";
    for script in [script, &script.repeat(2)] {
        let answer = post(&world, &server, "hooks/1/edit/", &form("1", script, "")).await;
        assert_eq!(answer.status(), 303);
    }
    let changes = format!("{}/projects/1/hooks/1/changes/", server.url);
    let page = world.page(&changes).await;
    for shown in [
        "octo edited it",
        "<figcaption>build script</figcaption>",
        "<del>- echo saved\n</del>",
        "<ins>+ echo &#39;&#60;b&#62;&#39;\n</ins>",
        "<figcaption>options</figcaption>",
        "<ins>+ env = LEVEL=7\n</ins>",
        "This is what the hook is now.",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(page.matches("Put this version into the form").count(), 2);

    // The first one, in the form and nowhere else.
    let (_, rest) = page.rsplit_once("/edit/?version=").unwrap();
    let version: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let form =
        world.page(&format!("{}/projects/1/hooks/1/edit/?version={version}", server.url)).await;
    assert!(form.contains("Nothing of it is saved yet"), "{form}");
    assert!(form.contains(">\n#!/bin/sh\necho saved\nexit 3\n</textarea>"), "{form}");
    assert_eq!(world.hook(1).await.spec.build_script.as_str(), script.repeat(2));
    let owner = world.owner(&server.url).await;
    for path in ["hooks/1/edit/?version=77", "hooks/77/changes/"] {
        let answer = owner.get(format!("{}/projects/1/{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    // Of a hundred, a few at a time.
    for level in 0..12 {
        let level = format!("env = LEVEL={level}");
        let mut fields = self::form("1", SAVED, "");
        fields[5].1 = &level;
        post(&world, &server, "hooks/1/edit/", &fields).await;
    }
    let page = world.page(&changes).await;
    assert_eq!(page.matches("edited it").count(), 10);
    let (_, rest) = page.split_once("/changes/?from=").unwrap();
    let from: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let older = world.page(&format!("{changes}?from={from}")).await;
    assert_eq!(older.matches("<div class=\"part\"").count(), 5);
    assert!(older.contains("<del>- env = LEVEL=7\n</del>"), "{older}");

    // What to write into a README, for any branch.
    let settings = format!("{}/projects/1/settings/", server.url);
    let page = world.page(&settings).await;
    let image = format!("{}/badges/octo/orbit/main", server.url);
    assert!(
        page.contains(&format!(
            "[![Kozmic-CI]({image})]({}/projects/1/builds/latest/?ref=main)",
            server.url
        )),
        "{page}"
    );
    let page = world.page(&format!("{settings}?badge=a(b/%23%22%3Cc")).await;
    assert!(page.contains("/badges/octo/orbit/a%28b/%23%22%3Cc)]("), "{page}");
    assert!(page.contains("/badges/octo/orbit/a%28b/%23%22%3Cc&#34; alt="), "{page}");
    world.end(server).await;
}

/// The change that a page's form was opened with.
fn base(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="base" value=""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_saves_meanwhile_is_replaced_only_knowingly() {
    let world = World::new().await;
    let server = world.serve_with(SAVED).await;
    let opened = base(&world.page(&format!("{}/projects/1/hooks/1/edit/", server.url)).await);
    let send = async |title: &str, script: &str, base: &str| {
        let mut fields = form("1", script, "");
        fields[0].1 = title;
        fields.push(("base", base));
        let answer = post(&world, &server, "hooks/1/edit/", &fields).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let kept = async || world.hook(1).await.spec.build_script.as_str().to_owned();
    let [theirs, mine] = ["#!/bin/sh\necho theirs\n", "#!/bin/sh\necho mine\n"];
    assert_eq!(send("Tests", theirs, &opened).await.0, 303);

    let (status, page) = send("Tests", mine, &opened).await;
    assert_eq!(status, 422);
    assert!(page.contains("octo edited it after you had opened this form"), "{page}");
    assert!(page.contains(&format!(">\n{mine}</textarea>")), "{page}");
    assert_eq!(kept().await, theirs);
    // Who has been told of another mistake only has not been told of it.
    let (status, corrected) = send("", mine, &opened).await;
    assert_eq!((status, base(&corrected)), (422, opened));
    assert_eq!(send("Tests", mine, &base(&corrected)).await.0, 422);
    assert_eq!(kept().await, theirs);

    assert_eq!(send("Tests", mine, &base(&page)).await.0, 303);
    assert_eq!(kept().await, mine);
    world.end(server).await;
}
