//! Writes of one kind that come while others are being kept are kept together by this process,
//! in one transaction: what a commit costs is paid once for all of them. Whoever asks is
//! answered after the commit. A write that comes alone is kept at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::{Result, Store, StoreError};

/// Writes of one transaction.
const TOGETHER: usize = 64;
/// Those who were answered together ask again together: they are waited for, at most for so
/// long. Else half of them would always wait for the other half.
const GATHER: Duration = Duration::from_millis(5);

pub(super) trait Write: Clone + Send + Sync + 'static {
    type Kept: Send + 'static;

    /// For errors.
    const WHAT: &'static str;

    /// Where those of this kind wait.
    fn waiting(store: &Store) -> &Together<Self>;

    /// In one transaction; an answer for each in their order, or an error for all of them
    /// when nothing is kept.
    fn keep(
        store: &Store,
        writes: &[Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Kept>>>> + Send;
}

type Answer<W> = oneshot::Sender<Result<<W as Write>::Kept>>;
type Waiting<W> = HashMap<i64, Vec<(W, Answer<W>)>>;

/// Writes that are to be kept, by the group within which they may be kept together. A group
/// that is there has somebody who keeps them, and looks for more.
pub(super) struct Together<W: Write> {
    waiting: Mutex<Waiting<W>>,
    /// One more waits.
    came: Notify,
}

impl<W: Write> Default for Together<W> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), came: Notify::new() }
    }
}

impl<W: Write> Together<W> {
    fn lock(&self) -> MutexGuard<'_, Waiting<W>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until so many wait, or it has taken too long.
    async fn gather(&self, group: i64, count: usize) {
        let all = async {
            loop {
                let came = self.came.notified();
                if self.lock().get(&group).is_none_or(|waiting| waiting.len() >= count) {
                    return;
                }
                came.await;
            }
        };
        // Those who are there do not wait for the others any longer.
        let _ = tokio::time::timeout(GATHER, all).await;
    }

    /// The next ones; when there are none, the group is over.
    fn next(&self, group: i64) -> Vec<(W, Answer<W>)> {
        let mut waiting = self.lock();
        let Entry::Occupied(mut entry) = waiting.entry(group) else { return Vec::new() };
        if entry.get().is_empty() {
            entry.remove();
            return Vec::new();
        }
        let some = some_of(entry.get().len());
        entry.get_mut().drain(..some).collect()
    }
}

/// How many of so many are kept next: few different counts, since each has statements of its own,
/// and the database keeps only so many of them prepared.
fn some_of(waiting: usize) -> usize {
    let waiting = waiting.min(TOGETHER);
    let power = 1 << waiting.checked_ilog2().unwrap_or(0);
    let between = power + power / 2;
    if waiting >= between { between } else { power }
}

/// With others of its group.
pub(super) async fn keep<W: Write>(store: &Store, group: i64, write: W) -> Result<W::Kept> {
    let (answer, answered) = oneshot::channel();
    let is_first = match W::waiting(store).lock().entry(group) {
        Entry::Occupied(mut entry) => {
            entry.get_mut().push((write, answer));
            false
        }
        Entry::Vacant(entry) => {
            entry.insert(vec![(write, answer)]);
            true
        }
    };
    W::waiting(store).came.notify_waiters();
    if is_first {
        // A task of its own: who asks may be dropped, and others wait for theirs.
        tokio::spawn(keep_all::<W>(store.clone(), group));
    }
    let stopped = |_| StoreError::Database { what: W::WHAT, source: sqlx::Error::WorkerCrashed };
    answered.await.map_err(stopped)?
}

/// Whoever asks next begins anew, should the one who keeps them have panicked.
struct Keeper<'a, W: Write>(&'a Together<W>, i64);

impl<W: Write> Drop for Keeper<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().remove(&self.1);
        }
    }
}

/// Until none waits any more.
async fn keep_all<W: Write>(store: Store, group: i64) {
    let waiting = W::waiting(&store);
    let _keeper = Keeper(waiting, group);
    loop {
        let (writes, answers): (Vec<W>, Vec<Answer<W>>) = waiting.next(group).into_iter().unzip();
        if writes.is_empty() {
            return;
        }
        let kept = match W::keep(&store, &writes).await {
            Ok(kept) => kept,
            // What can't be kept together is kept one by one, so that each has its own answer.
            Err(_) if writes.len() > 1 => one_by_one(&store, &writes).await,
            Err(error) => vec![Err(error)],
        };
        for (kept, answer) in kept.into_iter().zip(answers) {
            // Who asked may be gone.
            let _ = answer.send(kept);
        }
        if writes.len() > 1 {
            waiting.gather(group, writes.len()).await;
        }
    }
}

async fn one_by_one<W: Write>(store: &Store, writes: &[W]) -> Vec<Result<W::Kept>> {
    let mut kept = Vec::with_capacity(writes.len());
    for write in writes {
        kept.push(match W::keep(store, std::slice::from_ref(write)).await {
            Ok(mut one) => one.pop().unwrap_or(Err(StoreError::Stale)),
            Err(error) => Err(error),
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_kept_together_in_few_different_counts() {
        let counts: std::collections::BTreeSet<usize> = (1..1_000).map(some_of).collect();
        assert_eq!(
            counts.into_iter().collect::<Vec<_>>(),
            [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
        );
        assert!(
            (1..=TOGETHER)
                .all(|waiting| some_of(waiting) * 3 > waiting * 2 || some_of(waiting) == waiting)
        );
    }
}
