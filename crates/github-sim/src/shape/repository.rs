//! `repository`, `minimal-repository` and `full-repository`.

use serde_json::{Value, json};

use super::{api, extend, node_id, user, without};
use crate::state::{
    World,
    repositories::{Repository, Role},
    stamp,
};

/// `repository`, as in lists and webhook payloads; also satisfies `minimal-repository`.
pub(crate) fn plain(world: &World, repository: &Repository) -> Value {
    let mut shape = links(world, repository);
    extend(&mut shape, facts(world, repository));
    shape
}

/// [`plain`] with what the caller may do; for a caller who is known.
pub(crate) fn for_caller(world: &World, repository: &Repository, caller: Option<u64>) -> Value {
    let mut shape = plain(world, repository);
    if caller.is_some() {
        extend(&mut shape, json!({"permissions": permissions(world.role(repository, caller))}));
    }
    shape
}

/// `minimal-repository`, as in a combined status.
pub(crate) fn minimal(world: &World, repository: &Repository) -> Value {
    let wide = [
        "allow_forking",
        "archived",
        "clone_url",
        "created_at",
        "default_branch",
        "disabled",
        "forks",
        "forks_count",
        "git_url",
        "has_discussions",
        "has_downloads",
        "has_issues",
        "has_pages",
        "has_projects",
        "has_wiki",
        "homepage",
        "is_template",
        "language",
        "license",
        "mirror_url",
        "open_issues",
        "open_issues_count",
        "pushed_at",
        "size",
        "ssh_url",
        "stargazers_count",
        "svn_url",
        "topics",
        "updated_at",
        "visibility",
        "watchers",
        "watchers_count",
        "web_commit_signoff_required",
    ];
    without(plain(world, repository), &wide)
}

/// `full-repository`, the answer about one repository.
/// Follows <https://docs.github.com/rest/repos/repos#get-a-repository>.
pub(crate) fn full(world: &World, repository: &Repository, caller: Option<u64>) -> Value {
    let mut shape = for_caller(world, repository, caller);
    let source = world.repositories.source_of(repository);
    extend(
        &mut shape,
        json!({
            "temp_clone_token": null,
            "network_count": world.repositories.forks_of(source.id).count(),
            "subscribers_count": 0,
        }),
    );
    if world.role(repository, caller) == Some(Role::Admin) {
        extend(
            &mut shape,
            json!({
                "allow_squash_merge": true,
                "allow_merge_commit": true,
                "allow_rebase_merge": true,
                "allow_auto_merge": false,
                "delete_branch_on_merge": false,
                "allow_update_branch": false,
                "use_squash_pr_title_as_default": false,
                "squash_merge_commit_message": "COMMIT_MESSAGES",
                "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
                "merge_commit_message": "PR_TITLE",
                "merge_commit_title": "MERGE_MESSAGE",
            }),
        );
    }
    if let Some(parent) = repository.parent.and_then(|id| world.repositories.by_id(id)) {
        extend(&mut shape, json!({"parent": plain(world, parent), "source": plain(world, source)}));
    }
    shape
}

/// The repository of a push event: as [`plain`], but with the web address as `url`, times in
/// seconds and a few fields that only push events have.
pub(crate) fn of_push(world: &World, repository: &Repository) -> Value {
    let mut shape = plain(world, repository);
    extend(
        &mut shape,
        json!({
            "url": format!("{}/{}", world.base, repository.full_name()),
            "created_at": repository.created_at.as_second(),
            "pushed_at": repository.pushed_at.as_second(),
            "stargazers": 0,
            "master_branch": repository.default_branch,
        }),
    );
    if let Some(owner) = world.users.by_id(repository.owner) {
        let mut shown = user::simple(world, owner);
        extend(&mut shown, json!({"name": owner.login, "email": owner.email()}));
        extend(&mut shape, json!({"owner": shown}));
    }
    shape
}

/// What each role from `pull` to `admin` may do.
pub(crate) fn permissions(role: Option<Role>) -> Value {
    json!({
        "admin": role >= Some(Role::Admin),
        "maintain": role >= Some(Role::Maintain),
        "push": role >= Some(Role::Write),
        "triage": role >= Some(Role::Triage),
        "pull": role >= Some(Role::Read),
    })
}

fn facts(world: &World, repository: &Repository) -> Value {
    let open = world.pull_requests.of(repository.id).filter(|pull| pull.open).count();
    let forks = world.repositories.forks_of(repository.id).count();
    json!({
        "id": repository.id,
        "node_id": node_id("R", repository.id),
        "name": repository.name,
        "full_name": repository.full_name(),
        "private": repository.private,
        "owner": user::by_id(world, repository.owner),
        "description": null,
        "fork": repository.parent.is_some(),
        "created_at": stamp(repository.created_at),
        "updated_at": stamp(repository.updated_at),
        "pushed_at": stamp(repository.pushed_at),
        "homepage": null,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": null,
        "has_issues": true,
        "has_projects": true,
        "has_downloads": true,
        "has_wiki": true,
        "has_pages": false,
        "has_discussions": false,
        "forks_count": forks,
        "mirror_url": null,
        "archived": repository.archived,
        "disabled": false,
        "open_issues_count": open,
        "license": null,
        "allow_forking": true,
        "is_template": false,
        "web_commit_signoff_required": false,
        "topics": [],
        "custom_properties": {},
        "visibility": if repository.private { "private" } else { "public" },
        "forks": forks,
        "open_issues": open,
        "watchers": 0,
        "default_branch": repository.default_branch,
    })
}

/// The links that lead into the REST API: field and what follows the repository's own URL,
/// with the URI templates GitHub writes.
const API_LINKS: [(&str, &str); 36] = [
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
];

fn links(world: &World, repository: &Repository) -> Value {
    let name = repository.full_name();
    let html = format!("{}/{name}", world.base);
    let url = format!("{}/repos/{name}", api(world));
    let host = world.base.split("//").nth(1).unwrap_or_default();
    let host_name = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let ssh_url = match &world.ssh {
        Some(start) => format!("{start}{name}.git"),
        None => format!("git@{host_name}:{name}.git"),
    };
    let mut shape = json!({
        "html_url": html,
        "url": url,
        "git_url": format!("git://{host}/{name}.git"),
        "ssh_url": ssh_url,
        "clone_url": format!("{html}.git"),
        "svn_url": html,
    });
    for (field, rest) in API_LINKS {
        shape[field] = json!(format!("{url}{rest}"));
    }
    shape
}
