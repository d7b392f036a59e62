//! The examples of docs/write-a-hook.md, run as they stand there.

use std::time::Duration;

use crate::harness::{Build, World, eventually_within, remove_cached_images};

/// Their install scripts fetch and unpack a hundred megabytes.
const INSTALLING: Duration = Duration::from_mins(15);

/// The file that the page shows next after it names it.
fn shown(path: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/write-a-hook.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, examples) = page.split_once("## Two examples").unwrap();
    let (_, rest) = examples.split_once(&format!("`{path}`")).expect(path);
    let (_, block) = rest.split_once("```").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    let (_language, content) = block.split_once('\n').unwrap();
    format!("{content}\n")
}

async fn built(world: &World, url: &str, files: &[(&str, &str)]) -> (Build, String) {
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(path, content)| (*path, content.as_bytes())).collect();
    let sha = world.push(&files).await;
    let build = eventually_within(INSTALLING, "the build's end", async || {
        Some(world.build_of(url, &sha).await).filter(Build::is_finished)
    })
    .await;
    let log = world.log_text(&build.jobs[0]).await;
    (build, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_has_a_database_of_its_own() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    world.add_project(url).await;
    let (hook, install) = (shown("hooks/python.sh"), shown("hooks/python.install.sh"));
    world.apply_files(url, &[("python.sh", &hook), ("python.install.sh", &install)]).await;
    let test = shown("test_moons.py");
    let files = [("packages.txt", shown("packages.txt")), ("test_moons.py", test.clone())];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let (build, log) = built(&world, url, &files).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(
        log.contains("test_a_moon_is_kept (test_moons.Moons") && log.contains("\nOK\n"),
        "{log}"
    );
    // The database is new in each job: the same table is made again.
    let (build, log) = built(&world, url, &[("README", "again\n")]).await;
    assert!(log.starts_with("[kozmic] install step skipped"), "{log}");
    assert_eq!(build.status, "success", "{log}");
    let broken = test.replace("(2,)", "(3,)");
    assert_ne!(broken, test);
    let (build, log) = built(&world, url, &[("test_moons.py", &broken)]).await;
    assert_eq!((build.status.as_str(), build.jobs[0].return_code), ("failure", Some(1)), "{log}");
    assert!(log.contains("AssertionError: Tuples differ: (2,) != (3,)"), "{log}");
    world.end(server).await;
    remove_cached_images(&world.instance().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_compiles_and_tests_a_crate() {
    let world = World::new().await;
    let server = world.serve().await;
    let url = &server.url;
    world.add_project(url).await;
    let (hook, install) = (shown("hooks/rust.sh"), shown("hooks/rust.install.sh"));
    world.apply_files(url, &[("rust.sh", &hook), ("rust.install.sh", &install)]).await;
    let manifest = "[package]\nname = \"orbit\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let lock = "version = 3\n\n[[package]]\nname = \"orbit\"\nversion = \"0.1.0\"\n";
    let source =
        "#[test]\nfn mars_has_moons() {\n    assert_eq!([\"Phobos\", \"Deimos\"].len(), 2);\n}\n";
    let files = [("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/lib.rs", source)];
    let (build, log) = built(&world, url, &files).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("test mars_has_moons ... ok"), "{log}");
    let broken = source.replace("2);", "3);");
    assert_ne!(broken, source);
    let (build, log) = built(&world, url, &[("src/lib.rs", &broken)]).await;
    assert!(log.starts_with("[kozmic] install step skipped"), "{log}");
    assert_eq!((build.status.as_str(), build.jobs[0].return_code), ("failure", Some(101)), "{log}");
    assert!(log.contains("test mars_has_moons ... FAILED"), "{log}");
    world.end(server).await;
    remove_cached_images(&world.instance().await).await;
}
