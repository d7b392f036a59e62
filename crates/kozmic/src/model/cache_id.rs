//! What names the cached image of an install step, and why it changed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use aws_lc_rs::digest;

use super::{InstallFrom, Script, TrackedPath};

const BASE_IMAGE: &str = "the base image";
const INSTALL_SCRIPT: &str = "the install script";
const INSTALL_FROM: &str = "the option install-from";

/// Everything an install step depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheInputs {
    base_image: String,
    install_script: String,
    /// By path, each once.
    tracked: Vec<(TrackedPath, Option<String>)>,
    from: InstallFrom,
    /// Of a variant, as far as the install script names them.
    variables: BTreeMap<String, String>,
}

/// 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheId(String);

impl CacheId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CacheInputs {
    /// `base_image` is the image's id; `tracked` has each path with the id of its
    /// git object (a file's or a folder's), none where the commit has no such path.
    pub fn new(
        base_image: &str,
        install: &Script,
        mut tracked: Vec<(TrackedPath, Option<String>)>,
    ) -> Self {
        tracked.sort();
        tracked.dedup();
        Self {
            base_image: base_image.to_owned(),
            install_script: install.as_str().to_owned(),
            tracked,
            from: InstallFrom::Base,
            variables: BTreeMap::new(),
        }
    }

    /// Where the install script starts. An image that grew from older ones is never taken
    /// for one that was made from nothing else than its inputs.
    #[must_use]
    pub fn starting_from(self, from: InstallFrom) -> Self {
        Self { from, ..self }
    }

    /// With what else differs from one variant of a hook to the other.
    #[must_use]
    pub fn with_variables(self, variables: &BTreeMap<String, String>) -> Self {
        Self { variables: variables.clone(), ..self }
    }

    /// The parts by name, each with a text that changes when the part does, and
    /// the SHA-256 over all of them.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut parts = vec![
            (BASE_IMAGE.to_owned(), self.base_image.clone()),
            (INSTALL_SCRIPT.to_owned(), sha256(&self.install_script)),
        ];
        if self.from != InstallFrom::Base {
            parts.push((INSTALL_FROM.to_owned(), self.from.as_str().to_owned()));
        }
        parts.extend(self.tracked.iter().map(|(path, object)| {
            (path.as_str().to_owned(), object.clone().unwrap_or_else(|| "missing".to_owned()))
        }));
        let variables = self.variables.iter();
        parts
            .extend(variables.map(|(name, value)| (format!("the variable {name}"), sha256(value))));
        let mut text = String::new();
        for (name, value) in &parts {
            // Each by its length first, so that no two lists read the same.
            let _ = writeln!(text, "{} {name} {} {value}", name.len(), value.len());
        }
        Fingerprint { id: CacheId(sha256(&text)), parts }
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// A cache id with what went into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub id: CacheId,
    pub parts: Vec<(String, String)>,
}

impl Fingerprint {
    /// How far an image with other inputs is from this one, the nearest first; none where
    /// it can't stand in its place: on another base image, or made in another way.
    pub fn distance(&self, other: &[(String, String)]) -> Option<impl Ord + use<>> {
        let value = |parts: &[(String, String)], name: &str| {
            parts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let is_same = |name| value(&self.parts, name) == value(other, name);
        if !is_same(BASE_IMAGE) || !is_same(INSTALL_FROM) {
            return None;
        }
        let missing = other.iter().filter(|(name, _)| value(&self.parts, name).is_none()).count();
        Some((!is_same(INSTALL_SCRIPT), self.changed_since(other).len() + missing))
    }

    /// The names of the parts that differ from `other`'s, those that only one of
    /// them has included.
    pub fn changed_since(&self, other: &[(String, String)]) -> Vec<&str> {
        let value = |parts: &[(String, String)], name: &str| {
            parts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let changed =
            self.parts.iter().filter(|(name, own)| value(other, name).as_ref() != Some(own));
        changed.map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(image: &str, script: &str, tracked: &[(&str, Option<&str>)]) -> CacheInputs {
        let tracked = tracked
            .iter()
            .map(|(path, object)| (path.parse().unwrap(), object.map(str::to_owned)))
            .collect();
        CacheInputs::new(image, &Script::parse(script).unwrap(), tracked)
    }

    fn id(inputs: &CacheInputs) -> CacheId {
        inputs.fingerprint().id
    }

    #[test]
    fn every_input_counts_and_the_order_does_not() {
        let one = inputs("i", "s", &[("a", Some("1")), ("b", None)]);
        assert_eq!(
            id(&one),
            id(&inputs("i", "s", &[("./b", None), ("a", Some("1")), ("a", Some("1"))]))
        );
        for other in [
            inputs("j", "s", &[("a", Some("1")), ("b", None)]),
            inputs("i", "t", &[("a", Some("1")), ("b", None)]),
            inputs("i", "s", &[("a", Some("2")), ("b", None)]),
            inputs("i", "s", &[("a", Some("1")), ("b", Some("1"))]),
            inputs("i", "s", &[("a", Some("1"))]),
            inputs("i", "s", &[("A", Some("1")), ("b", None)]),
        ] {
            assert_ne!(id(&one), id(&other), "{other:?}");
        }
    }

    #[test]
    fn an_image_that_grew_is_another_one() {
        let clean = inputs("i", "s", &[]);
        assert_ne!(id(&clean), id(&clean.clone().starting_from(InstallFrom::Nearest)));
        assert_eq!(id(&clean), id(&clean.clone().starting_from(InstallFrom::Base)));
    }

    #[test]
    fn the_nearest_has_the_same_script_and_the_most_in_common() {
        let near = |image: &str, script: &str, tracked: &[(&str, Option<&str>)]| {
            inputs(image, script, tracked).starting_from(InstallFrom::Nearest).fingerprint()
        };
        let wanted = near("i", "s", &[("a", Some("1")), ("b", Some("1"))]);
        let distance = |other: &Fingerprint| wanted.distance(&other.parts);
        let one_file = distance(&near("i", "s", &[("a", Some("1")), ("b", Some("2"))]));
        let two_files = distance(&near("i", "s", &[("a", Some("2")), ("b", Some("2"))]));
        let one_more =
            distance(&near("i", "s", &[("a", Some("1")), ("b", Some("2")), ("c", None)]));
        let script = distance(&near("i", "t", &[("a", Some("1")), ("b", Some("1"))]));
        assert!(one_file.is_some() && one_file < two_files && two_files < script);
        assert!(one_file < one_more);
        assert!(distance(&near("j", "s", &[("a", Some("1")), ("b", Some("1"))])).is_none());
        let clean = inputs("i", "s", &[("a", Some("1")), ("b", Some("1"))]).fingerprint();
        assert!(distance(&clean).is_none());
    }

    #[test]
    fn a_variable_counts_only_where_there_is_one() {
        let one = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            inputs("i", "s", &[]).with_variables(&variables.collect()).fingerprint()
        };
        assert_eq!(one(&[]).id, id(&inputs("i", "s", &[])));
        assert_ne!(one(&[("A", "1")]).id, one(&[("A", "2")]).id);
        assert_eq!(one(&[("A", "1")]).changed_since(&one(&[("A", "2")]).parts), ["the variable A"]);
    }

    #[test]
    fn what_changed_is_named() {
        let print = |inputs: CacheInputs| inputs.fingerprint();
        let old = print(inputs("i", "s", &[("a", Some("1")), ("b", None)]));
        let new = print(inputs("i", "t", &[("a", Some("2")), ("b", None)]));
        assert_eq!(new.changed_since(&old.parts), ["the install script", "a"]);
        assert!(old.changed_since(&old.parts).is_empty());
        let more = print(inputs("i", "s", &[("a", Some("1")), ("b", None), ("c", None)]));
        assert_eq!(more.changed_since(&old.parts), ["c"]);
    }
}
