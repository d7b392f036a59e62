//! One project of several that an installation has, and what people do with it.

use github_sim::client::{Push, Status};
use serde::Deserialize;

use super::world::OWNER;
use super::{Build, Installation, World, eventually, post_form};

impl World {
    /// Applies a folder with these files to the project of a repository.
    pub async fn apply_to(&self, url: &str, repository: &str, files: &[(&str, &str)]) {
        let folder = tempfile::tempdir_in(self.folder()).unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let arguments = ["hooks", "apply", repository, folder.path().to_str().unwrap()];
        let applied = self.run(url, &arguments).await;
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    }

    /// The builds of the project with this id.
    pub async fn builds_in(&self, url: &str, project: i64) -> Vec<Build> {
        #[derive(Deserialize)]
        struct Answer {
            builds: Vec<Build>,
        }
        let request = self.http.get(format!("{url}/api/v1/projects/{project}/builds"));
        let answer = request.bearer_auth(self.api_token().await).send().await.unwrap();
        // What a server in a process of its own said, if there is one.
        let said = || std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default();
        assert!(answer.status().is_success(), "{}: {}", answer.status(), said());
        answer.json::<Answer>().await.unwrap().builds
    }

    /// What the API answers the owner.
    pub async fn answer(&self, url: &str) -> serde_json::Value {
        let answer = self.http.get(url).bearer_auth(self.api_token().await).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.json().await.unwrap()
    }
}

/// The owner's; whatever is asked is asked of the installation's next web process.
pub struct Project<'a> {
    pub at: &'a Installation,
    pub repository: String,
    pub id: i64,
}

impl<'a> Project<'a> {
    /// A new repository, turned on.
    pub async fn new(at: &'a Installation, name: &str) -> Self {
        let world = at.world();
        world.sim.add_repository(OWNER, name).await.unwrap();
        let repository = format!("{OWNER}/{name}");
        let added = world.run(at.url(), &["project", "add", &repository]).await;
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let answer = world.answer(&format!("{}/api/v1/projects", at.url())).await;
        let projects = answer["projects"].as_array().unwrap();
        let ours = projects.iter().find(|project| project["full_name"] == repository).unwrap();
        Self { at, id: ours["id"].as_i64().unwrap(), repository }
    }

    pub async fn apply(&self, files: &[(&str, &str)]) {
        self.at.world().apply_to(self.at.url(), &self.repository, files).await;
    }

    /// Someone pushes a commit that writes these files; its id.
    pub async fn push(&self, files: &[(&str, &str)]) -> String {
        let mut push = Push::new(&self.repository, OWNER).message("Change something");
        for (path, content) in files {
            push = push.write(*path, *content);
        }
        self.at.world().sim.push(&push).await.unwrap()
    }

    pub async fn build_of(&self, sha: &str) -> Build {
        eventually("the build", async || {
            let builds = self.at.world().builds_in(self.at.url(), self.id).await;
            builds.into_iter().find(|build| build.sha == sha)
        })
        .await
    }

    pub async fn finished(&self, sha: &str) -> Build {
        eventually("the build's end", async || {
            Some(self.build_of(sha).await).filter(Build::is_finished)
        })
        .await
    }

    /// Waits until this is in the log of the commit's only job.
    pub async fn says(&self, sha: &str, text: &str) -> Build {
        eventually(&format!("{text:?} in the log"), async || {
            let build = self.build_of(sha).await;
            self.at.log(&build.jobs[0]).await.contains(text).then_some(build)
        })
        .await
    }

    /// Waits until GitHub's latest state of the commit is this one.
    pub async fn told(&self, sha: &str, state: &str) {
        eventually(&format!("{} to be {state}", self.repository), async || {
            let states = self.states(sha).await;
            (states.last().is_some_and(|latest| latest == state)).then_some(())
        })
        .await;
    }

    /// What GitHub was told of the commit, oldest first.
    pub async fn states(&self, sha: &str) -> Vec<String> {
        let statuses = self.at.world().sim.statuses(&self.repository, sha).await.unwrap();
        let of_build = |status: &Status| status.context == "Kozmic-CI";
        statuses.into_iter().filter(of_build).map(|status| status.state).rev().collect()
    }

    /// Something done by the API; its status.
    pub async fn post(&self, path: &str) -> u16 {
        let world = self.at.world();
        let request = world.http.post(format!("{}/api/v1{path}", self.at.url()));
        let answer = request.bearer_auth(world.api_token().await).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Deletes it as its owner does; no web process knows it any more.
    pub async fn delete(self) {
        let (world, url) = (self.at.world(), self.at.url());
        let path = format!("{url}/projects/{}/delete/", self.id);
        let form = [("full_name", self.repository.as_str())];
        let deleted = post_form(world.owner(url).await, &path, &form).await;
        assert_eq!(deleted.status(), 303, "{}", deleted.text().await.unwrap());
        assert!(world.sim.webhooks(&self.repository).await.unwrap().is_empty());
        for url in self.at.urls() {
            let page = format!("{url}/projects/{}/", self.id);
            let answer = world.owner(url).await.get(page).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{url} still knows {}", self.repository);
        }
    }
}
