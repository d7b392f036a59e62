//! Every example payload that GitHub publishes (@octokit/webhooks-examples),
//! signed rightly and wrongly.

use std::path::Path;

use kozmic::model::{FullName, HookSpec, RemoteRepository, Script, Timestamp};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{World, signature};

#[derive(Deserialize)]
struct Event {
    name: String,
    examples: Vec<Value>,
}

/// As many as the version in browser/package-lock.json has.
const EXAMPLES: usize = 329;

fn examples() -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../browser/node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make test`", path.display()));
    let events: Vec<Event> = serde_json::from_slice(&text).unwrap();
    events
        .into_iter()
        .flat_map(|event| {
            event.examples.into_iter().map(move |example| (event.name.clone(), elsewhere(example)))
        })
        .collect()
}

/// As it is published, but nothing is ever fetched from where it says.
fn elsewhere(mut example: Value) -> Value {
    if let Some(url) = example.pointer_mut("/repository/clone_url") {
        *url = "http://127.0.0.1:9/x/y.git".into();
    }
    if let Some(url) = example.pointer_mut("/repository/ssh_url") {
        *url = "git@127.0.0.1:x/y.git".into();
    }
    example
}

/// Its last digit is another one.
fn broken(signature: &str) -> String {
    let (rest, last) = signature.split_at(signature.len() - 1);
    format!("{rest}{}", if last == "0" { '1' } else { '0' })
}

/// The answers that show that a push or a pull request was understood.
fn is_understood(answer: &str) -> bool {
    answer.starts_with("Build #")
        || answer.starts_with("Not wanted by any hook. ")
        || answer.ends_with("was deleted; there is nothing to build.")
        || answer.ends_with("is not built.")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_payload_is_answered_and_none_without_its_signature() {
    let examples = examples();
    assert_eq!(examples.len(), EXAMPLES);
    // More of them are signed wrongly than would be answered in a minute.
    let world = World::with(&[("KOZMIC_STRANGER_RATE", "0")]).await;
    // Its jobs would fetch from repositories that are not there.
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let store = world.store().await;
    let owner = store.project(world.hook(1).await.project).await.unwrap().unwrap().owner;
    let (mut understood, mut built) = (0, 0);
    for (index, (event, payload)) in examples.iter().enumerate() {
        let hook = match payload["repository"]["id"].as_i64() {
            Some(repository) => hook_of(&store, repository, owner).await,
            None => world.hook(1).await,
        };
        let body = payload.to_string().into_bytes();
        let right = signature(hook.secret.expose_secret(), &body);
        let guid = format!("example-{index}");
        let wrong = [
            None,
            Some(broken(&right)),
            Some(right[..40].to_owned()),
            Some(right.replace("sha256=", "sha1=")),
        ];
        for wrong in wrong {
            let answer = world
                .post(&server.url, hook.id.0, event, &guid, body.clone(), wrong.as_deref())
                .await;
            assert_eq!(
                answer.status(),
                401,
                "example {index} of {event} with the signature {wrong:?}"
            );
        }
        let answer = world.post(&server.url, hook.id.0, event, &guid, body, Some(&right)).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(status < 500, "example {index} of {event}: {status} {text}");
        if matches!(event.as_str(), "push" | "pull_request") {
            assert!(
                status == 200 && is_understood(&text),
                "example {index} of {event}: {status} {text}"
            );
            understood += 1;
            built += usize::from(text.starts_with("Build #"));
        }
    }
    assert_eq!(understood, 7 + 29);
    assert!(built > 2, "branches and pull requests among the examples are built");
    server.stop().await;
}

/// The hook of a project whose repository has this id at GitHub.
async fn hook_of(
    store: &kozmic::store::Store,
    repository: i64,
    owner: kozmic::model::UserId,
) -> kozmic::store::Hook {
    let now = Timestamp::now();
    let remote = RemoteRepository {
        gh_id: repository,
        full_name: format!("examples/r{repository}").parse::<FullName>().unwrap(),
        ssh_clone_url: "git@127.0.0.1:x/y.git".into(),
        https_clone_url: "http://127.0.0.1:9/x/y.git".into(),
        default_branch: "main".into(),
        is_public: true,
    };
    if let Ok(project) = store.project_added(&remote, owner, now).await {
        let spec = HookSpec {
            title: "Tests".into(),
            image: "kozmic/debian:bookworm".parse().unwrap(),
            install_script: None,
            tracked: Vec::new(),
            build_script: Script::parse(":\n").unwrap(),
            options: kozmic::model::HookOptions::default(),
        };
        let hook = store.hook_added(project, &spec, &"secret".into(), "test", now).await.unwrap();
        store.hook_connected(hook, 1).await.unwrap();
    }
    // An example may have told its name.
    let project = store.project_of_repository(repository).await.unwrap().unwrap();
    store.hooks(project.id).await.unwrap().remove(0)
}
