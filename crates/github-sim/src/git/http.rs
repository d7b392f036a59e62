//! Git over smart HTTP: clone, fetch and push at `/{owner}/{repository}.git`.
//!
//! The protocol is git's own, spoken by `git http-backend` as a CGI program
//! (<https://git-scm.com/docs/git-http-backend>). What happens around it is GitHub's: who may
//! read and push, and that a push makes events. The answer to a push is held back until its
//! events are queued, so that whoever pushed knows they are on their way.

use std::{pin::Pin, process::Stdio, task::Poll};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout},
};
use tokio_util::io::ReaderStream;

use super::{bare::Bare, lfs};
use crate::{
    app::App,
    credentials::{self, Credentials},
    events,
    state::repositories::{Repository, Role},
};

/// CGI headers of http-backend are a few lines; anything longer is not an answer of git's.
const LONGEST_HEAD: usize = 16 * 1024;

/// Answers one request of the smart HTTP protocol.
pub(crate) async fn handle(
    State(app): State<App>,
    Path((owner, name, rest)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    if rest == "info/lfs/objects/batch" && request.method() == Method::POST {
        return large_files(&app, &owner, &name, request).await;
    }
    let query = request.uri().query().unwrap_or_default().to_owned();
    let pushing = rest == "git-receive-pack" || query.contains("service=git-receive-pack");
    let known = matches!(
        (request.method(), rest.as_str()),
        (&Method::GET, "info/refs") | (&Method::POST, "git-upload-pack" | "git-receive-pack")
    );
    if !known {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    let name = name.strip_suffix(".git").unwrap_or(&name);
    if let Some(to) = moved_to(&app, request.headers(), &owner, name) {
        let to = format!("{to}.git/{rest}?{query}");
        return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response();
    }
    let access = match access(&app, request.headers(), &owner, name, pushing) {
        Ok(access) => access,
        Err(refusal) => return *refusal,
    };
    if pushing && access.repository.archived {
        let text = "This repository was archived so it is read-only.";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let cgi = Cgi {
        bare: app.bare(&access.repository),
        path: rest,
        query,
        user: access.user.map(|(_, login)| login),
    };
    if cgi.path != "git-receive-pack" {
        return cgi.stream(request).await.unwrap_or_else(|error| broken(&error));
    }
    let Some(pusher) = access.pusher else {
        return denied(&access.repository.full_name(), "anonymous");
    };
    // In a task of its own: a pusher who hangs up must not separate a push from its events.
    let received = tokio::spawn(async move {
        let bare = cgi.bare.clone();
        let _one_at_a_time = access.repository.receiving.lock().await;
        let before = bare.refs().await.map_err(std::io::Error::other)?;
        let answer = cgi.whole(request).await?;
        let after = bare.refs().await.map_err(std::io::Error::other)?;
        events::refs_changed(&app, access.repository.id, pusher, &before, &after)
            .await
            .map_err(std::io::Error::other)?;
        Ok(answer)
    });
    match received.await {
        Ok(answer) => answer.unwrap_or_else(|error| broken(&error)),
        Err(crash) => broken(&std::io::Error::other(crash)),
    }
}

/// Who may fetch may have the large files as well, and so may who was let in by SSH.
async fn large_files(app: &App, owner: &str, name: &str, request: Request) -> Response {
    let name = name.strip_suffix(".git").unwrap_or(name);
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, lfs::LARGEST).await else {
        return lfs::refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
    };
    if lfs::is_let_in(app, &head.headers, owner, name) {
        return lfs::batch(app, &head.headers, &body, false);
    }
    match access(app, &head.headers, owner, name, false) {
        Ok(access) => lfs::batch(app, &head.headers, &body, access.pusher.is_some()),
        Err(refusal) if refusal.status() == StatusCode::UNAUTHORIZED => {
            let mut answer = lfs::refusal(StatusCode::UNAUTHORIZED, "Credentials needed");
            let basic = header::HeaderValue::from_static("Basic realm=\"GitHub\"");
            answer.headers_mut().insert("lfs-authenticate", basic);
            answer
        }
        Err(refusal) => lfs::refusal(refusal.status(), "Not Found"),
    }
}

struct Access {
    repository: Repository,
    /// Id and login of whoever gave a valid token.
    user: Option<(u64, String)>,
    /// Set when they may push.
    pusher: Option<u64>,
}

fn access(
    app: &App,
    headers: &HeaderMap,
    owner: &str,
    name: &str,
    pushing: bool,
) -> Result<Access, Box<Response>> {
    let world = app.world();
    let user = match credentials::of(headers, &world.users) {
        Credentials::None => None,
        Credentials::Wrong => return Err(Box::new(challenge())),
        Credentials::User(user) => Some((user.id, user.login.clone())),
    };
    let id = user.as_ref().map(|(id, _)| *id);
    let visible = world
        .repositories
        .by_name(owner, name)
        .and_then(|repository| Some((repository, world.role(repository, id)?)));
    let Some((repository, role)) = visible else {
        // Someone unknown is asked who they are; only then are they told that it is not there.
        return Err(Box::new(match user {
            None => challenge(),
            Some(_) => (StatusCode::NOT_FOUND, "Repository not found.").into_response(),
        }));
    };
    if pushing {
        match &user {
            None => return Err(Box::new(challenge())),
            Some((_, login)) if role < Role::Write => {
                return Err(Box::new(denied(&repository.full_name(), login)));
            }
            Some(_) => {}
        }
    }
    Ok(Access { repository: repository.clone(), pusher: id.filter(|_| role >= Role::Write), user })
}

/// Where a repository is that was renamed or transferred, for those who may read it.
fn moved_to(app: &App, headers: &HeaderMap, owner: &str, name: &str) -> Option<String> {
    let world = app.world();
    let moved = world.repositories.moved(owner, name)?;
    let caller = match credentials::of(headers, &world.users) {
        Credentials::User(user) => Some(user.id),
        Credentials::None | Credentials::Wrong => None,
    };
    world.role(moved, caller)?;
    Some(format!("{}/{}", world.base, moved.full_name()))
}

fn challenge() -> Response {
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, "Basic realm=\"GitHub\"")],
        "Invalid username or token. Password authentication is not supported for Git operations.",
    )
        .into_response()
}

fn denied(repository: &str, login: &str) -> Response {
    let text = format!("Permission to {repository}.git denied to {login}.");
    (StatusCode::FORBIDDEN, text).into_response()
}

fn broken(error: &std::io::Error) -> Response {
    tracing::error!("git http-backend: {error}");
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

/// One run of `git http-backend`.
struct Cgi {
    bare: Bare,
    path: String,
    query: String,
    user: Option<String>,
}

impl Cgi {
    /// Hands the answer on as it comes: a clone may be large.
    async fn stream(self, request: Request) -> std::io::Result<Response> {
        let (child, mut output) = self.start(request)?;
        let answer = head(&mut output).await?;
        let body = Body::from_stream(Output { bytes: ReaderStream::new(output), _child: child });
        answer.body(body).map_err(|error| std::io::Error::other(error.to_string()))
    }

    /// Waits until git has ended: only then do the references hold what was pushed.
    async fn whole(self, request: Request) -> std::io::Result<Response> {
        let (mut child, mut output) = self.start(request)?;
        let answer = head(&mut output).await?;
        let mut body = Vec::new();
        output.read_to_end(&mut body).await?;
        child.wait().await?;
        answer.body(Body::from(body)).map_err(|error| std::io::Error::other(error.to_string()))
    }

    fn start(&self, request: Request) -> std::io::Result<(Child, BufReader<ChildStdout>)> {
        let header = |name: header::HeaderName| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let protocol = header(header::HeaderName::from_static("git-protocol"));
        let mut command = super::command(self.bare.path());
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", self.bare.path())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", format!("/{}", self.path))
            .env("REQUEST_METHOD", request.method().as_str())
            .env("QUERY_STRING", &self.query)
            .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
            .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
            .env("GIT_PROTOCOL", &protocol)
            .env("HTTP_GIT_PROTOCOL", &protocol)
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped());
        let length = header(header::CONTENT_LENGTH);
        // Without a length git reads to the end, which is right for chunked bodies.
        if !length.is_empty() {
            command.env("CONTENT_LENGTH", length);
        }
        if let Some(user) = &self.user {
            command.env("REMOTE_USER", user);
        }
        let mut child = command.spawn()?;
        let missing = || std::io::Error::other("git http-backend has no pipes");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let complaints = child.stderr.take().ok_or_else(missing)?;
        tokio::spawn(async move {
            let mut lines = BufReader::new(complaints).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::debug!("git http-backend: {line}");
            }
        });
        let mut body = request.into_body().into_data_stream();
        tokio::spawn(async move {
            // Git may refuse before it has read everything; what it answers says why.
            while let Some(Ok(chunk)) = body.next().await {
                if input.write_all(&chunk).await.is_err() {
                    break;
                }
            }
        });
        Ok((child, BufReader::new(output)))
    }
}

/// Reads the CGI headers, up to the empty line.
async fn head(
    output: &mut BufReader<ChildStdout>,
) -> std::io::Result<axum::http::response::Builder> {
    let mut answer = Response::builder();
    let mut read = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let length = output.read_line(&mut line).await?;
        read += length;
        if length == 0 || read > LONGEST_HEAD {
            return Err(std::io::Error::other("git http-backend gave no answer"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(answer);
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            answer = answer.status(code);
        } else {
            answer = answer.header(name, value);
        }
    }
}

/// The rest of git's output, and the process it comes from: when the client goes away, both do.
struct Output {
    bytes: ReaderStream<BufReader<ChildStdout>>,
    _child: Child,
}

impl Stream for Output {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(context)
    }
}
