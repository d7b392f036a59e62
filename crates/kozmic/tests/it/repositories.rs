//! The list of repositories that may be turned on: all of it, and as GitHub has it.

use github_sim::client::{Fault, FaultKind};
use reqwest::Client;

use crate::harness::{World, location};

/// More than a page of GitHub's.
const MANY: usize = 130;

async fn page(visitor: &Client, url: &str) -> String {
    let answer = visitor.get(format!("{url}/repositories/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

fn offered(page: &str) -> usize {
    page.matches("aria-label=\"Turn on ").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_github_s_list_are_read_on_demand_and_when_it_is_stale() {
    let world = World::new().await;
    for number in 1..MANY {
        world.sim.add_repository("octo", &format!("r{number}")).await.unwrap();
    }
    let server = world.serve().await;
    let octo = world.owner(&server.url).await;
    let first = page(octo, &server.url).await;
    assert_eq!(offered(&first), MANY, "with octo/orbit");
    let lists = async || {
        let requests = world.sim.requests().await.unwrap();
        requests.iter().filter(|request| request.path.contains("/user/repos")).count()
    };
    let asked = lists().await;
    world.sim.add_repository("octo", "newest").await.unwrap();
    assert_eq!(offered(&page(octo, &server.url).await), MANY, "it was told just now");
    assert_eq!(lists().await, asked, "and is not asked for again");
    let sync = octo.post(format!("{}/repositories/sync/", server.url)).send().await.unwrap();
    assert_eq!(location(&sync), "/repositories/");
    assert_eq!(offered(&page(octo, &server.url).await), MANY + 1);

    // Stale, and GitHub is away: what was known is shown, and that it is old.
    let an_hour_later =
        "UPDATE users SET repos_last_synchronized_at = repos_last_synchronized_at - 3600001";
    world.change(an_hour_later).await;
    world.sim.delete_repository("octo/newest").await.unwrap();
    let away = Fault {
        method: Some("GET".into()),
        path_contains: "/user/repos".into(),
        kind: FaultKind::Status(503),
        times: 1,
    };
    world.sim.add_fault(away).await.unwrap();
    let old = page(octo, &server.url).await;
    assert_eq!(offered(&old), MANY + 1);
    assert!(old.contains("GitHub did not answer") && old.contains("1 hour ago"), "{old}");
    // The next look asks again.
    let now = page(octo, &server.url).await;
    assert_eq!(offered(&now), MANY);
    assert!(!now.contains("did not answer") && now.contains("just now"), "{now}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_name_finds_repositories_and_what_is_on_is_marked() {
    let world = World::new().await;
    world.sim.add_repository("octo", "moon-lander").await.unwrap();
    let server = world.serve().await;
    let octo = world.owner(&server.url).await;
    let all = page(octo, &server.url).await;
    assert_eq!(offered(&all), 2);
    let (before, _) = all.split_once("aria-label=\"Turn on octo/orbit\"").unwrap();
    let (_, action) = before.rsplit_once("action=\"").unwrap();
    let (on, _) = action.split_once('"').unwrap();
    let turned_on = octo.post(format!("{}{on}", server.url)).send().await.unwrap();
    assert!(location(&turned_on).ends_with("/hooks/add/"), "{turned_on:?}");
    let all = page(octo, &server.url).await;
    assert_eq!(offered(&all), 1);
    assert!(all.contains("aria-label=\"octo/orbit is on already\""), "{all}");

    let found = async |query: &str| {
        let url = format!("{}/repositories/?q={query}", server.url);
        octo.get(url).send().await.unwrap().text().await.unwrap()
    };
    let moon = found("%20MOON%20").await;
    assert!(moon.contains("data-name=\"octo/moon-lander\""), "{moon}");
    assert!(!moon.contains("data-name=\"octo/orbit\""), "{moon}");
    let none = found("%3Cb%3E").await;
    assert!(!none.contains("data-name=") && !none.contains("<b>"), "{none}");
    assert!(none.contains("data-part=\"none\">No repository has this"), "{none}");
    server.stop().await;
}
