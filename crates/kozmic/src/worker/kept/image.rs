//! What is left of a job, on its way home as an image.

use std::io;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use super::open::{Left, NotOpened};
use super::{HOLD_AGAIN, Kept, LINGER, starter};
use crate::engine::RunsAs;
use crate::model::{JobUuid, Timestamp};
use crate::terminal::{ImageAsk, Refusal};

impl Kept {
    pub(super) async fn image(&self, ask: ImageAsk) {
        let ImageAsk { job, by, bytes, begun } = ask;
        let Ok(_place) = self.pulls.try_acquire() else {
            let sentence = "Other jobs are being pulled now; try again when they are done.";
            return drop(begun.send(Err(Refusal(sentence.into()))));
        };
        let left = match self.open(job).await {
            Ok(left) => left,
            Err(error) => return drop(begun.send(Err(error.told(job)))),
        };
        let uuid = left.row.uuid;
        self.use_of(uuid).await.pulls += 1;
        match self.make(&left).await {
            Ok((name, id, size)) => {
                tracing::info!(job = %uuid, by, "somebody pulls a failed job");
                let noted = self.worker.store.job_opened(job, "pull", &by, Timestamp::now()).await;
                if let Err(error) = noted {
                    tracing::warn!(job = %uuid, by, %error, "who pulls a job could not be noted");
                }
                if begun.send(Ok((id.clone(), size))).is_ok() && self.send(&left, &id, &bytes).await
                {
                    // Ends what is sent.
                    drop(bytes);
                    tokio::select! {
                        () = sleep(LINGER) => {}
                        () = self.shutdown.requested() => {}
                    }
                }
                if let Err(error) = self.worker.engine.remove_image(&name).await {
                    tracing::warn!(job = %uuid, %error, "an image that was pulled stays for now");
                }
            }
            Err(error) => drop(begun.send(Err(error.told(job)))),
        }
        let mut used = self.use_of(uuid).await;
        used.pulls -= 1;
        if used.shells + used.pulls == 0 {
            self.let_go(job).await;
        }
    }

    async fn make(&self, left: &Left<'_>) -> Result<(String, String, u64), NotOpened> {
        let engine = &self.worker.engine;
        // What was mended is what is wanted.
        let mended = engine.shell_of(left.row.uuid, left.row.attempt).await?;
        let container = mended.as_ref().unwrap_or(&left.failed);
        let upload = starter::upload(&left.env, &left.account);
        let runs = RunsAs {
            user: left.account.user.clone(),
            entrypoint: vec!["/bin/sh".into(), starter::STARTER.into()],
            folder: starter::FOLDER.into(),
        };
        let which = JobUuid::random().to_string();
        let which = which.get(..8).unwrap_or_default();
        Ok(engine.image_to_pull(container, &left.labels, upload, runs, which).await?)
    }

    /// True when all of it was taken.
    async fn send(
        &self,
        left: &Left<'_>,
        id: &str,
        bytes: &mpsc::Sender<io::Result<bytes::Bytes>>,
    ) -> bool {
        let mut packed = self.worker.engine.export(id);
        let mut again = interval(HOLD_AGAIN);
        let sending = async {
            while let Some(piece) = packed.next().await {
                let failed = piece.is_err();
                if bytes.send(piece).await.is_err() || failed {
                    return false;
                }
            }
            true
        };
        tokio::pin!(sending);
        loop {
            tokio::select! {
                all = &mut sending => return all,
                () = self.shutdown.requested() => {
                    let _ = bytes.try_send(Err(io::Error::other("the server stops")));
                    return false;
                }
                _ = again.tick() => {
                    if let Ok(false) = self.hold(&left.row).await {
                        let _ = bytes.try_send(Err(io::Error::other("its container is gone")));
                        return false;
                    }
                }
            }
        }
    }
}
