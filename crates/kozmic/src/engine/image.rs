//! Images: found, pulled, and asked for the account that scripts run as.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::{Duration, Instant};

use bollard::errors::Error as ApiError;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder,
    DownloadFromContainerOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Engine, EngineError, Labels, Owner, Result, Step, credentials};
use crate::model::{DockerImage, PulledImage};

/// Made by `images/base/build` on this machine. Whoever owns that name in a
/// public registry is not us, so it is never looked up there.
const LOCAL_REPOSITORY: &str = "kozmic/debian";
/// A registry is asked whether a tag has moved once in this time.
const ASK_EVERY: Duration = Duration::from_mins(5);
/// A job does not wait longer for that answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// Before a failed pull is tried again.
const PULL_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// A passwd file larger than this is not read.
const PASSWD_LIMIT: u64 = 1 << 20;

/// Whom a script runs as in an image: `kozmic` where the image has that user,
/// otherwise the image's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As the engine takes it: a name, or `uid:gid`; empty for root.
    pub user: String,
    pub owner: Owner,
    pub home: Option<String>,
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    pub id: String,
    /// Its registry has another one under this name.
    pub has_moved: bool,
}

/// How far a pull is.
#[derive(Debug, Clone, Default)]
pub struct PullProgress {
    /// Layer id → its state in the engine's words.
    layers: BTreeMap<String, String>,
}

impl PullProgress {
    /// Layers that are there, of those known so far.
    pub fn layers(&self) -> (usize, usize) {
        let done = self
            .layers
            .values()
            .filter(|state| matches!(state.as_str(), "Pull complete" | "Already exists"));
        (done.count(), self.layers.len())
    }
}

impl Engine {
    /// A local image, and whether its registry has another one under its name by
    /// now. The registry is asked every few minutes, not for each job; one that does
    /// not answer has said nothing. What was never pulled is not asked about.
    pub async fn local_image(&self, image: &DockerImage) -> Result<Option<LocalImage>> {
        let found = match self.docker.inspect_image(image.as_str()).await {
            Ok(found) => found,
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.failed("look for an image", error)),
        };
        let id = found.id.unwrap_or_default();
        let (repository, tag) = repository_and_tag(image.as_str());
        let known: Vec<String> = found
            .repo_digests
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| name.split_once('@').map(|(_, digest)| digest.to_owned()))
            .collect();
        let has_registry = !known.is_empty() && !is_local(repository) && !tag.contains(':');
        if !has_registry || !self.product.asks_registries() || !self.may_ask(image) {
            return Ok(Some(LocalImage { id, has_moved: false }));
        }
        let credentials = credentials::of_image(image.as_str()).await;
        let asked = self.docker.inspect_registry_image(image.as_str(), credentials);
        let has_moved = match tokio::time::timeout(ASK_TIMEOUT, asked).await {
            Ok(Ok(answer)) => {
                let now = answer.descriptor.digest;
                now.is_some_and(|now| !known.contains(&now))
            }
            Ok(Err(error)) => {
                tracing::debug!(%image, %error, "a registry could not be asked about an image");
                false
            }
            Err(_) => false,
        };
        Ok(Some(LocalImage { id, has_moved }))
    }

    /// Whether the registry was not asked about this image lately.
    fn may_ask(&self, image: &DockerImage) -> bool {
        let Ok(mut asked) = self.asked.lock() else { return false };
        let now = Instant::now();
        asked.retain(|_, at| now.duration_since(*at) < ASK_EVERY);
        let is_new = !asked.contains_key(image.as_str());
        asked.entry(image.as_str().to_owned()).or_insert(now);
        is_new
    }

    /// Pulls an image from its registry, with the credentials of `docker login`, and
    /// returns its id. What may pass is tried again, twice.
    pub async fn pull(
        &self,
        image: &DockerImage,
        mut progress: impl FnMut(&PullProgress),
    ) -> Result<String> {
        let mut pauses = PULL_PAUSES.iter();
        loop {
            match (self.pull_once(image, &mut progress).await, pauses.next()) {
                (Err(EngineError::PullFailed { problem, .. }), Some(pause)) => {
                    tracing::warn!(%image, problem, "a pull failed; trying again");
                    tokio::time::sleep(*pause).await;
                }
                (pulled, _) => return pulled,
            }
        }
    }

    async fn pull_once(
        &self,
        image: &DockerImage,
        progress: &mut impl FnMut(&PullProgress),
    ) -> Result<String> {
        let (repository, tag) = repository_and_tag(image.as_str());
        if is_local(repository) {
            return Err(EngineError::LocalImageMissing(image.to_string()));
        }
        let options = CreateImageOptionsBuilder::new().from_image(repository).tag(tag).build();
        let replaced = self.image_id(image.as_str()).await?;
        let credentials = credentials::of_image(image.as_str()).await;
        let mut stream = self.docker.create_image(Some(options), None, credentials);
        let mut state = PullProgress::default();
        while let Some(step) = stream.next().await {
            let step = step.map_err(|error| self.pull_failed(image, error))?;
            if let (Some(layer), Some(status)) = (step.id, step.status)
                && layer != tag
            {
                state.layers.insert(layer, status);
                progress(&state);
            }
        }
        let id = match self.docker.inspect_image(image.as_str()).await {
            Ok(found) => found.id.unwrap_or_default(),
            Err(error) => return Err(self.failed("find the image that was pulled", error)),
        };
        if replaced.as_ref() != Some(&id) {
            self.note_pulled(PulledImage { name: image.to_string(), id: id.clone(), replaced });
        }
        Ok(id)
    }

    /// The engine tells most of it in words only.
    fn pull_failed(&self, image: &DockerImage, error: ApiError) -> EngineError {
        let image = image.to_string();
        let (code, message) = match error {
            ApiError::DockerResponseServerError { status_code, message } => (status_code, message),
            ApiError::DockerStreamError { error } => (500, error),
            other => return self.failed("pull an image", other),
        };
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(&["no space left on device"]) {
            EngineError::DiskFull(message)
        } else if says(&["toomanyrequests", "too many requests", "rate limit"]) {
            EngineError::RateLimited { image, problem: message }
        } else if says(&[
            "pull access denied",
            "no basic auth credentials",
            "unauthorized",
            "authentication required",
            "forbidden",
        ]) {
            EngineError::ImageDenied { image, problem: message }
        } else if code == 404 || says(&["not found", "manifest unknown"]) {
            EngineError::ImageNotFound(image)
        } else {
            EngineError::PullFailed { image, problem: message }
        }
    }

    /// The account of an image, here with its id. Read from its `/etc/passwd` through
    /// a container that is created but never started; remembered afterwards.
    pub async fn account(
        &self,
        image: &DockerImage,
        image_id: &str,
        labels: &Labels,
    ) -> Result<Account> {
        if let Some(known) =
            self.accounts.lock().ok().and_then(|known| known.get(image_id).cloned())
        {
            return Ok(known);
        }
        let labels = Labels { step: Step::Probe, ..labels.clone() };
        let (inspected, probe) =
            tokio::join!(self.docker.inspect_image(image_id), self.create_probe(image_id, &labels));
        let probe = probe?;
        let inspected = inspected.map_err(|e| self.failed("inspect an image", e));
        let (shell, passwd) = tokio::join!(
            self.has_file(probe.id(), "/bin/sh"),
            self.read_file(probe.id(), "/etc/passwd")
        );
        // Nobody waits for its end; what goes wrong there goes with the job's other
        // containers.
        probe.remove_aside();
        let own_user = inspected?.config.and_then(|config| config.user).unwrap_or_default();
        if !shell? {
            return Err(EngineError::NoShell(image.to_string()));
        }
        let account = account_of(&passwd?.unwrap_or_default(), &own_user);
        if let Ok(mut known) = self.accounts.lock() {
            known.insert(image_id.to_owned(), account.clone());
        }
        Ok(account)
    }

    async fn has_file(&self, container: &str, path: &str) -> Result<bool> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        match self.docker.get_container_archive_info(container, Some(options)).await {
            Ok(_) => Ok(true),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(self.failed("look for a file of an image", error)),
        }
    }

    /// A file of a container that need not run; none when it has no such file.
    async fn read_file(&self, container: &str, path: &str) -> Result<Option<String>> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let archive = self.docker.download_from_container(container, Some(options));
        let archive = archive.try_fold(Vec::new(), |mut all, chunk| async move {
            if all.len() as u64 <= PASSWD_LIMIT {
                all.extend_from_slice(&chunk);
            }
            Ok(all)
        });
        let archive = match archive.await {
            Ok(archive) => archive,
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read a file of an image", error)),
        };
        let broken = |error: std::io::Error| EngineError::Refused {
            what: "read a file of an image",
            problem: error.to_string(),
        };
        let mut text = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            if entry.header().entry_type().is_file() {
                entry.take(PASSWD_LIMIT).read_to_end(&mut text).map_err(broken)?;
            }
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Whether images of this repository are made on this machine only.
fn is_local(repository: &str) -> bool {
    let hub = ["docker.io/", "index.docker.io/"];
    let name = hub.iter().find_map(|hub| repository.strip_prefix(hub)).unwrap_or(repository);
    name == LOCAL_REPOSITORY
}

/// Splits at the tag's colon; the tag is `latest` when there is none. A digest
/// is handed to the engine as its tag.
pub(super) fn repository_and_tag(image: &str) -> (&str, &str) {
    if let Some((repository, digest)) = image.split_once('@') {
        return (repository, digest);
    }
    let path_start = image.rfind('/').map_or(0, |slash| slash + 1);
    match image[path_start..].find(':') {
        Some(colon) => (&image[..path_start + colon], &image[path_start + colon + 1..]),
        None => (image, "latest"),
    }
}

/// Reads passwd(5); `own_user` is the image's USER: `name`, `uid`, or either with a group.
fn account_of(passwd: &str, own_user: &str) -> Account {
    let entry = |wanted: &str| {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            (name == wanted || uid == wanted)
                .then(|| Some((uid.parse().ok()?, gid.parse().ok()?, home.to_owned())))?
        })
    };
    if let Some((uid, gid, home)) = entry("kozmic") {
        return Account { user: "kozmic".into(), owner: Owner { uid, gid }, home: Some(home) };
    }
    let (name, group) = match own_user.split_once(':') {
        Some((name, group)) => (name, group.parse().ok()),
        None => (own_user, None),
    };
    let (uid, gid, home) = match entry(if name.is_empty() { "root" } else { name }) {
        Some((uid, gid, home)) => (uid, gid, Some(home)),
        None => (name.parse().unwrap_or(0), 0, None),
    };
    Account { user: own_user.to_owned(), owner: Owner { uid, gid: group.unwrap_or(gid) }, home }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_image_is_asked_for_nowhere() {
        assert!(is_local("kozmic/debian") && is_local("docker.io/kozmic/debian"));
        assert!(!is_local("ghcr.io/kozmic/debian") && !is_local("debian"));
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(repository_and_tag("debian"), ("debian", "latest"));
        assert_eq!(repository_and_tag("debian:12"), ("debian", "12"));
        assert_eq!(repository_and_tag("localhost:5000/a"), ("localhost:5000/a", "latest"));
        assert_eq!(repository_and_tag("localhost:5000/a:b"), ("localhost:5000/a", "b"));
        assert_eq!(repository_and_tag("a@sha256:1"), ("a", "sha256:1"));
    }

    #[test]
    fn the_user_kozmic_wins_over_the_image_s_own() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nkozmic:x:1000:1001::/home/kozmic:/bin/bash\n";
        let account = account_of(passwd, "root");
        assert_eq!(
            (account.user.as_str(), account.owner),
            ("kozmic", Owner { uid: 1000, gid: 1001 })
        );
    }

    #[test]
    fn the_image_s_own_user_is_found_by_name_or_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:70:71::/app:/bin/sh\n";
        let owner = |user| account_of(passwd, user).owner;
        assert_eq!(owner(""), Owner { uid: 0, gid: 0 });
        assert_eq!(owner("app"), Owner { uid: 70, gid: 71 });
        assert_eq!(owner("70"), Owner { uid: 70, gid: 71 });
        assert_eq!(owner("70:5"), Owner { uid: 70, gid: 5 });
        assert_eq!(owner("1234"), Owner { uid: 1234, gid: 0 });
        assert_eq!(account_of("", "").owner, Owner { uid: 0, gid: 0 });
        assert_eq!(account_of("broken line\n\nroot", "").user, "");
    }
}
