//! The disks: counted, kept within their budget, and never filled up.

use std::path::Path;

use kozmic::log::Logs;
use kozmic::model::{JobUuid, ProjectId};
use kozmic::objects::Objects;
use kozmic::source::Source;
use serde_json::Value;

use crate::harness::{
    BASE, Build, Registry, Server, TinyDisk, World, busybox, docker, eventually, hook, shown,
    succeeded,
};

const MIB: u64 = 1 << 20;

/// Leaves 20 MiB, other ones for each content of the tracked file.
const INSTALL: &str = "#!/bin/bash\nset -e\ncat Depends\n\
                       sudo dd if=/dev/urandom of=/big bs=1M count=20 status=none\n";
const IMAGE_SIZE: u64 = 20 * MIB;

/// Removed when it is dropped, whatever a test has come to.
struct Made(&'static str, String);

impl Drop for Made {
    fn drop(&mut self) {
        let Self(what, name) = self;
        let _ = std::process::Command::new("docker").args([what, "rm", "--force", name]).output();
    }
}

/// Not in the name of an image that another test makes at the same time.
fn install() -> String {
    format!("{INSTALL}# {}\n", JobUuid::random())
}

/// The server with one hook whose install step makes an image per content of `Depends`.
async fn with_install(world: &World, script: &str) -> Server {
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let tests = hook("Tests", BASE, script).replacen(
        "# kozmic: image",
        "# kozmic: track = Depends\n# kozmic: image",
        1,
    );
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", &install())]).await;
    server
}

/// A build with this content of the tracked file; `number` makes the commit new.
async fn build_with(world: &World, url: &str, content: &str, number: u8) -> Build {
    let sha = world.push(&[("Depends", content.as_bytes()), ("other", &[number])]).await;
    world.finished(url, &sha).await
}

/// The build, after its only job was run again.
async fn restarted(world: &World, url: &str, build: &Build) -> Build {
    let restart = format!("{url}/api/v1/jobs/{}/restart", build.jobs[0].id);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    eventually("it to run again", async || {
        let now = world.build_of(url, &build.sha).await;
        Some(now).filter(|it| it.is_finished() && it.jobs[0].id != build.jobs[0].id)
    })
    .await
}

pub async fn gc(world: &World, settings: &[(&str, &str)], arguments: &[&str]) -> Value {
    let all = [&["gc", "--json"], arguments].concat();
    let mut command = world.command("http://127.0.0.1:0", &all);
    let output = command.envs(settings.iter().copied()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Count and bytes of one kind.
pub fn used(answer: &Value, kind: &str) -> (u64, u64) {
    let uses = answer["account"]["uses"].as_array().unwrap();
    let of_kind = uses.iter().find(|it| it["kind"] == kind).unwrap();
    (of_kind["count"].as_u64().unwrap(), of_kind["bytes"].as_u64().unwrap())
}

/// The kinds of what was removed, or would be.
fn removed(answer: &Value) -> Vec<String> {
    let removed = answer["removed"].as_array().unwrap();
    let mut kinds: Vec<String> =
        removed.iter().map(|it| it["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

/// What du(1) says.
async fn du(path: &Path) -> u64 {
    let arguments = ["--summarize", "--block-size=1", path.to_str().unwrap()];
    let output = tokio::process::Command::new("du").args(arguments).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

async fn image_size(name: &str) -> u64 {
    docker(&["image", "inspect", "--format", "{{.Size}}", name]).await.trim().parse().unwrap()
}

/// Names of this installation's cached images.
async fn cached(world: &World) -> Vec<String> {
    let filter = format!("label=kozmic.instance={}", world.instance().await);
    let format = "{{.Repository}}:{{.Tag}}";
    let listed = docker(&["images", "--filter", &filter, "--format", format]).await;
    listed.lines().filter(|name| name.starts_with("kozmic-cache/")).map(str::to_owned).collect()
}

async fn remove_cached(world: &World) {
    for name in cached(world).await {
        docker(&["rmi", &name]).await;
    }
}

fn has_image(listed: &str, name: &str) -> bool {
    listed.lines().any(|line| line == name)
}

async fn all_images() -> String {
    docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).await
}

/// Of live and of finished logs.
async fn log_bytes(world: &World) -> u64 {
    let folders = [world.data_dir().join("logs"), world.data_dir().join("objects/logs")];
    du(&folders[0]).await + du(&folders[1]).await
}

fn has_live_log(world: &World) -> bool {
    let settings = world.settings();
    let objects = Objects::open(&settings.objects, &settings.data_dir).unwrap();
    !Logs::new(&settings.data_dir, objects).live_jobs().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_tells_what_the_disks_do() {
    let world = World::new().await;
    let server = with_install(&world, "#!/bin/bash\nseq 100000\n").await;
    let build = build_with(&world, &server.url, "one\n", 0).await;
    assert_eq!(build.status, "success");
    world.nothing_left().await;
    eventually("the log to be archived", async || (!has_live_log(&world)).then_some(())).await;
    let answer = gc(&world, &[], &["--dry-run"]).await;

    let images = cached(&world).await;
    let own = image_size(&images[0]).await - image_size(BASE).await;
    assert!(own >= IMAGE_SIZE, "{own}");
    assert_eq!(used(&answer, "cached_image"), (1, own));
    assert_eq!(used(&answer, "pulled_image"), (0, 0), "the base image is nobody's but its maker's");
    let mirror = du(&world.data_dir().join("mirrors/1.git")).await;
    assert_eq!(used(&answer, "mirror"), (1, mirror));
    let logs = log_bytes(&world).await;
    assert!(logs > 10_000, "588,895 bytes, packed: {logs}");
    assert_eq!(used(&answer, "log"), (1, logs));
    assert!(used(&answer, "database").1 > 0);
    let sum: u64 = answer["account"]["uses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(answer["account"]["used"], sum);
    let disk = &answer["account"]["file_systems"][0];
    assert_eq!(disk["holds"][0], "the data folder");
    let (total, free) = (disk["total"].as_u64().unwrap(), disk["free"].as_u64().unwrap());
    assert!(free < total && disk["reserve"].as_u64().unwrap() <= 1 << 30, "{disk}");

    // Within bounds there is nothing to remove.
    assert_eq!(removed(&answer), Vec::<String>::new());
    assert_eq!(removed(&gc(&world, &[], &[]).await), Vec::<String>::new());
    assert_eq!(cached(&world).await, images);
    let by_hand = world.shell(&server.url, &shown("disk::by_hand")).output().await.unwrap();
    let tables = succeeded(by_hand);
    assert_eq!(tables.matches("cached images  1").count(), 3, "{tables}");
    assert_eq!(tables.matches("nothing to remove\n").count(), 3, "{tables}");
    assert!(tables.contains("5 GiB"), "{tables}");
    server.stop().await;

    // When a disk is nearly full, what can be made again goes without a budget; no log does.
    let full = gc(&world, &[("KOZMIC_DISK_RESERVE", "4096T")], &[]).await;
    assert_eq!(removed(&full), ["cached_image", "mirror"], "{full}");
    assert_eq!(full["freed"], own + mirror);
    assert!(cached(&world).await.is_empty());
    assert_eq!(log_bytes(&world).await, logs);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_budget_what_was_used_longest_ago_goes() {
    let world =
        World::with(&[("KOZMIC_DISK_BUDGET", "60M"), ("KOZMIC_CACHED_IMAGES_LIMIT", "9")]).await;
    let server = with_install(&world, ":\n").await;
    let url = &server.url;
    // Somebody else's, and older than all of them.
    let other = Made("image", format!("kozmic-cache/{}:1", "0".repeat(64)));
    let container = Made("container", format!("kozmic-test-{}", JobUuid::random()));
    docker(&["create", "--name", &container.1, busybox().await, "sh"]).await;
    let labels = "LABEL kozmic.instance=other kozmic.cache.scope=1 kozmic.cache.hook=Tests";
    docker(&["commit", "--change", labels, &container.1, &other.1]).await;

    let mut names = Vec::new();
    for (number, content) in ["one\n", "two\n"].into_iter().enumerate() {
        build_with(&world, url, content, u8::try_from(number).unwrap()).await;
        let new = cached(&world).await.into_iter().find(|name| !names.contains(name));
        names.push(new.unwrap());
    }
    // The first is used again, so the second has to go when the third comes.
    build_with(&world, url, "one\n", 3).await;
    let build = build_with(&world, url, "three\n", 4).await;
    assert_eq!(build.status, "success");
    eventually("the second image to be removed", async || {
        (!cached(&world).await.contains(&names[1])).then_some(())
    })
    .await;
    assert!(cached(&world).await.contains(&names[0]));
    assert_eq!(cached(&world).await.len(), 2);
    assert!(has_image(&all_images().await, &other.1));
    // The engine takes an image's name before it removes the image.
    let used = eventually("the image to be gone", async || {
        let answer = gc(&world, &[], &["--dry-run"]).await;
        answer["account"]["used"].as_u64().filter(|used| *used <= 60 * MIB)
    })
    .await;
    assert!(used > 2 * IMAGE_SIZE, "{used}");
    server.stop().await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_takes_nothing_from_a_running_job_and_a_log_that_went_says_so() {
    let world = World::with(&[("KOZMIC_CACHED_IMAGES_LIMIT", "9")]).await;
    let server = with_install(
        &world,
        "#!/bin/bash\necho begun\nif grep -q slow Depends; then sleep 600; fi\n",
    )
    .await;
    let url = &server.url;
    let first = build_with(&world, url, "one\n", 1).await;
    // Its containers and volumes go after it is told as over.
    world.nothing_left().await;
    let sha = world.push(&[("Depends", b"slow\n")]).await;
    let running = eventually("the script to run", async || {
        let build = world.build_of(url, &sha).await;
        (world.log_text(&build.jobs[0]).await.ends_with("begun\n")).then_some(build)
    })
    .await;
    let images = cached(&world).await;
    assert_eq!(images.len(), 2);
    let instance = world.instance().await;
    let containers = crate::harness::containers_of(None, &instance).await;

    let tight = [("KOZMIC_DISK_BUDGET", "1")];
    let dry = gc(&world, &tight, &["--dry-run"]).await;
    assert_eq!(removed(&dry), ["log"], "{dry}");
    assert!(world.log_text(&first.jobs[0]).await.contains("begun"), "a dry run removes nothing");
    assert_eq!(used(&dry, "container").0, 1);
    assert_eq!(used(&dry, "volume").0, 1);
    assert!(used(&dry, "volume").1 > 0, "the volume holds the checkout: {dry}");

    let did = gc(&world, &tight, &[]).await;
    assert_eq!(removed(&did), ["log"], "{did}");
    assert_eq!(cached(&world).await, images);
    assert_eq!(crate::harness::containers_of(None, &instance).await, containers);
    let running = world.build_of(url, &running.sha).await;
    assert_eq!(running.status, "pending");
    assert!(world.log_text(&running.jobs[0]).await.ends_with("begun\n"));

    // The page, the plain log and the command line say what became of the log.
    let gone = world.get_log(&first.jobs[0].log_url).await;
    assert_eq!(gone.status(), 410);
    let sentence = "to free disk space.";
    let said = gone.text().await.unwrap();
    assert!(said.starts_with("The log was removed on 20") && said.contains(sentence), "{said}");
    let page = world.page(&format!("{}jobs/{}/", first.url, first.jobs[0].id)).await;
    assert!(page.contains(sentence), "{page}");
    let (job, token) = (first.jobs[0].id.to_string(), world.api_token().await);
    let logs = world.run(url, &["logs", "--server", url, "--token", token, &job]).await;
    assert!(String::from_utf8(logs.stderr).unwrap().contains(sentence));

    // Once the job is over, everything goes but the newest log and, beside a server,
    // the mirror.
    let cancel = format!("{url}/api/v1/builds/{}/cancel", running.id);
    world.http.post(cancel).bearer_auth(token).send().await.unwrap();
    world.finished(url, &running.sha).await;
    world.nothing_left().await;
    let did = gc(&world, &tight, &[]).await;
    assert_eq!(removed(&did), ["cached_image", "cached_image"], "{did}");
    assert_eq!(did["left_to_server"], 1);
    assert!(did["beyond_budget"].as_u64().unwrap() > 0, "{did}");
    server.stop().await;
    let did = gc(&world, &tight, &[]).await;
    assert_eq!(removed(&did), ["mirror"], "{did}");
    assert_eq!(used(&gc(&world, &[], &[]).await, "mirror"), (0, 0));

    // What was removed is made again.
    let server = world.serve().await;
    let build = restarted(&world, &server.url, &first).await;
    assert_eq!(build.status, "success");
    assert!(world.log_text(&build.jobs[0]).await.contains("was removed to make room"));
    world.nothing_left().await;
    // Under a name that another image takes, nobody finds it.
    let name = cached(&world).await.remove(0);
    docker(&["tag", busybox().await, &name]).await;
    let _taken = Made("image", name);
    let did = gc(&world, &[], &[]).await;
    assert_eq!(removed(&did), ["cached_image"], "{did}");
    assert!(did["freed"].as_u64().unwrap() >= IMAGE_SIZE, "{did}");
    world.end(server).await;
}

/// An image of a registry with 3 MiB of its own.
async fn image_in(registry: &Registry, name: &str) -> String {
    let container = Made("container", format!("kozmic-test-{}", JobUuid::random()));
    let fill = "/bin/busybox dd if=/dev/urandom of=/tmp/big bs=1M count=3";
    let run = ["run", "--name", &container.1, "--user", "0", busybox().await, "sh", "-c", fill];
    docker(&run).await;
    let local = Made("image", format!("kozmic-test/{}", JobUuid::random()));
    docker(&["commit", &container.1, &local.1]).await;
    registry.push(&local.1, name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_kozmic_pulled_goes_when_no_hook_uses_it_and_a_person_s_stays() {
    let registry = Registry::start().await;
    let (ours, theirs) = (image_in(&registry, "a:1").await, image_in(&registry, "b:1").await);
    docker(&["pull", "--quiet", &theirs]).await;
    let _theirs = Made("image", theirs.clone());
    let _ours = Made("image", ours.clone());
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = |image: &str| [hook("Tests", image, ":\n"), hook("More", &theirs, ":\n")];
    world.project(&server.url, &hooks(&ours)).await;
    let sha = world.push(&[("a", b"a")]).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    world.nothing_left().await;
    let counted = eventually("the pull to be noted", async || {
        Some(gc(&world, &[], &["--dry-run"]).await).filter(|it| used(it, "pulled_image").0 > 0)
    })
    .await;
    let (count, bytes) = used(&counted, "pulled_image");
    assert!(count == 1 && (3 * MIB..4 * MIB).contains(&bytes), "{counted}");

    let tight = [("KOZMIC_DISK_BUDGET", "1")];
    assert!(removed(&gc(&world, &tight, &[]).await).is_empty(), "a hook uses it");
    world.apply(&server.url, &hooks(&theirs)).await;
    let did = gc(&world, &tight, &[]).await;
    assert_eq!(removed(&did), ["pulled_image"], "{did}");
    assert_eq!(did["removed"][0]["name"], ours);
    assert_eq!(did["freed"], bytes);
    let images = all_images().await;
    assert!(!has_image(&images, &ours) && has_image(&images, &theirs), "{images}");
    // Not even when no hook uses it.
    world.apply(&server.url, &hooks(BASE)).await;
    assert!(removed(&gc(&world, &tight, &[]).await).is_empty());
    assert_eq!(used(&gc(&world, &[], &[]).await, "pulled_image"), (0, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_while_the_disk_is_nearly_full_and_start_when_there_is_room() {
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", elsewhere.path().join("kozmic.db").display());
    let world =
        World::with(&[("KOZMIC_DATABASE_URL", &database), ("KOZMIC_DISK_RESERVE", "16M")]).await;
    let disk = TinyDisk::mount(&world.data_dir(), "64M");
    let server = world.serve_with("#!/bin/bash\necho ran\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");

    let ballast = world.data_dir().join("ballast");
    std::fs::write(&ballast, vec![1; 55 << 20]).unwrap();
    let ready = format!("{}/readyz", server.url);
    let unready = eventually("the server to see it", async || {
        let answer = world.http.get(&ready).send().await.unwrap();
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert_eq!(unready.text().await.unwrap(), "not ready: no room on the disk\n");
    // The delivery is taken all the same.
    let sha = world.push(&[("b", b"b")]).await;
    let why = format!(
        "waiting for disk space: less than 16 MiB (KOZMIC_DISK_RESERVE) is free on the disk of \
         the data folder ({})",
        world.data_dir().display()
    );
    let build = eventually("the job to say why it waits", async || {
        Some(world.build_of(&server.url, &sha).await).filter(|build| build.jobs[0].reason == why)
    })
    .await;
    assert_eq!((build.status.as_str(), build.jobs[0].status.as_str()), ("enqueued", "enqueued"));
    assert!(world.page(&build.url).await.contains(&why));

    std::fs::remove_file(&ballast).unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    assert_eq!(world.log_text(&build.jobs[0]).await, "ran\n");
    world.end(server).await;
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_when_the_budget_is_used_up_by_what_has_to_stay() {
    let world = World::with(&[("KOZMIC_DISK_BUDGET", "1000")]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = kozmic::shutdown::Shutdown::new();
    let serving = kozmic::cli::serve(listener, world.settings(), shutdown.clone());
    let serving = tokio::spawn(serving);
    eventually("the server to find its budget used up", async || {
        let answer = world.http.get(format!("{url}/readyz")).send().await.ok()?;
        (answer.text().await.unwrap() == "not ready: no room on the disk\n").then_some(())
    })
    .await;
    world.project(&url, &[hook("Tests", BASE, ":\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let why = "waiting for disk space: the disk budget of 1000 B (KOZMIC_DISK_BUDGET) is used up, \
               and nothing more can be removed";
    eventually("the job to say why it waits", async || {
        Some(world.build_of(&url, &sha).await).filter(|build| build.jobs[0].reason == why)
    })
    .await;
    let mut queue = world.command(&url, &["queue", "--server", &url]);
    let queue = queue.env("KOZMIC_TOKEN", world.api_token().await).output().await.unwrap();
    let queue = String::from_utf8(queue.stdout).unwrap();
    assert!(queue.lines().last().unwrap().ends_with(why), "{queue}");
    shutdown.request();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_goes_without_a_budget() {
    let world = World::new().await;
    // Makes the installation.
    let server = world.serve().await;
    server.stop().await;
    let (job, instance) = (JobUuid::random(), world.instance().await);
    let other = JobUuid::random().to_string();
    let labels = |instance: &str| {
        let labels = [("instance", instance), ("job", &job.to_string()), ("attempt", "1")]
            .map(|(name, value)| ["--label".to_owned(), format!("kozmic.{name}={value}")]);
        labels.concat()
    };
    let create = async |instance: &str| {
        let labels = labels(instance);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let name = format!("kozmic-test-{}", JobUuid::random());
        let create = ["create", "--name", name.as_str()];
        docker(&[&create, &labels[..], &[busybox().await, "sh"]].concat()).await;
        docker(&[&["volume", "create"], &labels[..], &[name.as_str()]].concat()).await;
        (Made("container", name.clone()), Made("volume", name))
    };
    let (_ours, _theirs) = (create(&instance).await, create(&other).await);
    let checkout = world.data_dir().join(format!("checkouts/{job}-1"));
    std::fs::create_dir_all(&checkout).unwrap();
    std::fs::write(checkout.join("file"), vec![1; 100_000]).unwrap();
    let size = du(&checkout).await;

    let dry = gc(&world, &[], &["--dry-run"]).await;
    assert_eq!(removed(&dry), ["checkout", "container", "volume"], "{dry}");
    assert_eq!(dry["freed"], size, "nothing is in the others");
    assert_eq!(world.leftovers().await.len(), 3);
    let did = gc(&world, &[], &[]).await;
    assert_eq!(removed(&did), ["checkout", "container", "volume"], "{did}");
    world.nothing_left().await;
    assert_eq!(crate::harness::containers_of(None, &other).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_forgets_old_commits_and_fetches_them_again_when_they_are_wanted() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\ncat a\n").await;
    let mut builds = Vec::new();
    for content in ["one\n", "two\n", "three\n"] {
        let sha = world.push(&[("a", content.as_bytes())]).await;
        builds.push(world.finished(&server.url, &sha).await);
    }
    server.stop().await;
    let mirror = world.data_dir().join("mirrors/1.git");
    let refs = async || {
        let mut git = tokio::process::Command::new("git");
        let output = git.args(["for-each-ref", "--format=%(objectname)"]).current_dir(&mirror);
        String::from_utf8(output.output().await.unwrap().stdout).unwrap()
    };
    assert_eq!(refs().await.lines().count(), 3);
    let source = Source::new(&world.data_dir(), &world.settings().known_hosts);
    let held = source.hold_mirror(ProjectId(1)).unwrap();
    assert!(source.hold_mirror(ProjectId(1)).is_none(), "one at a time");
    let store = world.store().await;
    let needed = store.commits_needed(ProjectId(1), 1).await.unwrap();
    held.tidy(&needed).await.unwrap();
    assert_eq!(refs().await.trim(), builds[2].sha);
    drop(held);

    let server = world.serve().await;
    let again = restarted(&world, &server.url, &builds[0]).await;
    assert_eq!(world.log_text(&again.jobs[0]).await, "one\n");
    world.end(server).await;
}
