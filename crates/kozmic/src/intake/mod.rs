//! From a verified delivery, or one that never came, to a build in the store.

mod ask;
mod asked;
mod decide;
mod missed;
mod reconcile;

use crate::github::{Client, Repository};
use crate::model::{Head, Timestamp};
use crate::store::{Delivery, Destination, Recorded, Store, StoreError};
use ask::Ask;

pub use ask::{AskError, ask_github};
pub use asked::{FindError, Start, Typed, head_of, hooks_titled, start, try_typed, variables};
pub use decide::{Decision, Differences, Wish, decide};
pub use reconcile::{Reconciler, begin as begin_comparison, run as reconcile};

/// What answers GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, or rightly ignored: what became of it.
    Ok(String),
    /// Not for us; GitHub shows it as failed.
    Refused(String),
}

/// Decides on a delivery and records what follows from it; returns once that is
/// durable.
pub async fn take(
    store: &Store,
    github: &Client,
    to: &Destination,
    delivery: &Delivery,
) -> Result<Answer, StoreError> {
    let project = &to.project;
    let event = match crate::github::parse(&delivery.event, delivery.payload.as_bytes()) {
        Ok(event) => event,
        Err(problem) => return Ok(Answer::Refused(problem.to_string())),
    };
    let decision = decide(&event, project.repository.gh_id, to.gh_id, to.forks);
    let current = event.repository().and_then(Repository::current);
    let renamed = current.filter(|current| *current != project.repository);
    // One that was taken before asks GitHub for nothing and renames nothing.
    let does_more = match &decision {
        Decision::Build(wish) => renamed.is_some() || wish.asks_github(),
        Decision::Release(_) => true,
        _ => false,
    };
    if does_more && let Some(outcome) = store.delivery_outcome(to.hook, &delivery.guid).await? {
        return Ok(Answer::Ok(Recorded::Seen(outcome).sentence()));
    }
    // Renamed, transferred, made private: what is built from is known before it is.
    if let (Decision::Build(_), Some(current)) = (&decision, renamed) {
        store.repository_changed(project.id, &current, Timestamp::now()).await?;
    }
    let ask = Ask::of(store, github, project);
    let decision = match decision {
        Decision::Build(mut wish) => {
            ask.complete(&mut wish).await?;
            decide::passed_over(&wish.build, &[&wish.build.commit.message])
                .unwrap_or(Decision::Build(wish))
        }
        Decision::Release(tag) => match ask.release(&tag).await {
            Ok(wish) => Decision::Build(Box::new(wish)),
            Err(AskError::Store(error)) => return Err(error),
            Err(error) => Decision::Refuse(format!("The commit of {tag} is not known: {error}.")),
        },
        other => other,
    };
    let ignored = async |why: String, head: Option<Head>| {
        store.delivery_ignored(delivery, &why, head.as_ref(), Timestamp::now()).await?;
        Ok(Answer::Ok(why))
    };
    match decision {
        Decision::Pong => Ok(Answer::Ok("pong".into())),
        Decision::Refuse(why) => Ok(Answer::Refused(why)),
        Decision::Release(tag) => Ok(Answer::Refused(format!("{tag} was not looked up."))),
        Decision::Ignore(why) => ignored(why, None).await,
        Decision::PassOver { why, head } => ignored(why, Some(head)).await,
        Decision::Build(mut wish) => {
            wish.build.sender = event.sender().map(str::to_owned);
            let recorded = store.hook_called(delivery, &wish.build, Timestamp::now()).await?;
            Ok(Answer::Ok(recorded.sentence()))
        }
    }
}
