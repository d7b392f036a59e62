//! Signing in for the first time, why it may come to nothing, and signing out.

use std::time::Duration;

use github_sim::client::{Fault, FaultKind};
use reqwest::{Client, Response, header};

use crate::harness::{World, client, cookies, location};

fn with_cookie(cookie: &str) -> Client {
    client([(header::COOKIE, cookie.parse().unwrap())].into_iter().collect())
}

async fn get(client: &Client, url: &str) -> (u16, String) {
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Whether a browser is asked to sign in.
async fn is_out(client: &Client, url: &str) -> bool {
    let answer = client.get(format!("{url}/account/settings/")).send().await.unwrap();
    match answer.status().as_u16() {
        200 => false,
        303 => location(&answer).starts_with("/login/?next="),
        status => panic!("the account's page answered {status}"),
    }
}

/// The sentence of a sign-in that came to nothing, and leaves nobody signed in.
async fn refused(answer: Response, status: u16) -> String {
    assert_eq!(answer.status(), status);
    assert!(cookies(&answer).is_empty(), "no session begins");
    let page = answer.text().await.unwrap();
    assert!(page.contains("<h1>Not signed in</h1>") && page.contains("href=\"/login/\""), "{page}");
    let sentence = page.split("<p>").nth(1).unwrap().split("</p>").next().unwrap();
    sentence.replace("&#39;", "'")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sign_in_leads_over_github_and_back() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let url = &server.url;
    // Home leads to the page of the sign-in, another page leads back to itself.
    let asked_first =
        world.http.get(format!("{url}/projects/1/history/?before=9")).send().await.unwrap();
    let login = location(&asked_first);
    assert_eq!(login, "/login/?next=%2Fprojects%2F1%2Fhistory%3Fbefore%3D9");
    let (status, page) = get(&world.http, &format!("{url}{login}")).await;
    assert_eq!(status, 200);
    for scope in ["repo", "read:org", "user:email"] {
        assert!(page.contains(&format!("<code>{scope}</code>")), "{page}");
    }
    let query = page.split("href=\"/_auth/").nth(1).unwrap().split('"').next().unwrap();
    let begun = world.http.get(format!("{url}/_auth/{query}")).send().await.unwrap();
    let asked: url::Url = location(&begun).parse().unwrap();
    let parameter = |name: &str| {
        asked.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    assert_eq!(parameter("scope").unwrap(), "repo read:org user:email");
    assert_eq!(parameter("redirect_uri").unwrap(), format!("{url}/_auth/auth-callback/"));
    assert_eq!(parameter("code_challenge_method").unwrap(), "S256");
    let remembered = begun.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(remembered.ends_with("HttpOnly; SameSite=Lax; Path=/; Max-Age=600"), "{remembered}");
    let to = world.sim.authorize(asked.as_str(), "octo").await.unwrap();
    let back = world.back(&to, &cookies(&begun)).await;
    assert_eq!(
        (back.status().as_u16(), location(&back).as_str()),
        (303, "/projects/1/history?before=9")
    );
    let set: Vec<_> = back.headers().get_all(header::SET_COOKIE).iter().collect();
    let session = set[0].to_str().unwrap();
    assert!(session.ends_with("; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"), "{session}");
    assert!(set[1].to_str().unwrap().contains("Max-Age=0"), "what was remembered is forgotten");
    let octo = with_cookie(&cookies(&back));
    let (_, page) = get(&octo, &format!("{url}{}", location(&back))).await;
    assert!(page.contains("title=\"octo\"") && page.contains("Sign out</button>"), "{page}");
    let (_, account) = get(&octo, &format!("{url}/account/settings/")).await;
    // The primary address, not the one that GitHub made up.
    assert!(account.contains("octo@example.org") && account.contains("(this one)"), "{account}");
    let answer = octo.get(format!("{url}/login/?next=/projects/")).send().await.unwrap();
    assert_eq!(location(&answer), "/projects/");
    // What a stolen copy of the data folder holds signs nobody in.
    let secret = cookies(&back).split_once('=').unwrap().1.to_owned();
    server.stop().await;
    for entry in std::fs::read_dir(world.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds the session's secret", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_cookies_are_for_https_and_this_host_alone() {
    let mut world = World::new().await;
    let site = "https://ci.example.org";
    let app = world.sim.add_oauth_app("Over HTTPS", &format!("{site}/_auth/")).await.unwrap();
    world.set("KOZMIC_GITHUB_CLIENT_ID", &app.client_id);
    world.set("KOZMIC_GITHUB_CLIENT_SECRET", &app.client_secret);
    world.set("KOZMIC_PUBLIC_URL", site);
    let server = world.serve().await;
    // What a proxy hands on.
    let handed_on = async |path: &str, cookie: &str| {
        let request = world.http.get(format!("{}{path}", server.url));
        let request = request.header(header::HOST, "ci.example.org");
        request.header(header::COOKIE, cookie).send().await.unwrap()
    };
    let begun = handed_on("/_auth/", "").await;
    let remembered = begun.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(remembered.starts_with("__Host-kozmic-sign-in="), "{remembered}");
    let attributes = "; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=";
    assert!(remembered.ends_with(&format!("{attributes}600")), "{remembered}");
    let to = world.sim.authorize(&location(&begun), "octo").await.unwrap();
    let path = to.strip_prefix(site).expect("GitHub leads to the public URL");
    let back = handed_on(path, &cookies(&begun)).await;
    let set: Vec<_> = back.headers().get_all(header::SET_COOKIE).iter().collect();
    let set: Vec<_> = set.into_iter().map(|set| set.to_str().unwrap()).collect();
    assert!(set[0].starts_with("__Host-kozmic=") && !set[0].contains("Domain"), "{set:?}");
    assert!(set[0].ends_with(&format!("{attributes}2592000")), "{set:?}");
    assert!(set[1].starts_with("__Host-kozmic-sign-in=;") && set[1].contains("Secure"), "{set:?}");
    let session = cookies(&back);
    assert_eq!(handed_on("/account/settings/", &session).await.status(), 200);
    // Under the name that another host of the domain could set, it counts for nothing.
    let bare = session.trim_start_matches("__Host-");
    assert_eq!(handed_on("/account/settings/", bare).await.status(), 303);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_github_refuses_is_explained() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    let (page, cookie) = world.at_github(url).await;
    let denied =
        refused(world.back(&world.sim.deny(&page).await.unwrap(), &cookie).await, 403).await;
    assert!(denied.contains("You did not let Kozmic act for you"), "{denied}");

    let to = world.sim.authorize_only(&page, "octo", "repo").await.unwrap();
    let scope = refused(world.back(&to, &cookie).await, 403).await;
    assert!(scope.contains("the scope read:org and the scope user:email is missing"), "{scope}");

    let to = world.sim.authorize(&page, "octo").await.unwrap();
    world.sim.age_oauth_codes(Duration::from_mins(11)).await.unwrap();
    let old = refused(world.back(&to, &cookie).await, 400).await;
    assert!(old.contains("took more than ten minutes. Please begin it again"), "{old}");

    let away = |kind| Fault {
        method: Some("POST".into()),
        path_contains: "/login/oauth/access_token".into(),
        kind,
        times: 1,
    };
    for kind in [FaultKind::Status(503), FaultKind::Drop] {
        world.sim.add_fault(away(kind)).await.unwrap();
        let to = world.sim.authorize(&page, "octo").await.unwrap();
        let away = refused(world.back(&to, &cookie).await, 502).await;
        assert!(away.contains("Please try again in a minute"), "{away}");
    }
    let callback = format!("{url}/_auth/auth-callback/");
    for (word, told) in [
        ("redirect_uri_mismatch", format!("sets the one of the OAuth app to {callback}")),
        ("application_suspended", "has suspended Kozmic's OAuth app".into()),
        ("%3Cscript%3E", "refused with `&#60;script&#62;`".into()),
    ] {
        let answer = world.back(&format!("{callback}?error={word}&state=x"), &cookie).await;
        let sentence = refused(answer, 502).await;
        assert!(sentence.contains(&told), "{sentence}");
    }
    // What is no answer of GitHub's at all.
    for query in ["", "?code=a", "?state=a", "?code=a&code=b&state=c", "?code=%FF&state=%00"] {
        let answer = world.back(&format!("{callback}{query}"), &cookie).await;
        let sentence = refused(answer, 400).await;
        assert!(sentence.contains("Please begin it again"), "{query}: {sentence}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_is_the_administrator_s_to_mend() {
    let mut world = World::new().await;
    world.set("KOZMIC_GITHUB_CLIENT_SECRET", "not-the-secret");
    let server = world.serve().await;
    let sentence = refused(world.sign_in(&server.url, "octo").await, 502).await;
    assert!(sentence.contains("sets KOZMIC_GITHUB_CLIENT_SECRET"), "{sentence}");
    assert!(!sentence.contains("not-the-secret"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_where_it_began() {
    let world = World::new().await;
    let server = world.serve().await;
    let (page, cookie) = world.at_github(&server.url).await;
    let (_, of_another) = world.at_github(&server.url).await;
    let to = world.sim.authorize(&page, "octo").await.unwrap();
    // In another browser, which began one itself or did not: nobody is signed in there.
    for cookie in ["kozmic=1", "kozmic-sign-in=made-up", &of_another] {
        let sentence = refused(world.back(&to, cookie).await, 400).await;
        assert!(sentence.contains("was not begun in this browser"), "{sentence}");
    }
    assert_eq!(world.back(&to, &cookie).await.status(), 303);
    // The code has served.
    assert!(refused(world.back(&to, &cookie).await, 400).await.contains("it was used already"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_does_not_leave_the_site() {
    let world = World::new().await;
    let server = world.serve().await;
    for foreign in
        ["https://evil.example/", "//evil.example", "/\\evil.example", "/%09/evil.example"]
    {
        let begun = world.http.get(format!("{}/_auth/?next={foreign}", server.url));
        let begun = begun.send().await.unwrap();
        let to = world.sim.authorize(&location(&begun), "octo").await.unwrap();
        let back = world.back(&to, &cookies(&begun)).await;
        assert_eq!(location(&back), "/", "{foreign}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_this_session_or_all() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    let first = world.visitor(url, "octo").await;
    let (second, third) = (world.visitor(url, "octo").await, world.visitor(url, "octo").await);
    let out = async |client: &Client, body: &'static str| {
        let kind = "application/x-www-form-urlencoded";
        let form = client.post(format!("{url}/logout/")).header("content-type", kind).body(body);
        let answer = form.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), location(&answer).as_str()), (303, "/login/"));
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.starts_with("kozmic=;") && cookie.contains("Max-Age=0"), "{cookie}");
        assert_eq!(cookies(&answer), "", "and no session is kept");
    };
    let (_, account) = get(&first, &format!("{url}/account/settings/")).await;
    assert_eq!(account.matches("<li>Signed in").count(), 3, "{account}");
    // Not used for two hours: each use of theirs is noted anew.
    world.change("UPDATE sessions SET seen_at = seen_at - 7200000").await;
    out(&first, "").await;
    assert!(is_out(&first, url).await && !is_out(&second, url).await);
    out(&second, "everywhere=yes").await;
    assert!(is_out(&second, url).await && is_out(&third, url).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_sign_in_takes_the_place_of_the_session_before() {
    let world = World::new().await;
    let server = world.serve().await;
    let before = cookies(&world.sign_in(&server.url, "octo").await);
    let (page, cookie) = world.at_github(&server.url).await;
    let to = world.sim.authorize(&page, "octo").await.unwrap();
    let after = cookies(&world.back(&to, &format!("{before}; {cookie}")).await);
    assert_ne!(before, after);
    assert!(is_out(&with_cookie(&before), &server.url).await);
    assert!(!is_out(&with_cookie(&after), &server.url).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lasts_thirty_days_beyond_its_last_use() {
    const DAY: i64 = 86_400_000;
    let world = World::new().await;
    let server = world.serve().await;
    let octo = world.visitor(&server.url, "octo").await;
    let later = async |days: i64| {
        let by = days * DAY;
        let times = ["seen_at", "expires_at"].map(|time| format!("{time} = {time} - {by}"));
        world.change(&format!("UPDATE sessions SET {}", times.join(", "))).await;
    };
    // Just signed in: its use is not worth a note, nor a new cookie.
    let page = async || octo.get(format!("{}/account/settings/", server.url)).send().await.unwrap();
    assert_eq!(cookies(&page().await), "");
    for _ in 0..3 {
        later(20).await;
        let page = page().await;
        assert_eq!(page.status(), 200);
        assert!(cookies(&page).starts_with("kozmic="), "the browser keeps it longer, too");
    }
    later(31).await;
    assert!(is_out(&octo, &server.url).await);
    // The next sign-in removes what has expired.
    let next = world.visitor(&server.url, "octo").await;
    let (_, account) = get(&next, &format!("{}/account/settings/", server.url)).await;
    assert_eq!(account.matches("<li>Signed in").count(), 1, "{account}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whom_the_settings_name_is_let_in() {
    let mut world = World::with(&[("KOZMIC_ALLOWED_USERS", "bob"), ("KOZMIC_ADMINS", "ada")]).await;
    for login in ["ada", "bob"] {
        world.sim.add_user(login).await.unwrap();
    }
    let server = world.serve().await;
    let sentence = refused(world.sign_in(&server.url, "octo").await, 403).await;
    assert!(sentence.contains("octo is none of them"), "{sentence}");
    let url = server.url.clone();
    let (ada, bob) = (world.visitor(&url, "ada").await, world.visitor(&url, "bob").await);
    let token = world.run(&url, &["token", "create", "--user", "bob"]).await.stdout;
    let token = String::from_utf8(token).unwrap().trim().to_owned();
    let api = async |url: &str| {
        let request = world.http.get(format!("{url}/api/v1/projects")).bearer_auth(&token);
        request.send().await.unwrap().status().as_u16()
    };
    assert!(!is_out(&ada, &url).await && !is_out(&bob, &url).await);
    assert_eq!(api(&url).await, 200);
    server.stop().await;
    // Out at the next request once the settings have changed; administrators never.
    world.set("KOZMIC_ALLOWED_USERS", "carol");
    let server = world.serve().await;
    assert!(!is_out(&ada, &server.url).await && is_out(&bob, &server.url).await);
    let request = world.http.get(format!("{}/api/v1/projects", server.url)).bearer_auth(&token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.text().await.unwrap().contains("do not let the token's user in"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_oauth_app_pages_say_what_to_set() {
    let mut world = World::new().await;
    world.set("KOZMIC_GITHUB_CLIENT_ID", "");
    world.set("KOZMIC_GITHUB_CLIENT_SECRET", "");
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    for path in ["/", "/projects/1/", "/_auth/"] {
        let answer = world.http.get(format!("{}{path}", server.url)).send().await.unwrap();
        assert!(location(&answer).starts_with("/login/"), "{path}");
    }
    let (_, page) = get(&world.http, &format!("{}/login/", server.url)).await;
    for told in ["KOZMIC_GITHUB_CLIENT_ID", "KOZMIC_GITHUB_CLIENT_SECRET", "/_auth/auth-callback/"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_an_allowed_organization_are_let_in_as_long_as_they_are_members() {
    let world = World::with(&[("KOZMIC_ALLOWED_ORGANIZATIONS", "nobodys, acme")]).await;
    let server = world.serve().await;
    let url = &server.url;
    for login in ["boss", "member"] {
        world.sim.add_user(login).await.unwrap();
    }
    world.sim.add_organization("acme", "boss").await.unwrap();
    world.sim.add_member("acme", "member").await.unwrap();
    let sentence = refused(world.sign_in(url, "octo").await, 403).await;
    assert!(sentence.contains("octo is none of them"), "{sentence}");
    let member = world.visitor(url, "member").await;
    let asked = async || {
        let requests = world.sim.requests().await.unwrap();
        let asked = requests.iter().filter(|request| request.path.ends_with("/orgs/acme"));
        asked.count()
    };
    let before = asked().await;
    assert!(!is_out(&member, url).await);
    assert_eq!(asked().await, before, "what GitHub said counts for a day");
    let a_day_later = async || {
        world.change("UPDATE users SET admitted_at = admitted_at - 86400000").await;
    };
    a_day_later().await;
    assert!(!is_out(&member, url).await);
    assert_eq!(asked().await, before + 1);
    // GitHub is away: nobody is locked out for that, and it is asked again an hour later.
    a_day_later().await;
    let away = Fault {
        method: None,
        path_contains: "/orgs/acme".into(),
        kind: FaultKind::Status(503),
        times: 1,
    };
    world.sim.add_fault(away).await.unwrap();
    assert!(!is_out(&member, url).await && !is_out(&member, url).await);
    assert_eq!(asked().await, before + 2);
    // Who has left the organization is out.
    world.sim.remove_member("acme", "member").await.unwrap();
    a_day_later().await;
    assert!(is_out(&member, url).await);
    assert!(refused(world.sign_in(url, "member").await, 403).await.contains("member is none"));
    server.stop().await;
}
