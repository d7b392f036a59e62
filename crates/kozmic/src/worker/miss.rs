//! No cached image has the inputs that are needed: why, and which one is nearest.

use tokio::sync::OwnedMutexGuard;

use super::cache::Install;
use super::run::Work;
use crate::engine::{CachedImage, Engine, EngineError};
use crate::model::{Fingerprint, InstallFrom, Timestamp, readable};

/// After so many images that grew from one another the next starts from the base image
/// again: each adds a layer, of which engines take about 125, and leftovers.
const GENERATIONS: u32 = 20;

pub(super) struct Miss {
    /// A part of a sentence.
    pub(super) why: String,
    pub(super) start: Option<Start>,
}

/// The older image to start from. It is not removed as long as this lives.
pub(super) struct Start {
    pub(super) image: CachedImage,
    _hold: OwnedMutexGuard<()>,
}

impl Start {
    /// What it is known by, without the name that all cached images share.
    pub(super) fn cache_id(&self) -> &str {
        cache_id(&self.image)
    }
}

pub(super) async fn look(
    engine: &Engine,
    work: &Work,
    install: &Install,
    print: &Fingerprint,
) -> Result<Miss, EngineError> {
    let readable = install.scope.readable();
    let mut images = engine.cached_images().await?;
    images.retain(|image| image.hook == install.hook && readable.contains(&image.scope));
    let why = why(install, print, images.first());
    let start = match install.from {
        InstallFrom::Base => None,
        InstallFrom::Nearest => nearest(work, install, print, images),
    };
    Ok(Miss { why, start })
}

/// `latest` is the hook's image that was used last.
fn why(install: &Install, print: &Fingerprint, latest: Option<&CachedImage>) -> String {
    let id = print.id.as_str();
    // Dropped, or removed to make room: its inputs are the very same.
    if let Some((build, made)) = install.known.made(&print.id) {
        return match install.known.dropped(id, made) {
            Some(dropped) => {
                format!("{} dropped its cached image, which build #{build} had made", dropped.by)
            }
            None => format!(
                "its cached image, which build #{build} had made {} ago, was removed to make room",
                age(made)
            ),
        };
    }
    let Some(latest) = latest else { return "no image is cached yet".into() };
    let age = age(latest.created);
    match print.changed_since(&latest.inputs).as_slice() {
        [] => format!("fewer files are tracked than in the cached image of {age} ago"),
        [one] => format!("{one} is another than in the cached image of {age} ago"),
        many => format!("{} are others than in the cached image of {age} ago", many.join(", ")),
    }
}

/// None that another job holds: it may be about to change.
fn nearest(
    work: &Work,
    install: &Install,
    print: &Fingerprint,
    images: Vec<CachedImage>,
) -> Option<Start> {
    let mut near: Vec<_> = images
        .into_iter()
        .filter(|image| image.generation < GENERATIONS)
        .filter(|image| install.known.dropped(cache_id(image), image.created).is_none())
        .filter_map(|image| Some((print.distance(&image.inputs)?, image)))
        .collect();
    // Of several that are as near, the one that was used last comes first already.
    near.sort_by(|(one, _), (other, _)| one.cmp(other));
    near.into_iter().find_map(|(_, image)| {
        let hold = work.cache.lock_of(&image.name).try_lock_owned().ok()?;
        Some(Start { image, _hold: hold })
    })
}

fn cache_id(image: &CachedImage) -> &str {
    let name = image.name.rsplit_once(':').map_or(image.name.as_str(), |(name, _scope)| name);
    name.rsplit_once('/').map_or(name, |(_repository, id)| id)
}

pub(super) fn age(created: Timestamp) -> String {
    readable(Timestamp::now().since(created))
}
