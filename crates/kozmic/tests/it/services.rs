//! Services: containers beside a job's script, under host names, ready before it begins and
//! gone with it.

use std::collections::BTreeSet;

use kozmic::model::{JobId, Timestamp};
use reqwest::StatusCode;
use serde_json::Value;

use crate::crash::{free_url, said, start};
use crate::harness::{
    BASE, Build, Server, World, docker, eventually, hook, networks_of, postgres_image,
    remove_cached_images, touch, web_image, with_header,
};

/// Fetches a page of the service `web`, by bash alone.
const FETCH: &str = "exec 3<>/dev/tcp/web/8000\nprintf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3\ncat <&3\n";

async fn built(header: &[&str], script: &str) -> (World, Server, Build) {
    let world = World::new().await;
    let server = world.serve_with(&with_header(header, script)).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    (world, server, build)
}

impl World {
    async fn services(&self, server: &Server, job: i64) -> Value {
        self.answer(&format!("{}/api/v1/jobs/{job}/services", server.url)).await
    }

    /// Once at least so many networks are there.
    async fn networks(&self, count: usize) -> Vec<String> {
        let instance = self.instance().await;
        eventually("the jobs' networks", async || {
            Some(networks_of(&instance).await).filter(|networks| networks.len() >= count)
        })
        .await
    }

    /// The containers of one step.
    pub async fn containers(&self, step: &str) -> Vec<String> {
        let instance = format!("label=kozmic.instance={}", self.instance().await);
        let step = format!("label=kozmic.step={step}");
        let of_step = ["ps", "--quiet", "--filter", &instance, "--filter", &step];
        docker(&of_step).await.lines().map(str::to_owned).collect()
    }

    /// Objects that are kept of services.
    fn kept_of_services(&self) -> usize {
        fn files(folder: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            let count = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { 1 };
            entries.map(|entry| count(entry.unwrap().path())).sum()
        }
        files(&self.data_dir().join("objects/services"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_project_is_tested_against_postgresql() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let service = format!("service = db: {}", postgres_image().await);
    let tests = hook(
        "Tests",
        BASE,
        &with_header(
            &[&service, "service-env = db: POSTGRES_PASSWORD=orbit"],
            "python3 -u tests.py\n",
        ),
    );
    // Its image depends on no service: there is none.
    let install = "#!/bin/bash\nset -e\n! getent hosts db\nsudo apt-get update -qq\n\
                   sudo apt-get install -qq -y --no-install-recommends python3-psycopg2 >/dev/null\n";
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", install)]).await;
    let script = b"import psycopg2, socket
connection = psycopg2.connect(host='db', user='postgres', password='orbit')
cursor = connection.cursor()
cursor.execute('create table planets (name text)')
cursor.executemany('insert into planets values (%s)', [('Mars',), ('Venus',)])
cursor.execute('select count(*), max(name) from planets')
print('planets:', cursor.fetchone())
cursor.execute('select pg_is_in_recovery()')
print('at', socket.gethostbyname('db').rsplit('.', 1)[0].count('.'))
";
    let sha = world.push(&[("tests.py", script)]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("planets: (2, 'Venus')"), "{log}");
    let ready = format!("[kozmic] the service db ({}) is ready after ", postgres_image().await);
    let place = log.find(&ready).unwrap();
    assert!(place < log.find("planets:").unwrap(), "{log}");

    let job = build.job("Tests").id;
    let listed = world.services(&server, job).await;
    assert_eq!(listed["services"][0]["name"], "db");
    assert_eq!(listed["services"][0]["ended"], Value::Null);
    let url = listed["services"][0]["log_url"].as_str().unwrap();
    let kept = world.get_log(url).await.text().await.unwrap();
    assert!(kept.starts_with("making a cluster\n"), "{kept}");
    assert!(kept.contains("database system is ready to accept connections"), "{kept}");
    let page = world.page(&build.url).await;
    let link = format!("/projects/1/jobs/{job}/services/db/log/");
    assert!(page.contains("1 service") && page.contains(&link), "{page}");
    assert_eq!(world.page(&format!("{}{link}", server.url)).await, kept);
    let answer = world.answer(&format!("{}/api/v1/jobs/{job}", server.url)).await;
    let phases: BTreeSet<&str> = answer["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["phase"].as_str().unwrap())
        .collect();
    assert!(phases.contains("services"), "{phases:?}");
    let instance = world.instance().await;
    world.end(server).await;
    remove_cached_images(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_never_ready_fails_the_job_and_says_why() {
    let image = web_image().await;
    let service = format!("service = web: {image}");
    let header = [
        &service,
        "service-env = web: GREETING=to nobody",
        "service-ready = web: echo not for you; exit 3",
        "service-timeout = web: 2",
    ];
    let (world, server, build) = built(&header, "echo begun\n").await;
    let job = build.job("Tests");
    assert_eq!((build.status.as_str(), job.return_code), ("failure", Some(125)));
    let reason = format!("the service web ({image}) was not ready after 2 s");
    assert_eq!(job.reason, reason);
    let log = world.log_text(job).await;
    let look = "the last look, by `echo not for you; exit 3`: it ended with 3: not for you";
    assert!(log.contains(look) && !log.contains("begun"), "{log}");
    assert!(log.contains("[kozmic]   serving to nobody\n"), "{log}");
    assert!(log.ends_with(&format!("[kozmic] {reason}\n")), "{log}");
    world.told(&build.sha, "Kozmic-CI", "failure").await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_at_is_never_ready() {
    let service = format!("service = web: {}", web_image().await);
    let header = [&service, "service-ready = web: 8001", "service-timeout = web: 1"];
    let (world, server, build) = built(&header, "echo begun\n").await;
    let log = world.log_text(build.job("Tests")).await;
    assert!(log.contains("by a connection to port 8001: nothing listens there"), "{log}");
    assert_eq!(build.status, "failure");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_is_told_of() {
    let image = web_image().await;
    // Before it is ready.
    let base = format!("service = other: {BASE}");
    let (world, server, build) = built(&[&base], "echo begun\n").await;
    let reason = format!("the service other ({BASE}) ended with 0 before it was ready");
    assert_eq!((build.status.as_str(), &build.job("Tests").reason), ("failure", &reason));
    // While the script runs.
    let service = format!("service = web: {image}");
    let script = "echo begun\nuntil ! (exec 3<>/dev/tcp/web/8000) 2>/dev/null; do sleep 0.1; done\n\
                  echo it is gone\nexit 4\n";
    world.apply(&server.url, &[hook("Tests", BASE, &with_header(&[&service], script))]).await;
    let sha = world.push(&[("b", b"b")]).await;
    eventually("the script to begin", async || {
        let build = world.build_of(&server.url, &sha).await;
        world.log_text(build.job("Tests")).await.contains("begun").then_some(())
    })
    .await;
    for container in world.containers("service").await {
        docker(&["kill", &container]).await;
    }
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((build.status.as_str(), job.return_code), ("failure", Some(4)));
    let log = world.log_text(job).await;
    let told = "it is gone\n[kozmic] the service web ended with 137 while the script ran, at 2";
    assert!(log.contains(told) && log.contains("[kozmic]   serving"), "{log}");
    let listed = world.services(&server, job.id).await;
    assert!(listed["services"][0]["ended"].as_str().unwrap().starts_with("ended with 137, at 2"));
    let page = world.page(&build.url).await;
    assert!(page.contains("ended with 137"), "{page}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_keeps_its_services_when_its_server_is_killed() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let service = format!("service = web: {}", web_image().await);
    let script = format!("echo begun\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n{FETCH}exit 5\n");
    world.project(&url, &[hook("Tests", BASE, &with_header(&[&service], &script))]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the script to begin", async || {
        let build = world.build_of(&url, &sha).await;
        world.log_text(build.job("Tests")).await.contains("begun").then_some(())
    })
    .await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let [container] = &world.containers("build").await[..] else { panic!("one script runs") };
    touch(container, "/tmp/go").await;
    let build = world.finished(&url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((build.status.as_str(), job.return_code), ("failure", Some(5)), "{}", said(&world));
    let log = world.log_text(job).await;
    assert!(log.contains("hello"), "{log}");
    let answer = world.answer(&format!("{url}/api/v1/jobs/{}/services", job.id)).await;
    assert_eq!(answer["services"][0]["name"], "web");
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_job_that_was_given_up_are_released() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let service = format!("service = web: {}", web_image().await);
    // Ready only when it is told to be.
    let header = [&service, "service-ready = web: [ -e /tmp/go ]"];
    world.project(&url, &[hook("Tests", BASE, &with_header(&header, FETCH))]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let running = async || Some(world.containers("service").await).filter(|all| all.len() == 1);
    let first = eventually("the service", running).await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let second = eventually("another one in its place", async || {
        running().await.filter(|now| *now != first)
    })
    .await;
    touch(&second[0], "/tmp/go").await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success", "{}", said(&world));
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_jobs_have_services_at_once() {
    const JOBS: usize = 40;
    /// GitHub takes no more for one event.
    const HOOKS: usize = 20;
    let world = World::with(&[("KOZMIC_CONCURRENCY", "40")]).await;
    let server = world.serve().await;
    let service = format!("service = web: {}", web_image().await);
    let script = format!("until [ -e /tmp/go ]; do sleep 0.5; done\n{FETCH}");
    let script = with_header(&[&service], &script);
    let hooks: Vec<String> =
        (0..HOOKS).map(|number| hook(&format!("Tests {number}"), BASE, &script)).collect();
    world.project(&server.url, &hooks).await;
    let pushes = [world.push(&[("a", b"a")]).await, world.push(&[("b", b"b")]).await];
    let networks = world.networks(JOBS).await;
    assert_eq!(networks.len(), JOBS);
    let format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    let inspect = [&["network", "inspect", "--format", format], &to_str(&networks)[..]].concat();
    let subnets = docker(&inspect).await;
    assert_eq!(subnets.lines().collect::<BTreeSet<_>>().len(), JOBS, "{subnets}");
    assert!(subnets.lines().all(|subnet| subnet.starts_with("10.213.")), "{subnets}");
    let scripts = eventually("all scripts to run", async || {
        Some(world.containers("build").await).filter(|scripts| scripts.len() == JOBS)
    })
    .await;
    for script in &scripts {
        touch(script, "/tmp/go").await;
    }
    for sha in &pushes {
        let build = world.finished(&server.url, sha).await;
        assert_eq!(
            (build.status.as_str(), build.jobs.len()),
            ("success", HOOKS),
            "{:?}",
            build.jobs
        );
        for job in &build.jobs {
            let log = world.log_text(job).await;
            assert!(log.contains("hello"), "{log}");
        }
    }
    world.end(server).await;
    let instance = world.instance().await;
    assert!(networks_of(&instance).await.is_empty());
}

fn to_str(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Removed when it is dropped, whatever the test has come to.
struct Taken(String);

impl Taken {
    async fn new(subnet: &str) -> Self {
        let name = format!("kozmic-test-{}", kozmic::model::JobUuid::random());
        docker(&["network", "create", "--subnet", subnet, &name]).await;
        Self(name)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["network", "rm", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_taken_are_left_alone_and_none_left_is_an_error() {
    let _first = Taken::new("10.214.7.0/28").await;
    let world =
        World::with(&[("KOZMIC_NETWORK_POOL", "10.214.7.0/27"), ("KOZMIC_CONCURRENCY", "2")]).await;
    let service = format!("service = web: {}", web_image().await);
    let script = with_header(&[&service], "echo begun\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n");
    let server = world.serve_with(&script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let networks = world.networks(1).await;
    let format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    let subnet = docker(&["network", "inspect", "--format", format, &networks[0]]).await;
    assert_eq!(subnet.trim(), "10.214.7.16/28");
    let other = world.push(&[("b", b"b")]).await;
    let build = world.finished(&server.url, &other).await;
    let reason = &build.job("Tests").reason;
    assert_eq!(build.status, "error");
    assert!(reason.starts_with("no network is free for the job: "), "{reason}");
    assert!(reason.contains("10.214.7.0/27") && reason.contains("KOZMIC_NETWORK_POOL"), "{reason}");
    let scripts = eventually("the script", async || {
        Some(world.containers("build").await).filter(|scripts| !scripts.is_empty())
    });
    touch(&scripts.await[0], "/tmp/go").await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    // Or its container is taken for the next one's.
    world.nothing_left().await;
    // It is free again.
    let restart = format!("{}/api/v1/jobs/{}/restart", server.url, build.jobs[0].id);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    let scripts = eventually("the script of the second job", async || {
        Some(world.containers("build").await).filter(|scripts| !scripts.is_empty())
    });
    touch(&scripts.await[0], "/tmp/go").await;
    eventually("its end", async || {
        let again = world.build_of(&server.url, &other).await;
        (again.status == "success").then_some(())
    })
    .await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_s_log_is_masked_and_goes_with_the_job_s() {
    let world = World::new().await;
    let service = format!("service = web: {}", web_image().await);
    let header = [&service, "service-env = web: GREETING=with hush-hush-hush, well"];
    let server = world.serve_with(&with_header(&header, FETCH)).await;
    let set = format!("{}/api/v1/projects/1/secrets/TOKEN", server.url);
    let token = world.api_token().await;
    let answer = world.http.put(set).bearer_auth(token).body("hush-hush-hush").send().await;
    assert!(answer.unwrap().status().is_success());
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    let job = build.jobs[0].id;
    let url = format!("{}/api/v1/jobs/{job}/services/web/log", server.url);
    let kept = world.get_log(&url).await.text().await.unwrap();
    assert!(kept.starts_with("serving with ") && kept.contains(", well"), "{kept}");
    assert!(!kept.contains("hush"), "{kept}");
    assert_eq!(world.kept_of_services(), 1);
    let store = world.store().await;
    assert!(store.log_removed(JobId(job), "to free disk space", Timestamp::now()).await.unwrap());
    let gone = world.get_log(&url).await;
    assert_eq!(gone.status(), StatusCode::GONE);
    assert!(gone.text().await.unwrap().contains("The log was removed on "));
    let listed = world.services(&server, job).await;
    assert!(listed["services"].as_array().unwrap().is_empty() && listed["removed"].is_string());

    // Another one goes with its project; the sweep removes both.
    let sha = world.push(&[("b", b"b")]).await;
    world.finished(&server.url, &sha).await;
    world.nothing_left().await;
    let delete = format!("{}/projects/1/delete/", server.url);
    let form = world.owner(&server.url).await.post(delete).body("full_name=octo/orbit");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.send().await.unwrap().status(), StatusCode::SEE_OTHER);
    eventually("the logs to be removed", async || (world.kept_of_services() == 0).then_some(()))
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_services_is_said_where_they_are_written() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    for (line, problem) in [
        ("service = my_db: postgres", "`my_db` is not the host name of a service"),
        ("service = localhost: postgres", "and not localhost"),
        ("service = db", "write it as NAME: IMAGE"),
        ("service-env = db: A=b", "name its image first, as in service = db: IMAGE"),
        ("cache-folder = target: /kozmic/src/target", "choose another one"),
        ("cache-folder = x: relative", "must be absolute"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = hook("Tests", BASE, &with_header(&[line], ":\n"));
        std::fs::write(folder.path().join("tests.sh"), text).unwrap();
        let arguments = ["hooks", "apply", "octo/orbit", folder.path().to_str().unwrap()];
        let applied = world.run(&server.url, &arguments).await;
        let said = String::from_utf8(applied.stderr).unwrap();
        assert!(!applied.status.success() && said.contains("tests.sh:4: "), "{said}");
        assert!(said.contains(problem), "{said}");
    }
    server.stop().await;
}
