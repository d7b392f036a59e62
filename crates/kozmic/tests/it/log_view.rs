//! What the log's viewer asks the server for.

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::World;

const SCRIPT: &str = "#!/bin/sh
echo '==> Build'
printf '\\033[31m<red>\\033[0m\\n'
seq 3000
printf 'error: it broke\\r\\n'
echo '::group::Details'
echo inside
echo '::endgroup::'
printf 'no end'
exit 1
";

async fn get(world: &World, url: String) -> (StatusCode, Value) {
    let token = world.api_token().await;
    let answer = world.http.get(url).bearer_auth(token).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_matches_and_sections_are_told_from_any_line_on() {
    let world = World::new().await;
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let log = format!("{}/api/v1/jobs/1/log", server.url);
    let token = world.api_token().await;

    let (status, answer) = get(&world, format!("{log}/lines?from=2&count=2")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["total"], 3007);
    assert_eq!(answer["finished"], true);
    let lines = answer["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["n"], 2);
    assert_eq!(lines[0]["html"], "<span class=\"f1\">&lt;red&gt;</span>");
    assert_eq!(lines[1]["html"], "1");
    let (start, at) = (answer["start"].as_i64().unwrap(), lines[0]["at"].as_i64().unwrap());
    assert!((0..60_000).contains(&(at - start)), "written {} ms after the start", at - start);
    // At most a thousand, none beyond the end, and the last one without its newline.
    let (_, answer) = get(&world, format!("{log}/lines?count=99999")).await;
    assert_eq!(answer["lines"].as_array().unwrap().len(), 1000);
    let (_, answer) = get(&world, format!("{log}/lines?from=3007&count=5")).await;
    assert_eq!(answer["lines"][0]["html"], "no end");
    let (_, answer) = get(&world, format!("{log}/lines?from=999999999999")).await;
    assert_eq!(answer["lines"].as_array().unwrap().len(), 0);
    assert_eq!(answer["total"], 3007);

    let found = async |query: &str| {
        let (status, answer) = get(&world, format!("{log}/search?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let matches = answer["matches"].as_array().unwrap().clone();
        matches.iter().map(|found| found["n"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found("q=2999").await, [3001]);
    assert_eq!(found("q=%3Cred%3E").await, [2]);
    assert_eq!(found("q=INSIDE").await, [3005]);
    assert_eq!(found("q=INSIDE&case=1").await, [0_u64; 0]);
    assert_eq!(found("q=%5E30.0%24&regex=1").await.len(), 1);
    assert_eq!(found("q=1&from=2990").await, [2993]);
    assert_eq!(found("errors=1").await, [3003]);
    assert_eq!(found("q=1&first=1").await, [3]);
    let (_, answer) = get(&world, format!("{log}/search?q=1&first=1")).await;
    assert!(answer["next"].as_u64().is_some(), "{answer}");
    assert_eq!(answer["matches"][0]["at"], serde_json::json!([0, 1]));
    for (query, problem) in
        [("q=", "nothing to look for"), ("q=(&regex=1", "no regular expression")]
    {
        let (status, answer) = get(&world, format!("{log}/search?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["detail"].as_str().unwrap().contains(problem), "{answer}");
    }

    let (_, answer) = get(&world, format!("{log}/sections")).await;
    let sections = answer["sections"].as_array().unwrap();
    let titles: Vec<_> = sections.iter().map(|it| it["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Build", "Details"]);
    assert_eq!((&sections[1]["first"], &sections[1]["last"]), (&3004.into(), &3006.into()));

    let text = world.http.get(format!("{log}?plain=1")).bearer_auth(token).send().await.unwrap();
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    let text = text.text().await.unwrap();
    assert!(text.starts_with("==> Build\n<red>\n1\n2\n"), "{}", &text[..40]);
    assert!(text.ends_with("::endgroup::\nno end"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_a_part_of_the_log_and_leads_to_the_others() {
    let world = World::new().await;
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let visitor = world.visitor(&server.url, "octo").await;
    let job = format!("{}/projects/1/builds/1/jobs/1/", server.url);
    let page = async |query: &str| {
        visitor.get(format!("{job}{query}")).send().await.unwrap().text().await.unwrap()
    };
    let lines = |html: &str| html.matches("<div class=\"l\" id=\"L").count();
    let first = page("").await;
    assert_eq!(lines(&first), 500);
    assert!(first.contains("Lines 1 to 500 of 3,007"), "{first}");
    assert!(first.contains("href=\"/projects/1/builds/1/jobs/1/?page=2\" rel=\"next\""));
    assert!(!first.contains("rel=\"prev\""));
    let last = page("?page=7").await;
    assert_eq!(lines(&last), 7);
    assert!(last.contains("rel=\"prev\"") && !last.contains("rel=\"next\""));
    // Beyond the end, and what is no number, are no errors.
    assert_eq!(lines(&page("?page=99").await), 7);
    assert_eq!(lines(&page("?page=x").await), 500);
    assert_eq!(lines(&page("?log=none").await), 0);
    let answer = visitor.get(format!("{job}?line=1200")).send().await.unwrap();
    let to = crate::harness::location(&answer);
    assert_eq!(to, "/projects/1/builds/1/jobs/1/?page=3#L1200");
    // No style is written into a page.
    assert!(!first.contains("style="));
    server.stop().await;
}
