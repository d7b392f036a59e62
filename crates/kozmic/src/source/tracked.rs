//! The git objects of tracked paths at the checked-out commit.

use std::collections::HashMap;
use std::path::Path;

use super::git::Git;
use super::{Checkout, Result, SourceError};
use crate::model::TrackedPath;

impl Checkout {
    /// Each path with the id of its object, of a file or a folder; none where the
    /// commit has no such path. What lies in a submodule is looked up there.
    pub async fn tracked(
        &self,
        paths: &[TrackedPath],
    ) -> Result<Vec<(TrackedPath, Option<String>)>> {
        let mut found = HashMap::new();
        for (place, (folder, tree)) in self.trees().iter().enumerate() {
            let here = paths.iter().filter_map(|path| {
                let (of, below) = self.tree_of(path);
                (of == place).then_some((path, below))
            });
            let here: Vec<_> = here.collect();
            if here.is_empty() {
                continue;
            }
            let listed = Git::in_folder(&self.path().join(folder))
                .args(["ls-tree", "-z", "--full-tree", tree])
                .args(here.iter().map(|(_, below)| below))
                .run()
                .await?
                .map_err(|failed| SourceError::Tracked(failed.problem()))?;
            // `<mode> <type> <object>\t<path>`, each ended by NUL.
            let objects: HashMap<&Path, &str> = listed
                .split_terminator('\0')
                .filter_map(|entry| {
                    let (about, path) = entry.split_once('\t')?;
                    Some((Path::new(path), about.rsplit_once(' ')?.1))
                })
                .collect();
            for (path, below) in here {
                if let Some(object) = objects.get(below) {
                    found.insert(path, (*object).to_owned());
                }
            }
        }
        Ok(paths.iter().map(|path| (path.clone(), found.get(path).cloned())).collect())
    }

    /// In which of the trees a path lies, and where. A submodule lies in the tree that has it.
    fn tree_of<'a>(&self, path: &'a TrackedPath) -> (usize, &'a Path) {
        let path = Path::new(path.as_str());
        let inside =
            |folder: &Path| path.strip_prefix(folder).ok().filter(|it| *it != Path::new(""));
        let trees = self.trees().iter().enumerate().rev();
        let mut found = trees.filter_map(|(place, (folder, _))| Some((place, inside(folder)?)));
        found.next().unwrap_or((0, path))
    }
}
