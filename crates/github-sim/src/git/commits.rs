//! What git says about commits, parsed from NUL-separated output.

use jiff::Timestamp;

use super::GitError;

/// One commit as `git log` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) tree: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author: Person,
    pub(crate) committer: Person,
    /// Time of the commit with the committer's own offset, as push events show it.
    pub(crate) local_time: String,
    pub(crate) message: String,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) modified: Vec<String>,
}

/// Author or committer; a name in a commit, not necessarily a user.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) at: Timestamp,
}

/// One file of a commit, compared with its first parent.
#[derive(Debug, Clone)]
pub(crate) struct ChangedFile {
    /// The blob after the change, `None` when the file was removed.
    pub(crate) sha: Option<String>,
    pub(crate) path: String,
    /// `added`, `removed` or `modified`.
    pub(crate) status: &'static str,
    pub(crate) additions: u64,
    pub(crate) deletions: u64,
}

const FIELDS: usize = 11;

/// Merges are compared with their first parent and renames shown as both sides, as in push events.
pub(crate) const LOG_OPTIONS: [&str; 5] = [
    "-z",
    "--name-status",
    "--no-renames",
    "--diff-merges=first-parent",
    "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%cI%x00%B%x00",
];

pub(crate) const FILE_OPTIONS: [&str; 5] =
    ["-z", "--raw", "--numstat", "--no-renames", "--abbrev=40"];

/// Reads the output of `git log` with [`LOG_OPTIONS`].
///
/// After the fields of a commit come pairs of a letter and a path; the next commit is told from
/// a pair by its id of 40 digits.
pub(crate) fn parse_log(log: &[u8]) -> Result<Vec<Commit>, GitError> {
    let unexpected = || GitError::Unexpected { command: "log" };
    let mut tokens = log
        .split(|byte| *byte == 0)
        .map(|token| String::from_utf8_lossy(token).into_owned())
        .peekable();
    let mut commits = Vec::new();
    loop {
        while tokens.peek().is_some_and(|token| token.trim().is_empty()) {
            tokens.next();
        }
        if tokens.peek().is_none() {
            return Ok(commits);
        }
        let fields: Vec<String> = tokens.by_ref().take(FIELDS).collect();
        let [sha, tree, parents, an, ae, at, cn, ce, ct, local_time, message] =
            <[String; FIELDS]>::try_from(fields).map_err(|_| unexpected())?;
        let person = |name: String, email: String, at: &str| {
            let seconds = at.parse().map_err(|_| unexpected())?;
            let at = Timestamp::from_second(seconds).map_err(|_| unexpected())?;
            Ok::<_, GitError>(Person { name, email, at })
        };
        let mut commit = Commit {
            sha: sha.trim().to_owned(),
            tree,
            parents: parents.split_whitespace().map(str::to_owned).collect(),
            author: person(an, ae, &at)?,
            committer: person(cn, ce, &ct)?,
            local_time,
            message: message.trim_end_matches('\n').to_owned(),
            added: Vec::new(),
            removed: Vec::new(),
            modified: Vec::new(),
        };
        // Each commit ends with an empty token, then the letters, the first after a line feed.
        while let Some(token) = tokens.peek() {
            let letter = token.trim_start_matches('\n');
            if letter.is_empty() {
                tokens.next();
                continue;
            }
            let list = match letter {
                "A" => &mut commit.added,
                "D" => &mut commit.removed,
                "M" | "T" => &mut commit.modified,
                _ => break,
            };
            tokens.next();
            list.push(tokens.next().ok_or_else(unexpected)?);
        }
        commits.push(commit);
    }
}

/// Reads the output of `git show` or `git diff` with [`FILE_OPTIONS`].
///
/// First come all raw lines (`:modes ids letter`, then the path), then all counts
/// (`added TAB removed TAB path`, `-` for binary files).
pub(crate) fn parse_files(listed: &[u8]) -> Result<Vec<ChangedFile>, GitError> {
    let unexpected = || GitError::Unexpected { command: "diff" };
    let mut files: Vec<ChangedFile> = Vec::new();
    let mut tokens =
        listed.split(|byte| *byte == 0).map(|token| String::from_utf8_lossy(token).into_owned());
    while let Some(token) = tokens.next() {
        let token = token.trim_start_matches('\n');
        if token.is_empty() {
            continue;
        }
        if let Some(raw) = token.strip_prefix(':') {
            let words: Vec<&str> = raw.split(' ').collect();
            let [_, _, _, new, letter] = words[..] else {
                return Err(unexpected());
            };
            let status = match letter {
                "A" => "added",
                "D" => "removed",
                _ => "modified",
            };
            files.push(ChangedFile {
                sha: (status != "removed").then(|| new.to_owned()),
                path: tokens.next().ok_or_else(unexpected)?,
                status,
                additions: 0,
                deletions: 0,
            });
        } else {
            let mut counts = token.splitn(3, '\t');
            let mut count = || counts.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let (additions, deletions) = (count(), count());
            let path = counts.next().ok_or_else(unexpected)?;
            if let Some(file) = files.iter_mut().find(|file| file.path == path) {
                file.additions = additions;
                file.deletions = deletions;
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    #[test]
    fn a_log_of_two_commits_keeps_each_ones_files_and_message() {
        let first = "1".repeat(40);
        let second = "2".repeat(40);
        let fields = |sha: &str, parents: &str, message: &str| {
            format!(
                "{sha}\0tree\0{parents}\0Ann\0a@x\x000\0Bob\0b@x\x0060\x001970-01-01T00:01:00Z\0{message}\0\0"
            )
        };
        let log = format!(
            "{}{}\nA\0a file\0M\0M\0D\0b\0",
            fields(&first, "", "empty\n"),
            fields(&second, &first, "second\n\nbody A\n"),
        );
        let commits = parse_log(log.as_bytes()).unwrap();
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[0].message, "empty");
        assert!(commits[0].parents.is_empty() && commits[0].added.is_empty());
        assert_eq!(commits[1].parents, [first]);
        assert_eq!(commits[1].message, "second\n\nbody A");
        assert_eq!(commits[1].added, ["a file"]);
        assert_eq!(commits[1].modified, ["M"]);
        assert_eq!(commits[1].removed, ["b"]);
        assert_eq!(commits[1].committer.at.as_second(), 60);
    }

    #[test]
    fn an_empty_log_has_no_commits() {
        assert!(parse_log(b"").unwrap().is_empty());
    }
}
