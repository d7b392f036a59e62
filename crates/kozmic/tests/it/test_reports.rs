//! JUnit files that a script leaves are read, whatever becomes of the script; their
//! tests are shown, and have a history.

use kozmic::model::{Collected, JobEnd, JobId, JobStatus, TestCase, TestOutcome, Timestamp};
use kozmic::store::{Recorded, StoreError, Which};
use serde_json::Value;

use crate::crash::{free_url, said, start};
use crate::harness::{BASE, World, eventually, hook};
use crate::store::{LEASE, build, delivery, on_both, project};

/// Writes one test that passes and one that fails.
const WRITE: &str = r#"cat > $KOZMIC_REPORTS/junit.xml <<'END'
<testsuites><testsuite name="orbit"><testcase classname="Orbit" name="goes round" time="0.25"/>
<testcase classname="Orbit" name="falls &lt;down&gt;" time="1.5" file="orbit.rs" line="7"><failure message="expected &lt;b&gt;up&lt;/b&gt;">at orbit.rs:7</failure></testcase></testsuite></testsuites>
END
"#;

fn script(then: &str) -> String {
    format!("#!/bin/bash\n{WRITE}{then}\n")
}

impl World {
    async fn tests(&self, url: &str, job: i64) -> Value {
        self.answer(&format!("{url}/api/v1/jobs/{job}/tests")).await
    }
}

fn assert_read(tests: &Value) {
    assert_eq!(
        (&tests["total"], &tests["passed"], &tests["failed"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(tests["tests"][0]["name"], "falls <down>");
    assert_eq!(tests["tests"][0]["message"], "expected <b>up</b>");
    assert_eq!(tests["tests"][0]["place"], "orbit.rs:7");
    assert_eq!(tests["tests"][1]["name"], "goes round");
    assert_eq!(tests["tests"][1]["outcome"], "passed");
    assert_eq!(tests["notes"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tests_come_first_and_github_hears_of_them() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = [hook("Tests", BASE, &script("exit 1")), hook("Fine", BASE, "#!/bin/sh\n:\n")];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_read(&world.tests(&server.url, job.id).await);
    assert_eq!(world.tests(&server.url, build.job("Fine").id).await["total"], 0);
    let told = world.told(&sha, "Kozmic-CI/Tests", "failure").await;
    assert!(told.ends_with(": 1 of 2 tests failed"), "{told}");
    let told = world.told(&sha, "Kozmic-CI", "failure").await;
    assert_eq!(told, "Build #1 failed: Tests (1 of 2 tests failed)");

    let page = world.page(&build.url).await;
    let above = page.split("id=\"log\"").next().unwrap();
    assert!(above.contains("<strong>1 of 2 tests failed</strong>"), "{page}");
    assert!(above.contains("falls &#60;down&#62;") && above.contains("at orbit.rs:7"), "{above}");
    assert!(above.contains("expected &#60;b&#62;up") && !page.contains("<b>up"), "{above}");
    assert!(!above.contains("goes round"), "what passed is on the job's own page");
    let all = world.page(&format!("{}/projects/1/jobs/{}/tests/", server.url, job.id)).await;
    let (falls, goes) = (all.find("falls &#60;down").unwrap(), all.find("goes round").unwrap());
    assert!(falls < goes);

    // The same commit again, and now all is well: that test is flaky.
    world
        .apply(
            &server.url,
            &[hook(
                "Tests",
                BASE,
                &script("exit 0").replace("<failure", "<skip").replace("</failure", "</skip"),
            )],
        )
        .await;
    let restart = format!("{}/api/v1/jobs/{}/restart", server.url, job.id);
    let again = world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    assert!(again.status().is_success());
    world.finished(&server.url, &sha).await;
    let id = world.tests(&server.url, job.id).await["tests"][0]["id"].as_str().unwrap().to_owned();
    let history = world.answer(&format!("{}/api/v1/projects/1/tests/{id}", server.url)).await;
    let outcomes = |history: &Value| -> Vec<String> {
        let runs = history["results"].as_array().unwrap().iter();
        runs.map(|run| run["outcome"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(outcomes(&history), ["passed", "failed"]);
    assert_eq!(history["is_flaky"], true, "on one commit");
    let page = world.page(&format!("{}jobs/{}/", build.url, job.id)).await;
    assert!(page.contains(">flaky</span>"), "{page}");
    let second = world.push(&[("a", b"b")]).await;
    world.finished(&server.url, &second).await;
    let history = world.answer(&format!("{}/api/v1/projects/1/tests/{id}", server.url)).await;
    assert_eq!(outcomes(&history), ["passed", "passed", "failed"]);
    let page = world.page(&format!("{}/projects/1/tests/{id}/", server.url)).await;
    assert!(page.contains("3 results are") && page.contains("1 of them failed"), "{page}");
    let page = world.page(&format!("{}/projects/1/tests/", server.url)).await;
    assert!(
        page.contains(&format!("/projects/1/tests/{id}/")) && page.contains("Of build #2."),
        "{page}"
    );
    let slowest = page.split("Of build #2.").nth(1).unwrap();
    let (falls, goes) =
        (slowest.find("falls &#60;down").unwrap(), slowest.find("goes round").unwrap());
    assert!(falls < goes, "the slowest comes first");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_not_end_well_has_left_them_too() {
    let world = World::with(&[("KOZMIC_STALL_TIMEOUT", "5")]).await;
    let server = world.serve().await;
    let greedy = hook("Greedy", BASE, &script("exec tail /dev/zero"));
    let greedy = greedy.replacen("# kozmic: image", "# kozmic: memory = 64M\n# kozmic: image", 1);
    let slow = hook("Slow", BASE, &script("while :; do echo on; sleep 0.2; done"));
    let slow = slow.replacen("# kozmic: image", "# kozmic: job-timeout = 8\n# kozmic: image", 1);
    let hooks = [
        hook("Stalls", BASE, &script("sleep 600")),
        greedy,
        slow,
        hook("Cancelled", BASE, &script("while :; do echo on; sleep 0.2; done")),
    ];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the script to be cancelled", async || {
        let build = world.build_of(&server.url, &sha).await;
        let job = build.job("Cancelled");
        world.log_text(job).await.contains("on\n").then_some(())?;
        let url = format!("{}/api/v1/jobs/{}/cancel", server.url, job.id);
        let token = world.api_token().await;
        world
            .http
            .post(url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
            .then_some(())
    })
    .await;
    let build = eventually("all jobs' ends", async || {
        let build = world.build_of(&server.url, &sha).await;
        build
            .jobs
            .iter()
            .all(|job| job.status != "enqueued" && job.status != "pending")
            .then_some(build)
    })
    .await;
    for (title, status, said) in [
        ("Stalls", "failure", "stalled"),
        ("Greedy", "failure", "memory"),
        ("Slow", "failure", "8 s"),
        ("Cancelled", "cancelled", "octo"),
    ] {
        let job = build.job(title);
        assert_eq!(job.status, status, "{title}: {}", job.reason);
        assert!(job.reason.contains(said), "{title}: {}", job.reason);
        assert_read(&world.tests(&server.url, job.id).await);
    }
    let told = world.told(&sha, "Kozmic-CI/Stalls", "failure").await;
    assert!(told.contains("stalled"), "its end's own word comes first: {told}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_reports_are_named_and_harm_nothing() {
    let world = World::new().await;
    let server = world.serve().await;
    let hostile = r#"#!/bin/bash
cd $KOZMIC_REPORTS
printf '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">%s]><testsuite><testcase name="&z;"/></testsuite>' "$(for n in b c d e f g z; do printf '<!ENTITY %s "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">' $n; done)" > laughs.xml
printf '<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="a"><failure>&x;</failure></testcase></testsuite>' > outside.xml
printf '<testsuite>%.0s' {1..20000} > deep.xml
head -c 100000000 /dev/zero | tr '\0' ' ' > big.xml
printf 'words' > words.xml
printf '<testsuite><testcase name="\xff\xfe"/></testsuite>' > bytes.xml
printf '<testsuite><testcase name="cut' > cut.xml
ln -s /etc/passwd link.xml
ln -s / everywhere
mkfifo pipe.xml
mkdir -p "a/b"; printf '<testsuite><testcase name="nested"/></testsuite>' > a/b/ok.XML
printf '<script>alert(1)</script>' > '<script>alert(2)<.xml'
"#;
    let gone = "#!/bin/bash\nrmdir /kozmic/reports; ln -s /etc /kozmic/reports; echo done\n";
    let removed = "#!/bin/bash\nrmdir /kozmic/reports /kozmic/artifacts; echo done\n";
    let hooks =
        [hook("Hostile", BASE, hostile), hook("Gone", BASE, gone), hook("Removed", BASE, removed)];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = eventually("all jobs' ends", async || {
        let build = world.build_of(&server.url, &sha).await;
        build.is_finished().then_some(build)
    })
    .await;
    assert_eq!(build.status, "success", "{build:?}");
    let tests = world.tests(&server.url, build.job("Hostile").id).await;
    let names: Vec<&str> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| test["name"].as_str().unwrap())
        .collect();
    assert!(names.len() == 2 && names.contains(&"nested"), "{names:?}");
    let notes: Vec<&str> =
        tests["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    for (file, said) in [
        ("laughs.xml: ", "document type declares"),
        ("outside.xml: ", "document type declares"),
        ("deep.xml: ", "deeper than 100 levels"),
        ("big.xml: ", "95 MiB; no file beyond 32 MiB"),
        ("words.xml: ", "no XML"),
        ("bytes.xml: ", "not UTF-8"),
        ("cut.xml: ", ""),
        ("link.xml: ", "a symbolic link"),
        ("pipe.xml: ", "a pipe"),
        ("<script>alert(2)<.xml: ", "no JUnit report: it begins with <script>"),
    ] {
        let note = notes.iter().find(|note| note.starts_with(file));
        assert!(note.is_some_and(|note| note.contains(said)), "{file} {said}: {notes:#?}");
    }
    let url =
        format!("{}/projects/1/builds/{}/jobs/{}/", server.url, build.id, build.job("Hostile").id);
    let page = world.page(&url).await;
    assert!(page.contains("&#60;script&#62;alert(2)") && !page.contains("<script>alert"), "{page}");
    let gone = world.tests(&server.url, build.job("Gone").id).await;
    assert!(gone["notes"][0].as_str().unwrap().contains("no folder any more"), "{gone}");
    let removed = world.tests(&server.url, build.job("Removed").id).await;
    assert_eq!(removed["notes"], serde_json::json!([]));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_between_end_and_collection_reads_them_once() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    // The engine packs this folder for longer than it takes to kill the server.
    let many = "for n in $(seq 20000); do : > $KOZMIC_REPORTS/$n; done; echo written";
    world.project(&url, &[hook("Tests", BASE, &script(many))]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the collection", async || {
        let build = world.build_of(&url, &sha).await;
        build.job("Tests").reason.contains("taking what it left").then_some(())
    })
    .await;
    server.kill().await.unwrap();
    assert!(!world.store().await.is_collected(JobId(1), 1).await.unwrap());
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(
        (build.status.as_str(), build.job("Tests").return_code),
        ("success", Some(0)),
        "{}",
        said(&world)
    );
    assert_read(&world.tests(&url, 1).await);
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_report_is_hidden_as_in_the_log() {
    let world = World::new().await;
    let server = world.serve().await;
    let script = r#"#!/bin/bash
cat > $KOZMIC_REPORTS/r.xml <<END
<testsuite><testcase name="uses $TOKEN"><failure message="got $TOKEN">at $TOKEN &amp; on</failure><system-out>wrote $TOKEN</system-out></testcase></testsuite>
END
"#;
    world.project(&server.url, &[hook("Tests", BASE, script)]).await;
    crate::secrets::set(&world, &server.url, "TOKEN", "hush-hush-0123456789").await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let tests = world.tests(&server.url, build.job("Tests").id).await;
    assert!(!tests.to_string().contains("hush-hush"), "{tests}");
    let test = &tests["tests"][0];
    assert!(test["name"].as_str().unwrap().starts_with("uses *"), "{tests}");
    assert!(test["details"].as_str().unwrap().ends_with("* & on"), "{tests}");
    assert!(test["output"].as_str().unwrap().starts_with("wrote *"), "{tests}");
    world.end(server).await;
}

fn case(name: &str, outcome: TestOutcome) -> TestCase {
    TestCase {
        suite: "s".into(),
        class: "c".into(),
        name: name.into(),
        outcome,
        duration: Some(5),
        place: String::new(),
        message: if outcome == TestOutcome::Passed { String::new() } else { "m".into() },
        details: String::new(),
        output: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_kept_once_and_by_who_holds_the_job() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let delivery = delivery(&hooks[0], "g");
        let called = store.hook_called(&delivery, &build("main", '1'), Timestamp(10)).await;
        assert!(matches!(called.unwrap(), Recorded::Built { .. }));
        let job = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let mut cases = vec![case("bad", TestOutcome::Failed), case("off", TestOutcome::Skipped)];
        // More than one statement, and more than one transaction, take.
        cases.extend((0..6_000).map(|n| case(&format!("t{n}"), TestOutcome::Passed)));
        // The same name twice.
        cases.push(case("bad", TestOutcome::Passed));
        let collected = Collected { cases, notes: vec!["ü".into()], ..Collected::default() };
        for _ in 0..2 {
            let kept = store.job_collected(job.id, job.attempt, &collected, Timestamp(30)).await;
            kept.unwrap();
        }
        assert!(store.is_collected(job.id, job.attempt).await.unwrap());
        let stale = store.job_collected(job.id, job.attempt - 1, &collected, Timestamp(31)).await;
        assert!(matches!(stale, Err(StoreError::Stale)), "{stale:?}");
        let kept = store.collection(job.id).await.unwrap().unwrap();
        assert_eq!((kept.tests.total(), kept.tests.bad(), kept.duration), (6_003, 1, 30_015));
        assert_eq!(kept.notes, ["ü"]);
        let all = store.test_results(job.id, Which::All, 0, 10_000).await.unwrap();
        assert_eq!(all.len(), 6_003);
        assert_eq!((all[0].test.name.as_str(), all[0].message.as_str()), ("bad", "m"));
        assert_eq!(store.test_results(job.id, Which::Bad, 0, 9).await.unwrap(), all[..1]);
        let key = all[0].test.key;
        assert_eq!(store.test_history(project, key, 9).await.unwrap().len(), 2);
        assert_eq!(store.which_are_flaky(project, &[key]).await.unwrap(), [key]);
        assert_eq!(store.flaky_tests(project).await.unwrap()[0].name, "bad");
        let (number, slowest) = store.slowest_tests(project, 3).await.unwrap().unwrap();
        assert_eq!((number, slowest.len()), (1, 3));

        let end = JobEnd::Exited(1);
        store.job_finished(job.id, job.attempt, &end, Timestamp(40)).await.unwrap();
        assert_eq!(store.job(job.id).await.unwrap().unwrap().status, JobStatus::Failure);
        let late = store.job_collected(job.id, job.attempt, &collected, Timestamp(41)).await;
        assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
        assert_eq!(store.test_results(job.id, Which::All, 0, 10_000).await.unwrap().len(), 6_003);
        store.project_deleted(project).await.unwrap();
        assert!(store.collection(job.id).await.unwrap().is_none());
        assert!(store.test(project, key).await.unwrap().is_none());
    })
    .await;
}
