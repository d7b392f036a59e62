//! `kozmic run`: the same job on a laptop.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{
    BASE, PATIENCE, Registry, World, as_here, busybox, docker, docker_config, eventually,
    postgres_image, put_program, remove_images_of_runs, shown, succeeded,
};

/// A git checkout with two commits, in a folder of its own.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    async fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(tree.path()).unwrap();
        tree.git(&["init", "--quiet", "--initial-branch=main"]).await;
        tree.write(".gitignore", "ignored\n");
        for (name, content) in
            [("kept", "kept\n"), ("changed", "old\n"), ("deleted", "x\n"), ("run", "#!/bin/sh\n")]
        {
            tree.write(name, content);
        }
        tree.commit("First").await;
        tree.write("second", "x\n");
        tree.commit("Second").await;
        tree
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A script beside the checkout.
    fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn commit(&self, message: &str) {
        self.git(&["add", "--all"]).await;
        self.git(&["commit", "--quiet", "--message", message]).await;
    }

    async fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kozmic"));
        command.arg("run").args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        command.env_remove("KOZMIC_CONFIG").stdin(Stdio::null());
        command
    }

    /// Exit code, output, and what Kozmic said beside it.
    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await;
        let output = output.expect("it ends in time").unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_on_the_tree_as_it_is() {
    let tree = Tree::new().await;
    tree.write("changed", "new\n");
    tree.write("folder/untracked name", "untracked\n");
    tree.write("ignored", "x\n");
    std::fs::remove_file(tree.path().join("deleted")).unwrap();
    std::fs::set_permissions(tree.path().join("run"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    std::os::unix::fs::symlink("kept", tree.path().join("link")).unwrap();
    let before = tree.git(&["status", "--porcelain"]).await;
    let build = tree.script(
        "build",
        "#!/bin/bash\nwhoami; pwd; find . -path ./.git -prune -o -type f -print -o -type l -print | sort\n\
         cat changed 'folder/untracked name'; stat -c %a run; readlink link; git status --porcelain\n\
         git log --format=%s; git branch --show-current; echo $CI $KOZMIC $KOZMIC_BUILD_REF $WORD; exit 3\n",
    );
    let (code, output, said) =
        tree.run(&["--build", text(&build), "--env", "WORD=it's $HOME", text(&tree.path())]).await;
    assert_eq!(said, "");
    assert_eq!(
        output.lines().collect::<Vec<_>>(),
        [
            "kozmic",
            "/kozmic/src",
            "./.gitignore",
            "./changed",
            "./folder/untracked name",
            "./kept",
            "./link",
            "./run",
            "./second",
            "new",
            "untracked",
            "755",
            "kept",
            " M changed",
            " D deleted",
            " M run",
            "?? folder/",
            "?? link",
            "Second",
            "First",
            "main",
            "true true main it's $HOME",
        ]
    );
    assert_eq!(code, 3);
    assert_eq!(tree.git(&["status", "--porcelain"]).await, before, "the tree itself is only read");
    let (_, output, _) =
        tree.run(&["--committed", "--build", text(&build), text(&tree.path())]).await;
    assert!(
        output.contains("\nold\n") && output.contains("./deleted") && !output.contains("./folder"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_there_as_in_the_work_tree() {
    let [inner, library, tree] = [Tree::new().await, Tree::new().await, Tree::new().await];
    let add = async |to: &Tree, of: &Tree, path: &str| {
        let (from, file) = (of.path(), "protocol.file.allow=always");
        to.git(&["-c", file, "submodule", "--quiet", "add", text(&from), path]).await;
        to.git(&["-c", file, "submodule", "--quiet", "update", "--init", "--recursive"]).await;
        to.commit("Use it").await;
    };
    add(&library, &inner, "inner").await;
    add(&tree, &library, "vendor/the library").await;
    // Nobody needs this one here, as nobody does on a server.
    let unused = "[submodule \"unused\"]\n\tpath = unused\n\turl = ../unused\n\tupdate = none\n";
    let modules = std::fs::read_to_string(tree.path().join(".gitmodules")).unwrap();
    tree.write(".gitmodules", &format!("{modules}{unused}"));
    std::fs::create_dir(tree.path().join("unused")).unwrap();
    let sha = tree.git(&["rev-parse", "HEAD"]).await;
    let link = format!("160000,{},unused", sha.trim());
    tree.git(&["update-index", "--add", "--cacheinfo", &link]).await;
    tree.git(&["commit", "--quiet", "--all", "--message", "Know of another"]).await;

    let build = tree.script(
        "build",
        "#!/bin/sh\ncd 'vendor/the library'; cat changed inner/changed; ls new inner/new\n\
         git -C inner log -1 --format=%s; cd ../..; git status --porcelain; ls -d unused; exit 0\n",
    );
    let run = async |more: &[&str]| {
        let path = tree.path();
        tree.run(&[&["--build", text(&build)], more, &[text(&path)]].concat()).await
    };
    // One of its own, so that no earlier run has left its image.
    let unique = tree.folder.path().display().to_string();
    let install = tree.script("install", &format!("echo installing # {unique}\n"));
    let nothing = tree.script("nothing", "true\n");
    let installs = async |more: &[&str]| {
        let (path, tracked) = (tree.path(), "vendor/the library/inner/changed");
        let scripts = ["--build", text(&nothing), "--install", text(&install)];
        let (code, output, said) =
            tree.run(&[&scripts[..], &["--track", tracked], more, &[text(&path)]].concat()).await;
        assert_eq!(code, 0, "{said}");
        output == "installing\n"
    };
    assert!(installs(&[]).await);
    assert!(!installs(&[]).await);
    let no_new = "ls: cannot access 'new': No such file or directory\n\
                  ls: cannot access 'inner/new': No such file or directory\n";
    let clean = format!("old\nold\n{no_new}Second\nunused\n");
    assert_eq!(run(&[]).await, (0, clean.clone(), String::new()));

    tree.write("vendor/the library/changed", "new\n");
    tree.write("vendor/the library/new", "");
    tree.write("vendor/the library/inner/changed", "newer\n");
    tree.write("vendor/the library/inner/new", "");
    let before = tree.git(&["status", "--porcelain"]).await;
    let dirty = format!("new\nnewer\ninner/new\nnew\nSecond\n{before}unused\n");
    assert_eq!(run(&[]).await, (0, dirty, String::new()));
    assert_eq!(tree.git(&["status", "--porcelain"]).await, before, "the tree itself is only read");
    assert_eq!(run(&["--committed"]).await, (0, clean.clone(), String::new()));
    assert!(installs(&[]).await, "a tracked file of a submodule is another");
    assert!(!installs(&["--committed"]).await);
    remove_images_of_runs(&install).await;

    // Another commit is checked out than the one that is recorded.
    tree.git(&["-C", "vendor/the library", "reset", "--quiet", "--hard", "HEAD~1"]).await;
    assert_eq!(run(&["--committed"]).await, (0, clean, String::new()));

    tree.git(&["submodule", "--quiet", "deinit", "--force", "--all"]).await;
    for more in [&[][..], &["--committed"]] {
        let (code, output, said) = run(more).await;
        assert_eq!((code, output.as_str()), (125, ""), "{said}");
        let at = tree.path().join("vendor/the library");
        assert!(said.contains(text(&at)) && said.contains("git submodule update"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_script_is_cached_for_the_tree_as_it_is() {
    let tree = Tree::new().await;
    // One of its own, so that no earlier run has left its image.
    let unique = tree.folder.path().display().to_string();
    let install = tree.script(
        "install",
        &format!("echo installing # {unique}\ncat changed | sudo tee /installed\n"),
    );
    let build = tree.script("build", "cat /installed\n");
    let arguments = [
        "--install",
        text(&install),
        "--track",
        "changed",
        "--build",
        text(&build),
        text(&tree.path()),
    ]
    .map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, output, said) = tree.run(&arguments).await;
    assert_eq!((code, output.as_str()), (0, "installing\nold\nold\n"), "{said}");
    assert!(said.contains("kozmic: install step: "), "{said}");
    let (_, output, said) = tree.run(&arguments).await;
    assert_eq!(output, "old\n");
    assert!(said.starts_with("kozmic: install step skipped: "), "{said}");
    // Not committed, and yet another tree.
    tree.write("changed", "new\n");
    let (_, output, said) = tree.run(&arguments).await;
    assert_eq!(output, "installing\nnew\nnew\n");
    assert!(said.contains("changed is another than in the cached image"), "{said}");
    remove_images_of_runs(&install).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_script_s_fault_exits_with_125() {
    let tree = Tree::new().await;
    let build = tree.script("build", "exit 1\n");
    let path = tree.path();
    let (code, _, said) = tree.run(&["--build", text(&build), text(&path)]).await;
    assert_eq!((code, said.as_str()), (1, ""), "the script's own 1");
    for (arguments, expected) in [
        (vec!["--build", "missing", text(&path)], "the script missing can't be read: No such file"),
        (
            vec!["--build", text(&build), "/"],
            "/ is not a git checkout that can be built: not a git repository",
        ),
        (
            vec!["--image", "kozmic/debian:none", "--build", text(&build), text(&path)],
            "is built on this machine",
        ),
    ] {
        let (code, output, said) = tree.run(&arguments).await;
        assert_eq!((code, output.as_str()), (125, ""), "{arguments:?}: {said}");
        assert!(said.starts_with("kozmic: ") && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let mut command = tree.command(&["--build", text(&build), text(&path)]);
    command.env("KOZMIC_DOCKER_HOST", "unix:///nowhere");
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().contains("does not answer"));
    let mut command = tree.command(&["--build", text(&build), text(&path)]);
    let stalled = tree.script("stalled", "sleep 600\n");
    command.env("KOZMIC_STALL_TIMEOUT", "1").args(["--build", text(&stalled)]);
    assert_eq!(command.output().await.unwrap().status.code(), Some(2), "--build is given once");
    let mut command = tree.command(&["--build", text(&stalled), text(&path)]);
    let output = command.env("KOZMIC_STALL_TIMEOUT", "1").output().await.unwrap();
    assert_eq!(output.status.code(), Some(124));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with(
            "
kozmic: stalled: no output for 1 s
"
        ),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_script_and_leaves_nothing() {
    let tree = Tree::new().await;
    let script =
        "#!/bin/bash\ntrap 'echo asked to end; exit 7' TERM\necho begun\nsleep 600 & wait\n";
    let build = tree.script("build", script);
    let log = tree.folder.path().join("log");
    let mut command = tree.command(&["--image", BASE, "--build", text(&build), text(&tree.path())]);
    let mut child = command
        .stdout(std::fs::File::create(&log).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    eventually("the first line", async || (read() == "begun\n").then_some(())).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let ended =
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends in time").unwrap();
    assert_eq!(ended.code(), Some(130));
    assert_eq!(read(), "begun\nasked to end\n");
    // Which containers are this run's, the others beside it can't tell; none may stay.
    eventually("the container to be removed", async || {
        let filters = ["--filter", "label=kozmic.instance=local", "--filter", "status=exited"];
        docker(&[&["ps", "--all", "--quiet"], &filters[..]].concat()).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_with_the_credentials_of_docker_login_and_when_its_tag_moves() {
    let tree = Tree::new().await;
    let build = tree.script("build", "cat /etc/kind\n");
    let registry = Registry::with_password().await;
    let image_of = async |kind: &str| {
        let dockerfile = tree.folder.path().join(kind);
        std::fs::create_dir(&dockerfile).unwrap();
        let text = format!("FROM {}\nUSER root\nCOPY kind /etc/kind\n", busybox().await);
        std::fs::write(dockerfile.join("Dockerfile"), text).unwrap();
        std::fs::write(dockerfile.join("kind"), format!("{kind}\n")).unwrap();
        let local = format!("kozmic-test/{kind}:latest");
        let mut command = Command::new("docker");
        command
            .env("DOCKER_BUILDKIT", "0")
            .args(["build", "--quiet", "--tag", &local])
            .arg(&dockerfile);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        local
    };
    let (first, second) = (image_of("first").await, image_of("second").await);
    let image = registry.push(&first, "kinds:1").await;
    let login = tree.folder.path().join("login");
    std::fs::create_dir(&login).unwrap();
    docker_config(&login, &registry.host);
    let run = async || {
        let mut command =
            tree.command(&["--image", &image, "--build", text(&build), text(&tree.path())]);
        let output = command.env("DOCKER_CONFIG", &login).output().await.unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let pulled = format!("kozmic: pulled the image {image}");
    assert_eq!(run().await, ("first\n".into(), format!("{pulled}\n")));
    assert_eq!(run().await, ("first\n".into(), String::new()), "not pulled again for nothing");
    registry.push_elsewhere(&second, "kinds:1").await;
    assert_eq!(run().await, ("second\n".into(), format!("{pulled}, which has changed\n")));
    docker(&["rmi", &image, &first, &second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_files_and_are_masked_on_the_terminal() {
    let tree = Tree::new().await;
    let secret = tree.script("secret", "it's a secret\n");
    let build = tree.script(
        "build",
        "#!/bin/bash\necho \"${#WORD} $WORD.\"\nls /kozmic\nprintf %s \"$WORD\" | base64\nprintf \"it's a se\"\n",
    );
    let install = tree.script("install", "#!/bin/bash\necho \"$WORD\" >&2; exit 4\n");
    let given = format!("WORD={}", text(&secret));
    let (code, output, said) =
        tree.run(&["--build", text(&build), "--secret-file", &given, text(&tree.path())]).await;
    // The end of a form of base64 holds bits of what would follow.
    let stars = "*".repeat(13);
    let expected = format!(
        "13 {stars}.\nartifacts\nreports\nscript\nsrc\nstart\n{}A==\n*********",
        "*".repeat(17)
    );
    assert_eq!((code, output, said.as_str()), (0, expected, ""));
    let arguments = ["--build", text(&build), "--install", text(&install), "--secret-file", &given];
    let (code, output, _) = tree.run(&[&arguments[..], &[text(&tree.path())]].concat()).await;
    assert_eq!((code, output), (4, format!("{stars}\n")));

    for (given, why) in [
        ("WORD", "write it as NAME=PATH"),
        ("PATH=x", "is needed to start scripts"),
        ("WORD=nowhere", "WORD: nowhere: "),
    ] {
        let (code, _, said) =
            tree.run(&["--build", text(&build), "--secret-file", given, text(&tree.path())]).await;
        assert!(code != 0 && said.contains(why), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_services_beside_it_as_on_a_server() {
    let world = World::new().await;
    std::fs::create_dir(world.folder().join("hooks")).unwrap();
    let script = "#!/bin/bash\nexec 3<>/dev/tcp/db/5432 && echo reached\n";
    put_program(&world.folder().join("hooks/tests.sh"), script);
    let install = world.folder().join("hooks/tests.install.sh");
    put_program(&install, &format!("#!/bin/sh\n: {}\n", install.display()));
    let logs = world.folder().join("services");
    let values = [
        ("hooks/tests.install.sh", text(&install)),
        ("postgres:17", postgres_image().await),
        ("/tmp/services", text(&logs)),
    ];
    let git = "git init -q; git add hooks; \
               git -c user.name=Ada -c user.email=ada@example.org commit -qm Scripts\n";
    let run = as_here(&shown("run::services"), &values);
    let ran = world.shell("http://127.0.0.1:0", &format!("{git}{run}")).output().await.unwrap();
    let said = succeeded(ran);
    assert!(said.ends_with("reached\n"), "{said}");
    let kept = std::fs::read_to_string(logs.join("db.log")).unwrap();
    assert!(kept.contains("database system is ready to accept connections"), "{kept}");
    remove_images_of_runs(&install).await;
}
