//! The server is killed at random moments, again and again. Nothing that was
//! acknowledged is lost, every log is what its script wrote, nothing stays.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::crash::{free_url, start};
use crate::harness::{BASE, PATIENCE, World, eventually, hook, remove_cached_images};

/// The same kills at the same times, as far as the machine plays along.
const SEED: u64 = 20_140_513;
const KILLS: usize = 20;

/// Numbers that look random (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const SCRIPT: &str = "#!/bin/bash\nfor n in $(seq 30); do echo line $n; sleep 0.05; done\n";

fn written() -> String {
    (1..=30).fold(String::new(), |log, n| log + &format!("line {n}\n"))
}

/// The last attempt wrote everything; what earlier ones wrote is its beginning.
fn is_whole(log: &str) -> bool {
    let mut attempts: Vec<String> = vec![String::new()];
    for line in log.lines() {
        if line.starts_with("[kozmic] attempt ") {
            attempts.push(String::new());
        } else if !line.starts_with("[kozmic] install step") {
            let attempt = attempts.last_mut().unwrap();
            *attempt += line;
            attempt.push('\n');
        }
    }
    let whole = written();
    let last = attempts.pop().unwrap();
    // An attempt may have ended within a line.
    last == whole && attempts.iter().all(|part| whole.starts_with(part.trim_end_matches('\n')))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_nothing() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "2")]).await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.add_project(&url).await;
    let installing = hook("Install", BASE, SCRIPT).replacen(
        "# kozmic: image",
        "# kozmic: track = a\n# kozmic: image",
        1,
    );
    let files = [
        ("plain.sh", hook("Plain", BASE, SCRIPT)),
        ("install.sh", installing),
        ("install.install.sh", "#!/bin/sh\nsleep 0.3\n".into()),
    ];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    world.apply_files(&url, &files).await;
    world.api_token().await;
    let mut random = Random(SEED);
    let mut hit: BTreeMap<String, usize> = BTreeMap::new();
    let mut shas = Vec::new();
    for kill in 0..KILLS {
        shas.push(
            world
                .push(&[
                    ("a", format!("{}", kill / 4).as_bytes()),
                    ("b", kill.to_string().as_bytes()),
                ])
                .await,
        );
        tokio::time::sleep(Duration::from_millis(random.below(1_800))).await;
        for build in world.builds(&url).await.iter().filter(|build| !build.is_finished()) {
            for job in build.jobs.iter().filter(|job| job.status == "pending") {
                let words: Vec<&str> = job.reason.split([' ', ':']).take(4).collect();
                *hit.entry(words.join(" ")).or_default() += 1;
            }
        }
        server.kill().await.unwrap();
        server = start(&world, &url).await;
    }
    println!("{KILLS} kills with the seed {SEED} found jobs at: {hit:#?}");
    // GitHub does not redeliver by itself; what was not acknowledged is sent again.
    eventually("every delivery to be acknowledged", async || {
        let deliveries = world.sim.deliveries("octo/orbit").await.unwrap();
        let mut missing = false;
        for delivery in deliveries.iter().filter(|delivery| delivery.event == "push") {
            let taken = |other: &&github_sim::client::Delivery| {
                other.guid == delivery.guid
                    && other.hook_id == delivery.hook_id
                    && other.status_code == 200
            };
            if !deliveries.iter().any(|other| taken(&other)) {
                missing = true;
                world.sim.redeliver(&delivery.guid).await.unwrap();
            }
        }
        (!missing).then_some(())
    })
    .await;
    for sha in &shas {
        let build = tokio::time::timeout(2 * PATIENCE, world.finished(&url, sha)).await.unwrap();
        assert_eq!(build.status, "success", "{:?}", build.jobs);
        for job in &build.jobs {
            let log = world.log_text(job).await;
            assert!(is_whole(&log), "{}: {log}", job.title);
        }
        world.told(sha, "Kozmic-CI", "success").await;
    }
    world.nothing_left().await;
    server.kill().await.unwrap();
    remove_cached_images(&world.instance().await).await;
}
