//! The audit log as the store keeps it: on SQLite and on PostgreSQL.

use std::net::{IpAddr, Ipv4Addr};

use kozmic::model::{Action, Actor, Event, Timestamp, TokenId, UserId, Via};
use kozmic::store::AuditPart;

use crate::store::{on_both, project};

#[tokio::test(flavor = "multi_thread")]
async fn rows_tell_who_it_was_and_are_read_in_parts() {
    on_both(async |store| {
        let (project, _) = project(&store, &["Tests"]).await;
        let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ada = store.by(Actor::person(UserId(7), "ada", Via::Token(TokenId(3)), here));
        for number in 0..5 {
            let event =
                Event::of(Action::HookEdited, "hook", Some(number), format!("hook {number}"));
            let event =
                event.in_project(project).with("count", number).with("nothing", None::<i64>);
            ada.noted(event).await.unwrap();
        }
        let part = AuditPart { project: Some(project), before: None, limit: 2 };
        let rows = store.audit(part).await.unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.subject.as_str()).collect();
        assert_eq!(names, ["hook 4", "hook 3"]);
        let row = &rows[0];
        assert_eq!((row.actor.as_str(), row.user), ("ada", Some(UserId(7))));
        assert_eq!((row.via.as_str(), row.via_id), ("token", Some(3)));
        assert_eq!(row.address.as_deref(), Some("127.0.0.1"));
        assert_eq!(row.project, Some(project));
        assert_eq!(serde_json::to_string(&row.details).unwrap(), "{\"count\":4}");
        let part = AuditPart { before: Some(rows[1].id), ..part };
        let next = store.audit(part).await.unwrap();
        assert_eq!(next[0].subject, "hook 2");
        // The hook was added by the store that nobody has taken in their hands.
        let all = store.audit(AuditPart { limit: 100, ..AuditPart::default() }).await.unwrap();
        let added = all.iter().find(|row| row.action == Action::HookAdded).unwrap();
        assert_eq!(
            (added.actor.as_str(), added.via.as_str(), added.user),
            ("kozmic", "kozmic", None)
        );
        // What was done to a project is told when it is gone.
        store.project_deleted(project).await.unwrap();
        let rows = store.audit(AuditPart { project: Some(project), before: None, limit: 1 });
        assert_eq!(rows.await.unwrap()[0].action, Action::ProjectDeleted);
        assert_eq!(store.audit_forgotten(Timestamp(1)).await.unwrap(), 0);
        let all = u64::try_from(all.len() + 1).unwrap();
        assert_eq!(store.audit_forgotten(Timestamp(i64::MAX)).await.unwrap(), all);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_no_row() {
    on_both(async |store| {
        let count = async || {
            store.audit(AuditPart { limit: 100, ..AuditPart::default() }).await.unwrap().len()
        };
        let before = count().await;
        assert!(!store.own_session_ended(UserId(9), kozmic::model::SessionId(9)).await.unwrap());
        assert!(!store.token_revoked(UserId(9), TokenId(9)).await.unwrap());
        assert!(store.job_cancelled(kozmic::model::JobId(9), "ada", Timestamp(1)).await.is_err());
        assert_eq!(count().await, before);
    })
    .await;
}
