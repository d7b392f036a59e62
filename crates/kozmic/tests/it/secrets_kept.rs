//! Whatever GitHub does, no secret is in a log, on a page or in an error.

use github_sim::client::{Fault, FaultKind};
use kozmic::model::{ProjectId, Timestamp};
use secrecy::ExposeSecret as _;

use crate::crash::{free_url, said, start_as};
use crate::harness::{BASE, World, eventually, hook};

const PAGES: [&str; 8] = [
    "/",
    "/repositories/",
    "/projects/1/history/",
    "/projects/1/settings/",
    "/projects/1/hooks/1/edit/",
    "/projects/1/builds/latest/",
    "/api/v1/projects",
    "/api/v1/projects/1/builds",
];
const POSTS: [&str; 4] = [
    "/repositories/sync/",
    "/projects/1/memberships/sync/",
    "/projects/1/hooks/ensure/",
    "/projects/1/take-over/",
];

/// What must not be seen, each with its name.
async fn secrets(world: &World) -> Vec<(String, String)> {
    let store = world.store().await;
    let project = ProjectId(1);
    let mut secrets: Vec<(String, String)> = world
        .environment("127.0.0.1:0")
        .into_iter()
        .filter(|(name, _)| name.ends_with("_TOKEN") || name.ends_with("_SECRET"))
        .collect();
    for holder in store.token_holders(project, Timestamp::now()).await.unwrap() {
        let token = holder.token.expose_secret().to_owned();
        secrets.push((format!("the token of {}", holder.login), token));
    }
    let hook = world.hook(1).await;
    secrets.push(("the webhook's secret".into(), hook.secret.expose_secret().to_owned()));
    let key = store.deploy_key(project).await.unwrap().expect("it is private").private_key;
    // Any of its lines would do harm.
    let lines = key.expose_secret().lines().filter(|line| !line.starts_with("-----"));
    secrets.extend(lines.map(|line| ("the deploy key".to_owned(), line.to_owned())));
    let key = std::fs::read_to_string(world.data_dir().join("secret-key")).unwrap();
    secrets.push(("the secret key".into(), key.trim().to_owned()));
    secrets.push(("the API token".into(), world.api_token().await.to_owned()));
    assert!(secrets.len() >= 10, "{}", secrets.len());
    assert!(secrets.iter().all(|(_, secret)| secret.len() >= 8));
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_however_github_fails() {
    let mut world = World::new().await;
    world.set("KOZMIC_RECONCILE_INTERVAL", "1");
    world.set("KOZMIC_SYNC_INTERVAL", "1");
    world.sim.set_private("octo/orbit", true).await.unwrap();
    let url = free_url();
    let mut serve = world.command(&url, &["serve"]);
    serve.env("KOZMIC_LOG", "debug");
    let server = start_as(&world, &url, &mut serve).await;
    world.project(&url, &[hook("Tests", BASE, "#!/bin/sh\n:\n")]).await;
    world.sim.add_user("ada").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "ada", "admin").await.unwrap();
    let ada = world.visitor(&url, "ada").await;
    let octo = world.visitor(&url, "octo").await;
    let mut secrets = secrets(&world).await;
    let mut seen = String::new();
    let look = async |seen: &mut String| {
        for visitor in [&octo, &ada] {
            for path in POSTS {
                let answer = visitor.post(format!("{url}{path}")).send().await.unwrap();
                for value in answer.headers().values() {
                    *seen += &String::from_utf8_lossy(value.as_bytes());
                }
                *seen += &answer.text().await.unwrap();
            }
        }
        for path in PAGES {
            let request = octo.get(format!("{url}{path}")).bearer_auth(world.api_token().await);
            let answer = if path.starts_with("/api/") {
                request.send().await.unwrap()
            } else {
                octo.get(format!("{url}{path}")).send().await.unwrap()
            };
            *seen += &answer.text().await.unwrap();
        }
    };
    for (number, kind) in [
        FaultKind::Status(500),
        FaultKind::Drop,
        FaultKind::LostAnswer,
        FaultKind::Slow(100),
        FaultKind::Status(403),
        FaultKind::Status(404),
        FaultKind::Status(422),
        FaultKind::SecondaryLimit(1),
        FaultKind::Status(401),
    ]
    .into_iter()
    .enumerate()
    {
        world.sim.add_fault(Fault::on("/api/v3/", kind).until_lifted()).await.unwrap();
        world.sim.add_fault(Fault::on("/login/oauth/", kind).until_lifted()).await.unwrap();
        let sha = world.push(&[("a", number.to_string().as_bytes())]).await;
        world.build_of(&url, &sha).await;
        look(&mut seen).await;
        let (github, cookie) = world.at_github(&url).await;
        // GitHub may not let anybody in now.
        if let Ok(back) = world.sim.authorize(&github, "ada").await {
            seen += &world.back(&back, &cookie).await.text().await.unwrap();
        }
        let cli = world.run(&url, &["project", "sync", "octo/orbit"]).await;
        seen += &String::from_utf8_lossy(&[cli.stdout, cli.stderr].concat());
        world.sim.clear_faults().await.unwrap();
    }
    // Signed in again, and then revoked for good.
    world.visitor(&url, "octo").await;
    world.visitor(&url, "ada").await;
    let holders = world.store().await.token_holders(ProjectId(1), Timestamp::now()).await.unwrap();
    assert_eq!(holders.len(), 2);
    for holder in holders {
        let token = holder.token.expose_secret().to_owned();
        world.sim.revoke_token(&token).await.unwrap();
        secrets.push((format!("the new token of {}", holder.login), token));
    }
    let sha = world.push(&[("a", b"revoked")]).await;
    world.build_of(&url, &sha).await;
    look(&mut seen).await;
    eventually("the end to be logged", async || {
        said(&world).contains("nobody who may do this has a token").then_some(())
    })
    .await;
    let log = said(&world);
    assert!(log.contains("DEBUG"), "{log}");
    for told in ["500 Internal Server Error", "does not know the token", "asks to wait"] {
        assert!(log.contains(told) || seen.contains(told), "{told}: {log}");
    }
    for (name, secret) in &secrets {
        assert!(!log.contains(secret.as_str()), "{name} is in the log");
        assert!(!seen.contains(secret.as_str()), "{name} is on a page or in an error");
    }
    drop(server);
}
