//! What runs a script, as people are told while they write it.

use super::Script;

/// A sentence about a script's first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// It would not run as it was meant.
    pub is_trap: bool,
    pub sentence: String,
}

impl Script {
    /// What runs it, or what is wrong with the line that should say so.
    pub fn remark(&self) -> Remark {
        let trap = |sentence: String| Remark { is_trap: true, sentence };
        let first = self.as_str().lines().next().unwrap_or_default();
        let Some(line) = first.strip_prefix("#!") else {
            let text = self.as_str().trim_start();
            if text.starts_with("#!") {
                return trap(
                    "The shebang is not seen: `#!` must be the first two characters.".into(),
                );
            }
            let sentence = "It has no shebang: the image’s /bin/sh runs it.".into();
            return Remark { is_trap: false, sentence };
        };
        let (interpreter, arguments) = match line.trim().split_once(char::is_whitespace) {
            Some((interpreter, arguments)) => (interpreter, arguments.trim()),
            None => (line.trim(), ""),
        };
        if interpreter.is_empty() {
            return trap("The shebang names no interpreter; write it as #!/bin/bash.".into());
        }
        if !interpreter.starts_with('/') {
            return trap(format!(
                "The shebang needs the whole path of its interpreter, as in #!/bin/bash; \
                 `{interpreter}` is none."
            ));
        }
        if interpreter.ends_with("/env") {
            return match arguments.split_whitespace().next() {
                None => trap(
                    "The shebang names no program after env, as #!/usr/bin/env bash does.".into(),
                ),
                // The system hands over all that follows the interpreter as one argument.
                Some(first) if !first.starts_with('-') && first.len() < arguments.len() => {
                    trap(format!(
                        "env would look for a program that is called `{arguments}`; write \
                         {interpreter} -S {arguments}."
                    ))
                }
                Some(_) => {
                    let program = arguments.strip_prefix("-S").unwrap_or(arguments).trim();
                    let program = program.split_whitespace().next().unwrap_or(program);
                    runs(&format!("The image’s `{program}`, wherever env finds it,"))
                }
            };
        }
        runs(&format!("The image’s {interpreter}"))
    }
}

fn runs(what: &str) -> Remark {
    Remark { is_trap: false, sentence: format!("{what} runs it.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark(text: &str) -> (bool, String) {
        let remark = Script::parse(text).unwrap().remark();
        (remark.is_trap, remark.sentence)
    }

    #[test]
    fn what_runs_a_script_is_told() {
        for (text, says) in [
            ("#!/bin/bash\ntrue", "/bin/bash runs it"),
            ("#! /bin/sh -e\ntrue", "/bin/sh runs it"),
            ("#!/usr/bin/env python3\n", "`python3`, wherever env finds it, runs it"),
            ("#!/usr/bin/env -S node --test\n", "`node`, wherever env finds it, runs it"),
            ("true", "no shebang"),
            // What editors elsewhere leave.
            ("#!/bin/bash\r\ntrue\r\n", "/bin/bash runs it"),
            ("\u{feff}#!/bin/bash\ntrue", "/bin/bash runs it"),
        ] {
            let (is_trap, sentence) = remark(text);
            assert!(!is_trap && sentence.contains(says), "{text:?}: {sentence}");
        }
    }

    #[test]
    fn a_shebang_that_would_not_do_is_told() {
        for (text, says) in [
            ("\n#!/bin/bash\n", "first two characters"),
            (" #!/bin/bash\n", "first two characters"),
            ("#!\ntrue", "names no interpreter"),
            ("#!bash\n", "`bash` is none"),
            ("#!/usr/bin/env\n", "no program after env"),
            ("#!/usr/bin/env bash -e\n", "write /usr/bin/env -S bash -e"),
        ] {
            let (is_trap, sentence) = remark(text);
            assert!(is_trap && sentence.contains(says), "{text:?}: {sentence}");
        }
    }
}
