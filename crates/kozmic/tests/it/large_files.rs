//! Files in Git LFS: brought by the real git-lfs, from GitHub's stand-in, in the place of their
//! pointers.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;

use crate::crash::{free_url, said, start_as};
use crate::harness::{
    BASE, REPOSITORY, Sink, Sshd, World, cached_images, hook, remove_cached_images,
};

/// Of a person's machine, where git-lfs is installed and set up.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.runs("git lfs install >/dev/null").await;
        desk
    }

    /// With a clone of the repository, whose `*.bin` are in Git LFS.
    async fn with_clone(world: &World) -> Self {
        let desk = Self::new().await;
        let token = world.sim.token("octo").await.unwrap();
        let url = world.sim.url().replace("http://", &format!("http://octo:{token}@"));
        desk.runs(&format!("git clone --quiet {url}/{REPOSITORY}.git tree")).await;
        desk.runs("cd tree && git lfs track '*.bin' >/dev/null && git add .gitattributes").await;
        desk
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    async fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-euc", script]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path());
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada");
            command.env(format!("GIT_{who}_EMAIL"), "ada@example.org");
        }
        command.output().await.unwrap()
    }

    async fn runs(&self, script: &str) -> String {
        let output = self.shell(script).await;
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Lets the tree have a submodule, whose `*.bin` are in Git LFS as well.
    async fn with_submodule(&self, world: &World) -> String {
        world.sim.add_repository("octo", "library").await.unwrap();
        let token = world.sim.token("octo").await.unwrap();
        let url = format!("{}/octo/library.git", world.sim.url());
        let own = url.replace("http://", &format!("http://octo:{token}@"));
        self.runs(&format!(
            "git clone --quiet {own} library 2>/dev/null; cd library; git checkout --quiet -B main; \
             git lfs track '*.bin' >/dev/null; echo of the library > theirs.bin; git add --all; \
             git commit --quiet -m First; git push --quiet origin main 2>&1 >/dev/null"
        ))
        .await;
        format!("GIT_LFS_SKIP_SMUDGE=1 git submodule --quiet add {url} lib")
    }

    /// Commits and pushes what these lines have changed; the commit.
    async fn pushes(&self, script: &str) -> String {
        let push = "git add --all; git commit --quiet --message Change; \
                    git push --quiet origin HEAD 2>&1 >/dev/null; git rev-parse HEAD";
        self.runs(&format!("cd tree; {script}; {push}")).await.lines().last().unwrap().to_owned()
    }
}

async fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

/// What was fetched since then.
async fn fetched(world: &World, from: usize) -> Vec<String> {
    let all = world.sim.lfs_transfers().await.unwrap();
    let mut gets: Vec<String> =
        all[from..].iter().filter_map(|it| it.strip_prefix("GET ")).map(str::to_owned).collect();
    gets.sort();
    gets
}

const LOOK: &str = "#!/bin/bash
sha256sum *.bin
stat -c '%A %n' run.bin
git status --porcelain
git config --list | grep -i hush || true
env | grep -i lfs || true
";

#[tokio::test(flavor = "multi_thread")]
async fn files_in_git_lfs_are_there_with_their_contents_and_fetched_once() {
    let world = World::new().await;
    let server = world.serve().await;
    let header = "# kozmic: track = large.bin\n";
    let tests = hook("Tests", BASE, LOOK).replacen(
        "# kozmic: image",
        &format!("{header}# kozmic: image"),
        1,
    );
    let install = format!("#!/bin/sh\n# {}\ntrue\n", kozmic::seal::random_hex().unwrap());
    world.add_project(&server.url).await;
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", &install)]).await;
    let desk = Desk::with_clone(&world).await;
    let make =
        "head -c 3000000 /dev/urandom > large.bin; echo '#!/bin/sh' > run.bin; chmod +x run.bin";
    let sha = desk.pushes(make).await;
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    let log = world.log_text(job).await;
    assert_eq!(build.status, "success", "{log}");
    let [large, run] = ["large.bin", "run.bin"].map(|name| desk.tree().join(name));
    let (large_oid, run_oid) = (sha256(&large).await, sha256(&run).await);
    let expected = format!("{large_oid}  large.bin\n{run_oid}  run.bin\n-rwxr-xr-x run.bin\n");
    assert!(log.ends_with(&expected), "{log}");
    let mut both = vec![large_oid.clone(), run_oid];
    both.sort();
    assert_eq!(fetched(&world, 0).await, both);
    world.told(&sha, "Kozmic-CI", "success").await;

    // What the mirror has is not fetched again, and a pointer that stays keeps its cached image.
    let before = world.sim.lfs_transfers().await.unwrap().len();
    let again = desk.pushes("echo more > more.bin").await;
    let build = world.finished(&server.url, &again).await;
    let log = world.log_text(build.job("Tests")).await;
    assert!(log.contains(&format!("{large_oid}  large.bin\n")), "{log}");
    assert_eq!(fetched(&world, before).await, [sha256(&desk.tree().join("more.bin")).await]);
    let instance = world.instance().await;
    assert_eq!(cached_images(&instance).await.len(), 1);
    let other = desk.pushes("echo other > large.bin").await;
    assert_eq!(world.finished(&server.url, &other).await.status, "success");
    assert_eq!(cached_images(&instance).await.len(), 2);
    world.end(server).await;
    remove_cached_images(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_brought_is_an_error_that_says_why() {
    let mut world = World::new().await;
    world.set("KOZMIC_LFS_LIMIT", "1M");
    let url = free_url();
    // A machine with git and without git-lfs.
    let programs = world.folder().join("programs");
    std::fs::create_dir(&programs).unwrap();
    for name in ["git", "ssh", "sh"] {
        let found = Command::new("which").arg(name).output().await.unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(found.trim(), programs.join(name)).unwrap();
    }
    let mut serve = world.command(&url, &["serve"]);
    let mut server = start_as(&world, &url, serve.env("PATH", &programs)).await;
    world.project(&url, &[hook("Tests", BASE, "#!/bin/sh\ncat *.bin; echo built\n")]).await;
    let error = async |sha: &str| {
        let build = world.finished(&url, sha).await;
        let job = build.job("Tests");
        assert_eq!((job.status.as_str(), job.return_code), ("error", None), "{job:?}");
        job.reason.clone()
    };
    // Without such files nobody misses it.
    let plain = world.push(&[("a", b"a\n")]).await;
    assert_eq!(world.finished(&url, &plain).await.status, "success");
    let desk = Desk::with_clone(&world).await;
    let sha = desk.pushes("echo one > one.bin").await;
    let reason = error(&sha).await;
    assert!(reason.contains("one.bin") && reason.contains("package git-lfs"), "{reason}");
    let doctor = world.command(&url, &["doctor"]).env("PATH", &programs).output().await.unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("warning  git-lfs"), "{doctor}");
    server.kill().await.unwrap();

    let mut server = start_as(&world, &url, &mut world.command(&url, &["serve"])).await;
    let large = desk.pushes("head -c 2000000 /dev/zero > large.bin").await;
    let reason = error(&large).await;
    assert!(reason.contains("KOZMIC_LFS_LIMIT allows 1 MiB"), "{reason}");
    let small = desk.pushes("git rm --quiet large.bin").await;
    assert_eq!(world.finished(&url, &small).await.status, "success");
    // One that GitHub never had, and one that can't be read where it is said to lie: that is told
    // without what opens it.
    let unreadable = world.folder().join("github/.lfs").join("e".repeat(64));
    std::fs::create_dir_all(&unreadable).unwrap();
    let size = unreadable.metadata().unwrap().len();
    for (oid, size) in [("d".repeat(64), 7), ("e".repeat(64), size)] {
        let pointer =
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n");
        let sha = world
            .push(&[(".gitattributes", b"*.bin filter=lfs\n"), ("gone.bin", pointer.as_bytes())])
            .await;
        let reason = error(&sha).await;
        assert!(reason.contains("can't fetch the files in Git LFS of"), "{reason}");
        let log = world.log_text(world.build_of(&url, &sha).await.job("Tests")).await;
        for told in [&reason, &log, &said(&world)] {
            assert!(!told.contains("X-Amz"), "{told}");
        }
    }
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_s_own_settings_lead_nowhere() {
    let world = World::new().await;
    let elsewhere = Sink::start().await;
    let server = world.serve_with("cat a.bin\n").await;
    let desk = Desk::with_clone(&world).await;
    // As a stranger would: pushed to the right place, and said to lie elsewhere.
    let sha = desk
        .pushes(&format!(
            "echo ours > a.bin; git config lfs.url $(git config remote.origin.url)/info/lfs; \
             git config -f .lfsconfig lfs.url {}/lfs; \
             git config -f .lfsconfig remote.origin.lfsurl {0}/lfs",
            elsewhere.url
        ))
        .await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!((build.status.as_str(), log.as_str()), ("success", "ours\n"));
    assert!(elsewhere.received().is_empty(), "{:?}", elsewhere.received());
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_submodules_are_there_too() {
    let mut world = World::new().await;
    world.set("KOZMIC_LFS_LIMIT", "1M");
    let script = "#!/bin/sh\ncat ours.bin lib/theirs.bin; git status --porcelain; \
                  git -C lib status --porcelain\n";
    let server = world.serve_with(script).await;
    let desk = Desk::with_clone(&world).await;
    let add = desk.with_submodule(&world).await;
    let sha = desk.pushes(&format!("echo ours > ours.bin; {add}")).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!((build.status.as_str(), log.as_str()), ("success", "ours\nof the library\n"));
    let oids = ["tree/ours.bin", "library/theirs.bin"].map(|name| desk.folder.path().join(name));
    let mut oids = [sha256(&oids[0]).await, sha256(&oids[1]).await];
    oids.sort();
    assert_eq!(fetched(&world, 0).await, oids);

    // What the mirror has of them is not fetched again.
    let before = world.sim.lfs_transfers().await.unwrap().len();
    let again = desk.pushes("touch more").await;
    assert_eq!(world.finished(&server.url, &again).await.status, "success");
    assert!(fetched(&world, before).await.is_empty());

    // Where a submodule's contents are said to lie leads nowhere either, and the limit is of all.
    let elsewhere = Sink::start().await;
    let settings = format!(
        "cd lib; git remote set-url origin $(git -C ../../library config remote.origin.url); \
         git config lfs.url $(git config remote.origin.url)/info/lfs; \
         git config -f .lfsconfig lfs.url {}/lfs; head -c 600000 /dev/zero > theirs.bin; \
         git add --all; git commit --quiet -m Elsewhere; git push --quiet origin HEAD:main 2>&1",
        elsewhere.url
    );
    desk.runs(&format!("cd tree; {settings}")).await;
    let sha = desk.pushes("true").await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    assert!(elsewhere.received().is_empty(), "{:?}", elsewhere.received());
    let sha = desk.pushes("head -c 600000 /dev/zero > ours.bin").await;
    let build = world.finished(&server.url, &sha).await;
    let reason = &build.job("Tests").reason;
    assert!(reason.contains("KOZMIC_LFS_LIMIT allows 1 MiB"), "{reason}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_private_repository_they_are_fetched_with_its_deploy_key() {
    let mut world = World::new().await;
    let sshd = Sshd::start(&world).await;
    world.sim.set_private(REPOSITORY, true).await.unwrap();
    world.set("KOZMIC_SSH_KNOWN_HOSTS", &sshd.known_hosts());
    let server = world.serve_with("cat a.bin\nenv; git config --list\n").await;
    let desk = Desk::with_clone(&world).await;
    let sha = desk.pushes("echo secret contents > a.bin").await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}\n{build:?}");
    assert!(log.starts_with("secret contents\n"), "{log}");
    assert!(!log.contains("RemoteAuth"), "{log}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kozmic_run_has_what_lies_in_the_work_tree() {
    let desk = Desk::new().await;
    desk.runs(
        "git init --quiet tree; cd tree; git lfs track '*.bin' >/dev/null; echo one > one.bin; \
         echo two > two.bin; git add --all; git commit --quiet -m First",
    )
    .await;
    let script = desk.folder.path().join("build.sh");
    std::fs::write(&script, "#!/bin/sh\ncat one.bin two.bin\n").unwrap();
    let kozmic = async |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kozmic"));
        command.args(["run", "--image", BASE, "--build"]).arg(&script).args(more);
        command.arg(desk.tree()).current_dir(desk.folder.path());
        command.output().await.unwrap()
    };
    let printed = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let clean = kozmic(&[]).await;
    assert!(clean.status.success() && printed(&clean).contains("one\ntwo\n"), "{clean:?}");
    desk.runs("cd tree; echo changed > one.bin; touch two.bin").await;
    let dirty = kozmic(&[]).await;
    assert!(printed(&dirty).contains("changed\ntwo\n"), "{dirty:?}");
    let committed = kozmic(&["--committed"]).await;
    assert!(printed(&committed).contains("one\ntwo\n"), "{committed:?}");
    // A clone without them.
    desk.runs("rm -rf tree/.git/lfs").await;
    let missing = kozmic(&["--committed"]).await;
    let why = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(missing.status.code(), Some(125), "{missing:?}");
    assert!(why.contains("one.bin") && why.contains("git lfs pull"), "{why}");
}
