//! The Debian package, installed on a Debian of its own, and its units.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{BASE, Checkout, docker, put_program, shown};

/// Somebody writes a setting.
const EDITOR: &str = r#"#!/bin/sh
[ "$*" = /etc/kozmic/kozmic.toml ] && echo 'admins = "ada"' >>"$1"
"#;

/// A container has no systemd: it starts what the package has a unit of.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$#" = 2 ] && [ "$1" = start ] && [ -f "/lib/systemd/system/$2.service" ] &&
  echo "Started $2.service" >>/var/log/started
"#;

const JOURNALCTL: &str = r#"#!/bin/sh
[ "$#" = 3 ] && [ "$1 $3" = '--unit --follow' ] && grep "$2.service" /var/log/started
"#;

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/debian").join(path)
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

fn built(folder: &Path) -> PathBuf {
    let mut build = Command::new(packaging("build"));
    let path = done(build.arg(env!("CARGO_BIN_EXE_kozmic")).arg(folder));
    PathBuf::from(path.trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_is_installed_upgraded_and_purged() {
    let debian = docker(&["run", "--detach", "--user", "root", BASE, "sleep", "infinity"]).await;
    let debian = debian.trim();
    let run = async |script: &str| docker(&["exec", debian, "sh", "-ec", script]).await;
    let clone = Checkout::new().await;
    for (name, text) in [("editor", EDITOR), ("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)] {
        put_program(&clone.path().join(name), text);
    }
    docker(&["cp", clone.path().to_str().unwrap(), &format!("{debian}:/kozmic")]).await;
    run("install -D /kozmic/editor /kozmic/systemctl /kozmic/journalctl /usr/local/bin").await;
    run("mkdir -p /kozmic/target/release").await;
    let release = format!("{debian}:/kozmic/target/release/kozmic");
    docker(&["cp", env!("CARGO_BIN_EXE_kozmic"), &release]).await;
    // The image has one of that name for scripts.
    run("userdel --remove kozmic").await;
    // What it depends on is there; nothing is fetched.
    let install = shown("package::install");
    let shell = ["exec", "--workdir", "/kozmic", debian, "bash", "-euo", "pipefail", "-c"];
    let said = docker(&[&shell[..], &[&install]].concat()).await;
    assert!(said.contains("sudo systemctl start kozmic"), "{said}");
    assert!(said.ends_with("Started kozmic.service\n"), "{said}");
    let owners = run(
        "stat --format '%U:%G %a %n' /etc/kozmic/kozmic.toml /etc/kozmic/secrets.env /usr/bin/kozmic",
    )
    .await;
    assert_eq!(
        owners,
        "root:kozmic 640 /etc/kozmic/kozmic.toml\nroot:root 600 /etc/kozmic/secrets.env\n\
         root:root 755 /usr/bin/kozmic\n"
    );
    run("bash -ec '. /usr/share/bash-completion/completions/kozmic; complete -p kozmic'").await;
    run("test -f /usr/share/man/man1/kozmic-serve.1.gz").await;
    // As the service would: it reads its settings and makes its database.
    run("install --directory --owner=kozmic --mode=0700 /var/lib/kozmic").await;
    run("su kozmic -s /bin/sh -c 'kozmic migrate --config /etc/kozmic/kozmic.toml'").await;
    run("test -f /var/lib/kozmic/kozmic.db").await;
    run("dpkg --install /kozmic/target/*.deb").await;
    let config = "su kozmic -s /bin/sh -c 'kozmic config --config /etc/kozmic/kozmic.toml --json'";
    let settings = run(config).await;
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    let admins = settings.as_array().unwrap().iter().find(|it| it["name"] == "KOZMIC_ADMINS");
    assert_eq!(admins.unwrap()["value"], "ada", "an upgrade keeps what was written");
    run("dpkg --remove kozmic; test -f /var/lib/kozmic/kozmic.db").await;
    run("dpkg --purge kozmic; ! test -e /var/lib/kozmic; ! test -e /etc/kozmic").await;
    run("! getent passwd kozmic; ! test -e /usr/bin/kozmic").await;
    docker(&["rm", "--force", debian]).await;
}

#[test]
fn the_same_program_makes_the_same_package_with_the_list_of_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("kozmic");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kozmic"), &program).unwrap();
    std::fs::write(folder.path().join("kozmic.cdx.json"), "{}").unwrap();
    // Files of the second one are seconds younger.
    let [first, second] = ["first", "second"].map(|name| {
        let mut build = Command::new(packaging("build"));
        let build = build.arg(&program).arg(folder.path().join(name));
        let path = done(build.env("SOURCE_DATE_EPOCH", "1700000000"));
        PathBuf::from(path.trim())
    });
    let told = |what: &str, package: &Path| done(Command::new("dpkg-deb").arg(what).arg(package));
    for what in ["--info", "--contents"] {
        assert_eq!(told(what, &first), told(what, &second));
    }
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "{first:?}");
    let files = told("--contents", &first);
    assert!(files.contains(" ./usr/share/doc/kozmic/kozmic.cdx.json\n"), "{files}");
    // What a disk takes for them would differ from one disk to another (deb-substvars(5)).
    let sizes = files.lines().map(|line| match line.split_whitespace().nth(2) {
        Some(bytes) if line.starts_with('-') => bytes.parse::<u64>().unwrap().div_ceil(1024),
        _ => 1,
    });
    let told = done(Command::new("dpkg-deb").arg("--field").arg(&first).arg("Installed-Size"));
    assert_eq!(told.trim().parse(), Ok(sizes.sum::<u64>()), "{files}");
}

#[test]
fn the_units_are_such_that_systemd_takes_and_give_away_little() {
    let folder = tempfile::tempdir().unwrap();
    let package = built(folder.path());
    let root = folder.path().join("root");
    done(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root));
    for name in ["kozmic.service", "kozmic-web@.service", "kozmic-worker@.service"] {
        let unit = root.join("lib/systemd/system").join(name);
        let text = std::fs::read_to_string(&unit).unwrap();
        // The program is found where this package was unpacked.
        let text = text.replace("/usr/bin/kozmic", root.join("usr/bin/kozmic").to_str().unwrap());
        std::fs::write(&unit, text).unwrap();
        // A template is looked at as one of its units.
        let unit = unit.with_file_name(name.replace('@', "@8081"));
        let mut verify = Command::new("systemd-analyze");
        let said = done(verify.args(["verify", "--man=no"]).arg(&unit));
        assert!(!said.contains("kozmic"), "{said}");
        // 100 is a service without any bound (systemd-analyze(1)).
        let mut security = Command::new("systemd-analyze");
        done(security.args(["security", "--offline=true", "--threshold=20"]).arg(&unit));
    }
}
