//! The parts of an installation on several machines: PostgreSQL, Redis and object storage,
//! and processes of Kozmic, each with a data folder of its own.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{Postgres, Redis, S3, Way, World, eventually, free_port, shown};

pub struct Machines {
    pub world: World,
    pub redis: Redis,
    _postgres: Postgres,
    /// None: it is away.
    s3: Option<S3>,
    s3_port: u16,
    /// What the processes are told, and the test's own commands are not.
    told: Vec<(String, String)>,
}

/// A process of Kozmic.
pub struct Node {
    pub name: String,
    /// Of a web process.
    pub url: String,
    pub child: Child,
    /// Of a worker.
    settings: Vec<(String, String)>,
}

impl Machines {
    pub async fn new() -> Self {
        let (postgres, redis) = (Postgres::start().await, Redis::start().await);
        let s3_port = free_port();
        let s3 = S3::start(s3_port, "kozmic").await;
        let mut world = World::with(&[
            ("KOZMIC_DATABASE_URL", postgres.url.as_str()),
            ("KOZMIC_REDIS_URL", redis.url.as_str()),
            ("KOZMIC_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
        ])
        .await;
        for (name, value) in S3::environment(&s3.url, "s3://kozmic/all") {
            world.set(name, value);
        }
        Self { world, redis, _postgres: postgres, s3: Some(s3), s3_port, told: Vec::new() }
    }

    /// The storage ends, and forgets all.
    pub fn end_s3(&mut self) {
        self.s3 = None;
    }

    /// At the same place, empty.
    pub async fn restart_s3(&mut self) {
        self.s3 = Some(S3::start(self.s3_port, "kozmic").await);
    }

    /// One more setting for whatever starts from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.world.set(name, value);
    }

    /// From now on all processes reach a part by this way: one whose place the setting names.
    pub fn lead(&mut self, setting: &str) -> Way {
        let environment = self.world.environment("127.0.0.1:0");
        let (_, place) = environment.into_iter().find(|(name, _)| name == setting).unwrap();
        let start = place.find("127.0.0.1:").unwrap() + "127.0.0.1:".len();
        let digits = place[start..].chars().take_while(char::is_ascii_digit).count();
        let way = Way::to(place[start..start + digits].parse().unwrap());
        let place = format!("{}{}{}", &place[..start], way.port, &place[start + digits..]);
        self.told.push((setting.to_owned(), place));
        way
    }

    /// A process that serves pages, ready to be used.
    pub async fn web(&self, name: &str) -> Node {
        self.web_at(name, &format!("http://127.0.0.1:{}", free_port())).await
    }

    /// The same at this address, which one before it had.
    pub async fn web_at(&self, name: &str, url: &str) -> Node {
        let mut command = self.command(name, url, "web");
        let mut child = command.spawn().unwrap();
        eventually("a web process to be ready", async || {
            assert!(child.try_wait().unwrap().is_none(), "{}", self.said(name));
            let answer = self.world.http.get(format!("{url}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Node { name: name.into(), url: url.into(), child, settings: Vec::new() }
    }

    /// A process that carries out jobs. It has no key of the OAuth app.
    pub async fn worker(&self, name: &str, settings: &[(&str, &str)]) -> Node {
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let settings: Vec<(String, String)> = settings.collect();
        let before = self.workers().await;
        let mut child = self.spawn_worker(name, &settings);
        eventually("a worker to be known", async || {
            assert!(child.try_wait().unwrap().is_none(), "{}", self.said(name));
            (self.workers().await > before).then_some(())
        })
        .await;
        Node { name: name.into(), url: String::new(), child, settings }
    }

    fn spawn_worker(&self, name: &str, settings: &[(String, String)]) -> Child {
        let mut command = self.command(name, "http://127.0.0.1:0", "worker");
        command.env_remove("KOZMIC_GITHUB_CLIENT_ID").env_remove("KOZMIC_GITHUB_CLIENT_SECRET");
        command.envs(settings.iter().cloned());
        command.spawn().unwrap()
    }

    /// After it ended, however it did: the same process, in the same place.
    pub async fn restart(&self, node: &mut Node) {
        node.child.wait().await.unwrap();
        if node.url.is_empty() {
            node.child = self.spawn_worker(&node.name, &node.settings);
        } else {
            *node = self.web_at(&node.name, &node.url).await;
        }
    }

    async fn workers(&self) -> usize {
        let store = self.world.store().await;
        store.workers(kozmic::model::Timestamp::now()).await.map_or(0, |workers| workers.len())
    }

    fn command(&self, name: &str, url: &str, role: &str) -> Command {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.world.folder().join(format!("{name}.log")))
            .unwrap();
        let text = if role == "web" { shown("machines::web") } else { shown("machines::worker") };
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[0], "kozmic");
        let mut command = self.world.command(url, &words[1..]);
        command.env("KOZMIC_DATA_DIR", self.data_of(name)).envs(self.told.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// The data folder of a process.
    pub fn data_of(&self, name: &str) -> PathBuf {
        self.world.folder().join(name)
    }

    /// What a process has said so far.
    pub fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.folder().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The live logs on the disk of a process.
    pub fn live_logs(&self, name: &str) -> usize {
        let folders = std::fs::read_dir(self.data_of(name).join("logs"));
        let folders = folders.into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten());
        files.filter(|file| file.path().extension().is_some_and(|it| it == "log")).count()
    }
}

impl Node {
    /// Sends it a signal, like `-STOP`.
    pub async fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}
