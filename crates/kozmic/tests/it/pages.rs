//! Pages as text: where they lead, what they show, what they never do.

use github_sim::client::Push;

use crate::harness::{World, hook};

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_from_home_to_the_log() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    let empty = world.page(&format!("{url}/")).await;
    assert!(empty.contains("Turn on a repository"));
    world
        .project(
            url,
            &[hook("Tests", crate::harness::BASE, "printf '\\033[32mgreen\\033[0m\\n'\n")],
        )
        .await;
    let leads_to = async |path: &str| {
        let answer = world.owner(url).await.get(format!("{url}{path}")).send().await.unwrap();
        answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned())
    };
    let home = world.page(&format!("{url}/")).await;
    assert!(home.contains("octo/orbit") && home.contains("Nothing was built yet"), "{home}");
    assert_eq!(leads_to("/projects/1/").await.as_deref(), Some("/projects/1/history/"));
    assert!(
        world.page(&format!("{url}/projects/1/history/")).await.contains("Nothing was built yet")
    );
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(url, &sha).await;
    assert_eq!(leads_to("/projects/1/").await.as_deref(), Some("/projects/1/builds/latest/"));
    for latest in [
        "/projects/1/builds/latest/",
        "/projects/1/builds/latest/?ref=main",
        "/projects/1/builds/latest",
    ] {
        assert_eq!(
            leads_to(latest).await,
            Some(format!("/projects/1/builds/{}/", build.id)),
            "{latest}"
        );
    }
    let page = world.page(&build.url).await;
    assert!(page.contains("<span class=\"f2\">green</span>"), "{page}");
    assert!(page.contains(&format!("{}/octo/orbit/commit/{sha}", world.sim.url())));
    for path in ["/", "/projects/", "/?q=chang", "/projects/1/history", "/?q=ORB"] {
        let page = world.page(&format!("{url}{path}")).await;
        assert!(page.contains("Change something"), "{path}: {page}");
        assert!(page.contains(&format!("/projects/1/builds/{}/", build.id)), "{path}: {page}");
    }
    // Another one sees nothing of it, whatever they look for.
    world.sim.add_user("stranger").await.unwrap();
    let stranger = world.visitor(url, "stranger").await;
    for path in ["/", "/?q=chang", "/?q=orbit", "/?page=2"] {
        let page = stranger.get(format!("{url}{path}")).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(page.contains("No project yet") && !page.contains("orbit"), "{path}: {page}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_missing() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    for path in [
        "/nothing",
        "/projects/9/",
        "/projects/9/history/",
        "/projects/1/builds/9/",
        "/projects/1/builds/latest/",
        "/projects/1/builds/x/",
        "/projects/1/builds/1/jobs/1/",
        "/projects/1/jobs/9/log/",
        "/static/x/y",
        "/tailer/x/",
    ] {
        let owner = world.owner(&server.url).await;
        let answer = owner.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 404 | 400), "{path}: {}", answer.status());
    }
    let answer = world
        .owner(&server.url)
        .await
        .get(format!("{}/projects/1/builds/latest/?ref=a..b", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_shown_as_text() {
    let world = World::new().await;
    let hostile = "<script>alert(1)</script>\"'&{{7*7}}";
    let server = world.serve().await;
    let script = format!("cat <<'X'\n{hostile}\nX\n");
    world.project(&server.url, &[hook("<b>Tests</b>", crate::harness::BASE, &script)]).await;
    let push = Push::new("octo/orbit", "octo")
        .message(format!("{hostile}\n\nbody {hostile}"))
        .write("a", "a");
    let sha = world.sim.push(&push).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    for url in [build.url.clone(), format!("{}/projects/1/history/", server.url)] {
        let answer = world.owner(&url).await.get(&url).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(
            policy.contains("script-src 'self'") && policy.contains("default-src 'none'"),
            "{policy}"
        );
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let page = answer.text().await.unwrap();
        assert!(!page.contains("<script>alert") && !page.contains("<b>Tests"), "{page}");
        assert!(page.contains("alert(1)"), "the text itself is there");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_names_are_answered_to() {
    let world = World::with(&[("KOZMIC_PUBLIC_URL", "https://ci.example.org")]).await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let visible = ["project", "set", "octo/orbit", "--visible-to-all", "on"];
    assert!(world.run(&server.url, &visible).await.status.success());
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    let status = async |host: String, path: &str| {
        let request = world.http.get(format!("{}{path}", server.url)).header("host", host);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(format!("localhost:{port}"), "/projects/1/history/").await, 200);
    assert_eq!(status("ci.example.org".into(), "/projects/1/history/").await, 200);
    assert_eq!(status(format!("evil.example:{port}"), "/projects/1/history/").await, 403);
    assert_eq!(status("evil.example".into(), "/projects/1/").await, 403);
    // Badges and deliveries are for anyone who gets here.
    assert_eq!(status("evil.example".into(), "/badges/octo/orbit/main").await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_compressed_unless_another_site_asked_for_them() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let encoding = async |path: &str, site: Option<&str>| {
        let request = world.owner(&server.url).await.get(format!("{}{path}", server.url));
        let request = request.header("accept-encoding", "gzip, br");
        let request = match site {
            Some(site) => request.header("sec-fetch-site", site),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let encoding = answer.headers().get("content-encoding").cloned();
        let bytes = answer.bytes().await.unwrap();
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), encoding.is_some(), "{path}: RFC 1952");
        encoding.map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    for path in ["/", "/projects/1/history/", "/projects/1/settings/", "/static/x/kozmic.css"] {
        for site in [None, Some("none"), Some("same-origin")] {
            assert_eq!(encoding(path, site).await.as_deref(), Some("gzip"), "{path} {site:?}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(encoding(path, Some(site)).await, None, "{path} {site}");
        }
    }
    let plain = world.owner(&server.url).await.get(format!("{}/", server.url)).send().await;
    assert!(plain.unwrap().text().await.unwrap().contains("octo/orbit"));
    server.stop().await;
}
