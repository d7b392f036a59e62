//! The world, its server and its project.

use std::path::{Path, PathBuf};
use std::process::Output;

use futures_util::FutureExt as _;
use github_sim::client::{OAuthApp, Push, Sim, Status};
use kozmic::config::Settings;
use kozmic::model::HookId;
use kozmic::seal::{Seal, read_key};
use kozmic::shutdown::Shutdown;
use kozmic::store::{Hook, Store};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::{BASE, client, containers_of, engine_host, eventually};

pub const OWNER: &str = "octo";
pub const REPOSITORY: &str = "octo/orbit";

/// GitHub's stand-in with one repository, and a folder for the server's data.
pub struct World {
    pub sim: Sim,
    /// Of nobody.
    pub http: reqwest::Client,
    /// Before its folder goes.
    _left: LeftNetworks,
    folder: TempDir,
    token: String,
    oauth: OAuthApp,
    extra: Vec<(String, String)>,
    /// Another one than the machine's.
    engine: Option<String>,
    api_token: OnceCell<String>,
    owner: OnceCell<reqwest::Client>,
    _github: Github,
}

/// GitHub's stand-in ends with the test, and fails it when something that passed between the two
/// was not as GitHub describes it.
struct Github {
    shutdown: Shutdown,
    watch: github_sim::Watch,
}

impl Drop for Github {
    fn drop(&mut self) {
        self.shutdown.request();
        let violations = self.watch.violations();
        assert!(violations.is_empty() || std::thread::panicking(), "{violations:#?}");
    }
}

/// What servers that were killed have left of networks for jobs: nobody is started again to
/// take them up.
struct LeftNetworks {
    /// The file that has the server's name.
    node: PathBuf,
    engine: Option<String>,
}

impl Drop for LeftNetworks {
    fn drop(&mut self) {
        let Ok(node) = std::fs::read_to_string(&self.node) else { return };
        let label = format!("label=kozmic.node={}", node.trim());
        let docker = |arguments: &[&str]| {
            let mut command = std::process::Command::new("docker");
            if let Some(engine) = &self.engine {
                command.args(["--host", engine]);
            }
            let told = command.args(arguments).output().map(|output| output.stdout);
            String::from_utf8(told.unwrap_or_default()).unwrap_or_default()
        };
        let of_node = ["--quiet", "--filter", &label];
        for (list, remove) in
            [(&["ps", "--all"], &["rm", "--force"]), (&["network", "ls"], &["network", "rm"])]
        {
            let found = docker(&[&list[..], &of_node].concat());
            let found: Vec<&str> = found.lines().collect();
            if !found.is_empty() {
                docker(&[&remove[..], &found].concat());
            }
        }
    }
}

/// A running server; ends with [`Server::stop`].
pub struct Server {
    pub url: String,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Build {
    pub id: i64,
    pub number: i64,
    pub status: String,
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub sha: String,
    pub url: String,
    pub trigger: String,
    pub pull_request_title: Option<String>,
    pub pull_request_author: Option<String>,
    pub approval: String,
    pub approved_by: Option<String>,
    pub missed_because: Option<String>,
    pub sender: Option<String>,
    pub due_at: Option<String>,
    pub not_run: Vec<NotRun>,
    pub jobs: Vec<Job>,
}

/// A hook that has no job in a build.
#[derive(Debug, Clone, Deserialize)]
pub struct NotRun {
    pub hook: String,
    pub reason: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: i64,
    pub uuid: String,
    pub title: String,
    pub status: String,
    pub reason: String,
    pub return_code: Option<i64>,
    pub log_url: String,
}

impl Build {
    pub fn job(&self, title: &str) -> &Job {
        self.jobs.iter().find(|job| job.title == title).unwrap()
    }

    pub fn is_finished(&self) -> bool {
        !matches!(self.status.as_str(), "enqueued" | "pending")
    }
}

/// A hook's file: its header and its script.
pub fn hook(title: &str, image: &str, script: &str) -> String {
    let (shebang, rest) = match script.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => (format!("{first}\n"), rest),
        _ => (String::new(), script),
    };
    format!("{shebang}# kozmic: title = {title}\n# kozmic: image = {image}\n{rest}")
}

/// A bash script behind lines of a hook's header.
pub fn with_header(header: &[&str], script: &str) -> String {
    let header: Vec<String> = header.iter().map(|line| format!("# kozmic: {line}\n")).collect();
    format!("#!/bin/bash\n{}{script}", header.concat())
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With another engine than the machine's, and settings.
    pub async fn at(engine: &str, extra: &[(&str, &str)]) -> Self {
        let extra = [&[("KOZMIC_DOCKER_HOST", engine)], extra].concat();
        Self { engine: Some(engine.to_owned()), ..Self::with(&extra).await }
    }

    /// With settings beside those that connect server and GitHub.
    pub async fn with(extra: &[(&str, &str)]) -> Self {
        Self::with_github_at("127.0.0.1", extra).await
    }

    /// With a GitHub at another of this machine's addresses, which containers reach, too.
    pub async fn with_github_at(address: &str, extra: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let sim = Sim::new(&format!("http://{}", listener.local_addr().unwrap()));
        let github = Github { shutdown: Shutdown::new(), watch: github_sim::Watch::default() };
        let (ended, watch) = (github.shutdown.clone(), github.watch.clone());
        let root = folder.path().join("github");
        let ended = async move { ended.requested().await };
        tokio::spawn(github_sim::serve_watched(listener, root, watch, ended));
        let token = sim.add_user(OWNER).await.unwrap();
        sim.add_repository(OWNER, "orbit").await.unwrap();
        let mut extra: Vec<(String, String)> =
            extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let host = engine_host().await;
        let left = LeftNetworks { node: folder.path().join("data/node"), engine: host.clone() };
        extra.extend(host.map(|host| ("DOCKER_HOST".to_owned(), host)));
        // A loopback address fits with every port.
        let oauth = sim.add_oauth_app("Kozmic", "http://127.0.0.1/_auth/").await.unwrap();
        Self {
            http: client(reqwest::header::HeaderMap::new()),
            sim,
            _left: left,
            folder,
            token,
            oauth,
            extra,
            engine: None,
            api_token: OnceCell::new(),
            owner: OnceCell::new(),
            _github: github,
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One more setting, or another value of one, for whatever starts from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.retain(|(known, _)| known != name);
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// The environment of a server or a command in this world.
    pub fn environment(&self, listen: &str) -> Vec<(String, String)> {
        let mut environment = vec![
            ("KOZMIC_LISTEN".to_owned(), listen.to_owned()),
            ("KOZMIC_DATA_DIR".to_owned(), self.data_dir().display().to_string()),
            ("KOZMIC_GITHUB_URL".to_owned(), self.sim.url().to_owned()),
            ("KOZMIC_GITHUB_API_URL".to_owned(), self.sim.api_url()),
            ("KOZMIC_GITHUB_TOKEN".to_owned(), self.token.clone()),
            ("KOZMIC_GITHUB_CLIENT_ID".to_owned(), self.oauth.client_id.clone()),
            ("KOZMIC_GITHUB_CLIENT_SECRET".to_owned(), self.oauth.client_secret.clone()),
        ];
        environment.retain(|(name, _)| !self.extra.iter().any(|(given, _)| given == name));
        environment.extend(self.extra.clone());
        environment
    }

    pub fn settings(&self) -> Settings {
        Settings::from_parts(&self.environment("127.0.0.1:0"), None).unwrap()
    }

    /// A server in this process, ready to be used.
    pub async fn serve(&self) -> Server {
        self.serve_at("0").await
    }

    /// On this port, that one before it had.
    pub async fn serve_at(&self, port: &str) -> Server {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(kozmic::cli::serve(listener, self.settings(), shutdown.clone()));
        let mut server = Server { url, shutdown, task };
        server.until_ready(&self.http).await;
        server
    }

    /// The program as a person runs it, with `url` as the server's address.
    pub fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kozmic"));
        let listen = url.trim_start_matches("http://");
        command.args(arguments).current_dir(self.folder.path()).kill_on_drop(true);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(self.environment(listen));
        command
    }

    pub async fn run(&self, url: &str, arguments: &[&str]) -> Output {
        self.command(url, arguments).output().await.unwrap()
    }

    /// Makes the repository a project with these hooks, by the command line.
    pub async fn project(&self, url: &str, hooks: &[String]) {
        self.add_project(url).await;
        self.apply(url, hooks).await;
    }

    pub async fn add_project(&self, url: &str) {
        let added = self.run(url, &["project", "add", REPOSITORY]).await;
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }

    /// Pull requests from forks are built without being asked for.
    pub async fn build_forks(&self, url: &str) {
        let set = self.run(url, &["project", "set", REPOSITORY, "--forks", "build"]).await;
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }

    pub async fn apply(&self, url: &str, hooks: &[String]) {
        let names: Vec<String> = (0..hooks.len()).map(|index| format!("hook-{index}.sh")).collect();
        let files: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(hooks.iter().map(String::as_str)).collect();
        self.apply_files(url, &files).await;
    }

    /// Applies a folder with these files.
    pub async fn apply_files(&self, url: &str, files: &[(&str, &str)]) {
        self.apply_to(url, REPOSITORY, files).await;
    }

    /// A server whose project has one hook: a bash script in the base image.
    pub async fn serve_with(&self, script: &str) -> Server {
        let server = self.serve().await;
        self.project(&server.url, &[hook("Tests", BASE, script)]).await;
        server
    }

    /// Someone pushes a commit that writes these files; its id.
    pub async fn push(&self, files: &[(&str, &[u8])]) -> String {
        let mut push = Push::new(REPOSITORY, OWNER).message("Change something");
        for (path, content) in files {
            push = push.write(*path, content.to_vec());
        }
        self.sim.push(&push).await.unwrap()
    }

    pub async fn builds(&self, url: &str) -> Vec<Build> {
        self.builds_in(url, 1).await
    }

    /// A token of the repository's owner for the server's API.
    pub async fn api_token(&self) -> &str {
        let create = async || {
            let arguments = ["token", "create", "--user", OWNER];
            let created = self.run("http://127.0.0.1:0", &arguments).await;
            assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
            String::from_utf8(created.stdout).unwrap().trim().to_owned()
        };
        self.api_token.get_or_init(create).await
    }

    /// A token that was made where this world's servers are, for all that is asked from now on.
    pub fn has_token(&self, token: &str) {
        self.api_token.set(token.to_owned()).unwrap();
    }

    pub async fn build_of(&self, url: &str, sha: &str) -> Build {
        eventually("the build", async || {
            self.builds(url).await.into_iter().find(|build| build.sha == sha)
        })
        .await
    }

    /// The commit's build, once it is finished.
    pub async fn finished(&self, url: &str, sha: &str) -> Build {
        eventually("the build's end", async || {
            Some(self.build_of(url, sha).await).filter(Build::is_finished)
        })
        .await
    }

    pub async fn log(&self, job: &Job) -> Vec<u8> {
        let answer = self.get_log(&job.log_url).await;
        answer.bytes().await.unwrap().to_vec()
    }

    /// The plain log as a command-line tool asks for it.
    pub async fn get_log(&self, url: &str) -> reqwest::Response {
        self.http.get(url).bearer_auth(self.api_token().await).send().await.unwrap()
    }

    pub async fn log_text(&self, job: &Job) -> String {
        String::from_utf8(self.log(job).await).unwrap()
    }

    /// A page as the owner sees it.
    pub async fn page(&self, url: &str) -> String {
        self.owner(url).await.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The owner's browser; `url` is any of the server's.
    pub async fn owner(&self, url: &str) -> &reqwest::Client {
        let server = url.split('/').take(3).collect::<Vec<_>>().join("/");
        self.owner.get_or_init(async || self.visitor(&server, OWNER).await).await
    }

    /// The states GitHub was told of one context, oldest first.
    pub async fn states(&self, sha: &str, context: &str) -> Vec<String> {
        let statuses = self.sim.statuses(REPOSITORY, sha).await.unwrap();
        let of_context = |status: &Status| status.context == context;
        statuses.into_iter().filter(of_context).map(|status| status.state).rev().collect()
    }

    /// Waits until GitHub's latest state of a context is this one; its description.
    pub async fn told(&self, sha: &str, context: &str, state: &str) -> String {
        eventually(&format!("{context} to be {state}"), async || {
            let statuses = self.sim.statuses(REPOSITORY, sha).await.unwrap();
            let latest = statuses.into_iter().find(|status| status.context == context)?;
            (latest.state == state).then(|| latest.description.unwrap_or_default())
        })
        .await
    }

    /// A second look at the database, beside the server.
    pub async fn store(&self) -> Store {
        let settings = self.settings();
        let file = || read_key(&self.data_dir().join("secret-key")).unwrap().expect("a key");
        let key = settings.secret_key.unwrap_or_else(file);
        Store::open(&settings.database_url, Seal::from_text(&key).unwrap()).await.unwrap()
    }

    pub async fn hook(&self, id: i64) -> Hook {
        self.store().await.hook(HookId(id)).await.unwrap().unwrap()
    }

    /// What labels this world's containers and images.
    pub async fn instance(&self) -> String {
        self.store().await.instance(kozmic::model::Timestamp::now()).await.unwrap()
    }

    /// Stops what still runs, then the server; nothing may be left.
    pub async fn end(&self, server: Server) {
        let builds = self.builds(&server.url).await;
        for build in builds.iter().filter(|build| !build.is_finished()) {
            let url = format!("{}/api/v1/builds/{}/cancel", server.url, build.id);
            self.http.post(url).bearer_auth(self.api_token().await).send().await.unwrap();
        }
        for build in builds {
            self.finished(&server.url, &build.sha).await;
        }
        server.stop().await;
        self.nothing_left().await;
    }

    /// Containers, volumes and checkouts are gone, or go soon.
    pub async fn nothing_left(&self) {
        let mut left = Vec::new();
        let all_removed = eventually("everything to be removed", async || {
            left = self.leftovers().await;
            left.is_empty().then_some(())
        });
        let removed = std::panic::AssertUnwindSafe(all_removed).catch_unwind().await;
        let said = std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default();
        assert!(removed.is_ok(), "left behind: {left:?}\n{said}");
    }

    /// What this world's server left at the engine and on its disk.
    pub async fn leftovers(&self) -> Vec<String> {
        let instance = self.store().await.instance(kozmic::model::Timestamp::now()).await.unwrap();
        let mut left = containers_of(self.engine.as_deref(), &instance).await;
        if let Ok(checkouts) = std::fs::read_dir(self.data_dir().join("checkouts")) {
            left.extend(checkouts.map(|entry| entry.unwrap().path().display().to_string()));
        }
        left
    }
}

impl Server {
    async fn until_ready(&mut self, http: &reqwest::Client) {
        eventually("the server to be ready", async || {
            if self.task.is_finished() {
                let ended = (&mut self.task).await;
                panic!("the server ended before it was ready: {ended:?}");
            }
            let answer = http.get(format!("{}/readyz", self.url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// As SIGTERM does; returns when everything under way has ended.
    pub async fn stop(self) {
        self.shutdown.request();
        self.task.await.unwrap().unwrap();
    }
}
