//! The git objects of tracked paths at the checked-out commit.

use super::git::Git;
use super::{Checkout, Result, SourceError};
use crate::model::TrackedPath;

impl Checkout {
    /// Each path with the id of its object, of a file or a folder; none where the
    /// commit has no such path.
    pub async fn tracked(
        &self,
        paths: &[TrackedPath],
    ) -> Result<Vec<(TrackedPath, Option<String>)>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let listed = Git::in_folder(self.path())
            .args(["ls-tree", "-z", "--full-tree", self.tree()])
            .args(paths.iter().map(TrackedPath::as_str))
            .run()
            .await?
            .map_err(|failed| SourceError::Tracked(failed.problem()))?;
        // `<mode> <type> <object>\t<path>`, each ended by NUL.
        let objects: Vec<(&str, &str)> = listed
            .split_terminator('\0')
            .filter_map(|entry| {
                let (about, path) = entry.split_once('\t')?;
                Some((path, about.rsplit_once(' ')?.1))
            })
            .collect();
        let object_of = |path: &TrackedPath| {
            objects
                .iter()
                .find(|(known, _)| *known == path.as_str())
                .map(|(_, object)| (*object).to_owned())
        };
        Ok(paths.iter().map(|path| (path.clone(), object_of(path))).collect())
    }
}
