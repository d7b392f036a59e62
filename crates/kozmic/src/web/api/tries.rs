//! Trees that people send to be tried: looked at while they come, kept, and built.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::RawQuery;
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::answers::{self, BuildAnswer};
use super::problem::Problem;
use crate::intake::{ask_github, hooks_titled};
use crate::model::{
    Change, Commit, CommitSha, GitRef, HookEvent, Invalid, JobUuid, Timestamp, Trigger,
};
use crate::objects::ObjectError;
use crate::store::{Asked, AskedHooks, Project};
use crate::trees::{TreeError, keep};
use crate::web::App;
use crate::web::visitor::{Access, Account, Acting};

/// Trees on their way at once: each takes a few MiB of memory.
static UNDER_WAY: Semaphore = Semaphore::const_new(8);
/// GitHub may know the commit that a tree is based on.
const ASK: Duration = Duration::from_secs(5);
/// What a sender still has on its way is read, so that it reads the answer.
const DRAIN_TIME: Duration = Duration::from_secs(20);
const DRAIN_BYTES: usize = 256 << 20;

/// What is said of a tree beside its files.
struct Told {
    sha: CommitSha,
    git_ref: GitRef,
    hooks: Vec<String>,
}

impl Told {
    /// `?sha=…&branch=…&hook=…`, the last as often as there are.
    fn parse(query: &str) -> Result<Self, Invalid> {
        let (mut sha, mut branch, mut hooks) = (String::new(), String::new(), Vec::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sha" => sha = value.into_owned(),
                "branch" => branch = value.into_owned(),
                "hook" => hooks.push(value.into_owned()),
                other => return Err(Invalid::new(format!("there is no parameter `{other}`"))),
            }
        }
        let branch = if branch.is_empty() { "detached" } else { &branch };
        Ok(Self { sha: sha.parse()?, git_ref: GitRef::branch(branch)?, hooks })
    }
}

/// The body is a tree as `trees` packs it. Nothing is kept of what is refused.
pub(super) async fn send(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<(StatusCode, Json<BuildAnswer>), Problem> {
    let mut body = body.into_data_stream();
    match take(&app, &account.login, &project, query.as_deref(), &mut body).await {
        Ok(answer) => Ok((StatusCode::CREATED, Json(answer))),
        Err(problem) => {
            drain(body).await;
            Err(problem)
        }
    }
}

async fn take(
    app: &App,
    by: &str,
    project: &Project,
    query: Option<&str>,
    body: &mut BodyDataStream,
) -> Result<BuildAnswer, Problem> {
    let told = Told::parse(query.unwrap_or_default())
        .map_err(|problem| Problem::bad_request(format!("{problem}.")))?;
    let named = hooks_titled(&app.store, project, &told.hooks).await?;
    let Ok(_turn) = UNDER_WAY.acquire().await else { return Err(Problem::not_found("turn")) };
    let object = format!("trees/{}.tar.zst", JobUuid::random());
    app.store.tree_begun(&object, project.id, Timestamp::now()).await?;
    let pieces = body.map(|piece| piece.map_err(std::io::Error::other));
    let kept = match keep(app.logs.objects(), &object, pieces, app.trees).await {
        Ok(kept) => kept,
        Err(error) => {
            app.store.tree_removed(&object).await?;
            return Err(refused(&error));
        }
    };
    let asked = Asked {
        commit: base(app, project, by, told.sha).await,
        git_ref: told.git_ref,
        trigger: Trigger::Try,
        by: Some(by.to_owned()),
        hooks: if named.is_empty() { as_pull_request(project) } else { AskedHooks::Named(named) },
        variables: std::collections::BTreeMap::new(),
    };
    let (tree, now) = ((object.as_str(), kept.bytes), Timestamp::now());
    match app.store.tree_tried(tree, project.id, &asked, now).await {
        Ok(made) => {
            let build = app.store.build(made.build).await?;
            Ok(answers::build(app, build.ok_or_else(|| Problem::not_found("build"))?).await?)
        }
        Err(error) => {
            app.logs.objects().delete(&object).await.map_err(|error| refused(&error.into()))?;
            app.store.tree_removed(&object).await?;
            Err(error.into())
        }
    }
}

/// Hooks that nobody named are those that would run for a pull request, and none that
/// only a push to the branch starts: what is deployed from there was not tried before.
fn as_pull_request(project: &Project) -> AskedHooks {
    let name = project.repository.default_branch.clone();
    AskedHooks::Wanting(Change { event: HookEvent::PullRequest, name, paths: None })
}

/// What GitHub knows of the commit that the tree is based on; it may not be pushed yet.
async fn base(app: &App, project: &Project, by: &str, sha: CommitSha) -> Commit {
    let known = &sha;
    let asked = ask_github(&app.store, &app.github, project, |repository| async move {
        repository.commit(known).await
    });
    match tokio::time::timeout(ASK, asked).await {
        Ok(Ok(commit)) if commit.sha == sha => commit,
        _ => Commit {
            sha,
            author: by.to_owned(),
            message: "A commit that GitHub does not know".into(),
        },
    }
}

fn refused(error: &TreeError) -> Problem {
    let sentence = format!("{error}.");
    match error {
        TreeError::TooLarge(_) => Problem::too_large(sentence),
        TreeError::Malformed(_) | TreeError::Cut(_) | TreeError::Stalled(_) => {
            Problem::bad_request(sentence)
        }
        TreeError::Disk { .. } | TreeError::Objects(ObjectError::Missing { .. } | _) => {
            tracing::error!(error = sentence, "a tree could not be kept");
            Problem::unreadable("The tree could not be kept; the server's log says why.".into())
        }
    }
}

async fn drain(mut body: BodyDataStream) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(piece)) = body.next().await {
            bytes += piece.len();
            if bytes > DRAIN_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
}
