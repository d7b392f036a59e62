//! What a job's containers may do: less than engines allow by themselves, enough for builds.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::terminal::Terminal;
use crate::harness::{
    BASE, World, docker, eventually, hook, remove_cached_images, touch, web_image, with_header,
};
use crate::look_inside::expires;

/// As engines name them; other than those that engines give are left out.
const CAPABILITIES: [&str; 11] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
];

async fn inspected(container: &str) -> Value {
    let text = docker(&["inspect", container]).await;
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

fn is_none(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// By what the engine itself says of a container that runs.
fn assert_contained(kind: &str, container: &Value) {
    let host = &container["HostConfig"];
    assert_eq!(container["State"]["Running"], true, "{kind}");
    assert_eq!(host["Privileged"], false, "{kind}");
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]), "{kind}");
    let added: BTreeSet<&str> =
        host["CapAdd"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let added: BTreeSet<&str> = added.iter().map(|it| it.trim_start_matches("CAP_")).collect();
    assert_eq!(added, CAPABILITIES.into_iter().collect(), "{kind}");
    for nothing in ["Binds", "Devices", "DeviceRequests", "DeviceCgroupRules", "GroupAdd"] {
        assert!(is_none(&host[nothing]), "{kind}: {nothing}: {}", host[nothing]);
    }
    // The engine's own filter of system calls, and no other choice.
    assert!(is_none(&host["SecurityOpt"]), "{kind}: {}", host["SecurityOpt"]);
    for namespace in ["PidMode", "IpcMode", "UTSMode", "UsernsMode", "NetworkMode"] {
        let mode = host[namespace].as_str().unwrap_or_default();
        assert_ne!(mode, "host", "{kind}: {namespace}");
    }
    let (memory, pids) = (host["Memory"].as_i64().unwrap(), host["PidsLimit"].as_i64().unwrap());
    assert!(memory > 0 && pids > 0, "{kind}: {memory} bytes, {pids} processes");
    assert_eq!(host["MemorySwap"].as_i64(), Some(memory), "{kind}");
    for mount in container["Mounts"].as_array().unwrap() {
        assert_eq!(mount["Type"], "volume", "{kind}: {mount}");
    }
    assert!(!container.to_string().contains("docker.sock"), "{kind}");
    // Its labels name what it has joined, and not what its image's container had.
    let held_by = container["Config"]["Labels"]["kozmic.held-by"].as_str().unwrap();
    assert_eq!(host["NetworkMode"], format!("container:{held_by}"), "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_all_kinds_have_no_more_than_they_need() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let service = format!("service = web: {}", web_image().await);
    let script = "until [ -e /tmp/go ]; do sleep 0.1; done\nexit 3\n";
    let tests = hook("Tests", BASE, &with_header(&[&service], script));
    let install = "#!/bin/bash\n# of the test of what containers may do\n\
                   until [ -e /tmp/go ]; do sleep 0.1; done\nsudo rm /tmp/go\n";
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", install)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    for kind in ["install", "service", "build"] {
        let container = eventually("the container", async || {
            let running = world.containers(kind).await;
            (!running.is_empty()).then(|| running[0].clone())
        })
        .await;
        assert_contained(kind, &inspected(&container).await);
        if kind != "service" {
            touch(&container, "/tmp/go").await;
        }
    }
    let build = world.finished(&server.url, &sha).await;
    let failed = build.job("Tests");
    assert_eq!(failed.return_code, Some(3), "{failed:?}");
    let mut terminal = Terminal::shell(&world, &server.url, failed.id).await;
    terminal.until("kept until").await;
    let shells = world.containers("shell").await;
    assert_contained("shell", &inspected(&shells[0]).await);
    let status = terminal.runs("grep -E '^(Seccomp|CapBnd):' /proc/self/status").await;
    // A filter holds, and the bounding set is of the eleven (capabilities(7)).
    assert!(status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("CapBnd:\t00000000a00404fb"), "{status}");
    terminal.types("exit\n").await;
    terminal.ends().await;
    expires(&world).await;
    let instance = world.instance().await;
    world.end(server).await;
    remove_cached_images(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_installed_and_users_changed_and_no_packets_are_forged() {
    let world = World::new().await;
    let script = r#"#!/bin/bash
set -e
echo "==> what works"
sudo apt-get update -qq
sudo DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    iputils-ping openssh-server >/dev/null
sudo chown nobody: a; sudo stat -c 'owner %U' a
sudo su nobody -s /bin/sh -c 'echo "now $(id -un)"'
sudo python3 -c 0 2>/dev/null || sudo sh -c 'id -u' | sed 's/^/root is /'
sudo install -m 4755 -o root /bin/true /usr/local/bin/true-of-root
sudo chroot / /bin/true && echo changed the root
sudo sh -c 'sleep 600 & kill $!; setpriv --reuid nobody --clear-groups id -un'
(exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null || echo refused as it should
echo "==> what does not"
sudo mknod /tmp/device c 1 3 2>&1 | grep -o 'Operation not permitted'
sudo mount -t tmpfs none /mnt 2>&1 | grep -c denied
sudo ping -c 1 127.0.0.1 2>&1 | grep -o 'Operation not permitted'
ls /dev/sda /dev/mem /var/run/docker.sock 2>&1 | grep -c 'No such file'
"#;
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    for line in ["owner nobody\n", "now nobody\n", "changed the root\n", "refused as it should\n"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let (_, refused) = log.split_once("==> what does not\n").unwrap();
    assert_eq!(refused, "Operation not permitted\n1\nOperation not permitted\n3\n");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_says_whether_its_scripts_may_become_another_user() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let asks = "sudo -n id -u 2>&1 | head -n 1; grep NoNewPrivs /proc/self/status\n";
    let hook_of = |title: &str, choice: &[&str]| hook(title, BASE, &with_header(choice, asks));
    let install = format!("#!/bin/bash\n# with a choice for each hook\n{asks}");
    let files = [
        ("a.sh", hook_of("No", &[])),
        ("b.sh", hook_of("Build", &["no-new-privileges = build"])),
        ("c.sh", hook_of("Yes", &["no-new-privileges = yes"])),
    ];
    let installs: Vec<String> = (0..3).map(|number| format!("{install}# {number}\n")).collect();
    world
        .apply_files(
            &server.url,
            &[
                ("a.sh", &files[0].1),
                ("a.install.sh", &installs[0]),
                ("b.sh", &files[1].1),
                ("b.install.sh", &installs[1]),
                ("c.sh", &files[2].1),
                ("c.install.sh", &installs[2]),
            ],
        )
        .await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    for (title, expected) in [
        ("No", ["0 0", "0 0"]),
        ("Build", ["0 0", "refused 1"]),
        ("Yes", ["refused 1", "refused 1"]),
    ] {
        let log = world.log_text(build.job(title)).await;
        let said: Vec<&str> = log.lines().filter(|line| !line.starts_with("[kozmic]")).collect();
        let of_scripts: Vec<String> = said
            .chunks(2)
            .map(|lines| {
                let user =
                    if lines[0].contains("no new privileges") { "refused" } else { lines[0] };
                format!("{user} {}", lines[1].trim_start_matches("NoNewPrivs:\t"))
            })
            .collect();
        assert_eq!(of_scripts, expected, "{title}: {log}");
    }
    // It is part of the hook's file, of its form and of its history.
    let out = world.folder().join("out");
    let exported = ["hooks", "export", "octo/orbit", out.to_str().unwrap()];
    assert!(world.run(&server.url, &exported).await.status.success());
    let text = std::fs::read_to_string(out.join("build.sh")).unwrap();
    assert!(text.contains("# kozmic: no-new-privileges = build\n"), "{text}");
    let changed = [("a.sh", files[0].1.as_str()), ("b.sh", &hook_of("Build", &[]))];
    world.apply_files(&server.url, &changed).await;
    let page = world.page(&format!("{}/projects/1/hooks/2/changes/", server.url)).await;
    assert!(page.contains("no-new-privileges"), "{page}");
    let form = world.page(&format!("{}/projects/1/hooks/3/edit/", server.url)).await;
    assert!(form.contains("no-new-privileges = yes"), "{form}");
    let instance = world.instance().await;
    world.end(server).await;
    remove_cached_images(&instance).await;
}
