//! A hook's variants: the same scripts, each time with other variables.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, parse_own_variable};

/// One job's worth of a hook, written `NAME: A=1 B="two words"`; the variables may be
/// left out, as a script can ask for the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Unique within the hook; part of the job's title.
    pub name: String,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl Variant {
    /// The variable that tells a script which variant it runs for.
    pub const NAMED_BY: &str = "KOZMIC_JOB_VARIANT";

    /// Most variants of one hook.
    pub const LIMIT: usize = 50;

    /// The title of its job.
    pub fn title(&self, hook: &str) -> String {
        format!("{hook} ({})", self.name)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.env.is_empty() {
            f.write_str(":")?;
        }
        for (name, value) in &self.env {
            let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\');
            if value.chars().all(is_plain) {
                write!(f, " {name}={value}")?;
            } else {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                write!(f, " {name}=\"{value}\"")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Variant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, variables) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 50 || text.chars().any(char::is_control) {
            return Err(Invalid::new(
                "write it as NAME: VARIABLE=value …, with a name of 1 to 50 characters, on one line",
            ));
        }
        if name.contains('=') {
            return Err(Invalid::new(format!(
                "write it as NAME: {name}; the name comes first, with a colon after it"
            )));
        }
        let mut env = BTreeMap::new();
        for word in words(variables)? {
            let (variable, value) = parse_own_variable(&word)?;
            if env.insert(variable.clone(), value).is_some() {
                return Err(Invalid::new(format!("the variable {variable} is given twice")));
            }
        }
        Ok(Self { name: name.to_owned(), env })
    }
}

/// The words of a line. Double quotes keep blanks in a word; within them, a backslash
/// stands before a quote or another backslash.
fn words(text: &str) -> Result<Vec<String>, Invalid> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => match characters.next() {
                Some(escaped @ ('"' | '\\')) => word.get_or_insert_default().push(escaped),
                _ => return Err(Invalid::new("after a backslash in quotes comes \" or \\")),
            },
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if is_quoted {
        return Err(Invalid::new("a quote is opened and not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(text: &str) -> Variant {
        text.parse().unwrap()
    }

    #[test]
    fn variables_follow_the_name() {
        let read = variant(r#" py3.11 : PYTHON=3.11 FLAGS="-v --name=\"a b\" \\" EMPTY= "#);
        assert_eq!(read.name, "py3.11");
        let pairs: Vec<_> = read.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let flags = r#"-v --name="a b" \"#;
        assert_eq!(pairs, [("EMPTY", ""), ("FLAGS", flags), ("PYTHON", "3.11")]);
        assert_eq!(read.title("Tests"), "Tests (py3.11)");
        assert!(variant("fast").env.is_empty());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["a", "a b: X=1", r#"x: A="b c" B="\\" C="\"" D="tr ue" E=a=b"#, "ü: A="] {
            let once = variant(text);
            assert_eq!(variant(&once.to_string()), once, "{text}");
        }
    }

    #[test]
    fn mistakes_are_refused() {
        for wrong in [
            "",
            ":",
            ": A=1",
            "A=1",
            "a: B",
            "a: B=\"c",
            "a: B=\"\\n\"",
            "a: CI=1",
            "a: A=1 A=2",
            "a\nb",
        ] {
            assert!(wrong.parse::<Variant>().is_err(), "{wrong:?} must be refused");
        }
    }
}
