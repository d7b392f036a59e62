//! A failed job, brought home as an image.

use kozmic::model::JobUuid;
use tokio::io::AsyncWriteExt as _;

use crate::cli::printed;
use crate::harness::terminal::Terminal;
use crate::harness::{
    Server, World, as_here, busybox, docker, eventually, hook, is_as_printed, shown,
};
use crate::look_inside::{client, expires, kept_images, refused, with_failed};
use crate::secrets::set;

/// An image's name that is this test's, and goes with it.
struct Name(String);

impl Name {
    fn new() -> Self {
        Self(format!("kozmic-test/pulled:{}", JobUuid::random()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mended_comes_home_and_is_green_there() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let (broken, mended) = (Name::new(), Name::new());
    // As it failed.
    let said = printed(&client(&world, &server.url, &["pull", "1", "--tag", &broken.0], "").await);
    assert!(said.contains(&format!("docker run --rm {} /kozmic/script", broken.0)), "{said}");
    let again = tokio::process::Command::new("docker")
        .args(["run", "--rm", &broken.0, "/kozmic/script"])
        .output()
        .await
        .unwrap();
    assert_eq!(again.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&again.stdout), "it is broken\n");
    // And as it was mended, in the sources and outside of them.
    let mend = "echo fixed > answer; echo more >> /tmp/outside\n";
    assert!(client(&world, &server.url, &["shell", "1"], mend).await.status.success());
    printed(&client(&world, &server.url, &["pull", "1", "--tag", &mended.0], "").await);
    let run =
        async |command: &[&str]| docker(&[&["run", "--rm", &mended.0], command].concat()).await;
    assert_eq!(run(&["/kozmic/script"]).await, "it is green\n");
    assert_eq!(run(&["cat", "answer", "/tmp/outside"]).await, "fixed\noutside\nmore\n");
    assert_eq!(
        run(&["sh", "-c", "id -un; pwd; echo $KOZMIC_JOB_ID"]).await,
        "kozmic\n/kozmic/src\n1\n"
    );
    let owner = run(&["stat", "-c", "%U", "/kozmic/src/answer"]).await;
    assert_eq!(owner, "kozmic\n");
    // Nothing there takes it for an installation's, and nothing of it stays here.
    let label = "{{index .Config.Labels \"kozmic.instance\"}}";
    assert_eq!(docker(&["inspect", "-f", label, &mended.0]).await.trim(), "");
    eventually("what was made for it to be removed", async || {
        (kept_images(&world).await.len() == 1).then_some(())
    })
    .await;
    expires(&world).await;
    assert_eq!(run(&["cat", "answer"]).await, "fixed\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_opened_as_the_page_says() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let image = Name("kozmic-job:1".into());
    let example = as_here(&shown("pulled::example"), &[("job 12", "job 1"), ("job:12", "job:1")]);
    let example = as_here(&example, &[("shell 12", "shell 1"), ("pull 12", "pull 1")]);
    is_told_as_in(&world, &server, &example).await;

    let token = format!("KOZMIC_TOKEN={}", world.api_token().await);
    let values = [
        ("https://ci.example.org", server.url.as_str()),
        ("KOZMIC_TOKEN=…", &token),
        ("shell 12 ", "shell 1 "),
        ("pull 12 ", "pull 1 "),
    ];
    let open = as_here(&shown("pulled::open"), &values);
    let mut opened = world.shell(&server.url, &open);
    opened.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut opened = opened.spawn().unwrap();
    let dump = b"mkdir -p target/debug; echo dumped > target/debug/core\n";
    opened.stdin.take().unwrap().write_all(dump).await.unwrap();
    let said = printed(&opened.wait_with_output().await.unwrap());
    assert!(said.contains("kozmic-job:1 is here"), "{said}");
    let core = docker(&["run", "--rm", &image.0, "cat", "target/debug/core"]).await;
    assert_eq!(core, "dumped\n");

    let out = as_here(&shown("pulled::out_of_it"), &[("shell 12 ", "shell 1 ")]);
    let mut out = world.shell(&server.url, &out);
    out.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    printed(&out.output().await.unwrap());
    let mut archive =
        tar::Archive::new(std::fs::File::open(world.folder().join("core.tar")).unwrap());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let content = std::io::read_to_string(&mut entry).unwrap();
    let path = entry.path().unwrap().display().to_string();
    assert_eq!((path.as_str(), content.as_str()), ("target/debug/core", "dumped\n"));
    expires(&world).await;
    server.stop().await;
}

/// A session of a page: a shell in a terminal, up to `exit`, and what is done after that.
async fn is_told_as_in(world: &World, server: &Server, session: &str) {
    let (inside, after) = session.split_once("$ exit\n").unwrap();
    let (inside, _prompt) = inside.rsplit_once('\n').unwrap();
    let mut lines = inside.lines();
    assert_eq!(lines.next(), Some("$ kozmic shell 1"));
    let mut terminal = Terminal::shell(world, &server.url, 1).await;
    let told = terminal.until("leaves it").await;
    is_as_printed(told.trim(), &[lines.next().unwrap()]);
    let mut output = String::new();
    for line in lines {
        match line.split_once("$ ") {
            Some((_, command)) => output = terminal.runs(command).await,
            None => assert!(output.contains(&format!("{line}\n")), "no {line:?} in {output:?}"),
        }
    }
    terminal.types("exit\n").await;
    assert_eq!(terminal.ends().await.1, 0);

    let (typed, told): (Vec<_>, Vec<_>) = after.lines().partition(|line| line.starts_with("$ "));
    let typed: Vec<&str> = typed.iter().map(|line| &line[2..]).collect();
    let mut shell = world.shell(&server.url, &format!("exec 2>&1\n{}", typed.join("\n")));
    shell.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    is_as_printed(&printed(&shell.output().await.unwrap()), &told);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_shell_or_an_image() {
    const SECRET: &str = "s3cret-s3cret-s3cret";
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let server = world.serve().await;
    // As where an image has no rm(1), and the starter can't remove the file that they come in.
    let script = "#!/bin/sh\necho \"TOKEN='$TOKEN'\" > /kozmic/secrets\n\
                  [ \"$TOKEN\" = s3cret-s3cret-s3cret ] && echo given\nexit 1\n";
    world.project(&server.url, &[hook("Tests", busybox().await, script)]).await;
    set(&world, &server.url, "TOKEN", SECRET).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = String::from_utf8(world.log(&build.jobs[0]).await).unwrap();
    assert!(log.contains("given"), "{log}");

    let look = "echo \"[$TOKEN]\"; cat /kozmic/secrets; id -un; pwd\n";
    let shown = client(&world, &server.url, &["shell", "1"], look).await;
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "[]\napp\n/kozmic/src\n");
    let name = Name::new();
    printed(&client(&world, &server.url, &["pull", "1", "--tag", &name.0], "").await);
    let saved = tokio::process::Command::new("docker").args(["save", &name.0]).output().await;
    let saved = saved.unwrap().stdout;
    // The script is in it, which has the value here.
    assert!(memchr::memmem::find(&saved, b"echo given").is_some());
    let values = memchr::memmem::find_iter(&saved, SECRET).count();
    let of_script = memchr::memmem::find_iter(&saved, b"= s3cret-s3cret-s3cret ]").count();
    assert_eq!(values, of_script);
    expires(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_cut_off_leaves_nothing() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let name = Name::new();
    let url = cut_off_after(&server.url, 1 << 20).await;
    let said = refused(&client(&world, &url, &["pull", "1", "--tag", &name.0], "").await);
    assert!(said.contains("cut off") && said.contains("nothing of it is kept here"), "{said}");
    let named = docker(&["images", "--quiet", &name.0]).await;
    assert_eq!(named, "");
    eventually("what was made for it to be removed", async || {
        kept_images(&world).await.is_empty().then_some(())
    })
    .await;
    // Its name is no name for an image.
    let digest = "x@sha256:0123456789012345678901234567890123456789012345678901234567890123";
    let said = refused(&client(&world, &server.url, &["pull", "1", "--tag", digest], "").await);
    assert!(said.contains("has a digest"), "{said}");
    expires(&world).await;
    server.stop().await;
}

/// A way to the server that breaks after so many bytes of an answer.
async fn cut_off_after(url: &str, bytes: u64) -> String {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let to = url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let asked = tokio::io::copy(&mut from_client, &mut to_server);
                let mut some = from_server.take(bytes);
                let told = tokio::io::copy(&mut some, &mut to_client);
                tokio::select! { _ = asked => {}, _ = told => {} }
            });
        }
    });
    here
}
