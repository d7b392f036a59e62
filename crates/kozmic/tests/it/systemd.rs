//! What pages have an operator do with units: systemctl(1) and systemd-analyze(1) themselves, on a
//! folder that is a system of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use kozmic::config::Settings;

use crate::harness::{Checkout, as_here, shown, succeeded};

/// No systemd runs in the folder: what is to be started now is only enabled or disabled, and there
/// is nothing to load again.
const SYSTEMCTL: &str = r#"#!/bin/sh
case "$*" in
  daemon-reload) exit 0 ;;
  'enable --now '[a-z]* | 'disable --now '[a-z]*) ;;
  *) echo "systemctl $*: no page says so" >&2; exit 64 ;;
esac
verb=$1
shift 2
exec /usr/bin/systemctl --root='ROOT' "$verb" "$@"
"#;

/// A clone, and in it the folder of a system with these files below `/`.
async fn system(files: &[(PathBuf, &str)]) -> (Checkout, PathBuf) {
    let at = Checkout::new().await;
    let root = at.path().join("system");
    at.stands_in("systemctl", &SYSTEMCTL.replace("ROOT", root.to_str().unwrap()));
    std::fs::create_dir_all(root.join("etc/kozmic")).unwrap();
    for (from, to) in files {
        let to = root.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    (at, root)
}

/// The units that are started with the system, or by a timer.
fn enabled(root: &Path) -> Vec<String> {
    let mut enabled = Vec::new();
    for wants in ["multi-user.target.wants", "timers.target.wants"] {
        let Ok(links) = std::fs::read_dir(root.join("etc/systemd/system").join(wants)) else {
            continue;
        };
        enabled.extend(links.map(|link| link.unwrap().file_name().into_string().unwrap()));
    }
    enabled.sort();
    enabled
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_of_backups_is_one_that_systemd_starts() {
    let folder = tempfile::tempdir().unwrap();
    let (service, timer) = (shown("systemd::backup_service"), shown("systemd::backup_timer"));
    let program = [("/usr/bin/kozmic", env!("CARGO_BIN_EXE_kozmic"))];
    let units = [("service", as_here(&service, &program)), ("timer", timer)].map(|(end, text)| {
        let path = folder.path().join(format!("kozmic-backup.{end}"));
        std::fs::write(&path, text).unwrap();
        path
    });
    let verified = Command::new("systemd-analyze").arg("verify").args(&units).output().unwrap();
    // It says what it ignores, and succeeds.
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    succeeded(verified);
    assert!(!said.contains("kozmic-backup"), "{said}");

    let [service, timer] = &units;
    let (at, root) = system(&[
        (service.clone(), "etc/systemd/system/kozmic-backup.service"),
        (timer.clone(), "etc/systemd/system/kozmic-backup.timer"),
    ])
    .await;
    let backups = root.join("srv/backups");
    let user = at.carry_out("id -un").await;
    let values =
        [("-o kozmic ", &*format!("-o {} ", user.trim())), ("/srv/backups", text(&backups))];
    at.carry_out(&as_here(&shown("systemd::backups"), &values)).await;
    let mode = std::os::unix::fs::MetadataExt::mode(&backups.metadata().unwrap());
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(enabled(&root), ["kozmic-backup.timer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_of_several_is_enabled_in_place_of_the_whole_server() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/debian");
    let (at, root) = system(&[
        (packaging.join("kozmic.service"), "lib/systemd/system/kozmic.service"),
        (packaging.join("kozmic-web@.service"), "lib/systemd/system/kozmic-web@.service"),
        (packaging.join("kozmic-worker@.service"), "lib/systemd/system/kozmic-worker@.service"),
    ])
    .await;
    // As the package does it.
    at.carry_out("systemctl enable --now kozmic").await;
    assert_eq!(enabled(&root), ["kozmic.service"]);
    at.carry_out(&shown("systemd::not_all")).await;
    assert!(enabled(&root).is_empty());
    at.carry_out(&shown("systemd::web")).await;
    let webs = ["kozmic-web@8081.service", "kozmic-web@8082.service"];
    assert_eq!(enabled(&root), webs);
    let etc = root.join("etc");
    at.carry_out(&as_here(&shown("systemd::worker"), &[("/etc/", &format!("{}/", text(&etc)))]))
        .await;
    assert_eq!(enabled(&root), [&webs[..], &["kozmic-worker@main.service"]].concat());
    // The unit of that name reads the file that was written, which has a setting.
    let unit = std::fs::read_to_string(packaging.join("kozmic-worker@.service")).unwrap();
    assert!(unit.contains("\nEnvironmentFile=-/etc/kozmic/worker-%i.env\n"), "{unit}");
    let written = std::fs::read_to_string(etc.join("kozmic/worker-main.env")).unwrap();
    let (name, value) = written.trim().split_once('=').unwrap();
    let settings = Settings::from_parts(&[(name.into(), value.into())], None).unwrap();
    assert_eq!(settings.worker_labels.to_string(), "gpu");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
