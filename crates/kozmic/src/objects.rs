//! Where finished logs and artifacts lie: objects under keys, in a folder of the
//! data folder or in storage that speaks S3, as KOZMIC_LOG_URL says.
//!
//! A key is a path with slashes, like `logs/3f/3fa8….log.zst`. An object is there as a
//! whole or not at all, and in a folder it is on the disk once it is there.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{
    Certificate, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use secrecy::ExposeSecret as _;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use crate::config::ObjectSettings;
use crate::model::with_causes;

/// Bytes of a part of an upload; less than one part is sent at once. S3 takes 10,000
/// parts of 5 MiB at the least, so an object has 78 GiB at the most.
const PART: usize = 8 << 20;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;
/// A storage that does not answer is asked again for so long: a page waits for it.
const RETRY: Duration = Duration::from_secs(10);
const RETRIES: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("KOZMIC_LOG_URL is `{url}`: {problem}")]
    Url { url: String, problem: String },
    #[error("{place} has no object {key}")]
    Missing { key: String, place: Arc<str> },
    #[error("{doing} {key} in {place}: {why}")]
    Failed { doing: &'static str, key: String, place: Arc<str>, why: String },
}

type Result<T> = std::result::Result<T, ObjectError>;

impl ObjectError {
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// Cheap to clone. Not shown by `Debug` but for its place: the storage's keys are part of it.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// For people.
    place: Arc<str>,
    /// Where the objects are files of this machine.
    folder: Option<PathBuf>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Objects").field(&self.place).finish()
    }
}

impl Objects {
    /// As the settings say; by default in the folder `objects` of the data folder.
    /// Nothing is asked of the storage yet.
    pub fn open(settings: &ObjectSettings, data_dir: &Path) -> Result<Self> {
        let Some(url) = &settings.url else { return Self::in_folder(&data_dir.join("objects")) };
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(folder) => Self::in_folder(&folder),
                Err(()) => Err(malformed(url, "must name a folder, like file:///srv/kozmic")),
            },
            _ => Self::in_s3(settings, url),
        }
    }

    /// Made when it is not there.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let place: Arc<str> = folder.display().to_string().into();
        let failed = |why: String| ObjectError::Failed {
            doing: "the folder of",
            key: "all objects".into(),
            place: place.clone(),
            why,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| failed(with_causes(&error)))?
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), place, folder: Some(folder.to_owned()) })
    }

    fn in_s3(settings: &ObjectSettings, url: &Url) -> Result<Self> {
        let bucket = url.host_str().unwrap_or_default();
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY,
            ..RetryConfig::default()
        });
        let mut options = ClientOptions::new().with_connect_timeout(Duration::from_secs(5));
        if let Some(pem) = settings.trust.pem() {
            let own = Certificate::from_pem_bundle(pem.as_bytes());
            let own = own.map_err(|error| malformed(url, &with_causes(&error)))?;
            options = own.into_iter().fold(options, ClientOptions::with_root_certificate);
        }
        for (name, value) in &settings.aws {
            let value = value.expose_secret();
            // What is meant for other programs is not known here.
            let Ok(key) = name.to_ascii_lowercase().parse() else { continue };
            builder = builder.with_config(key, value);
            if name.starts_with("AWS_ENDPOINT_URL") && is_loopback(value) {
                options = options.with_allow_http(true);
            }
        }
        if settings.aws.iter().any(|(name, value)| {
            name == "AWS_ALLOW_HTTP" && value.expose_secret().eq_ignore_ascii_case("true")
        }) {
            options = options.with_allow_http(true);
        }
        let store = builder
            .with_client_options(options)
            .build()
            .map_err(|error| malformed(url, &with_causes(&error)))?;
        let prefix =
            Key::from_url_path(url.path()).map_err(|error| malformed(url, &error.to_string()))?;
        Ok(Self {
            store: if prefix.as_ref().is_empty() {
                Arc::new(store)
            } else {
                Arc::new(PrefixStore::new(store, prefix))
            },
            place: url.as_str().into(),
            folder: None,
        })
    }

    /// For people: the folder's path, or the URL.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where the objects are files of this machine.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Replaces the object if there is one.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&self.key(key)?, bytes.into()).await;
        put.map(drop).map_err(|error| self.failed("write", key, &error))
    }

    /// For what is large, or comes bit by bit.
    pub fn upload(&self, key: &str) -> Result<Upload> {
        let writer = BufWriter::with_capacity(self.store.clone(), self.key(key)?, PART)
            .with_max_concurrency(PARTS_AT_ONCE);
        Ok(Upload { writer, key: key.to_owned(), objects: self.clone() })
    }

    /// Some bytes of it; less where it ends before.
    pub async fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let got = self.store.get_range(&self.key(key)?, range).await;
        got.map_err(|error| self.failed("read", key, &error))
    }

    /// Its last bytes, at most so many, and its size.
    pub async fn tail(&self, key: &str, bytes: u64) -> Result<(Bytes, u64)> {
        let options = GetOptions { range: Some(GetRange::Suffix(bytes)), ..GetOptions::default() };
        let failed = |error| self.failed("read", key, &error);
        let got = self.store.get_opts(&self.key(key)?, options).await.map_err(failed)?;
        let size = got.meta.size;
        Ok((got.bytes().await.map_err(failed)?, size))
    }

    /// All of it from a byte on, bit by bit.
    pub async fn stream(&self, key: &str, from: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        // Of an empty object no range is there, not even all of it (RFC 9110, 14.1.2).
        let range = (from > 0).then_some(GetRange::Offset(from));
        let options = GetOptions { range, ..GetOptions::default() };
        let got = self.store.get_opts(&self.key(key)?, options).await;
        let got = got.map_err(|error| self.failed("read", key, &error))?;
        let (objects, key) = (self.clone(), key.to_owned());
        let stream = got.into_stream();
        Ok(stream.map(move |bytes| bytes.map_err(|e| objects.failed("read", &key, &e))).boxed())
    }

    /// All of it, bit by bit, and how many bytes those are; none when it is not there.
    pub async fn whole(
        &self,
        key: &str,
    ) -> Result<Option<(u64, BoxStream<'static, Result<Bytes>>)>> {
        let got = match self.store.get(&self.key(key)?).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", key, &error)),
        };
        let (objects, key, size) = (self.clone(), key.to_owned(), got.meta.size);
        let stream = got.into_stream();
        let stream = stream.map(move |bytes| bytes.map_err(|e| objects.failed("read", &key, &e)));
        Ok(Some((size, stream.boxed())))
    }

    /// Its size in bytes; none when it is not there.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.store.head(&self.key(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look for", key, &error)),
        }
    }

    /// Also when it is not there.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.key(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", key, &error)),
        }
    }

    /// What lies below a prefix of whole path segments, in no order.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Object>> {
        let (objects, shown) = (self.clone(), prefix.to_owned());
        let list = self.store.list(Some(&Key::from(prefix)));
        list.map(move |found| match found {
            Ok(meta) => Ok(Object { key: meta.location.to_string(), size: meta.size }),
            Err(error) => Err(objects.failed("list", &shown, &error)),
        })
        .boxed()
    }

    fn key(&self, key: &str) -> Result<Key> {
        Key::parse(key).map_err(|error| ObjectError::Failed {
            doing: "use the key",
            key: key.to_owned(),
            place: self.place.clone(),
            why: error.to_string(),
        })
    }

    fn failed(&self, doing: &'static str, key: &str, error: &object_store::Error) -> ObjectError {
        let (key, place) = (key.to_owned(), self.place.clone());
        match error {
            object_store::Error::NotFound { .. } => ObjectError::Missing { key, place },
            error => ObjectError::Failed { doing, key, place, why: with_causes(&error) },
        }
    }
}

/// An object that is being written; it is there once [`Upload::finish`] has returned.
/// Dropped before, nothing of it is kept, but that a storage may hold parts of it until
/// its own rules for unfinished uploads remove them.
pub struct Upload {
    writer: BufWriter,
    key: String,
    objects: Objects,
}

impl Upload {
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let put = self.writer.put(bytes).await;
        put.map_err(|error| self.objects.failed("write", &self.key, &error))
    }

    pub async fn finish(mut self) -> Result<()> {
        self.writer.shutdown().await.map_err(|error| ObjectError::Failed {
            doing: "write",
            key: self.key.clone(),
            place: self.objects.place.clone(),
            why: error.to_string(),
        })
    }

    /// Gives it up; what was sent is removed.
    pub async fn abort(mut self) -> Result<()> {
        let aborted = self.writer.abort().await;
        aborted.map_err(|error| self.objects.failed("give up", &self.key, &error))
    }
}

fn malformed(url: &Url, problem: &str) -> ObjectError {
    ObjectError::Url { url: url.to_string(), problem: problem.to_owned() }
}

/// Plain HTTP is fine as long as it stays on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = endpoint.parse::<Url>() else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    fn settings(url: &str) -> ObjectSettings {
        let aws = [("AWS_ACCESS_KEY_ID", "an-id"), ("AWS_SECRET_ACCESS_KEY", "a-secret-key")];
        let aws = aws.map(|(name, value)| (name.to_owned(), value.to_owned().into())).to_vec();
        ObjectSettings { url: Some(url.parse().unwrap()), aws, ..ObjectSettings::default() }
    }

    #[tokio::test]
    async fn an_object_is_written_read_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::in_folder(&folder.path().join("a b")).unwrap();
        objects.put("logs/1/one", "first".into()).await.unwrap();
        objects.put("logs/1/one", "0123456789".into()).await.unwrap();
        assert_eq!(objects.get("logs/1/one", 2..5).await.unwrap(), "234");
        assert_eq!(objects.get("logs/1/one", 8..99).await.unwrap(), "89");
        assert_eq!(objects.tail("logs/1/one", 3).await.unwrap(), ("789".into(), 10));
        assert_eq!(objects.tail("logs/1/one", 30).await.unwrap().0, "0123456789");
        let streamed = async |key: &str, from: u64| -> Vec<u8> {
            let pieces: Vec<Bytes> =
                objects.stream(key, from).await.unwrap().try_collect().await.unwrap();
            pieces.concat()
        };
        objects.put("other/empty", Bytes::new()).await.unwrap();
        assert_eq!(streamed("other/empty", 0).await, b"");
        assert_eq!(streamed("logs/1/one", 0).await, b"0123456789");
        assert_eq!(streamed("logs/1/one", 7).await, b"789");
        // More than one part.
        let mut upload = objects.upload("logs/2/two").unwrap();
        for _ in 0..20 {
            upload.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
        }
        assert_eq!(objects.size("logs/2/two").await.unwrap(), None, "not yet");
        upload.finish().await.unwrap();
        assert_eq!(objects.size("logs/2/two").await.unwrap(), Some(20 << 20));
        objects.put("other/three", "x".into()).await.unwrap();
        let mut listed: Vec<Object> = objects.list("logs").try_collect().await.unwrap();
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0], Object { key: "logs/1/one".into(), size: 10 });
        objects.delete("logs/1/one").await.unwrap();
        objects.delete("logs/1/one").await.unwrap();
        assert!(objects.get("logs/1/one", 0..1).await.unwrap_err().is_missing());
        let mut given_up = objects.upload("logs/3/three").unwrap();
        given_up.write("x".into()).await.unwrap();
        given_up.abort().await.unwrap();
        assert_eq!(objects.size("logs/3/three").await.unwrap(), None);
    }

    #[test]
    fn keys_of_the_storage_are_not_shown() {
        let objects =
            Objects::open(&settings("s3://bucket/a/prefix"), Path::new("/nowhere")).unwrap();
        let shown = format!("{objects:?} {:?}", settings("s3://bucket"));
        assert!(shown.contains("s3://bucket/a/prefix"), "{shown}");
        assert!(!shown.contains("a-secret-key"), "{shown}");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        for here in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:1"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["http://127.0.0.1.example.com", "http://10.0.0.1", "nonsense"] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
