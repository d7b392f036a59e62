//! The blocks of code in docs/, all of them: a shell carries out the commands with a real server
//! beside GitHub's stand-in, settings are read, scripts and programs are looked through by what
//! would run them. A block that another test runs says which behind its language, and that test
//! asks for its text: `run-by: FILE::NAME`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use github_sim::client::Push;
use kozmic::config::Settings;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::{
    BASE, Block, Received, Server, Sink, World, blocks, eventually, free_port, hook, put_program,
    remove_cached_images, remove_images_of_runs,
};

/// Signs what is told of builds.
const SECRET: &str = "a secret that signs";

/// A public one, of an SSH server.
const HOST_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// What `make bench` leaves of what the forecast of an installation's size needs.
const FIGURES: &str = r#"
{"bench": "capacity", "what": "a job beside its script, one after the other", "unit": "ms", "kozmic": {"median": 400}}
{"bench": "capacity", "what": "a job on processors, engine included", "unit": "ms", "kozmic": {"median": 300}}
{"bench": "queue", "what": "jobs claimed and finished", "unit": "/s", "kozmic": {"median": 600}, "settings": "PostgreSQL"}
{"bench": "webhooks", "what": "webhooks taken", "unit": "/s", "kozmic": {"median": 130}, "settings": "PostgreSQL"}
{"bench": "log_throughput", "what": "a push to the end of a job of 1,000,000 lines", "unit": "ms", "kozmic": {"median": 3000}}
"#;

/// What went wrong with a block.
type Done = Result<(), String>;

impl Block {
    fn is_script(&self) -> bool {
        self.text.starts_with("#!")
    }

    /// Nothing but values of settings, as in a file of an environment.
    fn is_settings(&self) -> bool {
        self.text.lines().filter(|line| !line.starts_with('#')).all(|line| {
            let value = line
                .split_once('=')
                .filter(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
            // With something behind it, it is the variable of a command.
            value.is_some_and(|(_, value)| {
                value.starts_with('\'') || !value.split(" #").next().unwrap().trim().contains(' ')
            })
        })
    }
}

/// A server with a project as the pages speak of it.
struct Place {
    world: World,
    server: Server,
    folder: PathBuf,
    /// What a webhook is told of the build.
    told: Received,
    /// What stands on the pages, and what is so here.
    values: Vec<(&'static str, String)>,
}

impl Place {
    async fn new() -> Self {
        let sink = Sink::start().await;
        let world = World::with(&[("KOZMIC_WEBHOOK_NETWORKS", "127.0.0.0/8")]).await;
        let server = world.serve().await;
        let url = server.url.clone();
        world.add_project(&url).await;
        let made = format!("# {}\n", uuid());
        let tests = hook("Tests", BASE, "#!/bin/bash\ntrue\n");
        let install = format!("#!/bin/sh\n{made}true\n");
        let (deploy, release) =
            (tests.replace("Tests", "Deploy"), tests.replace("Tests", "Release"));
        let files = [
            ("tests.sh", tests.as_str()),
            ("tests.install.sh", &install),
            ("deploy.sh", &deploy),
            ("release.sh", &release),
        ];
        world.apply_files(&url, &files).await;
        let webhook = json!({
            "format": "json", "url": sink.url, "secret": SECRET, "events": ["finished"],
        });
        let webhooks = format!("{url}/api/v1/projects/1/webhooks");
        let token = world.api_token().await.to_owned();
        let added = world.http.post(webhooks).bearer_auth(&token).json(&webhook).send().await;
        assert_eq!(added.unwrap().status(), 201);
        let sha = world.push(&[("packages.txt", b"bash\n")]).await;
        let build = world.finished(&url, &sha).await;
        assert_eq!(build.status, "success", "{build:?}");
        let told = sink.arrived(1).await.remove(0);
        world.sim.tag("octo/orbit", "octo", "v1.2").await.unwrap();
        world.sim.add_repository("octo", "secret").await.unwrap();
        // Whose hooks are as pages show them.
        world.sim.add_repository("octo", "shown").await.unwrap();
        let added = world.run(&url, &["project", "add", "octo/shown"]).await;
        assert!(added.status.success(), "{added:?}");
        // The third one is revoked.
        for _ in 2..=3 {
            let made = world.run(&url, &["token", "create", "--user", "octo"]).await;
            assert!(made.status.success(), "{made:?}");
        }
        let [waiting, another] = waiting_from_fork(&world, &url).await;
        let folder = world.folder().join("docs");
        for name in ["hooks", "backups", "bin", "etc", "man"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        let script = format!("#!/bin/sh\n# kozmic: title = T\n# kozmic: image = {BASE}\ntrue\n");
        for (name, content) in [
            ("token", "one\n"),
            ("other-token", "another\n"),
            ("id_ed25519", "a key\n"),
            ("packages.txt", "bash\n"),
            ("acme.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            ("hooks/tests.sh", &script),
            ("hooks/build.sh", &script),
            ("hooks/tests.install.sh", &install),
        ] {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_kozmic");
        std::os::unix::fs::symlink(program, folder.join("bin/kozmic")).unwrap();
        // The other machine of a backup is this one.
        put_program(&folder.join("bin/ssh"), "#!/bin/sh\nexec sh -c \"$2\"\n");
        let key = std::fs::read_to_string(world.data_dir().join("secret-key")).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let job = build.job("Tests").id;
        let values = vec![
            ("https://ci.example.com", url.clone()),
            ("https://ci.example.org", url.clone()),
            ("kozmic_…", token.clone()),
            ("KOZMIC_TOKEN=…", format!("KOZMIC_TOKEN={token}")),
            ("KOZMIC_SECRET_KEY=…", format!("KOZMIC_SECRET_KEY={}", key.trim())),
            ("=old…", format!("={}", "0".repeat(64))),
            ("=new…", format!("={}", "1".repeat(64))),
            ("/srv/backups", at("backups")),
            ("/tmp/drill", at("drill")),
            ("/etc/bash_completion.d", at("etc")),
            ("/etc/ssl/acme.pem", at("acme.pem")),
            ("/usr/local/share/man/man1", at("man")),
            ("jobs/41", format!("jobs/{job}")),
            ("octo/orbit 17 --trust", format!("octo/orbit {another} --trust")),
            ("octo/orbit 17", format!("octo/orbit {waiting}")),
            ("AAAAC3Nza…", HOST_KEY.to_owned()),
            ("hooks/tests.install.sh", at("hooks/tests.install.sh")),
        ];
        Self { world, server, folder, told, values }
    }

    fn here(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    /// A shell in which the program, the server and a token are at hand.
    fn shell(&self, text: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command.args(["-euc", text]).current_dir(&self.folder).kill_on_drop(true);
        command
            .env_clear()
            .envs(self.world.environment(self.server.url.trim_start_matches("http://")));
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        command.env("HOME", &self.folder);
        command.stdin(Stdio::null());
        command
    }

    async fn carry_out(&self, block: &Block) -> Done {
        let text = self.here(&block.text);
        if text.contains("kozmic serve") {
            return self.serves(block, &text).await;
        }
        let curl = "curl() { command curl --silent --show-error --fail-with-body \"$@\"; }\n";
        let mut shell = self.shell(&format!("{curl}{}\n{text}", self.before(&text)));
        shell.env("KOZMIC_SERVER", &self.server.url);
        shell.env("KOZMIC_TOKEN", self.world.api_token().await);
        succeeded(&shell.output().await.unwrap())
    }

    /// What a page has its reader do before.
    fn before(&self, text: &str) -> String {
        let fresh =
            |name: &str| format!("export KOZMIC_DATA_DIR={}", self.folder.join(name).display());
        let backup = "cp backups/kozmic-2026-11-28.backup .";
        if text.starts_with("kozmic restore kozmic-") {
            let key = self.here("KOZMIC_SECRET_KEY=…");
            return format!("{backup}; {}; export {key}", fresh("restored"));
        }
        if text.contains("secret-key rotate") {
            let old = text.split_once(" KOZMIC_NEW").map_or("", |(old, _)| old);
            return format!(
                "{}; {old} kozmic migrate",
                fresh(if old.is_empty() { "a" } else { "b" })
            );
        }
        if text.contains("kozmic run") {
            let git = "git -c user.name=Ada -c user.email=ada@example.org";
            return format!(
                "git init -q . && git add hooks packages.txt && {git} commit -qm Scripts || true"
            );
        }
        if text.starts_with("node bench/") {
            let bench = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench");
            return format!(
                "ln -s {bench} bench; mkdir -p target/figures\n\
                 cat >target/figures/all.jsonl <<'END'{FIGURES}END"
            );
        }
        String::new()
    }

    /// Started as the block says, ready, and ended.
    async fn serves(&self, block: &Block, text: &str) -> Done {
        let port = free_port();
        let mut shell = self.shell(text);
        shell.env("KOZMIC_LISTEN", format!("127.0.0.1:{port}"));
        shell.env("KOZMIC_DATA_DIR", self.folder.join(format!("data-{port}")));
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut serving = shell.process_group(0).spawn().unwrap();
        let group = serving.id().unwrap();
        let ready = format!("http://127.0.0.1:{port}/readyz");
        let is_up = eventually(&format!("{}: a server that is ready", block.at), async || {
            if serving.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answer = self.world.http.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(true)
        })
        .await;
        if is_up {
            let kill = Command::new("kill").args(["-TERM", "--", &format!("-{group}")]).status();
            assert!(kill.await.unwrap().success());
        }
        let ended = serving.wait_with_output().await.unwrap();
        if is_up { succeeded(&ended) } else { Err(told(&ended)) }
    }

    /// All that it sets is read, by the names and in the form that a server takes.
    async fn reads(&self, block: &Block) -> Done {
        let text = self.here(&block.text);
        let mut shell = Command::new("bash");
        shell.args(["-euc", &format!("set -a\n{text}\n/usr/bin/env -0")]).env_clear();
        let read = shell.output().await.unwrap();
        succeeded(&read)?;
        let read = String::from_utf8(read.stdout).unwrap();
        let names = |name: &str| name.starts_with("KOZMIC_") || name.starts_with("AWS_");
        let set: Vec<(String, String)> = read
            .split('\0')
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| names(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if set.is_empty() {
            return Err("it sets nothing".into());
        }
        Settings::from_parts(&set, None).map(drop).map_err(|error| error.to_string())
    }
}

/// The numbers of builds of a fork's pull requests, which wait for a manager.
async fn waiting_from_fork(world: &World, url: &str) -> [i64; 2] {
    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let mut numbers = [0; 2];
    for (number, branch) in numbers.iter_mut().zip(["main", "better"]) {
        let push = Push::new("mallory/orbit", "mallory").branch(branch).message("Change b");
        let sha = world.sim.push(&push.write("b", branch)).await.unwrap();
        let head = format!("mallory:{branch}");
        let opened =
            world.sim.open_pull_request("octo/orbit", "mallory", &head, "main", "Better", "");
        opened.await.unwrap();
        *number = world.build_of(url, &sha).await.number;
    }
    numbers
}

/// All names in a value, each behind those that it is in; of a list those of its first one.
fn names(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let inner = |found: &mut BTreeSet<String>, name: &str, value: &Value| {
        found.extend(names(value).into_iter().map(|inner| format!("{name}.{inner}")));
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                inner(&mut found, name, value);
            }
        }
        Value::Array(values) => inner(&mut found, "0", values.first().unwrap_or(&Value::Null)),
        _ => {}
    }
    found
}

fn uuid() -> String {
    kozmic::model::JobUuid::random().to_string()
}

fn succeeded(output: &Output) -> Done {
    if output.status.success() { Ok(()) } else { Err(told(output)) }
}

fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("{}\n{said}{errors}", output.status)
}

async fn given(program: &str, arguments: &[&str], text: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap()
}

/// Looked at by whoever would run or read it.
async fn done(place: &Place, block: &Block) -> Done {
    let text = &block.text;
    match block.language.as_str() {
        "sh" if block.is_script() => succeeded(&given("bash", &["-n"], text).await),
        // Lines of a hook's header.
        "sh" if text.starts_with("# kozmic: ") => {
            let folder = tempfile::tempdir().unwrap();
            let head = "#!/bin/sh\n# kozmic: title = T\n# kozmic: image = x\n";
            std::fs::write(folder.path().join("shown.sh"), format!("{head}{text}true\n")).unwrap();
            let path = folder.path().display().to_string();
            let apply = ["hooks", "apply", "octo/shown", &path];
            succeeded(&place.world.run(&place.server.url, &apply).await)
        }
        "sh" if block.is_settings() => place.reads(block).await,
        "sh" => place.carry_out(block).await,
        "toml" => {
            let read = Settings::from_parts(&[], Some(("kozmic.toml".as_ref(), text)));
            read.map(drop).map_err(|error| error.to_string())
        }
        "json" => {
            let read: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let told = place.told.json();
            if read.get("delivery").is_some() && names(&read) != names(&told) {
                return Err(format!("a webhook is told {told}"));
            }
            Ok(())
        }
        // It looks at what has really come.
        "python" if text.contains("def is_ours") => {
            let header = place.told.header("x-kozmic-signature-256");
            let calls = [(SECRET, "True"), ("another secret", "False")].map(|(secret, is)| {
                format!("assert is_ours(b'{secret}', body, '{header}') is {is}\n")
            });
            let read = "import sys\nbody = sys.stdin.buffer.read()\n";
            let program = format!("{text}\n{read}{}", calls.concat());
            let body = String::from_utf8(place.told.body.to_vec()).unwrap();
            succeeded(&given("python3", &["-c", &program], &body).await)
        }
        "python" => {
            let compile = "import sys; compile(sys.stdin.read(), 'docs', 'exec')";
            succeeded(&given("python3", &["-c", compile], text).await)
        }
        // What programs have said.
        "text" => Ok(()),
        other => Err(format!("nobody knows how to run {other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_block_does_what_its_page_says() {
    let blocks = blocks();
    let place = Place::new().await;
    let (mut run, mut wrong) = (0, Vec::new());
    for block in blocks.iter().filter(|block| block.run_by.is_none()) {
        run += usize::from(block.language != "text");
        if let Err(why) = done(&place, block).await {
            wrong.push(format!("{}: {why}", block.at));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(run > 60, "only {run} of {} blocks were run", blocks.len());
    place.world.end(place.server).await;
    remove_cached_images(&place.world.instance().await).await;
    remove_images_of_runs(&place.folder.join("hooks/tests.install.sh")).await;
}

/// The blocks that a file of tests asks for.
fn asked_for(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let asked = text.split("shown(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    asked.filter(|name| name.contains("::")).map(str::to_owned).collect()
}

#[test]
fn who_is_to_run_a_block_asks_for_it() {
    let mut named: Vec<(String, String)> = Vec::new();
    for block in blocks() {
        named.extend(block.run_by.map(|name| (name, block.at)));
    }
    let mut wrong = Vec::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut asked = BTreeSet::new();
    for folder in ["it", "it/harness", "podman"] {
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            for name in asked_for(&path) {
                if name.split("::").next() != Some(&file) || !asked.insert(name.clone()) {
                    wrong.push(format!("{}: {name} is another one's", path.display()));
                }
                if !named.iter().any(|(it, _)| *it == name) {
                    wrong.push(format!("{}: no block is for {name}", path.display()));
                }
            }
        }
    }
    for (name, at) in &named {
        if !asked.contains(name) {
            wrong.push(format!("{at}: no test asks for {name}"));
        }
        if named.iter().filter(|(it, _)| it == name).count() > 1 {
            wrong.push(format!("{at}: {name} has several blocks"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
