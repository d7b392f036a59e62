//! Networks of jobs: each has one of its own, in which it does not reach what the settings
//! name, and which another job gets when it is over, with nothing of what was in it.

use std::collections::BTreeSet;

use tokio::net::TcpListener;

use crate::crash::{free_url, said, start, terminate};
use crate::harness::{
    BASE, Build, Daemon, Registry, World, address_for_containers, as_root, busybox, docker,
    docker_at, eventually, free_port, hook, remove_cached_images, touch, web_image, with_header,
};

const METADATA: &str = "169.254.169.254";

/// Says of each of TARGETS, and of IPv6, whether it is reached.
const PROBE: &str = r#"
for target in $TARGETS; do
    if (exec 3<>/dev/tcp/$target) 2>/dev/null; then echo "$target is reached"
    else echo "$target is not reached"; fi
done
grep -v ' lo$' /proc/net/if_inet6 | sed 's/.*/and IPv6/'
"#;

impl World {
    /// What holds networks for one job after the other.
    async fn holders(&self) -> Vec<String> {
        let label = format!("label=kozmic.sandbox={}", self.instance().await);
        let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]).await;
        listed.lines().map(str::to_owned).collect()
    }

    /// The networks that these hold.
    async fn networks_of(&self, holders: &[String]) -> BTreeSet<String> {
        let format = "{{index .Config.Labels \"kozmic.network\"}}";
        let words = ["inspect", "--format", format].into_iter();
        let words: Vec<&str> = words.chain(holders.iter().map(String::as_str)).collect();
        docker(&words).await.lines().map(str::to_owned).collect()
    }

    /// The networks of its jobs that the engine has.
    async fn job_networks(&self) -> BTreeSet<String> {
        let label = format!("label=kozmic.sandbox={}", self.instance().await);
        let words = ["network", "ls", "--quiet", "--no-trunc", "--filter", &label];
        docker(&words).await.lines().map(str::to_owned).collect()
    }

    async fn network_mode(&self, container: &str) -> String {
        let format = "{{.HostConfig.NetworkMode}}";
        docker(&["inspect", "--format", format, container]).await.trim().to_owned()
    }

    async fn is_written(&self, url: &str, sha: &str, what: &str) -> Build {
        eventually("the script to begin", async || {
            let build = self.build_of(url, sha).await;
            let log = self.log_text(build.job("Tests")).await;
            log.contains(what).then_some(build)
        })
        .await
    }
}

/// An address that this machine has as long as this lives.
struct Address(String);

impl Address {
    fn new(address: &str) -> Self {
        let block = format!("{address}/32");
        let words = ["ip", "address", "add", &block, "dev", "lo"];
        let added = as_root(&words).output().unwrap();
        let said = String::from_utf8_lossy(&added.stderr).into_owned();
        // A test that was killed has left it.
        assert!(added.status.success() || said.contains("File exists"), "{said}");
        Self(block)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let _ = as_root(&["ip", "address", "del", &self.0, "dev", "lo"]).output();
    }
}

/// Accepts connections at this address and port until the test ends.
async fn listens(address: &str, port: u16) -> u16 {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_block_is_reached_by_nothing_of_a_job() {
    let _metadata = Address::new(METADATA);
    let host = address_for_containers().await;
    let other = listens(&host, 0).await;
    let metadata = listens(METADATA, 0).await;
    let (of_server, of_host) = (free_port(), format!("{host}/{other}"));
    // The server listens there on another of this machine's addresses.
    listens(&host, of_server).await;
    let of_metadata = format!("{METADATA}/{metadata}");
    let of_parts = format!("{host}/{of_server}");
    let refused_port = format!("{host}:{other}");
    for (setting, expected) in [
        (None, [false, false, true]),
        (Some("none"), [true, true, true]),
        (Some(refused_port.as_str()), [true, true, false]),
    ] {
        let set: Vec<(&str, &str)> =
            setting.iter().map(|value| ("KOZMIC_BLOCKED_NETWORKS", *value)).collect();
        let world = World::with(&set).await;
        let server = world.serve_at(&of_server.to_string()).await;
        world.add_project(&server.url).await;
        let targets = [&of_metadata, &of_parts, &of_host];
        let env = format!("env = TARGETS={of_metadata} {of_parts} {of_host}");
        let alone = hook("Tests", BASE, &with_header(&[&env], PROBE));
        let install = format!("#!/bin/bash\n# {setting:?}, once: {of_parts}\n{PROBE}");
        let service = format!("service = web: {}", web_image().await);
        let script = format!("{PROBE}until [ -e /tmp/go ]; do sleep 0.1; done\n");
        let beside = hook("Beside", BASE, &with_header(&[&env, &service], &script));
        world
            .apply_files(
                &server.url,
                &[("a.sh", &alone), ("a.install.sh", &install), ("b.sh", &beside)],
            )
            .await;
        let sha = world.push(&[("a", b"a")]).await;
        let script = eventually("the script beside the service", async || {
            world.build_of(&server.url, &sha).await;
            let beside = world.containers("service").await;
            let build = world.containers("build").await;
            let [service] = &beside[..] else { return None };
            for container in build {
                let mode = world.network_mode(&container).await;
                if !world.holders().await.iter().any(|holder| mode.ends_with(holder)) {
                    return Some((container, service.clone()));
                }
            }
            None
        });
        let (script, service) = script.await;
        for (target, is_reached) in targets.iter().zip(expected) {
            let (address, port) = target.split_once('/').unwrap();
            let connect =
                format!("busybox nc -w 5 {address} {port} </dev/null && echo reached || :");
            let told = docker(&["exec", &service, "sh", "-c", &connect]).await;
            assert_eq!(told.trim() == "reached", is_reached, "{setting:?}: a service, {target}");
        }
        touch(&script, "/tmp/go").await;
        let build = world.finished(&server.url, &sha).await;
        assert_eq!(build.status, "success", "{:?}", build.jobs);
        let expected: Vec<String> = targets
            .iter()
            .zip(expected)
            .map(|(target, is_so)| {
                format!("{target} is {}reached", if is_so { "" } else { "not " })
            })
            .collect();
        for (title, times) in [("Tests", 2), ("Beside", 1)] {
            let log = world.log_text(build.job(title)).await;
            let said: Vec<&str> = log.lines().filter(|line| !line.starts_with('[')).collect();
            let expected = vec![expected.as_slice(); times].concat();
            assert_eq!(said, expected, "{setting:?} {title}: {log}");
        }
        let instance = world.instance().await;
        world.end(server).await;
        assert!(world.holders().await.is_empty());
        remove_cached_images(&instance).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_do_not_reach_one_another() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "2")]).await;
    let listen = "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 7000, \
                  Listen => 1) or die; sleep 600' &\necho \"at $(hostname -I)\"\n\
                  until [ -e /tmp/go ]; do sleep 0.1; done\n";
    let server = world.serve_with(&format!("#!/bin/bash\n{listen}kill %1\n")).await;
    let first = world.push(&[("a", b"a")]).await;
    let build = world.is_written(&server.url, &first, "at 10.213.").await;
    let log = world.log_text(build.job("Tests")).await;
    let at = log.lines().find_map(|line| line.strip_prefix("at ")).unwrap().trim().to_owned();
    let [script] = &world.containers("build").await[..] else { panic!("one script") };
    let mode = world.network_mode(script).await;
    assert!(world.holders().await.iter().any(|holder| mode == format!("container:{holder}")));
    let connect = format!("timeout 3 bash -c ': 3<>/dev/tcp/{at}/7000' && echo reached || :");
    // By itself it is.
    let told = docker(&["exec", script, "bash", "-c", &connect]).await;
    assert_eq!(told.trim(), "reached");
    let second = world.push(&[("b", b"b")]).await;
    world.is_written(&server.url, &second, "at 10.213.").await;
    let scripts = world.containers("build").await;
    let other = scripts.iter().find(|container| *container != script).unwrap();
    assert_ne!(world.network_mode(other).await, world.network_mode(script).await);
    let told = docker(&["exec", other, "bash", "-c", &connect]).await;
    assert_eq!(told.trim(), "");
    for script in &scripts {
        touch(script, "/tmp/go").await;
    }
    for sha in [&first, &second] {
        assert_eq!(world.finished(&server.url, sha).await.status, "success");
    }
    world.end(server).await;
    assert!(world.holders().await.is_empty() && world.job_networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_job_has_the_network_and_nothing_that_root_wrote_about_names() {
    const JOBS: usize = 6;
    let world = World::with(&[("KOZMIC_CONCURRENCY", "1")]).await;
    let script = "#!/bin/bash\nfiles='/etc/hosts /etc/resolv.conf /etc/hostname'\n\
                  cat $files | grep -c forged\n\
                  for file in $files; do echo '# forged' | sudo tee -a $file >/dev/null; done\n\
                  cat $files | grep -c forged\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n";
    let server = world.serve_with(script).await;
    let (mut holders, mut networks) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..JOBS {
        let sha = world.push(&[(&format!("file-{number}"), b"x")]).await;
        let build = world.is_written(&server.url, &sha, "\n3\n").await;
        assert_eq!(world.log_text(build.job("Tests")).await, "0\n3\n", "{number}");
        // The one before may still be on its way out: its job is told as over already.
        let script = eventually("one script", async || {
            let scripts = world.containers("build").await;
            (scripts.len() == 1).then(|| scripts[0].clone())
        })
        .await;
        let mode = world.network_mode(&script).await;
        let holder = mode.strip_prefix("container:").unwrap().to_owned();
        networks.extend(world.networks_of(std::slice::from_ref(&holder)).await);
        holders.insert(holder);
        touch(&script, "/tmp/go").await;
        assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    }
    // Each has one that nobody has had, in networks that somebody has had.
    assert_eq!(holders.len(), JOBS);
    assert!(networks.len() < JOBS, "{networks:?}");
    world.end(server).await;
    assert!(world.job_networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_jobs_run_at_once() {
    const JOBS: usize = 40;
    /// GitHub takes no more for one event.
    const HOOKS: usize = 20;
    let world = World::with(&[("KOZMIC_CONCURRENCY", "40")]).await;
    let server = world.serve().await;
    let script = "#!/bin/bash\nuntil [ -e /tmp/go ]; do sleep 0.5; done\n";
    let hooks: Vec<String> =
        (0..HOOKS).map(|number| hook(&format!("Tests {number}"), BASE, script)).collect();
    world.project(&server.url, &hooks).await;
    let pushes = [world.push(&[("a", b"a")]).await, world.push(&[("b", b"b")]).await];
    let scripts = eventually("all scripts to run", async || {
        Some(world.containers("build").await).filter(|scripts| scripts.len() == JOBS)
    })
    .await;
    let mut modes = BTreeSet::new();
    for script in &scripts {
        modes.insert(world.network_mode(script).await);
    }
    assert_eq!(modes.len(), JOBS, "{modes:?}");
    let holders: Vec<String> = modes.iter().map(|mode| mode.replace("container:", "")).collect();
    assert_eq!(world.networks_of(&holders).await.len(), JOBS);
    assert!(modes.iter().all(|mode| mode.starts_with("container:")), "{modes:?}");
    for script in &scripts {
        touch(script, "/tmp/go").await;
    }
    for sha in &pushes {
        let build = world.finished(&server.url, sha).await;
        let counted = (build.status.as_str(), build.jobs.len());
        assert_eq!(counted, ("success", HOOKS), "{:?}", build.jobs);
    }
    // Few stay for the next jobs.
    eventually("holders to go", async || (world.holders().await.len() <= 4).then_some(())).await;
    world.end(server).await;
    assert!(world.holders().await.is_empty() && world.job_networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn short_jobs_one_after_the_other_leave_few_networks_behind() {
    const JOBS: usize = 40;
    /// Of four that run, four that are ready for the next, and what is being removed.
    const MOST: usize = 16;
    let world = World::with(&[("KOZMIC_CONCURRENCY", "4")]).await;
    let server = world.serve().await;
    let variants: Vec<String> =
        (0..JOBS).map(|number| format!("variant = v{number}: N={number}")).collect();
    let header: Vec<&str> = variants.iter().map(String::as_str).collect();
    let script = with_header(&header, "#!/bin/sh\necho $N\n");
    world.project(&server.url, &[hook("Tests", BASE, &script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let mut most = 0;
    let build = eventually("all jobs to end", async || {
        most = most.max(world.holders().await.len());
        let build = world.build_of(&server.url, &sha).await;
        build.is_finished().then_some(build)
    })
    .await;
    assert_eq!((build.status.as_str(), build.jobs.len()), ("success", JOBS));
    assert!(most <= MOST, "{most} networks were held at once");
    world.end(server).await;
    assert!(world.holders().await.is_empty() && world.job_networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_outlives_its_server_and_goes_when_its_job_is_over() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash\necho begun\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n\
                  (exec 3<>/dev/tcp/169.254.169.254/80) 2>&1 | \
                  grep -o 'Permission denied' | head -n 1\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.is_written(&url, &sha, "begun").await;
    let [script] = &world.containers("build").await[..] else { panic!("one script") };
    let mode = world.network_mode(script).await;
    let of_killed = world.holders().await;
    let of_job = of_killed.iter().find(|holder| mode.ends_with(*holder)).unwrap().clone();
    let networks_of_killed = world.job_networks().await;
    server.kill().await.unwrap();
    // Nobody has tidied up.
    assert_eq!(world.holders().await, of_killed);
    assert_eq!(world.job_networks().await, networks_of_killed);
    let mut server = start(&world, &url).await;
    eventually("what no job has to go", async || {
        let mut left = world.holders().await;
        left.retain(|holder| of_killed.contains(holder));
        (left == [of_job.as_str()]).then_some(())
    })
    .await;
    touch(script, "/tmp/go").await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log} {}", said(&world));
    assert_eq!(log, "begun\nPermission denied\n");
    // One of another server's settings is nobody's afterwards.
    eventually("the networks of the server that was killed to go", async || {
        let holders = world.holders().await;
        let is_held = holders.iter().any(|holder| of_killed.contains(holder));
        let is_there = !world.job_networks().await.is_disjoint(&networks_of_killed);
        (!is_held && !is_there).then_some(())
    })
    .await;
    world.nothing_left().await;
    terminate(&mut server, &world).await;
    assert!(world.holders().await.is_empty() && world.job_networks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_somebody_removed_is_made_again() {
    let (engine, registry) = (Daemon::start().await, Registry::start().await);
    // With the setting given, no job runs without a network of its own.
    let set = [("KOZMIC_CONCURRENCY", "1"), ("KOZMIC_BLOCKED_NETWORKS", METADATA)];
    let world = World::at(&engine.host, &set).await;
    let server = world.serve().await;
    let image = registry.push(busybox().await, "networks:1").await;
    world.project(&server.url, &[hook("Tests", &image, "#!/bin/sh\necho done\n")]).await;
    let at = Some(engine.host.as_str());
    let names = ["images", "--format", "{{.Repository}}:{{.Tag}}", "kozmic-sandbox"];
    let name = eventually("the image to be made", async || {
        Some(docker_at(at, &names).await.trim().to_owned()).filter(|name| !name.is_empty())
    })
    .await;
    docker_at(at, &["rmi", "--force", &name]).await;
    assert_eq!(docker_at(at, &names).await, "");
    for file in ["a", "b"] {
        let sha = world.push(&[(file, b"a")]).await;
        let build = world.finished(&server.url, &sha).await;
        assert_eq!(build.status, "success", "{:?}", build.jobs);
    }
    assert_eq!(docker_at(at, &names).await.trim(), name);
    world.end(server).await;
}
