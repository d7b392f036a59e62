//! Wake-ups by other processes on the same PostgreSQL: it tells whoever listens that jobs may
//! wait, once they are committed (LISTEN and NOTIFY; the migration `pages` has the trigger).

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio_util::task::AbortOnDropHandle;

use super::Wakes;

const CHANNEL: &str = "kozmic_jobs";
/// After a connection was refused; whoever waits looks by itself now and then.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) fn start(url: String, wakes: Arc<Wakes>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Err(error) = listen(&url, &wakes).await {
                tracing::debug!(%error, "jobs of other processes are found by looking");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }))
}

async fn listen(url: &str, wakes: &Wakes) -> sqlx::Result<()> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What came before it listened, or while its connection was lost, was told to nobody.
        wakes.jobs.notify_one();
        listener.try_recv().await?;
    }
}
