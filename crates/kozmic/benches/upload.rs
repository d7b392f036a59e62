//! How long a checkout of 10,000 files and 200 MB takes into a container, beside
//! `docker cp` of the same tree into a container of the same image, in turn.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kozmic::engine::{Account, ContainerLimits, ContainerSpec, Engine, Labels, Step, Upload};
use kozmic::model::JobUuid;

use crate::figures::Figure;
use crate::harness::{BASE, docker};
use crate::{harness, timing};

const PAIRS: usize = 9;
const FOLDERS: usize = 200;
const FILES: usize = 10_000;
const BYTES: usize = 200_000_000;

/// What a container finds: its files, and their bytes.
const COUNT: &str =
    "cd /kozmic/src; find . -type f -printf '%s\n' | awk '{ n += $1 } END { print NR, n }'";

/// Sizes as in a repository: many small files, few large ones.
fn make_tree(root: &Path) {
    // A file's size grows with the cube of its number: the median is an eighth of the largest.
    let weight = |file: usize| (file + 1).pow(3) as u128;
    let whole: u128 = (0..FILES).map(weight).sum();
    let (mut so_far, mut made) = (0, 0);
    let mut content = vec![0_u8; BYTES / 100];
    let mut state = 1_u64;
    for byte in &mut content {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    for file in 0..FILES {
        let folder = root.join(format!("folder-{}", file % FOLDERS));
        std::fs::create_dir_all(&folder).unwrap();
        so_far += weight(file);
        let size = usize::try_from(so_far * BYTES as u128 / whole).unwrap() - made;
        made += size;
        std::fs::write(folder.join(format!("file-{file}")), &content[..size]).unwrap();
    }
    assert_eq!(made, BYTES);
}

async fn ours(engine: &Engine, image_id: &str, account: &Account, tree: &Path) -> Duration {
    let job = JobUuid::random();
    let spec = ContainerSpec {
        image_id: image_id.to_owned(),
        user: account.user.clone(),
        command: ["/bin/sh", "-c", COUNT].map(str::to_owned).to_vec(),
        limits: ContainerLimits { memory: None, cpus: None, pids: 4096 },
        no_new_privileges: false,
        labels: Labels { job, attempt: 1, step: Step::Build, log_offset: 0 },
        becomes: None,
        place: None,
        folders: Vec::new(),
    };
    let container = engine.create(&spec).await.unwrap();
    let started = Instant::now();
    let upload = Upload::new(account.owner).folder("kozmic/").tree("kozmic/src", tree);
    container.upload(upload).await.unwrap();
    let taken = started.elapsed();
    let mut output = container.start().await.unwrap().output;
    let mut counted = Vec::new();
    while let Some(chunk) = output.next().await {
        counted.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&counted), format!("{FILES} {BYTES}\n"));
    container.remove().await.unwrap();
    taken
}

async fn docker_cp(tree: &Path) -> Duration {
    let create = ["create", "--volume", "/kozmic", BASE, "/bin/sh", "-c", COUNT];
    let container = docker(&create).await.trim().to_owned();
    // It makes the last folder of the way there, as ours does.
    let started = Instant::now();
    docker(&["cp", "--quiet", tree.to_str().unwrap(), &format!("{container}:/kozmic/src")]).await;
    let taken = started.elapsed();
    let counted = docker(&["start", "--attach", &container]).await;
    assert_eq!(counted, format!("{FILES} {BYTES}\n"));
    docker(&["rm", "--force", "--volumes", &container]).await;
    taken
}

#[tokio::main]
pub async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    make_tree(&tree);
    let host = harness::engine_host().await;
    let engine = Engine::connect(host.as_deref(), "bench-upload").await.unwrap();
    let image = BASE.parse().unwrap();
    let image_id = engine.local_image(&image).await.unwrap().expect("images/base/build").id;
    let job = JobUuid::random();
    let labels = Labels { job, attempt: 1, step: Step::Probe, log_offset: 0 };
    let account = engine.account(&image, &image_id, &labels).await.unwrap();
    // The first one of each reads the tree from the disk.
    ours(&engine, &image_id, &account, &tree).await;
    docker_cp(&tree).await;
    let (mut upload, mut copy) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        upload.push(ours(&engine, &image_id, &account, &tree).await);
        copy.push(docker_cp(&tree).await);
    }
    let title = format!("{FILES} files, {BYTES} bytes, {PAIRS} pairs");
    let mut rows = [("into a container", upload), ("docker cp", copy)];
    let medians = timing::table(&title, &mut rows);
    Figure::times("upload", "a checkout of 10,000 files, 200 MB, into a container", &rows[0].1)
        .beside("docker cp", &rows[1].1)
        .write();
    println!("ratio of the medians: {:.2}", medians[0] / medians[1]);
}
