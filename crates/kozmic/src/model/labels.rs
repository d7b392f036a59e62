//! What a worker has, and what a hook needs its worker to have.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Words like `gpu` or `arm64`, written with commas between them. Case counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeSet<String>);

impl Labels {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a worker with these may carry out a job that needs `needed`.
    pub fn include(&self, needed: &Self) -> bool {
        needed.0.is_subset(&self.0)
    }

    /// Takes one more; refused when it is there already.
    pub fn add(&mut self, label: &str) -> Result<(), Invalid> {
        let label = parse(label)?;
        if self.0.insert(label.to_owned()) {
            Ok(())
        } else {
            Err(Invalid::new(format!("the label {label} was given before")))
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// `the label gpu`, or `the labels arm64, gpu`.
    pub fn in_words(&self) -> String {
        let plural = if self.0.len() == 1 { "" } else { "s" };
        format!("the label{plural} {}", self.iter().collect::<Vec<_>>().join(", "))
    }
}

fn parse(label: &str) -> Result<&str, Invalid> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if (1..=50).contains(&label.len()) && label.bytes().all(is_fine) {
        Ok(label)
    } else {
        Err(Invalid::new(format!(
            "`{label}` is not a label; it must be 1 to 50 letters, digits, dots, dashes and underscores"
        )))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Labels {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let labels = text.split(',').map(str::trim).filter(|label| !label.is_empty());
        labels.map(|label| parse(label).map(str::to_owned)).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_needs_all_of_them() {
        let labels = |text: &str| text.parse::<Labels>().unwrap();
        assert_eq!(labels(" gpu, arm64,,gpu").to_string(), "arm64,gpu");
        assert!(labels("gpu,arm64").include(&labels("gpu")));
        assert!(labels("gpu").include(&labels("")));
        assert!(!labels("gpu").include(&labels("gpu,arm64")));
        assert!(!labels("gpu").include(&labels("GPU")));
        assert_eq!(labels("gpu").in_words(), "the label gpu");
        assert_eq!(labels("gpu,arm64").in_words(), "the labels arm64, gpu");
        for wrong in ["a b", "ü", "a:b", &"x".repeat(51)] {
            assert!(wrong.parse::<Labels>().is_err(), "{wrong:?}");
        }
        let mut more = labels("gpu");
        assert!(more.add("gpu").is_err() && more.add("").is_err());
        more.add("big").unwrap();
        assert_eq!(more, labels("big,gpu"));
    }
}
