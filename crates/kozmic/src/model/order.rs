//! What a project's hooks must be to each other: which wait for which.

use std::collections::BTreeMap;

use super::{HookSpec, Invalid};

/// The hooks of a project, in an order in which each comes after those it waits for.
/// Refused when one waits for a hook that is not there, when some wait for each other,
/// or when two would have a job of the same title.
pub fn in_order<'a>(hooks: &[&'a HookSpec]) -> Result<Vec<&'a HookSpec>, Invalid> {
    let mut jobs = BTreeMap::new();
    for hook in hooks {
        for title in hook.job_titles() {
            if let Some(other) = jobs.insert(title.clone(), &hook.title) {
                return Err(Invalid::new(format!(
                    "the hooks `{other}` and `{}` would both have a job with the title `{title}`",
                    hook.title
                )));
            }
        }
    }
    let by_title = hooks.iter().map(|hook| (hook.title.as_str(), *hook)).collect();
    let mut walk = Walk { by_title, path: Vec::new(), done: Vec::new() };
    for hook in hooks {
        walk.visit(hook)?;
    }
    Ok(walk.done)
}

/// Depth first; what is on the path waits for what comes next.
struct Walk<'a> {
    by_title: BTreeMap<&'a str, &'a HookSpec>,
    path: Vec<&'a str>,
    done: Vec<&'a HookSpec>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, hook: &'a HookSpec) -> Result<(), Invalid> {
        if self.done.iter().any(|done| done.title == hook.title) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|title| *title == hook.title) {
            return Err(circle(&self.path[start..]));
        }
        self.path.push(&hook.title);
        for title in &hook.options.after {
            let Some(before) = self.by_title.get(title.as_str()).copied() else {
                return Err(Invalid::new(format!(
                    "`{}` waits for `{title}`, and the project has no hook of that title",
                    hook.title
                )));
            };
            self.visit(before)?;
        }
        self.path.pop();
        self.done.push(hook);
        Ok(())
    }
}

fn circle(titles: &[&str]) -> Invalid {
    if let [one] = titles {
        return Invalid::new(format!("`{one}` waits for itself and could never run"));
    }
    let next = titles.iter().cycle().skip(1);
    let waits = titles.iter().zip(next).map(|(hook, next)| format!("`{hook}` waits for `{next}`"));
    Invalid::new(format!(
        "hooks that wait for each other could never run: {}",
        waits.collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HookOptions, Script};

    fn hook(title: &str, options: &[(&str, &str)]) -> HookSpec {
        let mut given = HookOptions::default();
        for (name, value) in options {
            given.set(name, value).unwrap();
        }
        HookSpec {
            title: title.into(),
            image: "debian:12".parse().unwrap(),
            install_script: None,
            tracked: Vec::new(),
            build_script: Script::parse("x").unwrap(),
            options: given,
        }
    }

    fn order(hooks: &[HookSpec]) -> Result<Vec<String>, String> {
        let hooks: Vec<&HookSpec> = hooks.iter().collect();
        let ordered = in_order(&hooks).map_err(|problem| problem.to_string())?;
        Ok(ordered.into_iter().map(|hook| hook.title.clone()).collect())
    }

    #[test]
    fn each_comes_after_those_it_waits_for() {
        let hooks = [
            hook("Deploy", &[("after", "Package"), ("after", "Tests")]),
            hook("Package", &[("after", "Tests")]),
            hook("Tests", &[]),
        ];
        assert_eq!(order(&hooks).unwrap(), ["Tests", "Package", "Deploy"]);
    }

    #[test]
    fn a_circle_is_told_hook_by_hook() {
        let hooks = [
            hook("Lint", &[("after", "C")]),
            hook("A", &[("after", "B")]),
            hook("B", &[("after", "C")]),
            hook("C", &[("after", "A")]),
        ];
        assert_eq!(
            order(&hooks).unwrap_err(),
            "hooks that wait for each other could never run: `C` waits for `A`, `A` waits for `B`, \
             `B` waits for `C`"
        );
        let problem = order(&[hook("A", &[("after", "A")])]).unwrap_err();
        assert_eq!(problem, "`A` waits for itself and could never run");
    }

    #[test]
    fn what_is_waited_for_is_there() {
        let problem = order(&[hook("Deploy", &[("after", "Testz")])]).unwrap_err();
        assert_eq!(
            problem,
            "`Deploy` waits for `Testz`, and the project has no hook of that title"
        );
    }

    #[test]
    fn no_two_jobs_have_one_title() {
        let matrix = hook("Tests", &[("variant", "a: X=1"), ("variant", "b: X=2")]);
        assert!(order(&[matrix.clone(), hook("Tests (c)", &[])]).is_ok());
        let problem = order(&[matrix, hook("Tests (b)", &[])]).unwrap_err();
        assert_eq!(
            problem,
            "the hooks `Tests` and `Tests (b)` would both have a job with the title `Tests (b)`"
        );
    }
}
