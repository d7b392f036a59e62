//! docs/what-kozmic-asks-of-github.md names each call that the client makes, and no other.

use std::collections::BTreeSet;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Signing in is no part of the REST API; whose token makes a call is no call, nor is how one
/// is made.
const ELSEWHERE: &[&str] = &["oauth.rs", "tokens.rs", "client.rs"];

/// With `{}` for each parameter; an owner and a name are one.
fn endpoint(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default().replace("{owner}/{repo}", "{name}");
    let parts = path.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    parts.collect::<Vec<_>>().join("{}")
}

/// GitHub's names of the operations, with which docstrings begin, and the endpoints.
fn in_the_code() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut operations, mut endpoints) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(format!("{ROOT}/crates/kozmic/src/github")).unwrap() {
        let path = entry.unwrap().path();
        if ELSEWHERE.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        for line in code.lines() {
            if let Some(doc) = line.trim_start().strip_prefix("/// \"") {
                operations.extend(doc.split_once('"').map(|(name, _)| name.to_owned()));
            }
            let texts = line.split('"').skip(1).step_by(2);
            let is_path = |text: &&str| {
                ["/repos/", "/user", "/orgs/"].iter().any(|start| text.starts_with(start))
            };
            endpoints.extend(texts.filter(is_path).map(endpoint));
        }
    }
    (operations, endpoints)
}

#[test]
fn the_documentation_names_every_call_of_the_client() {
    let page = format!("{ROOT}/docs/what-kozmic-asks-of-github.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut operations, mut endpoints) = (BTreeSet::new(), BTreeSet::new());
    for row in page.lines() {
        let columns: Vec<&str> = row.split(" | ").collect();
        let [operation, request, why] = columns.as_slice() else { continue };
        let Some((_, path)) = request.trim_matches('`').split_once(" /") else { continue };
        operations.insert(operation.trim_start_matches("| ").to_owned());
        endpoints.insert(endpoint(&format!("/{path}")));
        assert!(why.len() > 5, "why? {row}");
    }
    assert!(endpoints.len() > 20, "the code was read: {endpoints:?}");
    assert_eq!((operations, endpoints), in_the_code());
}
