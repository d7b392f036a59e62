//! Deliveries that come in the same moment are kept together, and each has its own answer, on
//! both databases.

use kozmic::model::{HookId, Timestamp};
use kozmic::store::Recorded;

use crate::store::{build, delivery, on_both, project_of};

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_has_its_own_answer() {
    on_both(async |store| {
        let (one, hooks) = project_of(&store, 1, "octo/one", &["Tests", "Lint"]).await;
        let (_, others) = project_of(&store, 2, "octo/two", &["Tests"]).await;
        let mut gone = others[0].clone();
        gone.id = HookId(9_999);
        let called = async |hook, guid, branch| {
            let (delivery, build) = (delivery(hook, guid), build(branch, '1'));
            store.hook_called(&delivery, &build, Timestamp(10)).await
        };
        let (made, attached, seen, elsewhere, refused, other) = tokio::join!(
            called(&hooks[0], "a", "main"),
            called(&hooks[1], "b", "main"),
            called(&hooks[0], "a", "main"),
            called(&others[0], "c", "main"),
            called(&gone, "d", "main"),
            called(&hooks[0], "e", "other"),
        );
        let made = made.unwrap();
        let Recorded::Built { build, number: 1, jobs: 2 } = made else { panic!("{made:?}") };
        assert_eq!(attached.unwrap(), Recorded::Attached { build, number: 1 });
        assert_eq!(seen.unwrap(), Recorded::Seen(made.sentence()));
        assert!(matches!(elsewhere.unwrap(), Recorded::Built { number: 1, jobs: 1, .. }));
        // Of a hook that is not there; what came with it is kept.
        assert!(refused.is_err());
        assert!(matches!(other.unwrap(), Recorded::Built { number: 2, jobs: 2, .. }));
        let builds = store.builds_before(one, None, 9).await.unwrap();
        assert_eq!(builds.iter().map(|build| build.number).collect::<Vec<_>>(), [2, 1]);
        let kept = store.delivery_outcome(hooks[1].id, "b").await.unwrap();
        assert_eq!(kept.as_deref(), Some("Build #1 of this commit exists already."));
    })
    .await;
}
