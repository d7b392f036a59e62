//! A clone of this repository in which pages' commands are carried out, as far as they leave the
//! machine as it is. What would change it, or takes too long, is stood in for by a program that
//! takes the words of the pages and no others.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Postgres;
use super::shown::{path, put_program, shell, succeeded};

/// What stands on pages, and what a PostgreSQL is asked for whose administrator is `kozmic`.
pub const OTHER_ROLE: [(&str, &str); 2] =
    [("createuser kozmic ", "createuser orbit "), ("kozmic --owner kozmic", "orbit --owner orbit")];

/// Who runs it changes nothing of the machine, so root is not needed.
const SUDO: &str = r#"#!/bin/sh
if [ "$1" = -u ]; then [ "$2" = postgres ] || exit 64; shift 2; fi
exec "$@"
"#;

/// A release takes minutes to compile, and the program that is tested takes its place. What only
/// reads is Cargo's own.
const CARGO: &str = r#"#!/bin/sh
set -eu
case "$*" in
  'build --release --locked --package kozmic' | 'build --profile release --package kozmic --locked')
    'CARGO' pkgid --quiet --locked --package kozmic >/dev/null
    mkdir -p "${CARGO_TARGET_DIR:-target}/release"
    cp 'PROGRAM' "${CARGO_TARGET_DIR:-target}/release/kozmic" ;;
  'install --locked cargo-cyclonedx@'[0-9]*' --root target/tools')
    mkdir -p target/tools/bin
    cp "$(dirname "$0")/cargo-cyclonedx" target/tools/bin ;;
  tree\ *) exec 'CARGO' "$@" ;;
  *) echo "cargo $*: no page says so" >&2; exit 64 ;;
esac
"#;

/// Nearly all the time of a package goes into making it small.
const DPKG_DEB: &str = r#"#!/bin/sh
if [ "$1 $2 $3" = '--root-owner-group -Zxz -z2' ]; then
  shift 3
  set -- --root-owner-group -Znone "$@"
fi
exec /usr/bin/dpkg-deb "$@"
"#;

/// As the real one it lists the crates beside Cargo.toml, but tells only names and versions.
const CYCLONEDX: &str = r#"#!/bin/sh
set -eu
case "$*" in
  'cyclonedx --quiet --manifest-path crates/kozmic/Cargo.toml --format json '*) ;;
  *) exit 64 ;;
esac
cargo tree --locked --package kozmic --edges normal --prefix none --format '{p}' | sort -u |
  awk '{ sub("^v", "", $2); one = "{\"type\": \"library\", \"name\": \"" $1 "\", \"version\": \"" $2 \
           "\", \"bom-ref\": \"" $1 "@" $2 "\"}"
         if ($1 == "kozmic") program = one; else all = all ", " one }
       END { print "{\"metadata\": {\"component\": " program "}, \"dependencies\": [],"
             print " \"components\": [" substr(all, 3) "]}" }' >crates/kozmic/kozmic.cdx.json
"#;

/// Removed when it is dropped.
pub struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    /// All files that git has or would take, committed.
    pub async fn new() -> Self {
        let checkout = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["bin", "kozmic"] {
            std::fs::create_dir(checkout.folder.path().join(name)).unwrap();
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let copy = "git ls-files -z --cached --others --exclude-standard |
            tar -c --null --files-from=- --ignore-failed-read | tar -x -C \"$TO\"
            cd \"$TO\"; git init -q; git add --all
            git -c user.name=Ada -c user.email=ada@example.org commit -qm Everything";
        let copied = shell(copy).current_dir(repository).env("TO", checkout.path()).output().await;
        succeeded(copied.unwrap());
        let program = CARGO
            .replace("CARGO'", &format!("{}'", env!("CARGO")))
            .replace("PROGRAM", env!("CARGO_BIN_EXE_kozmic"));
        checkout.stands_in("cargo", &program);
        checkout.stands_in("cargo-cyclonedx", CYCLONEDX);
        checkout.stands_in("dpkg-deb", DPKG_DEB);
        checkout.stands_in("sudo", SUDO);
        // apt-get looks all of it up and says what it would do (apt.conf(5)).
        let simulate = "APT::Get::Simulate \"true\";\n";
        std::fs::write(checkout.folder.path().join("apt.conf"), simulate).unwrap();
        checkout
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("kozmic")
    }

    /// A program in place of one of the machine's.
    pub fn stands_in(&self, name: &str, text: &str) {
        put_program(&self.folder.path().join("bin").join(name), text);
    }

    pub fn shell(&self, text: &str) -> Command {
        let mut command = shell(text);
        command.current_dir(self.path()).env_remove("CARGO_TARGET_DIR");
        command.env("APT_CONFIG", self.folder.path().join("apt.conf"));
        let bin = self.folder.path().join("bin");
        command.env("PATH", format!("{}:{}", bin.display(), path()));
        command
    }

    /// What a block that succeeds printed.
    pub async fn carry_out(&self, text: &str) -> String {
        succeeded(self.shell(text).output().await.unwrap())
    }

    /// The same of one that makes roles and databases, where this PostgreSQL is the usual one.
    /// Without a terminal a new password is asked for, twice, on standard input.
    pub async fn carry_out_at(&self, postgres: &Postgres, text: &str, password: &str) -> String {
        let mut command = self.shell("exec setsid --wait bash -euo pipefail -c \"$TEXT\"");
        command.env("TEXT", text).envs(postgres.environment());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let twice = format!("{password}\n{password}\n");
        child.stdin.take().unwrap().write_all(twice.as_bytes()).await.unwrap();
        succeeded(child.wait_with_output().await.unwrap())
    }
}
