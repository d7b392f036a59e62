//! The API as programs see it: what its document says, and what it answers.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Server, World, busybox, hook, web_image};

/// Calls of each operation, unless KOZMIC_API_CALLS says how many.
const CALLS: &str = "8";

/// What tests the API by its document: schemathesis, which scripts/test brings.
fn schemathesis() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let program = tools.join("schemathesis/bin/schemathesis");
    assert!(program.exists(), "there is no {}; scripts/test brings it", program.display());
    program
}

/// Octo's: an administrator, who owns the one project there is.
struct Api {
    world: World,
    server: Server,
    token: String,
}

impl Api {
    async fn new(script: &str, image: &str) -> Self {
        // Programs that try everything ask more often than is answered otherwise.
        let rates = [("KOZMIC_API_RATE", "0"), ("KOZMIC_STRANGER_RATE", "0")];
        let world = World::with(&[&[("KOZMIC_ADMINS", "octo")][..], &rates].concat()).await;
        let server = world.serve().await;
        world.project(&server.url, &[hook("Tests", image, script)]).await;
        let token = world.api_token().await.to_owned();
        Self { world, server, token }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        self.call_with(method, path, &[], body).await
    }

    async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        let method: Method = method.parse().unwrap();
        let url = format!("{}/api/v1{path}", self.server.url);
        let mut request = self.world.http.request(method, url).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }
}

/// The status of a refusal and its sentence; it has all that RFC 9457 asks for.
async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
    assert_eq!(
        (&body["type"], &body["title"], &body["status"], &body["request_id"]),
        (&json!("about:blank"), &json!(title), &json!(status), &json!(id))
    );
    (status, body["detail"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_does_what_its_document_says() {
    let service = format!("# kozmic: service = web: {}\n", web_image().await);
    let script = "\
        echo '<testsuite><testcase name=\"t\"/></testsuite>' > $KOZMIC_REPORTS/junit.xml\n\
        mkdir $KOZMIC_ARTIFACTS/a\n: > $KOZMIC_ARTIFACTS/a/b\necho 'error: none'\n";
    let script = format!("#!/bin/sh\n{service}{script}");
    let api = Api::new(&script, "kozmic/debian:bookworm").await;
    let sha = api.world.push(&[("a", b"a")]).await;
    api.world.finished(&api.server.url, &sha).await;
    // No call may find the token that all are made with, and revoke it.
    api.world.change("UPDATE api_tokens SET id = 987654321").await;
    let tests = api.json("/jobs/1/tests").await;
    let folder = api.world.folder().join("calls");
    std::fs::create_dir(&folder).unwrap();
    // What there is, beside what is made up.
    let known = format!(
        "[parameters]\n\"path.project\" = 1\n\"path.build\" = 1\n\"path.job\" = 1\n\"path.hook\" = 1\n\
         \"path.service\" = \"web\"\n\"path.test\" = {}\n\"path.path\" = \"a/b\"\n",
        tests["tests"][0]["id"]
    );
    std::fs::write(folder.join("schemathesis.toml"), known).unwrap();
    let calls = std::env::var("KOZMIC_API_CALLS").unwrap_or_else(|_| CALLS.into());
    let mut command = Command::new(schemathesis());
    command.current_dir(&folder).stdin(Stdio::null()).kill_on_drop(true);
    command.arg("run").arg(format!("{}/api/v1/openapi.json", api.server.url));
    command.arg("--header").arg(format!("Authorization: Bearer {}", api.token));
    // What fits its schema may still be refused: a regular expression, a branch that GitHub
    // does not have. That is no failure, and all other checks are made.
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", &calls]);
    command.args(["--seed", "1", "--continue-on-failure", "--no-color", "--warnings", "off"]);
    let ran = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    let document = api.json("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let operations: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
    // All but the one that tells the document, which it has read.
    assert!(said.contains(&format!("Tested: {}\n", operations - 1)), "{said}");
    api.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_problems_that_say_what_is_wrong() {
    let api = Api::new("#!/bin/sh\ntrue\n", busybox().await).await;
    let hook = json!({"title": "Style", "image": "busybox", "build_script": "true"});
    for (method, path, body, status, said) in [
        ("GET", "/nothing", None, 404, "The API has no /api/v1/nothing."),
        (
            "GET",
            "/projects?page=2",
            None,
            400,
            "There is no parameter `page` here; it takes `after`, `limit`.",
        ),
        ("GET", "/account?a=1", None, 400, "There is no parameter `a` here; it takes none."),
        ("GET", "/projects?limit=0", None, 400, "`limit` is 0; it goes from 1 to 1000."),
        ("GET", "/projects?after=x", None, 400, "`after` is not the `next` of an answer"),
        ("GET", "/projects/1/builds?status=red", None, 400, "`status`"),
        ("DELETE", "/queue", None, 405, "another method"),
        (
            "POST",
            "/projects/1/hooks",
            Some(json!({"title": "x", "images": 1})),
            400,
            "unknown field `images`",
        ),
        (
            "POST",
            "/projects/1/hooks",
            Some(json!({"title": "", "image": "Ä", "build_script": ""})),
            422,
            "the script is empty",
        ),
        (
            "PATCH",
            "/projects/1/options",
            Some(json!({"forks": "perhaps"})),
            422,
            "Nothing was changed",
        ),
        ("DELETE", "/projects/1?full_name=octo/other", None, 422, "`full_name=octo/orbit`"),
        ("PUT", "/projects/1/hooks/77", Some(hook), 404, "no such hook"),
    ] {
        let (told, sentence) = problem(api.call(method, path, body).await).await;
        assert!(told == status && sentence.contains(said), "{method} {path}: {told} {sentence}");
    }
    // What is malformed is told with the place.
    let url = format!("{}/api/v1/projects/1/hooks", api.server.url);
    let send = async |kind: &str, body: Vec<u8>| {
        let request = api.world.http.post(&url).bearer_auth(&api.token);
        problem(request.header("content-type", kind).body(body).send().await.unwrap()).await
    };
    let (status, sentence) = send("application/json", b"{\n\"title\": tr}".to_vec()).await;
    assert!(status == 400 && sentence.contains("line 2 column"), "{sentence}");
    let (status, sentence) = send("application/json", b"[null]".to_vec()).await;
    assert!(status == 400 && sentence.contains("an object"), "{sentence}");
    assert_eq!(send("text/xml", b"<a/>".to_vec()).await.0, 415);
    assert_eq!(send("application/json", vec![b' '; 3 << 20]).await.0, 413);
    // What is wrong with a token stands in the header, as RFC 6750 has it.
    let read = ["token", "create", "--user", "octo", "--scope", "read"];
    let read = api.world.run(&api.server.url, &read).await;
    let read = String::from_utf8(read.stdout).unwrap().trim().to_owned();
    for (token, status, said) in [
        (None, 401, "Bearer"),
        (Some("kozmic_no"), 401, "Bearer error=\"invalid_token\""),
        (Some(read.as_str()), 403, "Bearer error=\"insufficient_scope\", scope=\"write\""),
    ] {
        let mut request = api.world.http.post(format!("{}/api/v1/account/sync", api.server.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], said);
        assert_eq!(problem(answer).await.0, status);
    }
    api.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_not_sent_again_and_nobody_overwrites_unseen_changes() {
    let api = Api::new("#!/bin/sh\ntrue\n", busybox().await).await;
    for path in ["/openapi.json", "/projects", "/projects/1", "/projects/1/hooks", "/queue"] {
        let answer = api.call("GET", path, None).await;
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let known = api.call_with("GET", path, &[("if-none-match", &tag)], None).await;
        assert_eq!(
            (known.status().as_u16(), &known.headers()["etag"]),
            (304, &tag.parse().unwrap())
        );
        assert!(known.bytes().await.unwrap().is_empty());
        let other = api.call_with("GET", path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!(other.status(), 200, "{path}");
    }
    let path = "/projects/1/hooks/1";
    let tag = async |path: &str| {
        let answer = api.call("GET", path, None).await;
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    let seen = tag(path).await;
    let hook = |title: &str| {
        Some(json!({"title": title, "image": "busybox", "build_script": "#!/bin/sh\ntrue\n",
                    "options": ["env = MODE=fast", "memory = 64M"]}))
    };
    let changed = api.call_with("PUT", path, &[("if-match", &seen)], hook("Style")).await;
    assert_eq!(changed.status(), 200);
    // Somebody who looked before that.
    let refused = api.call_with("PUT", path, &[("if-match", &seen)], hook("Looks")).await;
    assert_eq!(problem(refused).await.0, 412);
    let now = api.json(path).await;
    assert_eq!((&now["title"], now["options"].as_array().unwrap().len()), (&json!("Style"), 2));
    let path = "/projects/1/options";
    let seen = tag(path).await;
    let body = || Some(json!({"variables": {"MODE": "fast"}, "keep_logs_days": "7"}));
    let changed = api.call_with("PATCH", path, &[("if-match", &seen)], body()).await;
    let changed: Value = changed.json().await.unwrap();
    assert_eq!(
        (&changed["variables"]["MODE"], &changed["keep_logs_days"]),
        (&json!("fast"), &json!(7))
    );
    let refused = api.call_with("PATCH", path, &[("if-match", &seen)], body()).await;
    assert_eq!(problem(refused).await.0, 412);
    let body = json!({"variables": {"MODE": null}});
    let changed: Value = api.call("PATCH", path, Some(body)).await.json().await.unwrap();
    assert_eq!(changed["variables"], json!({}));
    api.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_change_the_same_at_once_one_does() {
    const AT_ONCE: usize = 8;
    let api = Api::new("#!/bin/sh\ntrue\n", busybox().await).await;
    let hook = |number: usize| {
        json!({"title": "Tests", "image": "busybox",
               "build_script": format!("#!/bin/sh\necho {number}\n")})
    };
    let options = |number: usize| json!({"keep_logs_days": (number + 1).to_string()});
    for (method, path) in [("PUT", "/projects/1/hooks/1"), ("PATCH", "/projects/1/options")] {
        let seen = api.call("GET", path, None).await.headers()["etag"].clone();
        let headers = [("if-match", seen.to_str().unwrap())];
        let calls = (0..AT_ONCE).map(|number| {
            let body = if method == "PUT" { hook(number) } else { options(number) };
            api.call_with(method, path, &headers, Some(body))
        });
        let answers = futures_util::future::join_all(calls).await;
        let mut told: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        told.sort_unstable();
        let mut expected = vec![412; AT_ONCE];
        expected[0] = 200;
        assert_eq!(told, expected, "{path}");
    }
    api.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_hold_while_rows_come() {
    let api = Api::new("#!/bin/sh\ntrue\n", busybox().await).await;
    for name in ["comet", "moon"] {
        api.world.sim.add_repository("octo", name).await.unwrap();
        let name = format!("octo/{name}");
        assert!(api.world.run(&api.server.url, &["project", "add", &name]).await.status.success());
    }
    let first = api.json("/projects?limit=1").await;
    assert_eq!(first["projects"][0]["full_name"], "octo/comet");
    api.world.sim.add_repository("octo", "asteroid").await.unwrap();
    let added = api.world.run(&api.server.url, &["project", "add", "octo/asteroid"]).await;
    assert!(added.status.success());
    let next = first["next"].as_str().unwrap();
    let rest = api.json(&format!("/projects?limit=2&after={next}")).await;
    let names: Vec<&Value> =
        rest["projects"].as_array().unwrap().iter().map(|it| &it["full_name"]).collect();
    assert_eq!(
        (names, &rest["next"]),
        (vec![&json!("octo/moon"), &json!("octo/orbit")], &Value::Null)
    );
    // A client command sees all of them, whatever a page holds.
    let mut shas = Vec::new();
    for content in ["1", "2", "3"] {
        let sha = api.world.push(&[("a", content.as_bytes())]).await;
        let project = api.json("/projects").await;
        let orbit = project["projects"].as_array().unwrap().iter();
        let orbit = orbit.clone().find(|it| it["full_name"] == "octo/orbit").unwrap()["id"]
            .as_i64()
            .unwrap();
        crate::harness::eventually("the build", async || {
            let builds = api.json(&format!("/projects/{orbit}/builds?limit=1&branch=main")).await;
            (builds["builds"][0]["sha"] == sha.as_str()).then_some(())
        })
        .await;
        shas.push(sha);
    }
    let (mut path, mut seen) = ("/projects/1/builds?limit=1&author=octo".to_owned(), Vec::new());
    loop {
        let page = api.json(&path).await;
        let builds = page["builds"].as_array().unwrap();
        seen.extend(builds.iter().map(|build| build["sha"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/projects/1/builds?limit=1&author=octo&after={next}");
    }
    shas.reverse();
    assert_eq!(seen, shas);
    assert_eq!(api.json("/projects/1/builds?author=nobody").await["builds"], json!([]));
    api.server.stop().await;
}
