//! What changed: the paths that differ, and the commit of a tag.

use std::collections::BTreeSet;

use serde::Deserialize;
use url::Url;

use super::client::Result;
use super::error::GithubError;
use super::known::KnownRepository;
use crate::model::{Commit, CommitSha, GitRef};

/// "Compare two commits" tells of no more files than these.
const MOST_FILES: usize = 300;
/// Pages of a pull request's files that are read, of a hundred each.
const MOST_PAGES: usize = 3;

#[derive(Deserialize)]
struct File {
    filename: String,
    /// Where it was, when it was moved.
    previous_filename: Option<String>,
}

impl KnownRepository {
    /// "Get a commit": the one that a branch or a tag names, an annotated tag's included.
    pub async fn commit_of_ref(&self, git_ref: &GitRef) -> Result<Commit> {
        let short = git_ref.as_full().trim_start_matches("refs/");
        // One part of the path, as GitHub describes it.
        self.commit_at(&encoded(short).replace('/', "%2F")).await
    }

    /// "Get a commit": the one whose id begins with these digits.
    pub async fn commit_called(&self, digits: &str) -> Result<Commit> {
        self.commit_at(&encoded(digits)).await
    }

    /// "Compare two commits": whether a branch has a commit in its history. GitHub shows
    /// commits of forks in the repository, too, and they are in none.
    pub async fn has_in_history(&self, branch: &str, sha: &CommitSha) -> Result<bool> {
        #[derive(Deserialize)]
        struct Answer {
            status: String,
        }
        let (name, branch) = (&self.name, encoded(branch).replace('/', "%2F"));
        let path = format!("/repos/{name}/compare/{branch}...{sha}?per_page=1");
        match self.once().get::<Answer>(&path).await {
            Ok(answer) => Ok(matches!(answer.status.as_str(), "identical" | "behind")),
            // They have no commit in common.
            Err(GithubError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// "Compare two commits": the paths that `head` changed since it parted from `base`;
    /// none when there are too many to be told. Each is a commit's id or a branch.
    pub async fn changed_between(&self, base: &str, head: &str) -> Result<Option<Vec<String>>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            files: Vec<File>,
        }
        let one_part = |side| encoded(side).replace('/', "%2F");
        let (name, base, head) = (&self.name, one_part(base), one_part(head));
        let path = format!("/repos/{name}/compare/{base}...{head}?per_page=1");
        let answer: Answer = self.once().get(&path).await?;
        Ok((answer.files.len() < MOST_FILES).then(|| paths(answer.files)))
    }

    /// "List pull requests files": none when there are too many to be told.
    pub async fn changed_in_pull_request(&self, number: i64) -> Result<Option<Vec<String>>> {
        let name = &self.name;
        let path = format!("/repos/{name}/pulls/{number}/files");
        let files = self.once().get_pages(&path, MOST_PAGES).await?;
        Ok(files.is_whole.then(|| paths(files.all)))
    }
}

fn paths(files: Vec<File>) -> Vec<String> {
    let both = files.into_iter().flat_map(|file| {
        std::iter::once(file.filename).chain(file.previous_filename).collect::<Vec<_>>()
    });
    both.collect::<BTreeSet<_>>().into_iter().collect()
}

/// As one part of a path, slashes included.
fn encoded(text: &str) -> String {
    let Ok(mut url) = Url::parse("http://x/") else { return text.to_owned() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(text);
    }
    url.path().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_any_character_become_paths() {
        assert_eq!(encoded("release/1#2"), "release%2F1%232");
        assert_eq!(encoded("50%"), "50%25");
        assert_eq!(encoded("ü"), "%C3%BC");
    }

    #[test]
    fn a_moved_file_changes_two_paths() {
        let file: File =
            serde_json::from_str(r#"{"filename": "b", "previous_filename": "a"}"#).unwrap();
        assert_eq!(paths(vec![file]), ["a", "b"]);
    }
}
