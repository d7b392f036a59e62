//! `kozmic try`: an uncommitted fix, run on the server and told to nobody.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::cache::remove_cached;
use crate::disk::{gc, used};
use crate::harness::{
    BASE, Build, Server, World, as_here, eventually, hook, is_as_printed, put_program, shown,
    succeeded,
};

const CHECKS: &str = "#!/bin/bash\n\
    echo \"value=$(cat value) new=$(cat folder/new 2>/dev/null) for $KOZMIC_BUILD_TRIGGER\"\n\
    echo \"link=$(readlink link) tool=$(stat -c %A tool) ignored=$(ls ignored 2>/dev/null)\"\n\
    echo \"status=$(git status --porcelain | wc -l)\"\n\
    [ \"$(cat value)\" = right ] || exit 3\n";

/// A clone of the repository, as a developer has it.
async fn cloned(world: &World) -> PathBuf {
    let tree = world.folder().join("clone");
    let url = format!("{}/octo/orbit.git", world.sim.url());
    git(world.folder(), &["clone", "--quiet", &url, tree.to_str().unwrap()]).await;
    tree
}

async fn git(folder: &Path, arguments: &[&str]) {
    let run = Command::new("git").arg("-C").arg(folder).args(arguments).output().await.unwrap();
    assert!(run.status.success(), "git {arguments:?}: {run:?}");
}

/// What it printed, what it said beside that, and how it ended.
async fn kozmic_try(
    world: &World,
    server: &Server,
    tree: &Path,
    hooks: &[&str],
) -> (String, String, Option<i32>) {
    let arguments = [&["try", "octo/orbit"], hooks].concat();
    let mut command = world.command(&server.url, &arguments);
    command.current_dir(tree);
    command.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// Objects of trees, parts of them included.
fn kept_trees(world: &World) -> Vec<PathBuf> {
    let folder = world.data_dir().join("objects/trees");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

async fn tries(world: &World, server: &Server) -> Vec<Build> {
    let mut builds = world.builds(&server.url).await;
    builds.retain(|build| build.trigger == "try");
    builds
}

/// A red commit on `main`, with a clone of it.
async fn red(world: &World, server: &Server, script: &str) -> (String, PathBuf) {
    let tests = hook("Tests", BASE, script).replacen(
        "# kozmic: image",
        "# kozmic: track = packages\n# kozmic: image",
        1,
    );
    let only_push = "# kozmic: event = push\n# kozmic: image";
    let deploy = hook("Deploy", BASE, "#!/bin/sh\n:\n").replacen("# kozmic: image", only_push, 1);
    // Its own: all worlds share one engine.
    let install = format!("#!/bin/sh\n# {}\necho installing\n", world.folder().display());
    let files = [
        ("tests.sh", tests.as_str()),
        ("tests.install.sh", install.as_str()),
        ("deploy.sh", &deploy),
    ];
    world.add_project(&server.url).await;
    world.apply_files(&server.url, &files).await;
    let content: [(&str, &[u8]); 4] = [
        ("value", b"wrong\n"),
        ("packages", b"a\n"),
        (".gitignore", b"ignored\n"),
        ("tool", b"x\n"),
    ];
    let sha = world.push(&content).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "failure");
    (sha, cloned(world).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncommitted_fix_turns_green_and_nobody_is_told() {
    let world = World::new().await;
    let server = world.serve().await;
    let (sha, tree) = red(&world, &server, CHECKS).await;
    world.told(&sha, "Kozmic-CI", "failure").await;
    let told = world.sim.statuses("octo/orbit", &sha).await.unwrap().len();

    // Just as it was pushed, it is red here as well, with the script's code.
    let (log, said, code) = kozmic_try(&world, &server, &tree, &["Tests"]).await;
    assert_eq!(code, Some(3), "{log}{said}");
    assert!(said.contains("Tests is failure: the script ended with 3"), "{said}");
    assert!(log.contains("install step skipped"), "the image is that of the commit: {log}");

    std::fs::write(tree.join("value"), "right\n").unwrap();
    std::fs::create_dir(tree.join("folder")).unwrap();
    std::fs::write(tree.join("folder/new"), "untracked").unwrap();
    std::fs::write(tree.join("ignored"), "secret").unwrap();
    std::fs::set_permissions(tree.join("tool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../no/where", tree.join("link")).unwrap();
    let (log, said, code) = kozmic_try(&world, &server, &tree, &[]).await;
    assert_eq!(code, Some(0), "{log}{said}");
    for line in [
        "value=right new=untracked for try",
        "link=../no/where tool=-rwxr-xr-x ignored=",
        "status=0",
    ] {
        assert!(log.lines().any(|it| it == line), "{line}: {log}");
    }
    let tried = tries(&world, &server).await.remove(0);
    assert_eq!((tried.status.as_str(), tried.sha.as_str()), ("success", sha.as_str()));
    assert_eq!(tried.jobs.len(), 1, "what only a push starts is not tried");
    let page = world.page(&tried.url).await;
    assert!(page.contains("Built by a try of ") && page.contains("> <bdi>octo</bdi>."), "{page}");
    assert!(page.contains("told to nobody"), "{page}");

    // Run again, it has the same files.
    let restart = format!("{}/api/v1/builds/{}/restart", server.url, tried.id);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    let again = eventually("the try's end", async || {
        tries(&world, &server).await.into_iter().find(|it| it.id == tried.id && it.is_finished())
    });
    assert_eq!(again.await.status, "success");

    let badge = format!("{}/badges/octo/orbit/main", server.url);
    let badge = world.http.get(badge).send().await.unwrap().text().await.unwrap();
    assert!(badge.contains("fail"), "{badge}");
    let latest = format!("{}/projects/1/builds/latest/", server.url);
    let latest = world.owner(&server.url).await.get(latest).send().await.unwrap();
    assert!(latest.headers()["location"].to_str().unwrap().ends_with("/builds/1/"));
    assert_eq!(world.sim.statuses("octo/orbit", &sha).await.unwrap().len(), told);
    assert_eq!(kept_trees(&world).len(), 2);
    let (count, bytes) = used(&gc(&world, &[], &["--dry-run"]).await, "tree");
    assert!(count == 2 && bytes > 0, "{count} trees of {bytes} bytes");
    remove_cached(&world).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_s_session_is_what_a_terminal_shows() {
    let world = World::new().await;
    let server = world.serve().await;
    let script = "#!/bin/sh\n[ -e src/parser.c ] && echo 'ok 1 - parses'\n";
    let (_, tree) = red(&world, &server, script).await;
    let token = format!("KOZMIC_TOKEN={}", world.api_token().await);
    let values = [("https://ci.example.org", server.url.as_str()), ("KOZMIC_TOKEN=…", &token)];
    let session = as_here(&shown("try_tree::transcript"), &values);
    let (typed, printed): (Vec<&str>, Vec<&str>) =
        session.lines().partition(|line| line.starts_with("$ "));
    // Somebody writes a file.
    let bin = world.folder().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let editor = "#!/bin/sh\n[ $# = 1 ] && mkdir -p \"$(dirname \"$1\")\" && echo mended >\"$1\"\n";
    put_program(&bin.join("vi"), editor);
    let typed: Vec<&str> = typed.iter().map(|line| &line[2..]).collect();
    let text = format!("set +e; exec 2>&1; PATH={}:$PATH\n{}", bin.display(), typed.join("\n"));
    let output = world.shell(&server.url, &text).current_dir(&tree).output().await.unwrap();
    let said = succeeded(output);
    is_as_printed(&said, &printed);
    remove_cached(&world).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_tree_is_refused_and_leaves_nothing() {
    let world = World::with(&[("KOZMIC_TRY_LIMIT", "1M")]).await;
    let server = world.serve().await;
    let (sha, tree) = red(&world, &server, CHECKS).await;

    // By the command, before anything is sent.
    let large = std::fs::File::create(tree.join("model.bin")).unwrap();
    large.set_len((1 << 30) + 1).unwrap();
    let (_, said, code) = kozmic_try(&world, &server, &tree, &[]).await;
    assert_eq!(code, Some(125));
    assert!(
        said.contains("at most 1 GiB in 200000 files are sent. The largest: model.bin (1.0 GiB), "),
        "{said}"
    );

    // By the server, which is told less.
    large.set_len(8 << 20).unwrap();
    let (_, said, code) = kozmic_try(&world, &server, &tree, &[]).await;
    assert_eq!(code, Some(125));
    assert!(said.contains("the tree has more than 1 MiB, or more than 200000 files"), "{said}");

    let url = format!("{}/api/v1/projects/1/tries", server.url);
    let token = world.api_token().await;
    let send = async |query: &str, body: Vec<u8>| {
        let request = world.http.post(format!("{url}?{query}")).bearer_auth(token).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let of = format!("sha={sha}&branch=main");
    for (query, status, says) in [
        (of.as_str(), 400, "the tree"),
        ("branch=main", 400, "is not a full commit id"),
        ("sha=abc", 400, "is not a full commit id"),
        (&format!("{of}&hook=Nothing"), 422, "The project has no hook `Nothing`"),
        (&format!("{of}&x=1"), 400, "There is no parameter `x`"),
    ] {
        let (got, text) = send(query, b"no archive at all".to_vec()).await;
        assert!(got == status && text.contains(says), "{query}: {got} {text}");
    }
    // A sender that is killed: its body ends before it was promised to.
    let host = server.url.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /api/v1/projects/1/tries?{of} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer \
         {token}\r\ncontent-length: 100000\r\n\r\nbeginning"
    );
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await.unwrap();
    drop(socket);
    let store = world.store().await;
    let later = kozmic::model::Timestamp(kozmic::model::Timestamp::now().0 + 10_000_000);
    eventually("nothing to be left of it", async || {
        let rows = store.trees_to_remove(later, 10).await.unwrap();
        (rows.is_empty() && kept_trees(&world).is_empty()).then_some(())
    })
    .await;
    assert!(tries(&world, &server).await.is_empty());

    // Neither a member nor a stranger.
    std::fs::remove_file(tree.join("model.bin")).unwrap();
    world.sim.add_user("reader").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "reader", "pull").await.unwrap();
    world.visitor(&server.url, "reader").await;
    let made = world.run(&server.url, &["token", "create", "--user", "reader"]).await;
    let mut command = world.command(&server.url, &["try", "octo/orbit"]);
    let reader = String::from_utf8(made.stdout).unwrap();
    command.current_dir(&tree).env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", reader.trim());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("managers"), "{said}");
    remove_cached(&world).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_goes_on_through_a_restart_and_ends_by_ctrl_c() {
    let world = World::new().await;
    let waits = "#!/bin/bash\necho \"begins $(cat value)\"\n\
        [ \"$(cat value)\" = wrong ] && exit 1\nwhile [ ! -e /tmp/never ]; do sleep 0.2; done\n";
    let server = world.serve().await;
    let (_, tree) = red(&world, &server, waits).await;
    std::fs::write(tree.join("value"), "endless\n").unwrap();
    let port = server.url.rsplit_once(':').unwrap().1.to_owned();
    let mut command = world.command(&server.url, &["try", "octo/orbit", "Tests"]);
    command.current_dir(&tree).stdout(std::process::Stdio::piped());
    command.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    let child = command.spawn().unwrap();
    let running = eventually("the script to run", async || {
        let tried = tries(&world, &server).await.pop()?;
        world.log_text(tried.job("Tests")).await.contains("begins endless").then_some(tried)
    })
    .await;
    server.stop().await;
    let server = world.serve_at(&port).await;
    let pid = child.id().unwrap().to_string();
    let interrupted = Command::new("kill").args(["-INT", &pid]).status().await.unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(log.matches("begins endless").count(), 1, "{log}");
    let ended = eventually("the try's end", async || {
        let tried = tries(&world, &server).await.pop()?;
        tried.is_finished().then_some(tried)
    })
    .await;
    assert_eq!((ended.id, ended.status.as_str()), (running.id, "cancelled"));
    remove_cached(&world).await;
    world.end(server).await;
}
