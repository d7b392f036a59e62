//! Pages are told what changes: those that may see it, when a build begins and when it ends.

use serde_json::json;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::tailer::{Socket, next};
use crate::harness::{BASE, World, cookies, eventually, hook};

/// A page's socket; `cookie` is empty of somebody who has not signed in.
async fn listen(url: &str, cookie: &str, query: &str) -> Socket {
    let address = format!("{}/live{query}", url.replace("http://", "ws://"));
    let mut request = address.into_client_request().unwrap();
    if !cookie.is_empty() {
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
    }
    let stream = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await;
    client_async(request, stream.unwrap()).await.unwrap().0
}

/// Waits until a page that is told of changes shows this.
async fn shows(world: &World, url: &str, socket: &mut Socket, path: &str, text: &str) {
    loop {
        let told = next(socket).await.expect("to be told before the socket is closed");
        assert_eq!(told, json!({"type": "changed", "projects": [1]}));
        if world.page(&format!("{url}{path}")).await.contains(text) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_told_when_a_build_begins_and_ends() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    let wait = "#!/bin/sh\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n";
    world.project(url, &[hook("Tests", BASE, wait)]).await;
    world.sim.add_user("stranger").await.unwrap();
    let octo = cookies(&world.sign_in(url, "octo").await);
    let stranger = cookies(&world.sign_in(url, "stranger").await);
    let mut owners = listen(url, &octo, "").await;
    let mut strangers = listen(url, &stranger, "").await;
    let mut nobodys = listen(url, "", "").await;

    let sha = world.push(&[("a", b"a")]).await;
    shows(&world, url, &mut owners, "/", "● pending").await;
    shows(&world, url, &mut owners, "/", "running the build script").await;
    let instance = world.instance().await;
    let filter = format!("label=kozmic.instance={instance}");
    let container = eventually("the script's container", async || {
        let found = crate::harness::docker(&["ps", "--quiet", "--filter", &filter]).await;
        (!found.trim().is_empty()).then(|| found.trim().to_owned())
    })
    .await;
    crate::harness::touch(&container, "/tmp/go").await;
    shows(&world, url, &mut owners, "/projects/1/history/", "✓ success").await;
    world.finished(url, &sha).await;

    // Others were told nothing of it: the first that they hear is of what they may see.
    let visible = ["project", "set", "octo/orbit", "--visible-to-all", "on"];
    assert!(world.run(url, &visible).await.status.success());
    for socket in [&mut strangers, &mut nobodys] {
        let heard = futures_util::FutureExt::now_or_never(next(socket));
        assert!(heard.is_none(), "{heard:?}");
    }
    let restart = format!("{url}/api/v1/jobs/1/restart");
    let restarted = world.http.post(restart).bearer_auth(world.api_token().await).send().await;
    assert!(restarted.unwrap().status().is_success());
    assert_eq!(next(&mut nobodys).await.unwrap()["projects"], json!([1]));
    let heard = futures_util::FutureExt::now_or_never(next(&mut strangers));
    assert!(heard.is_none(), "it is not in their list: {heard:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_older_than_the_last_change_is_told_at_once() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let octo = cookies(&world.sign_in(&server.url, "octo").await);
    let mut old = listen(&server.url, &octo, "?since=0.0").await;
    let told = next(&mut old).await.unwrap();
    assert_eq!(told, json!({"type": "changed", "projects": null}));
    let request = format!("{}/live", server.url.replace("http://", "ws://"));
    let mut request = request.into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let stream = tokio::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await;
    let refused = client_async(request, stream.unwrap()).await;
    assert!(refused.is_err(), "a page of another site opens none");
    server.stop().await;
}
