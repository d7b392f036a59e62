//! What a hook wants to run for: events, branches, tags and changed paths.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::Invalid;

/// Something at GitHub that a hook may run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// A push to a branch.
    Push,
    PullRequest,
    /// A tag was pushed.
    Tag,
    /// A release was published.
    Release,
    /// Nothing at GitHub: the clock, or a person.
    Manual,
}

impl HookEvent {
    const ALL: [Self; 5] = [Self::Push, Self::PullRequest, Self::Tag, Self::Release, Self::Manual];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
            Self::Tag => "tag",
            Self::Release => "release",
            Self::Manual => "manual",
        }
    }

    fn has_branch(self) -> bool {
        matches!(self, Self::Push | Self::PullRequest)
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HookEvent {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str() == text)
            .ok_or_else(|| Invalid::new("write push, pull_request, tag, release or manual"))
    }
}

/// What happened, as far as hooks choose by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub event: HookEvent,
    /// The branch that was pushed, or that a pull request would be merged into; the
    /// name of the tag.
    pub name: String,
    /// All that differs; none when it is not known, and then every path is wanted.
    pub paths: Option<Vec<String>>,
}

/// A hook's wishes. Of each kind of patterns the last that matches decides, `!` before
/// it means "not"; no patterns: everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Empty: pushes to branches, and pull requests.
    pub events: BTreeSet<HookEvent>,
    pub branches: Vec<String>,
    pub tags: Vec<String>,
    pub paths: Vec<String>,
}

impl Wanted {
    /// The names under which people write wishes, in a hook's file.
    pub const NAMES: [&str; 4] = ["event", "branch", "tag", "path"];

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn wants_event(&self, event: HookEvent) -> bool {
        if self.events.is_empty() { event.has_branch() } else { self.events.contains(&event) }
    }

    /// The webhook events that GitHub must deliver for it ("Webhook events and payloads").
    /// A webhook has one at the least: what runs by hand only is told of pushes.
    pub fn webhook_events(&self) -> Vec<&'static str> {
        let wants = |event| self.wants_event(event);
        [
            ("push", wants(HookEvent::Push) || wants(HookEvent::Tag) || self.is_manual_only()),
            ("pull_request", wants(HookEvent::PullRequest)),
            ("release", wants(HookEvent::Release)),
        ]
        .into_iter()
        .filter_map(|(event, is_wanted)| is_wanted.then_some(event))
        .collect()
    }

    /// Whether nothing at GitHub makes it run.
    pub fn is_manual_only(&self) -> bool {
        self.events.len() == 1 && self.events.contains(&HookEvent::Manual)
    }

    /// Whether the changed paths decide about this change.
    pub fn depends_on_paths(&self, change: &Change) -> bool {
        let without = Change { paths: None, ..change.clone() };
        change.event.has_branch() && !self.paths.is_empty() && self.why_not(&without).is_none()
    }

    /// Why a hook with these wishes does not run for a change; none when it does.
    pub fn why_not(&self, change: &Change) -> Option<String> {
        let event = change.event;
        if !self.wants_event(event) {
            if self.is_manual_only() {
                return Some("runs by hand or by the clock only".into());
            }
            let wanted = HookEvent::ALL.into_iter().filter(|event| self.wants_event(*event));
            let wanted: Vec<&str> = wanted.map(HookEvent::as_str).collect();
            return Some(format!("runs for {} and not for {event}", wanted.join(", ")));
        }
        let (patterns, what) = match event {
            HookEvent::Push => (&self.branches, "branch"),
            HookEvent::PullRequest => (&self.branches, "pull request's base"),
            HookEvent::Tag | HookEvent::Release => (&self.tags, "tag"),
            // What is asked for by its title is wanted.
            HookEvent::Manual => return None,
        };
        if !selects(patterns, &change.name) {
            return Some(format!("the {what} {} is none of {}", change.name, patterns.join(", ")));
        }
        match &change.paths {
            Some(paths)
                if event.has_branch()
                    && !self.paths.is_empty()
                    && !paths.iter().any(|path| selects(&self.paths, path)) =>
            {
                Some(format!("changed none of {}", self.paths.join(", ")))
            }
            _ => None,
        }
    }

    /// Takes one wish as a person writes it; each may be given many times.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        if name == "event" {
            self.events.insert(value.parse()?);
            return Ok(());
        }
        let patterns = match name {
            "branch" => &mut self.branches,
            "tag" => &mut self.tags,
            _ => &mut self.paths,
        };
        check_pattern(value)?;
        patterns.push(value.to_owned());
        Ok(())
    }

    /// Refuses patterns that could never decide anything.
    pub fn check(&self) -> Result<(), Invalid> {
        let wants = |event| self.wants_event(event);
        if !self.tags.is_empty() && !wants(HookEvent::Tag) && !wants(HookEvent::Release) {
            return Err(Invalid::new(
                "`tag` needs `event = tag` or `event = release`, or nothing is ever run for it",
            ));
        }
        let has_branches = wants(HookEvent::Push) || wants(HookEvent::PullRequest);
        let chooses_by_branch = !self.branches.is_empty() || !self.paths.is_empty();
        if chooses_by_branch && !has_branches {
            return Err(Invalid::new(
                "`branch` and `path` need `event = push` or `event = pull_request`",
            ));
        }
        Ok(())
    }

    /// The wishes that are given, as [`Wanted::set`] takes them.
    pub(super) fn written(&self) -> Vec<(&'static str, String)> {
        let events = self.events.iter().map(|event| ("event", event.to_string()));
        let patterns =
            [("branch", &self.branches), ("tag", &self.tags), ("path", &self.paths)].into_iter();
        let patterns = patterns
            .flat_map(|(name, patterns)| patterns.iter().map(move |text| (name, text.clone())));
        events.chain(patterns).collect()
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    // A single `*` stays within one part of a path or name.
    let glob = GlobBuilder::new(pattern).literal_separator(true).build()?;
    Ok(glob.compile_matcher())
}

fn check_pattern(text: &str) -> Result<(), Invalid> {
    let pattern = text.strip_prefix('!').unwrap_or(text);
    if pattern.is_empty() || pattern.len() > 255 || pattern.chars().any(char::is_control) {
        return Err(Invalid::new("a pattern must have 1 to 255 characters on one line"));
    }
    if pattern.starts_with('/') || pattern.starts_with("./") || pattern.ends_with('/') {
        return Err(Invalid::new(format!(
            "`{pattern}` matches nothing: write a folder as `docs/**`, from the repository's root"
        )));
    }
    matcher(pattern)
        .map(drop)
        .map_err(|error| Invalid::new(format!("`{pattern}` is no pattern: {}", error.kind())))
}

/// Whether the patterns choose a text. The last one that matches decides; before the
/// first, all is chosen if that one excludes.
fn selects(patterns: &[String], text: &str) -> bool {
    let mut selected = patterns.first().is_none_or(|first| first.starts_with('!'));
    for pattern in patterns {
        let (pattern, is_chosen) = match pattern.strip_prefix('!') {
            Some(rest) => (rest, false),
            None => (pattern.as_str(), true),
        };
        if matcher(pattern).is_ok_and(|matcher| matcher.is_match(text)) {
            selected = is_chosen;
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(given: &[(&str, &str)]) -> Wanted {
        let mut wanted = Wanted::default();
        for (name, value) in given {
            wanted.set(name, value).unwrap();
        }
        wanted.check().unwrap();
        wanted
    }

    fn change(event: HookEvent, name: &str, paths: Option<&[&str]>) -> Change {
        let paths = paths.map(|paths| paths.iter().map(|&path| path.to_owned()).collect());
        Change { event, name: name.into(), paths }
    }

    #[test]
    fn pushes_and_pull_requests_are_wanted_by_default() {
        let wanted = Wanted::default();
        assert_eq!(wanted.webhook_events(), ["push", "pull_request"]);
        for event in [HookEvent::Push, HookEvent::PullRequest] {
            assert_eq!(wanted.why_not(&change(event, "main", Some(&[]))), None);
        }
        assert_eq!(
            wanted.why_not(&change(HookEvent::Tag, "v1", None)).unwrap(),
            "runs for push, pull_request and not for tag"
        );
    }

    #[test]
    fn patterns_mean_what_people_expect() {
        for (patterns, text, expected) in [
            (vec!["main"], "main", true),
            (vec!["main"], "mainline", false),
            (vec!["release/*"], "release/1", true),
            (vec!["release/*"], "release/1/2", false),
            (vec!["release/**"], "release/1/2", true),
            (vec!["docs/**"], "docs/a/b.md", true),
            (vec!["docs/**"], "src/docs/a", false),
            (vec!["**/docs/**"], "src/docs/a", true),
            (vec!["**/*.md"], "README.md", true),
            (vec!["*.md"], "docs/README.md", false),
            (vec!["*.{c,h}"], "orbit.h", true),
            (vec![".github/**"], ".github/x", true),
            (vec!["!docs/**"], "docs/a", false),
            (vec!["!docs/**"], "src/a", true),
            (vec!["src/**", "!src/gen/**"], "src/gen/a", false),
            (vec!["src/**", "!src/gen/**", "src/gen/keep"], "src/gen/keep", true),
            (vec![], "anything", true),
        ] {
            let patterns: Vec<String> = patterns.into_iter().map(str::to_owned).collect();
            assert_eq!(selects(&patterns, text), expected, "{patterns:?} on {text}");
        }
    }

    #[test]
    fn one_changed_path_is_enough_and_an_unknown_one_too() {
        let wanted = wanted(&[("path", "src/**"), ("branch", "main")]);
        let push = |paths| change(HookEvent::Push, "main", paths);
        assert_eq!(wanted.why_not(&push(Some(&["README", "src/a"]))), None);
        assert_eq!(wanted.why_not(&push(None)), None);
        assert_eq!(wanted.why_not(&push(Some(&["README"]))).unwrap(), "changed none of src/**");
        assert!(wanted.depends_on_paths(&push(None)));
        let elsewhere = change(HookEvent::Push, "x", None);
        assert!(!wanted.depends_on_paths(&elsewhere));
        assert_eq!(wanted.why_not(&elsewhere).unwrap(), "the branch x is none of main");
    }

    #[test]
    fn a_tag_has_no_changed_paths() {
        let wanted =
            wanted(&[("event", "tag"), ("event", "push"), ("tag", "v*"), ("path", "src/**")]);
        assert_eq!(wanted.why_not(&change(HookEvent::Tag, "v1", Some(&[]))), None);
        assert_eq!(
            wanted.why_not(&change(HookEvent::Tag, "x", None)).unwrap(),
            "the tag x is none of v*"
        );
        assert_eq!(wanted.webhook_events(), ["push"]);
    }

    #[test]
    fn wishes_that_could_not_come_true_are_refused() {
        for (name, value) in [
            ("event", "merge"),
            ("branch", ""),
            ("branch", "!"),
            ("path", "/docs"),
            ("path", "docs/"),
            ("path", "[z"),
        ] {
            assert!(Wanted::default().set(name, value).is_err(), "{name} = {value}");
        }
        let tags = Wanted { tags: vec!["v*".into()], ..Wanted::default() };
        assert!(tags.check().is_err());
        let only = BTreeSet::from([HookEvent::Tag]);
        let paths = Wanted { events: only, paths: vec!["a".into()], ..Wanted::default() };
        assert!(paths.check().is_err());
    }
}
