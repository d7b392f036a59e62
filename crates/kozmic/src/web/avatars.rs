//! People's pictures, from this server: a browser asks nobody else. Each is fetched from
//! GitHub at most once a day and kept in the data folder; where there is none, a letter is
//! drawn.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Path as Named, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use url::Url;

use super::App;
use super::error::PageError;
use super::visitor::Visitor;
use crate::config::Trust;
use crate::github::{Pictures, kind_of};
use crate::model::UserId;
use crate::seal::sha256_hex;
use crate::store::Portrait;

/// A picture that is older is fetched anew.
const FRESH: Duration = Duration::from_hours(24);
/// Where none could be had, it is tried again.
const AGAIN: Duration = Duration::from_hours(1);
/// Pictures that are kept, of 256 KiB at the most.
const KEPT: usize = 2_000;
/// That are fetched at the same time; whoever comes when that many are gets the letter.
const AT_ONCE: usize = 4;
/// Browsers ask again after a day.
const CACHED: &str = "private, max-age=86400";

/// Where pictures are kept, and from where they come. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Avatars {
    folder: Arc<Path>,
    pictures: Pictures,
    turns: Arc<Semaphore>,
}

impl Avatars {
    /// `github` is the root of GitHub's pages.
    pub fn new(data_dir: &Path, github: &Url, trust: &Trust) -> io::Result<Self> {
        let folder = data_dir.join("avatars");
        std::fs::create_dir_all(&folder)?;
        let pictures = Pictures::new(github, trust).map_err(io::Error::other)?;
        Ok(Self { folder: folder.into(), pictures, turns: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// What is kept, as long as it is fresh; else what GitHub gives, or else what was kept.
    async fn picture(&self, user: UserId, url: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(user.to_string());
        let kept = read(&path).await;
        let is_fresh = kept
            .as_ref()
            .is_some_and(|(bytes, age)| *age < if bytes.is_empty() { AGAIN } else { FRESH });
        let old = kept.map(|(bytes, _)| bytes).filter(|bytes| !bytes.is_empty());
        if is_fresh {
            return old;
        }
        let Ok(_turn) = self.turns.try_acquire() else { return old };
        let bytes = match self.pictures.avatar(url).await {
            Ok(picture) => picture,
            Err(error) => {
                tracing::debug!(%user, %error, "there is no picture");
                old.unwrap_or_default()
            }
        };
        if let Err(error) = self.keep(&path, &bytes).await {
            tracing::warn!(%user, %error, "a picture could not be kept");
        }
        Some(bytes).filter(|bytes| !bytes.is_empty())
    }

    /// Whole, or not at all; those that are too many go, oldest first.
    async fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (folder, path, bytes) = (self.folder.clone(), path.to_owned(), bytes.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut file = tempfile::NamedTempFile::new_in(&folder)?;
            io::Write::write_all(&mut file, &bytes)?;
            file.persist(&path).map_err(|error| error.error)?;
            remove_oldest(&folder)
        })
        .await
        .map_err(io::Error::other)?
    }
}

async fn read(path: &Path) -> Option<(Vec<u8>, Duration)> {
    let written = tokio::fs::metadata(path).await.ok()?.modified().ok()?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    Some((tokio::fs::read(path).await.ok()?, age))
}

fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Another may have gone meanwhile.
        if let Ok(written) = entry.metadata().and_then(|found| found.modified()) {
            kept.push((written, entry.path()));
        }
    }
    kept.sort();
    for (_, path) in kept.iter().take(kept.len().saturating_sub(KEPT)) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Of a user. Who is signed in sees everybody's; others only of those who are something in
/// a project that anyone may see, and can't tell whom else there is.
pub(super) async fn avatar(
    State(app): State<App>,
    Visitor(account): Visitor,
    Named(user): Named<i64>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let user = UserId(user);
    let portrait = app.store.portrait(user).await?;
    let portrait = portrait.filter(|it| account.is_some() || it.is_seen_by_all);
    let (kind, bytes) = match portrait {
        None => ("image/svg+xml", letter(&Portrait::default()).into_bytes()),
        Some(portrait) => {
            let url = portrait.url.as_deref().unwrap_or_default();
            let picture = app.avatars.picture(user, url).await;
            match picture.and_then(|bytes| Some((kind_of(&bytes)?, bytes))) {
                Some(picture) => picture,
                None => ("image/svg+xml", letter(&portrait).into_bytes()),
            }
        }
    };
    let tag = format!("\"{}\"", &sha256_hex(&bytes)[..32]);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut answer = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, kind)], bytes).into_response()
    };
    let head = answer.headers_mut();
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// The first letter of a login, in a colour of its own.
fn letter(portrait: &Portrait) -> String {
    let first = portrait.login.chars().find(char::is_ascii_alphanumeric);
    let first = first.map_or('?', |letter| letter.to_ascii_uppercase());
    let hue = portrait.login.bytes().fold(0u32, |hue, byte| (hue * 31 + u32::from(byte)) % 360);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 40\">\
         <rect width=\"40\" height=\"40\" fill=\"hsl({hue} 45% 38%)\"/>\
         <text x=\"20\" y=\"27\" text-anchor=\"middle\" font-family=\"sans-serif\" font-size=\"20\" \
         fill=\"#fff\">{first}</text></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_one_of_the_login_and_nothing_else_of_it() {
        let drawn = |login: &str| letter(&Portrait { login: login.into(), ..Portrait::default() });
        assert!(drawn("octo").contains(">O</text>"));
        assert!(drawn("-<script>").contains(">S</text>") && !drawn("-<script>").contains("script"));
        assert!(drawn("").contains(">?</text>"));
    }

    #[test]
    fn pictures_that_are_too_many_go_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 2 {
            let file = std::fs::File::create(folder.path().join(number.to_string())).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(number as u64);
            file.set_modified(at).unwrap();
        }
        remove_oldest(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT);
        assert!(!folder.path().join("0").exists() && !folder.path().join("1").exists());
        assert!(folder.path().join("2").exists());
    }
}
