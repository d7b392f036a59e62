//! A whole installation, in either of its shapes, behind the same doors: what people do with
//! it must be the same.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use kozmic::objects::Objects;

use super::engine::{busybox, containers_of, docker_at};
use super::{Daemon, Machines, Node, Registry, Server, World, eventually, eventually_within};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One process; SQLite, folders, the images of one engine.
    Embedded,
    /// Two web processes, two workers with an engine each, PostgreSQL, Redis, storage that
    /// speaks S3, and a registry.
    Distributed,
}

pub struct Installation {
    parts: Parts,
    _registry: Registry,
    /// A small one, the same on all engines.
    pub image: String,
    asked: AtomicUsize,
}

enum Parts {
    Embedded { server: Server, world: Box<World> },
    Distributed(Box<Many>),
}

/// The processes end before what they work with.
struct Many {
    webs: [Node; 2],
    workers: [Node; 2],
    machines: Machines,
    engine: Daemon,
}

impl Installation {
    /// Its workers have the labels `one` and `two`: one worker both, or each of two its own.
    pub async fn new(shape: Shape) -> Self {
        let registry = Registry::start().await;
        let image = registry.push(busybox().await, "shapes:1").await;
        let keep = ("KOZMIC_KEEP_FAILED", "3600");
        let parts = match shape {
            Shape::Embedded => {
                let labels = ("KOZMIC_WORKER_LABELS", "one,two");
                let world = World::with(&[keep, labels, ("KOZMIC_CONCURRENCY", "4")]).await;
                Parts::Embedded { server: world.serve().await, world: Box::new(world) }
            }
            Shape::Distributed => {
                let (mut machines, engine) = tokio::join!(Machines::new(), Daemon::start());
                machines.set("KOZMIC_CACHE_REGISTRY", &format!("{}/ci", registry.host));
                machines.set("KOZMIC_CONCURRENCY", "2");
                let webs = [machines.web("web-1").await, machines.web("web-2").await];
                let one = [keep, ("KOZMIC_WORKER_LABELS", "one")];
                let host = ("KOZMIC_DOCKER_HOST", engine.host.as_str());
                let two = [keep, ("KOZMIC_WORKER_LABELS", "two"), host];
                let workers = [
                    machines.worker("worker-1", &one).await,
                    machines.worker("worker-2", &two).await,
                ];
                Parts::Distributed(Box::new(Many { webs, workers, machines, engine }))
            }
        };
        let at = Self { parts, _registry: registry, image, asked: AtomicUsize::new(0) };
        for engine in at.engines() {
            docker_at(engine, &["pull", "--quiet", &at.image]).await;
        }
        at
    }

    pub fn shape(&self) -> Shape {
        match self.parts {
            Parts::Embedded { .. } => Shape::Embedded,
            Parts::Distributed(_) => Shape::Distributed,
        }
    }

    pub fn world(&self) -> &World {
        match &self.parts {
            Parts::Embedded { world, .. } => world,
            Parts::Distributed(many) => &many.machines.world,
        }
    }

    /// Of all processes that serve pages.
    pub fn urls(&self) -> Vec<&str> {
        match &self.parts {
            Parts::Embedded { server, .. } => vec![&server.url],
            Parts::Distributed(many) => many.webs.iter().map(|web| web.url.as_str()).collect(),
        }
    }

    /// Of one of them: another one each time, as a proxy does it.
    pub fn url(&self) -> &str {
        let urls = self.urls();
        urls[self.asked.fetch_add(1, Ordering::Relaxed) % urls.len()]
    }

    /// A job's log as any of the processes gives it.
    pub async fn log(&self, job: &super::world::Job) -> String {
        let path = job.log_url.splitn(4, '/').nth(3).unwrap();
        self.world().get_log(&format!("{}/{path}", self.url())).await.text().await.unwrap()
    }

    /// Runs a shell's line in what runs of a job.
    pub async fn in_container(&self, uuid: &str, line: &str) {
        let of_job = format!("label=kozmic.job={uuid}");
        for engine in self.engines() {
            let running = docker_at(engine, &["ps", "--quiet", "--filter", &of_job]).await;
            for container in running.lines() {
                docker_at(engine, &["exec", container, "/bin/sh", "-c", line]).await;
            }
        }
    }

    /// Until a cached image that one worker made is another one's.
    pub async fn shared(&self) {
        let Parts::Distributed(many) = &self.parts else { return };
        eventually("the image to be shared", async || {
            many.machines.said("worker-1").contains("a cached image was shared").then_some(())
        })
        .await;
    }

    /// What the processes said, for whoever looks at a failure.
    pub fn said(&self) -> String {
        let Parts::Distributed(many) = &self.parts else { return String::new() };
        let said = |node: &Node| format!("--- {}\n{}", node.name, many.machines.said(&node.name));
        many.webs.iter().chain(&many.workers).map(said).collect::<Vec<_>>().concat()
    }

    fn engines(&self) -> Vec<Option<&str>> {
        match &self.parts {
            Parts::Embedded { .. } => vec![None],
            Parts::Distributed(many) => vec![None, Some(&many.engine.host)],
        }
    }

    /// Whatever there was of projects is gone, everywhere: containers, volumes and networks,
    /// images, what is kept for good, live logs, mirrors and checkouts.
    pub async fn nothing_left(&self) {
        let patience = super::PATIENCE;
        let mut left = Vec::new();
        eventually_within(patience, "deleted projects to leave nothing behind", async || {
            let before = std::mem::replace(&mut left, self.leftovers().await);
            if before != left {
                eprintln!("{:?}: {} things are left", self.shape(), left.len());
            }
            left.is_empty().then_some(())
        })
        .await;
    }

    pub async fn leftovers(&self) -> Vec<String> {
        let (world, instance) = (self.world(), self.world().instance().await);
        let mut left = Vec::new();
        let of_instance = format!("label=kozmic.instance={instance}");
        for engine in self.engines() {
            left.extend(containers_of(engine, &instance).await);
            let format = "image {{.Repository}}:{{.Tag}}";
            let list = ["images", "--filter", &of_instance, "--format", format];
            left.extend(docker_at(engine, &list).await.lines().map(str::to_owned));
        }
        let settings = world.settings();
        let objects = Objects::open(&settings.objects, &settings.data_dir).unwrap();
        let mut kept = objects.list("");
        while let Some(object) = kept.next().await {
            left.push(format!("object {}", object.unwrap().key));
        }
        let folders = match &self.parts {
            Parts::Embedded { world, .. } => vec![world.data_dir()],
            Parts::Distributed(many) => {
                let nodes = many.webs.iter().chain(&many.workers);
                nodes.map(|node| many.machines.data_of(&node.name)).collect()
            }
        };
        for folder in folders {
            left.extend(files_in(&folder, "mirrors", 1));
            left.extend(files_in(&folder, "checkouts", 1));
            left.extend(files_in(&folder, "logs", 2));
        }
        left
    }

    pub async fn end(self) {
        docker_at(None, &["rmi", &self.image]).await;
        match self.parts {
            Parts::Embedded { server, .. } => server.stop().await,
            Parts::Distributed(many) => {
                let Many { webs, workers, machines: _machines, engine: _engine } = *many;
                for mut node in workers.into_iter().chain(webs) {
                    node.signal("-TERM").await;
                    let ended = tokio::time::timeout(super::PATIENCE, node.child.wait()).await;
                    assert!(ended.expect("it ends").unwrap().success(), "{}", node.name);
                }
            }
        }
    }
}

/// What is in a folder of a data folder, so many folders deep.
fn files_in(data: &std::path::Path, name: &str, depth: usize) -> Vec<String> {
    let mut paths = vec![data.join(name)];
    for _ in 0..depth {
        let entries = paths.iter().filter_map(|path| std::fs::read_dir(path).ok());
        paths = entries.flatten().map(|entry| entry.unwrap().path()).collect();
    }
    paths.into_iter().map(|path| path.display().to_string()).collect()
}
