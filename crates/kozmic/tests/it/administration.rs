//! What administrators see of the installation, people's pictures, and what a refusal looks
//! like.

use github_sim::client::{Fault, FaultKind};
use reqwest::{Client, Method, header};

use crate::harness::{Postgres, Server, World, eventually, hook, post_form};

const PAGES: [&str; 4] = [
    "/administration/",
    "/administration/queue/",
    "/administration/projects/",
    "/administration/audit/",
];

async fn page(client: &Client, server: &Server, path: &str) -> (u16, String) {
    let answer = client.get(format!("{}{path}", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// A hook whose jobs wait for ever.
fn waiting() -> String {
    let label = "# kozmic: label = nobodys\n# kozmic: image";
    hook("Tests", "busybox", "#!/bin/sh\n").replacen("# kozmic: image", label, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_workers_queue_disks_settings_and_projects() {
    // With a budget the disks are counted at the start.
    let world = World::with(&[
        ("KOZMIC_ADMINS", "octo"),
        ("KOZMIC_WORKER_LABELS", "gpu"),
        ("KOZMIC_DISK_BUDGET", "900G"),
    ])
    .await;
    let server = world.serve().await;
    world.project(&server.url, &[waiting()]).await;
    let sha = world.push(&[("a", b"1")]).await;
    let build = world.build_of(&server.url, &sha).await;
    let octo = world.visitor(&server.url, "octo").await;
    let overview = eventually("a worker that has counted its disks", async || {
        let (_, page) = page(&octo, &server, "/administration/").await;
        page.contains("of a budget of 900 GiB").then_some(page)
    })
    .await;
    assert!(overview.contains("✓ runs") && overview.contains("<dd>gpu</dd>"), "{overview}");
    assert!(overview.contains("Docker Engine") && overview.contains("SQLite 3."), "{overview}");
    assert!(overview.contains("KOZMIC_DISK_BUDGET") && overview.contains("database"), "{overview}");
    // A secret in force is told to be there, and no more.
    let secret = world.settings().oauth.unwrap().client_secret;
    let secret = secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    assert!(overview.contains("KOZMIC_GITHUB_CLIENT_SECRET") && !overview.contains(&secret));
    let (_, queue) = page(&octo, &server, "/administration/queue/").await;
    assert!(queue.contains("none has the label nobodys"), "{queue}");
    let cancel = format!("/projects/1/jobs/{}/cancel/", build.jobs[0].id);
    assert!(queue.contains(&cancel), "{queue}");
    assert_eq!(post_form(&octo, &format!("{}{cancel}", server.url), &[]).await.status(), 303);
    let (_, queue) = page(&octo, &server, "/administration/queue/").await;
    assert!(queue.contains("Nothing runs and nothing waits"), "{queue}");
    let (_, projects) = page(&octo, &server, "/administration/projects/").await;
    assert!(projects.contains("octo/orbit") && projects.contains("<td>1</td>"), "{projects}");
    // A worker that ended without a word is lost.
    world
        .change(
            "INSERT INTO workers (name, labels, concurrency, seen_at) \
             SELECT 'elsewhere:1', '', 2, MAX(seen_at) - 600000 FROM workers",
        )
        .await;
    let (_, overview) = page(&octo, &server, "/administration/").await;
    assert!(overview.contains("elsewhere:1") && overview.contains("! lost"), "{overview}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_learns_that_there_is_an_administration() {
    let world = World::with(&[("KOZMIC_ADMINS", "octo")]).await;
    let server = world.serve().await;
    world.sim.add_user("ada").await.unwrap();
    let ada = world.visitor(&server.url, "ada").await;
    let octo = world.visitor(&server.url, "octo").await;
    for path in PAGES {
        assert_eq!(page(&ada, &server, path).await.0, 404, "{path}");
        assert_eq!(page(&octo, &server, path).await.0, 200, "{path}");
    }
    let link = "href=\"/administration/\"";
    assert!(page(&octo, &server, "/account/settings/").await.1.contains(link));
    assert!(!page(&ada, &server, "/account/settings/").await.1.contains(link));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_from_this_server_and_are_asked_for_once_a_day() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let octo = world.visitor(&server.url, "octo").await;
    let url = format!("{}/avatars/1/", server.url);
    let first = octo.get(&url).send().await.unwrap();
    assert_eq!(first.headers()[header::CONTENT_TYPE], "image/gif");
    assert!(first.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("max-age=86400"));
    let tag = first.headers()[header::ETAG].clone();
    assert!(first.bytes().await.unwrap().starts_with(b"GIF89a"));
    let again = octo.get(&url).header(header::IF_NONE_MATCH, tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    // From now on GitHub gives none, so what is shown was kept: within the day, and after it.
    let away = Fault::on("GET /avatars/", FaultKind::Status(500)).until_lifted();
    world.sim.add_fault(away).await.unwrap();
    let kind = async || {
        let answer = octo.get(&url).send().await.unwrap();
        answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned()
    };
    assert_eq!(kind().await, "image/gif");
    let file = world.data_dir().join("avatars/1");
    let age = |hours: u64| {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3_600);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(then).unwrap();
    };
    age(25);
    assert_eq!(kind().await, "image/gif");
    // Where there never was one, a letter is drawn.
    std::fs::remove_file(&file).unwrap();
    let drawn = octo.get(&url).send().await.unwrap();
    assert_eq!(drawn.headers()[header::CONTENT_TYPE], "image/svg+xml");
    assert!(drawn.text().await.unwrap().contains(">O</text>"));
    // Who is not signed in sees nobody's, until the project is visible to all.
    let of_nobody = async || world.http.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(of_nobody().await.contains(">?</text>"));
    let visible = ["project", "set", "octo/orbit", "--visible-to-all", "on"];
    assert!(world.run(&server.url, &visible).await.status.success());
    assert!(of_nobody().await.contains(">O</text>"));
    let (_, account) = page(&octo, &server, "/account/settings/").await;
    assert!(account.contains("src=\"/avatars/1/\"") && !account.contains("github.com/avatars"));
    // One that lies elsewhere is never fetched, whatever GitHub said.
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let foreign = format!("http://{}/u/1", elsewhere.local_addr().unwrap());
    world.change(&format!("UPDATE users SET gh_avatar_url = '{foreign}' WHERE id = 1")).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!(kind().await, "image/svg+xml");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_page_and_the_request_s_name() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    world.sim.add_user("ada").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "ada", "pull").await.unwrap();
    let octo = world.visitor(&server.url, "octo").await;
    let ada = world.visitor(&server.url, "ada").await;
    let large = format!("title={}", "x".repeat(3_000_000));
    for (client, method, path, body, status, said) in [
        (&world.http, "GET", "/tailer/00000000-0000-4000-8000-000000000000/", "", 401, "Sign in"),
        (&ada, "GET", "/projects/1/hooks/add/", "", 403, "managers and the owner may change this"),
        (&octo, "GET", "/projects/77/", "", 404, "There is no such project"),
        (&octo, "GET", "/nothing/here/", "", 404, "There is no page"),
        (&octo, "GET", "/projects/1/options/", "", 405, "takes another method"),
        (
            &octo,
            "POST",
            "/projects/1/options/",
            "cancels_superseded=perhaps",
            422,
            "cancels_superseded",
        ),
        // The last one: what was not read of it takes its connection along.
        (&octo, "POST", "/projects/1/hooks/add/", large.as_str(), 413, "larger than what is taken"),
    ] {
        let method: Method = method.parse().unwrap();
        let request = client.request(method, format!("{}{path}", server.url));
        let form = "application/x-www-form-urlencoded";
        let request = request.header(header::CONTENT_TYPE, form).body(body.to_owned());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let page = answer.text().await.unwrap();
        assert!(page.contains(said) && page.contains(&id), "{path}: {page}");
        assert!(page.contains("class=\"brand\"") && !page.contains("panicked"), "{page}");
    }
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/projects", 405),
        ("GET", "/api/v1/jobs/x", 404),
    ] {
        let request = world.http.request(method.parse().unwrap(), format!("{}{path}", server.url));
        let answer = request.bearer_auth(world.api_token().await).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["request_id"].is_string() && problem["detail"].is_string(), "{problem}");
    }
    // What the database holds can't be read: ours to mend, and nobody is told what it is.
    world.change("UPDATE projects SET fork_policy = 'mangled' WHERE id = 1").await;
    let (status, broken) = page(&octo, &server, "/projects/1/settings/").await;
    assert_eq!(status, 500);
    assert!(broken.contains("Something broke here") && !broken.contains("mangled"), "{broken}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_pages_and_programs_are_told_so() {
    let postgres = Postgres::start().await;
    let world = World::with(&[("KOZMIC_DATABASE_URL", &postgres.url)]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let octo = world.visitor(&server.url, "octo").await;
    let token = world.api_token().await.to_owned();
    assert_eq!(page(&octo, &server, "/account/settings/").await.0, 200);
    drop(postgres);
    let answer = octo.get(format!("{}/account/settings/", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    let page = answer.text().await.unwrap();
    assert!(
        page.contains("The database does not answer") && !page.contains("Connection"),
        "{page}"
    );
    let asked = world.http.get(format!("{}/api/v1/projects", server.url)).bearer_auth(token);
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("does not answer"), "{problem}");
    server.stop().await;
}
