//! What pages have an operator build, install and compare, in a clone of the repository.

use std::path::Path;

use crate::harness::{Checkout, OTHER_ROLE, Postgres, as_here, shown};

/// The paths in a Debian package.
async fn files_of(at: &Checkout, package: &str) -> String {
    at.carry_out(&format!("dpkg-deb --contents {package}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_installed_and_packed() {
    let at = Checkout::new().await;
    let bin = at.path().join("usr/local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let place = format!("{}/", bin.display());
    let install = as_here(&shown("installed::program"), &[("/usr/local/bin/", &place)]);
    at.carry_out(&install).await;
    let version = at.carry_out(&format!("{place}kozmic --version")).await;
    let version = version.trim().strip_prefix("kozmic ").unwrap();

    let printed = at.carry_out(&shown("installed::package")).await;
    let architecture = at.carry_out("dpkg --print-architecture").await;
    let package = format!("target/kozmic_{version}_{}.deb", architecture.trim());
    assert_eq!(printed.trim(), package);
    assert!(!files_of(&at, &package).await.contains("kozmic.cdx.json"));
    at.carry_out(&shown("installed::sbom")).await;
    assert!(files_of(&at, &package).await.contains("/doc/kozmic/kozmic.cdx.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_made_and_made_again() {
    let at = Checkout::new().await;
    at.carry_out(&shown("installed::release")).await;
    at.carry_out("cd target/dist && sha256sum --check --strict SHA256SUMS").await;
    let made = at.carry_out("cut -d' ' -f3- target/dist/SHA256SUMS").await;
    let made: Vec<&str> = made.lines().collect();
    assert_eq!(made[..2], ["kozmic", "kozmic.cdx.json"]);
    assert!(made.len() == 3 && Path::new(made[2]).extension().is_some_and(|it| it == "deb"));
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_have_the_names_that_pages_say() {
    let at = Checkout::new().await;
    at.carry_out(&shown("installed::git_lfs")).await;
    let postgres = Postgres::start().await;
    let parts = as_here(&shown("installed::parts"), &OTHER_ROLE);
    at.carry_out_at(&postgres, &parts, "sesame").await;
    let owner = "psql -At -c \"SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding) \
                 FROM pg_database WHERE datname = 'orbit'\" postgres";
    assert_eq!(at.carry_out_at(&postgres, owner, "").await, "orbit|UTF8\n");
}
