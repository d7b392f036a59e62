//! All logs of an installation: live ones in the data folder, finished ones among the
//! objects.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use lru::LruCache;

use super::archive::{self, Contents};
use super::index::Index;
use super::reader::Reader;
use super::sidecar::{self, Frames};
use super::stored::{Kept, Live, Stored, blocking};
use super::{Elsewhere, LogError, LogFolder};
use crate::model::JobUuid;
use crate::objects::{Object, Objects};

/// Below it lie the archived logs.
const PREFIX: &str = "logs";
/// Bytes of memory for what is known of archived logs that were read lately.
const KNOWN: usize = 32 << 20;
/// Bytes of an archive that are sent at a time.
const SENT: usize = 1 << 20;

/// Where all logs lie. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: LogFolder,
    objects: Objects,
    elsewhere: Option<Elsewhere>,
    live: Arc<Mutex<HashMap<PathBuf, Weak<Live>>>>,
    kept: Arc<Mutex<LruCache<JobUuid, Arc<Kept>>>>,
    /// Held while a log is archived: two who archive the same one would pack it into one file.
    archiving: Arc<tokio::sync::Mutex<()>>,
}

/// What became of a log that was to be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archived {
    /// Its archive takes so many bytes.
    Bytes(u64),
    /// There is no live log.
    Nothing,
}

impl Logs {
    pub fn new(data_dir: &Path, objects: Objects) -> Self {
        let kept = Arc::new(Mutex::new(LruCache::unbounded()));
        let folder = LogFolder::new(data_dir);
        let (live, archiving) = (Arc::default(), Arc::default());
        Self { folder, objects, elsewhere: None, live, kept, archiving }
    }

    /// With the logs that other processes write.
    #[must_use]
    pub fn with(self, elsewhere: Option<Elsewhere>) -> Self {
        Self { elsewhere, ..self }
    }

    /// What other processes have; none when there is no other.
    pub fn elsewhere(&self) -> Option<&Elsewhere> {
        self.elsewhere.as_ref()
    }

    /// Where live logs are written.
    pub fn folder(&self) -> &LogFolder {
        &self.folder
    }

    /// Where finished logs are kept.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Of a job's archived log; in 256 folders, as live logs are.
    #[allow(clippy::unused_self, reason = "where logs lie is theirs to say")]
    pub fn key(&self, job: JobUuid) -> String {
        let name = job.to_string();
        format!("{PREFIX}/{}/{name}.log.zst", &name[..2])
    }

    /// None: nothing was written yet, or it was removed.
    pub async fn reader(&self, job: JobUuid) -> Result<Option<Reader>, LogError> {
        self.reader_from(job, None).await
    }

    /// As [`Logs::reader`], where it is known which worker had the job last: it has the log
    /// also when Redis has forgotten so, until that is where finished logs are.
    pub async fn reader_from(
        &self,
        job: JobUuid,
        worker: Option<&str>,
    ) -> Result<Option<Reader>, LogError> {
        if let Some(live) = self.live(self.folder.path(job)).await? {
            return Reader::new(Stored::Live(live)).await.map(Some);
        }
        // Where it is known to be archived, no other process need be asked.
        let known = self.elsewhere.as_ref().and_then(|_| self.lock_kept().get(&job).cloned());
        if let Some(kept) = known {
            return Reader::new(Stored::Kept(kept)).await.map(Some);
        }
        let copied = self.copied(job).await;
        if let Ok(Some(live)) = &copied {
            return Reader::new(Stored::Live(live.clone())).await.map(Some);
        }
        let archived = self.archived(job).await;
        if let Ok(Some(_)) = archived {
            return archived;
        }
        // It may have been given back to the folder, or written since. Where the storage can't be
        // asked either, that is why: finished logs are there.
        if let Err(error) = copied {
            return archived.and(Err(error));
        }
        let Some((elsewhere, worker)) = self.elsewhere.as_ref().zip(worker) else {
            return archived;
        };
        match elsewhere.bring_of(job, worker).await {
            Ok(Some(path)) => {
                let live = self.live(path).await?.ok_or_else(LogError::unheard)?;
                Reader::new(Stored::Live(live)).await.map(Some)
            }
            // Archived in between.
            Ok(None) => self.archived(job).await,
            Err(error) => archived.and(Err(error)),
        }
    }

    async fn archived(&self, job: JobUuid) -> Result<Option<Reader>, LogError> {
        match self.kept(job).await {
            Ok(kept) => {
                if let Some(elsewhere) = &self.elsewhere {
                    elsewhere.forget(job);
                }
                Reader::new(Stored::Kept(kept)).await.map(Some)
            }
            Err(LogError::Objects(error)) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What another process has, as far as it is written.
    async fn copied(&self, job: JobUuid) -> Result<Option<Arc<Live>>, LogError> {
        let Some(elsewhere) = &self.elsewhere else { return Ok(None) };
        match elsewhere.bring(job).await? {
            Some(path) => self.live(path).await,
            None => Ok(None),
        }
    }

    async fn live(&self, path: PathBuf) -> Result<Option<Arc<Live>>, LogError> {
        let logs = self.clone();
        blocking(move || {
            if !path.try_exists().map_err(LogError::file(&path))? {
                return Ok(None);
            }
            let mut all = logs.lock_live();
            if let Some(live) = all.get(&path).and_then(Weak::upgrade) {
                return Ok(Some(live));
            }
            all.retain(|_, live| live.strong_count() > 0);
            match Live::open(&path) {
                Ok(live) => {
                    let live = Arc::new(live);
                    all.insert(path, Arc::downgrade(&live));
                    Ok(Some(live))
                }
                // Archived in this moment.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(LogError::file(&path)(error)),
            }
        })
        .await
    }

    async fn kept(&self, job: JobUuid) -> Result<Arc<Kept>, LogError> {
        if let Some(kept) = self.lock_kept().get(&job) {
            return Ok(kept.clone());
        }
        let kept = Arc::new(Kept::open(&self.objects, &self.key(job)).await?);
        let mut all = self.lock_kept();
        all.put(job, kept.clone());
        while all.len() > 1 && all.iter().map(|(_, kept)| kept.weight()).sum::<usize>() > KNOWN {
            all.pop_lru();
        }
        Ok(kept)
    }

    /// Moves a log that nobody writes any more to the objects. Cut off anywhere, it
    /// leaves the live log, or the archive, or both; then it can be done again.
    pub async fn archive(&self, job: JobUuid) -> Result<Archived, LogError> {
        let _alone = self.archiving.lock().await;
        let path = self.folder.path(job);
        let packed = path.with_extension("zst.new");
        let (from, into) = (path.clone(), packed.clone());
        let Some(written) = blocking(move || pack(&from, &into)).await? else {
            // A crash may have left the index alone.
            remove_file(&sidecar::path_of(&path)).await?;
            return Ok(Archived::Nothing);
        };
        let size = self.send(&packed, &self.key(job)).await?;
        remove_file(&packed).await?;
        self.verify(job, &written).await?;
        let now = tokio::fs::metadata(&path).await.map_err(LogError::file(&path))?.len();
        if now != written.length {
            let what = "it grew while it was archived, and stays where it is";
            return Err(LogError::damaged(&path.display().to_string(), what));
        }
        // The log first: an index alone is known as nobody's.
        remove_file(&path).await?;
        remove_file(&sidecar::path_of(&path)).await?;
        Ok(Archived::Bytes(size))
    }

    async fn send(&self, packed: &Path, key: &str) -> Result<u64, LogError> {
        use tokio::io::AsyncReadExt as _;
        let failed = LogError::file(packed);
        let mut file = tokio::fs::File::open(packed).await.map_err(&failed)?;
        let mut upload = self.objects.upload(key)?;
        let mut size = 0;
        loop {
            let mut bytes = bytes::BytesMut::with_capacity(SENT);
            if file.read_buf(&mut bytes).await.map_err(&failed)? == 0 {
                break;
            }
            size += bytes.len() as u64;
            upload.write(bytes.freeze()).await?;
        }
        upload.finish().await?;
        Ok(size)
    }

    /// Reads all of it back.
    async fn verify(&self, job: JobUuid, written: &Contents) -> Result<(), LogError> {
        let kept = Kept::open(&self.objects, &self.key(job)).await?;
        let digest = digest::Context::new(&digest::SHA256);
        let read = Reader::new(Stored::Kept(Arc::new(kept))).await?;
        let digest = read.bytes(0).try_fold(digest, |mut digest, bytes: Bytes| async move {
            digest.update(&bytes);
            Ok(digest)
        });
        if digest.await?.finish().as_ref() != written.digest {
            let place = format!("{} in {}", self.key(job), self.objects.place());
            return Err(LogError::damaged(&place, "it is not what was written"));
        }
        Ok(())
    }

    /// Removes all that there is of a job's log.
    pub async fn remove(&self, job: JobUuid) -> Result<(), LogError> {
        // The archive first: a live log is read in its place.
        self.objects.delete(&self.key(job)).await?;
        self.lock_kept().pop(&job);
        self.remove_here(job).await
    }

    /// Removes what is on this machine of a log that nobody writes any more.
    pub async fn remove_here(&self, job: JobUuid) -> Result<(), LogError> {
        let path = self.folder.path(job);
        for path in [path.with_extension("zst.new"), path.clone(), sidecar::path_of(&path)] {
            remove_file(&path).await?;
        }
        Ok(())
    }

    /// The files of this machine that hold a job's log.
    pub fn files(&self, job: JobUuid) -> Vec<std::path::PathBuf> {
        let path = self.folder.path(job);
        let archive = self.objects.folder().map(|folder| folder.join(self.key(job)));
        [Some(sidecar::path_of(&path)), Some(path), archive].into_iter().flatten().collect()
    }

    /// The folders of this machine in which logs lie.
    pub fn folders(&self) -> Vec<std::path::PathBuf> {
        let archives = self.objects.folder().map(|folder| folder.join(PREFIX));
        let copies = self.elsewhere.as_ref().map(|elsewhere| elsewhere.folder().to_owned());
        std::iter::once(self.folder.folder().to_owned()).chain(archives).chain(copies).collect()
    }

    /// The jobs whose logs are live, or were when a server ended.
    pub fn live_jobs(&self) -> Vec<JobUuid> {
        let folders = std::fs::read_dir(self.folder.folder()).into_iter().flatten().flatten();
        let files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok());
        let names = files.flatten().flatten().map(|file| file.file_name());
        let jobs = names.filter_map(|name| name.to_str()?.split('.').next()?.parse().ok());
        let mut jobs: Vec<JobUuid> = jobs.collect();
        jobs.sort_unstable_by_key(ToString::to_string);
        jobs.dedup();
        jobs
    }

    /// The archived logs, with their sizes.
    pub fn archives(
        &self,
    ) -> impl futures_util::Stream<Item = Result<(JobUuid, u64), LogError>> + Send {
        self.objects.list(PREFIX).map_err(LogError::from).try_filter_map(
            |Object { key, size }| async move {
                let name = key.rsplit('/').next().unwrap_or_default();
                let job = name.split('.').next().and_then(|name| name.parse().ok());
                Ok(job.map(|job| (job, size)))
            },
        )
    }

    fn lock_live(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_kept(&self) -> MutexGuard<'_, LruCache<JobUuid, Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None: there is no live log.
fn pack(log: &Path, into: &Path) -> Result<Option<Contents>, LogError> {
    let file = match std::fs::File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::file(log)(error)),
    };
    let length = file.metadata().map_err(LogError::file(log))?.len();
    let mut index = Index::default();
    if let Some(mut frames) = Frames::open(log) {
        frames.read(&mut index).map_err(LogError::file(log))?;
    }
    let mut packed = std::fs::File::create(into).map_err(LogError::file(into))?;
    let contents = archive::write(&file, length, index, &mut packed);
    contents.map(Some).map_err(LogError::file(into))
}

async fn remove_file(path: &Path) -> Result<(), LogError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LogError::file(path)(error)),
        _ => Ok(()),
    }
}
