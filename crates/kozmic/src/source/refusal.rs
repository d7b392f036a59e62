//! Why a server gave nothing: what git and ssh print, as an error with a remedy.

use super::git::Failed;
use super::ssh::Address;
use super::{SourceError, Wanted};

/// How lines of ssh's begin when a connection did not come to be, or broke. (What
/// git and curl say of theirs begins with `fatal:` or `error:`.)
const UNREACHABLE: [&str; 5] = [
    "ssh: ",
    "kex_exchange_identification: ",
    "Connection closed by ",
    "Connection reset by ",
    "Timeout, server ",
];

/// What an SSH server, or the ssh program, refused.
#[derive(Debug, PartialEq, Eq)]
enum Ssh<'a> {
    UnknownHostKey,
    OtherHostKey,
    Key(&'a str),
    Unreachable(&'a str),
}

pub(super) fn of_fetch(failed: &Failed, wanted: &Wanted) -> SourceError {
    let url = wanted.clone_url().to_owned();
    let project = wanted.name.clone();
    match (ssh(&failed.stderr), &wanted.ssh) {
        (Some(Ssh::Key(problem)), Some(_)) => {
            SourceError::KeyRefused { host: host(&url), project, problem: problem.into() }
        }
        (Some(refused), Some(_)) => of_host(&refused, &url),
        // It was public when it became a project.
        (_, None) if failed.stderr.contains("could not read Username") => SourceError::Fetch {
            url,
            problem: format!(
                "it is not public; if the repository is private now, `kozmic project add {project}` \
                 makes a deploy key"
            ),
        },
        _ => SourceError::Fetch { url, problem: failed.problem() },
    }
}

pub(super) fn of_submodules(failed: &Failed, wanted: &Wanted) -> SourceError {
    let url = submodule(&failed.stderr).unwrap_or(wanted.clone_url());
    match (ssh(&failed.stderr), &wanted.ssh) {
        (Some(Ssh::Key(problem)), Some(_)) => SourceError::SubmoduleRefused {
            url: url.to_owned(),
            host: host(url),
            project: wanted.name.clone(),
            problem: problem.into(),
        },
        (Some(refused), Some(_)) => of_host(&refused, url),
        (Some(_), None) => SourceError::Submodules(format!(
            "{url} is reached by SSH, for which a public project has no key; name it by its \
             https:// address"
        )),
        (None, _) => SourceError::Submodules(failed.problem()),
    }
}

fn of_host(refused: &Ssh<'_>, url: &str) -> SourceError {
    let host = host(url);
    match refused {
        Ssh::OtherHostKey => SourceError::OtherHostKey { host },
        Ssh::UnknownHostKey => {
            let scan = Address::of(url).map_or_else(|| "ssh-keyscan".into(), |it| it.scan());
            SourceError::UnknownHostKey { host, scan }
        }
        Ssh::Unreachable(problem) | Ssh::Key(problem) => {
            SourceError::Unreachable { host, problem: (*problem).to_owned() }
        }
    }
}

fn host(url: &str) -> String {
    Address::of(url).map_or_else(|| url.to_owned(), |address| address.host)
}

fn ssh(stderr: &str) -> Option<Ssh<'_>> {
    let line = |words: &str| stderr.lines().map(str::trim).find(|line| line.contains(words));
    if stderr.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || stderr.contains("REVOKED HOST KEY DETECTED")
    {
        return Some(Ssh::OtherHostKey);
    }
    if stderr.contains("Host key verification failed") {
        return Some(Ssh::UnknownHostKey);
    }
    // `user@host: Permission denied (publickey).`; and what GitHub says of a
    // repository that the key does not open.
    if let Some(line) = line("Permission denied (").or_else(|| line("ERROR: Repository not found"))
    {
        let from = line.find("Permission denied").or_else(|| line.find("Repository")).unwrap_or(0);
        return Some(Ssh::Key(line[from..].trim_end_matches('.')));
    }
    let is_ssh = |line: &&str| UNREACHABLE.iter().any(|start| line.starts_with(start));
    let found = stderr.lines().map(str::trim).find(is_ssh)?;
    Some(Ssh::Unreachable(found.trim_start_matches("ssh: ").trim_end_matches('.')))
}

/// Which one git gave up.
fn submodule(stderr: &str) -> Option<&str> {
    let (_, rest) = stderr.split_once("clone of '")?;
    Some(rest.split_once("' into submodule path")?.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::source::SshRemote;

    pub(in super::super) fn wanted(ssh: Option<&str>) -> Wanted {
        Wanted {
            project: crate::model::ProjectId(1),
            name: "octo/orbit".parse().unwrap(),
            https_url: "https://github.com/octo/orbit.git".into(),
            ssh: ssh.map(|url| SshRemote { url: url.into(), private_key: "hush".into() }),
            git_ref: crate::model::GitRef::pull_request(1),
            sha: "1".repeat(40).parse().unwrap(),
            is_from_fork: false,
        }
    }

    #[test]
    fn what_ssh_says_is_understood() {
        for (stderr, expected) in [
            (
                "No ED25519 host key is known for 127.0.0.1 and you have requested strict checking.\n\
                 Host key verification failed.\nfatal: Could not read from remote repository.\n",
                Ssh::UnknownHostKey,
            ),
            (
                "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
                 Host key verification failed.\n",
                Ssh::OtherHostKey,
            ),
            (
                "git@github.com: Permission denied (publickey).\nfatal: Could not read\n",
                Ssh::Key("Permission denied (publickey)"),
            ),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n",
                Ssh::Key("Repository not found"),
            ),
            (
                "ssh: connect to host github.com port 22: Connection refused\nfatal: Could not\n",
                Ssh::Unreachable("connect to host github.com port 22: Connection refused"),
            ),
            (
                "ssh: Could not resolve hostname nowhere.example: Name or service not known\n",
                Ssh::Unreachable(
                    "Could not resolve hostname nowhere.example: Name or service not known",
                ),
            ),
        ] {
            assert_eq!(ssh(stderr), Some(expected), "{stderr}");
        }
        for stderr in [
            "",
            "fatal: couldn't find remote ref refs/heads/main\n",
            "fatal: unable to access 'https://x/': Failed to connect: Connection refused\n",
            "error: RPC failed; curl 56 Recv failure: Connection reset by peer\n",
            "remote: Repository not found.\nfatal: repository 'https://x/' not found\n",
        ] {
            assert_eq!(ssh(stderr), None, "{stderr}");
        }
    }

    #[test]
    fn each_refusal_says_on_what_and_what_to_do() {
        let failed = |stderr: &str| Failed { stderr: stderr.into() };
        let private = wanted(Some("ssh://git@git.example.org:2222/octo/orbit.git"));
        let verification = failed("Host key verification failed.\n");
        let unknown = of_fetch(&verification, &private).to_string();
        assert!(unknown.contains("`ssh-keyscan -p 2222 git.example.org`"), "{unknown}");
        let other = failed(
            "git@github.com: Permission denied (publickey).\n\
             fatal: clone of 'git@github.com:octo/library.git' into submodule path '/x/library' failed\n",
        );
        let submodule = of_submodules(&other, &private).to_string();
        assert!(
            submodule.starts_with(
                "can't fetch the submodule git@github.com:octo/library.git: github.com refuses the \
                 deploy key of octo/orbit (Permission denied (publickey));"
            ),
            "{submodule}"
        );
        let public = of_submodules(&other, &wanted(None)).to_string();
        assert!(public.contains("name it by its https:// address"), "{public}");
        let asked = failed("fatal: could not read Username for 'https://github.com': terminal\n");
        let private_now = of_fetch(&asked, &wanted(None)).to_string();
        assert!(private_now.contains("`kozmic project add octo/orbit`"), "{private_now}");
    }
}
