//! What people and GitHub do at the same time.

use aws_lc_rs::digest;
use futures_util::future::join_all;
use kozmic::model::{JobUuid, ProjectId};
use reqwest::{Client, StatusCode, header};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    BASE, Sshd, World, containers_of, eventually, hook, location, push_payload, signature,
};

async fn post(visitor: &Client, url: &str, form: &str) -> reqwest::Response {
    let request = visitor.post(url).body(form.to_owned());
    let kind = "application/x-www-form-urlencoded";
    request.header(header::CONTENT_TYPE, kind).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_turn_the_same_repositories_on_at_once() {
    let world = World::new().await;
    for login in ["ada", "dave"] {
        world.sim.add_user(login).await.unwrap();
    }
    world.sim.add_organization("acme", "ada").await.unwrap();
    world.sim.add_owner("acme", "dave").await.unwrap();
    let server = world.serve().await;
    let mut repositories = Vec::new();
    for number in 0..4 {
        let name = format!("r{number}");
        let gh_id = world.sim.add_repository("acme", &name).await.unwrap();
        let name = format!("acme/{name}");
        world.sim.set_private(&name, true).await.unwrap();
        repositories.push((name, gh_id));
    }
    let people =
        [world.visitor(&server.url, "ada").await, world.visitor(&server.url, "dave").await];
    for (name, gh_id) in &repositories {
        let on = format!("{}/repositories/{gh_id}/on/", server.url);
        let answers = join_all(people.iter().map(|visitor| post(visitor, &on, ""))).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status() == StatusCode::SEE_OTHER);
        assert_eq!((won.len(), lost.len()), (1, 1), "{name}");
        assert!(location(&won[0]).ends_with("/hooks/add/"));
        let told = lost.into_iter().next().unwrap().text().await.unwrap();
        let sentence = |login| format!("{name} is a project already: {login} turned it on.");
        assert!(["ada", "dave"].iter().any(|login| told.contains(&sentence(login))), "{told}");
        assert_eq!(world.sim.deploy_keys(name).await.unwrap().len(), 1, "{name}");
    }
    // Whoever was too late sees the project, and it has one hook of this title.
    let hook = "title=Tests&image=busybox&build_script=%3A";
    let add = format!("{}/projects/1/hooks/add/", server.url);
    let answers = join_all(people.iter().map(|visitor| post(visitor, &add, hook))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    assert!(statuses.contains(&303) && statuses.contains(&422), "{statuses:?}");
    assert_eq!(world.sim.webhooks("acme/r0").await.unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_deleted_while_a_job_of_it_runs() {
    let mut world = World::new().await;
    let sshd = Sshd::start(&world).await;
    world.set("KOZMIC_SSH_KNOWN_HOSTS", &sshd.known_hosts());
    world.sim.set_private("octo/orbit", true).await.unwrap();
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", BASE, "echo begun\nsleep 600\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    eventually("the script to begin", async || {
        (world.log_text(&build.jobs[0]).await == "begun\n").then_some(())
    })
    .await;
    let instance = world.instance().await;
    assert!(!containers_of(None, &instance).await.is_empty());
    let octo = world.owner(&server.url).await;
    let delete = format!("{}/projects/1/delete/", server.url);
    assert_eq!(location(&post(octo, &delete, "full_name=octo/orbit").await), "/");
    assert!(world.sim.webhooks("octo/orbit").await.unwrap().is_empty());
    assert!(world.sim.deploy_keys("octo/orbit").await.unwrap().is_empty());
    let page = octo.get(&build.url).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(page.text().await.unwrap().contains("There is no such project, or it was deleted."));
    let logs = world.data_dir().join("logs");
    let uuid: JobUuid = build.jobs[0].uuid.parse().unwrap();
    eventually("the disks to be clear of it", async || {
        let mirror = world.data_dir().join("mirrors/1.git").exists();
        let listed = std::process::Command::new("find").arg(&logs).output().unwrap();
        let log = String::from_utf8_lossy(&listed.stdout).contains(&uuid.to_string());
        let left = world.leftovers().await;
        (!mirror && !log && left.is_empty()).then_some(())
    })
    .await;
    assert!(world.store().await.project(ProjectId(1)).await.unwrap().is_none());
    server.stop().await;
}

/// A request that waits to be asked for its body: then its headers were looked at.
async fn until_asked_for_its_body(url: &str, headers: &str) -> TcpStream {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /_hooks/hook/1/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Expect: 100-continue\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_deleted_while_a_delivery_of_it_is_on_the_way() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let octo = world.owner(&server.url).await;
    let kept = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &kept).await;
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let sha = hex::encode(&digest::digest(&digest::SHA256, b"another").as_ref()[..20]);
    let body = push_payload(project.repository.gh_id, "main", &sha, "On the way").to_string();
    let signature = signature(hook.secret.expose_secret(), body.as_bytes());
    let headers = format!(
        "Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: late\r\n\
         X-Hub-Signature-256: {signature}\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut stream = until_asked_for_its_body(&server.url, &headers).await;
    let delete = format!("{}/projects/1/hooks/1/delete/", server.url);
    assert_eq!(post(octo, &delete, "").await.status(), StatusCode::SEE_OTHER);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.ends_with("There is no such hook."), "{answer}");
    // What it called before is kept, and nothing was built of what came too late.
    world.change("UPDATE hook_calls SET created_at = created_at WHERE hook_id IS NULL AND gh_payload IS NOT NULL").await;
    let builds = world.builds(&server.url).await;
    assert_eq!(builds.iter().map(|build| build.id).collect::<Vec<_>>(), [build.id]);
    assert!(world.page(&build.url).await.contains("Tests"));
    world.end(server).await;
}
