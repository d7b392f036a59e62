//! Lists in pages, as the store keeps them: on SQLite and on PostgreSQL.

use kozmic::store::Listed;

use crate::store::{on_both, project_of};

#[tokio::test(flavor = "multi_thread")]
async fn projects_follow_one_another_by_name_while_some_come() {
    on_both(async |store| {
        for (gh_id, name) in [(1, "octo/b"), (2, "octo/d"), (3, "octo/f")] {
            project_of(&store, gh_id, name, &[]).await;
        }
        let owner = store.projects(Listed::All).await.unwrap()[0].owner;
        let behind = async |of, name: &str, limit| -> Vec<String> {
            let projects = store.projects_behind(of, name, limit).await.unwrap();
            projects.iter().map(|project| project.repository.full_name.to_string()).collect()
        };
        assert_eq!(behind(Listed::Of(owner), "", 2).await, ["octo/b", "octo/d"]);
        for (gh_id, name) in [(4, "octo/a"), (5, "octo/e")] {
            project_of(&store, gh_id, name, &[]).await;
        }
        assert_eq!(behind(Listed::Of(owner), "octo/d", 9).await, ["octo/e", "octo/f"]);
        assert_eq!(behind(Listed::All, "octo/d", 1).await, ["octo/e"]);
        assert!(behind(Listed::VisibleToAll, "", 9).await.is_empty());
        assert!(behind(Listed::All, "octo/f", 9).await.is_empty());
    })
    .await;
}
