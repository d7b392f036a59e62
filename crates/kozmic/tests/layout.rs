//! The map is checked: which room imports which, how large files may grow, and
//! that only the rooms named for it know SQL, the engine or GitHub.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every room with the rooms it may import. Order: from the top floor down.
const MAP: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "web",
            "upkeep",
            "backup",
            "intake",
            "worker",
            "report",
            "schedule",
            "engine",
            "source",
            "log",
            "report_files",
            "github",
            "store",
            "terminal",
            "trees",
            "objects",
            "rates",
            "relay",
            "model",
            "config",
            "seal",
            "shutdown",
            "telemetry",
        ],
    ),
    (
        "web",
        &[
            "upkeep",
            "intake",
            "log",
            "github",
            "store",
            "terminal",
            "trees",
            "objects",
            "rates",
            "model",
            "config",
            "seal",
            "shutdown",
            "telemetry",
        ],
    ),
    ("upkeep", &["intake", "github", "store", "model", "config", "seal", "shutdown"]),
    ("intake", &["github", "store", "model", "config", "seal", "shutdown"]),
    (
        "worker",
        &[
            "engine",
            "source",
            "log",
            "report_files",
            "store",
            "terminal",
            "trees",
            "objects",
            "model",
            "config",
            "seal",
            "shutdown",
            "telemetry",
        ],
    ),
    ("report", &["log", "github", "store", "model", "config", "seal", "shutdown", "telemetry"]),
    ("schedule", &["intake", "github", "store", "model", "config", "seal", "shutdown"]),
    ("backup", &["model"]),
    ("engine", &["model", "config", "seal", "shutdown"]),
    ("github", &["model", "config", "seal", "shutdown", "telemetry"]),
    ("log", &["objects", "relay", "model", "config", "seal", "shutdown"]),
    ("report_files", &["objects", "model", "config", "seal", "shutdown"]),
    ("source", &["model", "config", "seal", "shutdown"]),
    ("store", &["model", "config", "seal", "shutdown", "telemetry"]),
    ("terminal", &["relay", "model", "shutdown"]),
    ("trees", &["objects", "model"]),
    ("rates", &["relay", "model"]),
    ("objects", &["config", "model"]),
    ("telemetry", &["config", "model"]),
    ("relay", &["model", "shutdown"]),
    ("config", &["model"]),
    ("model", &[]),
    ("seal", &["model"]),
    ("shutdown", &["model"]),
];

/// Crates that belong to one room, or to these rooms.
const OWNED: &[(&str, &str)] = &[
    ("bollard", "engine"),
    ("croner", "model"),
    ("sqlx", "store"),
    ("reqwest", "github engine report telemetry cli"),
    ("axum", "web"),
    ("cookie", "web"),
    ("hyper", "web"),
    ("hyper_util", "web"),
    ("vte", "log"),
    ("ssh_key", "github model"),
    ("askama", "web report"),
    ("lettre", "report"),
    ("metrics", "telemetry"),
    ("opentelemetry", "telemetry"),
    ("sentry", "telemetry"),
    ("quick_xml", "report_files"),
    ("walkdir", "worker"),
    ("rustix", "worker cli"),
    ("object_store", "objects"),
    ("redis", "relay"),
    ("zstd", "log trees backup"),
    ("tokio_tungstenite", "cli"),
];

/// Lines of a file, its tests included, beyond which it has two subjects.
const LINES: usize = 450;

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `src/web/hook.rs` is in the room `web`, `src/seal.rs` in `seal`.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The code without its comments, each line with its number.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

/// The names that directly follow `crate::` in a line.
fn rooms_named(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .filter(|(at, _)| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .flat_map(|(at, found)| {
            let rest = &line[at + found.len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => group.split(',').collect::<Vec<_>>(),
                None => vec![rest],
            };
            names.into_iter().map(|name| {
                name.trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect::<String>()
            })
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for path in source_files(&root()) {
        let room = room_of(&path);
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let (_, allowed) = MAP.iter().find(|(name, _)| *name == room).unwrap_or_else(|| {
            panic!(
                "{} is in no room of the map; add the room to the map and to ARCHITECTURE.md",
                path.display()
            )
        });
        for (number, line) in code(&path) {
            for named in rooms_named(&line) {
                if named != room && !allowed.contains(&named.as_str()) {
                    wrong.push(format!(
                        "{}:{number}: {room} must not import {named}",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crate_belongs_to_its_room() {
    let mut wrong = Vec::new();
    for path in source_files(&root()) {
        let room = room_of(&path);
        for (number, line) in code(&path) {
            for (owned, owner) in OWNED {
                let used =
                    line.contains(&format!("{owned}::")) || line.contains(&format!("use {owned};"));
                if used && !owner.split(' ').any(|owner| owner == room) {
                    wrong.push(format!("{}:{number}: {owned} belongs to {owner}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_is_on_the_map_and_exists() {
    let found: BTreeSet<String> = source_files(&root())
        .iter()
        .map(|path| room_of(path))
        .filter(|room| room != "lib" && room != "main")
        .collect();
    let mapped: BTreeSet<String> = MAP.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(found, mapped);
    let lib = std::fs::read_to_string(root().join("lib.rs")).unwrap();
    for room in mapped {
        assert!(lib.contains(&format!("pub mod {room};")), "lib.rs does not name {room}");
    }
}

#[test]
fn files_have_one_subject() {
    let long: Vec<String> = source_files(&root())
        .iter()
        .map(|path| (std::fs::read_to_string(path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn the_check_sees_what_it_should() {
    assert_eq!(rooms_named("use crate::store::{Store};"), ["store"]);
    assert_eq!(rooms_named("fn f(x: crate::model::Y) -> crate::seal::Z {"), ["model", "seal"]);
    assert_eq!(rooms_named("use crate::{log, web};"), ["log", "web"]);
    assert_eq!(rooms_named("mycrate::log"), Vec::<String>::new());
}
