//! Mails of builds that end, sent to a real mail server and read as a parser of mail does.

use std::time::Duration;

use kozmic::config::Settings;
use kozmic::log::Logs;
use kozmic::model::{GithubUser, JobEnd, MailChoice, ProjectId, Timestamp, UserId};
use kozmic::objects::Objects;
use kozmic::report::{self, Notifier};
use kozmic::shutdown::Shutdown;
use kozmic::store::{Hook, Outcome, Reply, Store};

use crate::harness::{BASE, Mail, MailServer, World, eventually, hook, post_form};
use crate::store::{LEASE, build, delivery, on_both, project};

const MINUTE: Duration = Duration::from_mins(1);

/// A store with a project whose owner wants all mails.
struct Story {
    store: Store,
    folder: tempfile::TempDir,
    project: ProjectId,
    owner: UserId,
    hook: Hook,
    count: std::cell::Cell<u32>,
}

impl Story {
    async fn new(store: Store) -> Self {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let owner = GithubUser {
            gh_id: 5,
            login: "octo".into(),
            name: "Octo".into(),
            avatar_url: None,
            email: Some("octo@example.org".into()),
        };
        let owner = store.user_signed_in(&owner, &"token-1".into(), Timestamp(1)).await.unwrap();
        store.mail_chosen(owner, Some(MailChoice::All)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let hook = hooks.into_iter().next().unwrap();
        Self { store, folder, project, owner, hook, count: std::cell::Cell::new(0) }
    }

    /// A build of this branch ends so.
    async fn ends(&self, branch: &str, code: i64) {
        let count = self.count.get() + 1;
        self.count.set(count);
        let mut new = build(branch, 'a');
        new.commit.sha = format!("{count:040}").parse().unwrap();
        let (delivery, now) = (delivery(&self.hook, &format!("g{count}")), Timestamp::now());
        self.store.hook_called(&delivery, &new, now).await.unwrap();
        let job = self.store.claim_job("w", LEASE, now).await.unwrap().unwrap();
        self.store.job_finished(job.id, 1, &JobEnd::Exited(code), now).await.unwrap();
    }

    fn settings(url: &str, ca: &str) -> Settings {
        let given = [
            ("KOZMIC_SMTP_URL", url),
            ("KOZMIC_SMTP_CA", ca),
            ("KOZMIC_MAIL_FROM", "Kozmic <ci@example.org>"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::from_parts(&given, None).unwrap()
    }

    /// Sends as a server does, until the story's guard is dropped.
    fn sends(&self, url: &str, ca: &str) -> Sending {
        let settings = Story::settings(url, ca);
        let objects = Objects::open(&settings.objects, self.folder.path()).unwrap();
        let logs = Logs::new(self.folder.path(), objects);
        let root = "https://ci.example.org".to_owned();
        let notifier = Notifier::new(&settings.notify, self.store.clone(), logs, root).unwrap();
        let shutdown = Shutdown::new();
        tokio::spawn(report::notify(notifier, shutdown.clone()));
        Sending(shutdown)
    }

    /// Nothing is announced, due, or being sent: a claim ends within minutes.
    async fn settled(&self) {
        eventually("everything to be told", async || {
            let announced = self.store.announcements(1).await.unwrap().is_empty();
            let next = self.store.next_message_at(true).await.unwrap();
            (announced && next.is_none_or(|at| at > Timestamp::now().plus(10 * MINUTE)))
                .then_some(())
        })
        .await;
    }
}

struct Sending(Shutdown);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn plain(port: u16) -> String {
    format!("smtp://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_red_build_is_mailed_with_the_end_of_its_log_and_a_green_one_in_its_thread() {
    let server = MailServer::start(&[]).await;
    let url = plain(server.port);
    let world =
        World::with(&[("KOZMIC_SMTP_URL", &url), ("KOZMIC_MAIL_FROM", "Kozmic <ci@example.org>")])
            .await;
    let kozmic = world.serve().await;
    let script = "#!/bin/bash\nfor n in $(seq 100); do echo \"line $n of the mail\"; done\n\
                  echo \"the token is $MAIL_TOKEN <b>\"\n[[ -e green ]]\n";
    world.project(&kozmic.url, &[hook("Mail tests", BASE, script)]).await;
    let owner = world.visitor(&kozmic.url, "octo").await;
    let value = [("name", "MAIL_TOKEN"), ("value", "hush-hush-hush"), ("hook", "")];
    post_form(&owner, &format!("{}/projects/1/secrets/set/", kozmic.url), &value).await;
    let mail = format!("{}/account/mail/", kozmic.url);
    let chosen = post_form(&owner, &mail, &[("general", "never"), ("project-1", "all")]).await;
    assert_eq!(chosen.status(), 303);

    let red = world.push(&[("a", b"a")]).await;
    let build = world.finished(&kozmic.url, &red).await;
    let first = server.arrived(1).await.remove(0);
    assert_eq!(first.header("subject"), "[octo/orbit] main is red: #1 Mail tests failed (octo)");
    assert_eq!((first.from.as_str(), first.to.len()), ("ci@example.org", 1));
    assert_eq!(first.kind, "multipart/alternative");
    assert_eq!(first.defects, Vec::<String>::new());
    for (kind, last) in
        [("text/plain", "line 100 of the mail"), ("text/html", "line 100 of the mail")]
    {
        let text = first.part(kind);
        assert!(text.contains(last) && !text.contains("line 50 of"), "{text}");
        assert!(text.contains("the token is **************"), "{text}");
        assert!(!text.contains("hush"), "{text}");
        assert!(text.contains(&format!("/projects/1/builds/{}/jobs/", build.id)), "{text}");
    }
    assert!(first.part("text/html").contains("&#60;b&#62;"), "{}", first.part("text/html"));

    let green = world.push(&[("green", b"")]).await;
    world.finished(&kozmic.url, &green).await;
    let second = server.arrived(2).await.remove(1);
    assert_eq!(second.header("subject"), "[octo/orbit] main is green again: #2 (octo)");
    assert_eq!(second.header("references"), first.header("references"));
    assert!(!first.header("references").is_empty());
    assert_ne!(second.header("message-id"), first.header("message-id"));

    // One click, by a mail program that is nobody here.
    assert_eq!(second.header("list-unsubscribe-post"), "List-Unsubscribe=One-Click");
    assert!(second.header("list-id").starts_with("<octo.orbit.kozmic."), "{second:?}");
    let link = second.header("list-unsubscribe").trim_matches(['<', '>']).to_owned();
    let page = world.http.get(&link).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("No more mails of octo/orbit?"), "{page}");
    let clicked = post_form(&world.http, &link, &[("List-Unsubscribe", "One-Click")]).await;
    assert_eq!(clicked.status(), 200);
    let account = format!("{}/account/settings/", kozmic.url);
    let account = owner.get(account).send().await.unwrap().text().await.unwrap();
    assert!(account.contains(r#"<option value="never" selected>never</option>"#), "{account}");
    let wrong =
        world.http.get(link.replace("/unsubscribe/", "/unsubscribe/A")).send().await.unwrap();
    assert_eq!(wrong.status(), 404);
    let red = world.push(&[("green", b"x"), ("a", b"b")]).await;
    world.finished(&kozmic.url, &red).await;
    world.end(kozmic).await;
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_through_tls_and_with_a_login() {
    on_both(async |store| {
        let story = Story::new(store).await;
        let login = "kozmic:p%2Fw+d%20%26%20more";
        for (options, url) in [
            (vec!["--tls", "--auth"], format!("smtps://{login}@localhost:PORT")),
            (vec!["--starttls", "--auth"], format!("smtp://{login}@127.0.0.1:PORT?tls=required")),
        ] {
            let server = MailServer::start(&options).await;
            let url = url.replace("PORT", &server.port.to_string());
            let settings = Story::settings(&url, &server.ca()).notify.mail.unwrap();
            report::try_mail_server(&settings).await.unwrap();
            let sending = story.sends(&url, &server.ca());
            story.ends("main", 1).await;
            let mail = server.arrived(1).await.remove(0);
            assert!(mail.tls, "{mail:?}");
            assert_eq!(mail.login.as_deref(), Some("kozmic"));
            story.settled().await;
            drop(sending);

            // Not without its certificate, and not with another password.
            let other = MailServer::start(&[]).await;
            let settings = Story::settings(&url, &other.ca()).notify.mail.unwrap();
            let problem = report::try_mail_server(&settings).await.unwrap_err();
            assert!(problem.contains("certificate") && !problem.contains("p/w"), "{problem}");
            let url = url.replace("p%2Fw", "hush");
            let settings = Story::settings(&url, &server.ca()).notify.mail.unwrap();
            let problem = report::try_mail_server(&settings).await.unwrap_err();
            assert!(problem.contains("535") && !problem.contains("hush"), "{problem}");
        }
        // What is to be secret goes to no server without TLS.
        let server = MailServer::start(&[]).await;
        let url = format!("{}?tls=required", plain(server.port));
        let settings = Story::settings(&url, &server.ca()).notify.mail.unwrap();
        report::try_mail_server(&settings).await.unwrap_err();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_sees_why_and_who_is_told_to_wait_comes_again() {
    on_both(async |store| {
        let story = Story::new(store).await;
        let server = MailServer::start(&[]).await;
        server.tell("busy", "yes");
        let _sending = story.sends(&plain(server.port), "");
        story.ends("main", 1).await;
        eventually("the first refusal", async || (server.was_busy() > 0).then_some(())).await;
        assert!(story.store.mail_choices(story.owner).await.unwrap().trouble.is_none());
        server.tell("busy", "");
        let mail: Mail = server.arrived(1).await.remove(0);
        assert!(mail.header("subject").contains("main is red: #1"), "{mail:?}");

        server.tell("refuse", "octo@example.org");
        story.ends("main", 1).await;
        let (why, _) = eventually("the trouble", async || {
            story.store.mail_choices(story.owner).await.unwrap().trouble
        })
        .await;
        assert!(why.contains("no such mailbox"), "{why}");
        assert_eq!(story.store.mail_troubles(9).await.unwrap()[0].0, "octo");
        server.tell("refuse", "");
        story.ends("main", 1).await;
        server.arrived(2).await;
        story.settled().await;
        assert!(story.store.mail_choices(story.owner).await.unwrap().trouble.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_becomes_one_mail() {
    on_both(async |store| {
        let story = Story::new(store).await;
        let server = MailServer::start(&[]).await;
        let sending = story.sends(&plain(server.port), "");
        for n in 0..24 {
            story.ends(&format!("b{n}"), 1).await;
        }
        server.arrived(20).await;
        story.settled().await;
        assert_eq!(server.mails().len(), 20);
        drop(sending);
        // What the server of an hour later finds.
        let at = story.store.next_message_at(true).await.unwrap().unwrap();
        assert!(at > Timestamp::now().plus(50 * MINUTE), "{at}");
        let digest = story.store.messages_claimed(true, 9, at).await.unwrap();
        assert_eq!(digest.len(), 1);
        assert_eq!(digest[0].event, "digest");
        let told: serde_json::Value = serde_json::from_str(&digest[0].payload).unwrap();
        assert_eq!(
            (told["count"].as_u64(), told["builds"].as_array().unwrap().len()),
            (Some(4), 4)
        );
        let reply = Reply::default();
        story
            .store
            .message_settled(&digest[0], &Outcome::Again(Duration::ZERO), &reply, Timestamp(0))
            .await
            .unwrap();
        let _sending = story.sends(&plain(server.port), "");
        let last = server.arrived(21).await.remove(20);
        assert_eq!(last.header("subject"), "[Kozmic] 4 more builds within the hour");
        assert!(last.part("text/plain").contains("b23 is red: #24"), "{last:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_what_they_chose() {
    on_both(async |store| {
        let tale = Story::new(store).await;
        let (store, now) = (&tale.store, Timestamp::now());
        let chosen = async |default: MailChoice| {
            let mut mailed = Vec::new();
            for announcement in store.announcements(9).await.unwrap() {
                let body = |_, _| unreachable!("there is no webhook");
                store
                    .announced(&announcement, Some(default), body, Timestamp::now())
                    .await
                    .unwrap();
            }
            for message in store.messages_claimed(true, 99, Timestamp::now()).await.unwrap() {
                let reply = Reply::default();
                store
                    .message_settled(&message, &Outcome::Sent, &reply, Timestamp::now())
                    .await
                    .unwrap();
                mailed.push(message.event);
            }
            mailed
        };
        tale.ends("main", 0).await;
        assert_eq!(chosen(MailChoice::All).await, Vec::<String>::new(), "it was green before, too");
        tale.ends("main", 1).await;
        assert_eq!(chosen(MailChoice::Never).await, ["failed"]);
        tale.ends("other", 0).await;
        assert_eq!(chosen(MailChoice::Never).await, Vec::<String>::new(), "another branch");
        tale.ends("main", 0).await;
        assert_eq!(chosen(MailChoice::Never).await, ["fixed"]);
        // The commits are Ada's.
        store.mail_chosen(tale.owner, Some(MailChoice::Own)).await.unwrap();
        tale.ends("main", 1).await;
        assert_eq!(chosen(MailChoice::All).await, Vec::<String>::new());
        store.mail_chosen(tale.owner, None).await.unwrap();
        tale.ends("main", 1).await;
        assert_eq!(chosen(MailChoice::All).await, ["failed"]);
        tale.ends("main", 1).await;
        assert_eq!(chosen(MailChoice::Never).await, Vec::<String>::new());
        store.mail_chosen_for(tale.owner, tale.project, Some(MailChoice::All)).await.unwrap();
        tale.ends("main", 1).await;
        assert_eq!(chosen(MailChoice::Never).await, ["failed"]);
        // Of what is on its way, nothing is sent to who wants none any more.
        tale.ends("main", 1).await;
        let announcement = store.announcements(1).await.unwrap().remove(0);
        let body = |_, _| unreachable!("there is no webhook");
        assert!(store.announced(&announcement, Some(MailChoice::All), body, now).await.unwrap());
        let body = |_, _| unreachable!("there is no webhook");
        assert!(!store.announced(&announcement, Some(MailChoice::All), body, now).await.unwrap());
        store.mail_chosen_for(tale.owner, tale.project, Some(MailChoice::Never)).await.unwrap();
        assert_eq!(store.messages_claimed(true, 9, Timestamp::now()).await.unwrap().len(), 0);
    })
    .await;
}

/// A server that ends between an attempt and its outcome leaves a claim, and no second mail
/// is sent beside it.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_without_an_outcome_is_made_again_when_its_claim_is_over() {
    on_both(async |store| {
        let tale = Story::new(store).await;
        let (store, now) = (&tale.store, Timestamp::now());
        tale.ends("main", 1).await;
        let announcement = store.announcements(1).await.unwrap().remove(0);
        let body = |_, _| unreachable!("there is no webhook");
        store.announced(&announcement, Some(MailChoice::All), body, now).await.unwrap();
        assert_eq!(store.messages_claimed(false, 9, now).await.unwrap().len(), 0, "no mail server");
        let lost = store.messages_claimed(true, 9, now).await.unwrap().remove(0);
        assert_eq!(store.messages_claimed(true, 9, now.plus(MINUTE)).await.unwrap().len(), 0);
        let next = store.next_message_at(true).await.unwrap().unwrap();
        let again = store.messages_claimed(true, 9, next).await.unwrap().remove(0);
        assert_eq!((again.uuid, lost.attempts, again.attempts), (lost.uuid, 1, 2));
        // What the first one has to say comes too late.
        let reply = Reply { words: "late".into(), ..Reply::default() };
        store.message_settled(&lost, &Outcome::Refused, &reply, next).await.unwrap();
        assert!(store.mail_choices(tale.owner).await.unwrap().trouble.is_none());
        store.message_settled(&again, &Outcome::Sent, &Reply::default(), next).await.unwrap();
        assert!(store.next_message_at(true).await.unwrap().is_none());
    })
    .await;
}
