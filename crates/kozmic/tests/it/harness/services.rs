//! Images of services, made here: PostgreSQL of Debian's packages, and a small web server.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::engine::{BASE, busybox, docker, engine_host};

const POSTGRES: &str = "kozmic-test/postgres:15";
const WEB: &str = "kozmic-test/web:latest";

/// Makes a cluster when it starts, as the official image does, with POSTGRES_PASSWORD as
/// the password of the user postgres; the port that it exposes tells when it is ready.
pub async fn postgres_image() -> &'static str {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let recipe = format!(
        r#"FROM {BASE}
RUN sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends postgresql-15 >/dev/null
RUN mkdir /data && chown postgres /data && printf '%s\n' '#!/bin/bash' 'set -e' \
    'echo "making a cluster"' \
    'b=/usr/lib/postgresql/15/bin' \
    '$b/initdb -D /data/db -A scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") >/dev/null' \
    'echo "host all all all scram-sha-256" >> /data/db/pg_hba.conf' \
    'exec $b/postgres -D /data/db -c listen_addresses="*" -c fsync=off' \
    > /entry && chmod 755 /entry
USER postgres
VOLUME /data
EXPOSE 5432
ENTRYPOINT ["/entry"]
"#
    );
    MADE.get_or_init(async || build(POSTGRES, &recipe).await).await;
    POSTGRES
}

/// Serves what is in `/tmp` at port 8000, and says GREETING first.
pub async fn web_image() -> &'static str {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let recipe = format!(
        "FROM {}\nEXPOSE 8000\nCMD [\"sh\", \"-c\", \
         \"echo serving $GREETING; echo hello > /tmp/index.html; \
         exec busybox httpd -f -p 8000 -h /tmp\"]\n",
        busybox().await
    );
    MADE.get_or_init(async || build(WEB, &recipe).await).await;
    WEB
}

/// The classic builder: BuildKit asks registries for every base, also for one that exists
/// only here.
async fn build(name: &str, recipe: &str) {
    let mut command = Command::new("docker");
    if let Some(engine) = engine_host().await {
        command.args(["--host", &engine]);
    }
    let mut child = command
        .args(["build", "--tag", name, "-"])
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(recipe.as_bytes()).await.unwrap();
    drop(stdin);
    let built = child.wait_with_output().await.unwrap();
    assert!(built.status.success(), "{name}: {built:?}");
}

/// Removes the cache folders of one installation.
pub async fn remove_cache_folders(instance: &str) {
    for volume in cache_folder_volumes(instance).await {
        docker(&["volume", "rm", &volume]).await;
    }
}

/// The volumes of the cache folders of one installation.
pub async fn cache_folder_volumes(instance: &str) -> Vec<String> {
    let instance = format!("label=kozmic.instance={instance}");
    let of_folder = ["--filter", &instance, "--filter", "label=kozmic.folder"];
    let listed = docker(&[&["volume", "ls", "--quiet"], &of_folder[..]].concat()).await;
    listed.lines().map(str::to_owned).collect()
}

/// The networks of one installation.
pub async fn networks_of(instance: &str) -> Vec<String> {
    let instance = format!("label=kozmic.instance={instance}");
    let listed = docker(&["network", "ls", "--quiet", "--filter", &instance]).await;
    listed.lines().map(str::to_owned).collect()
}
