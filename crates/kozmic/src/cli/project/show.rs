//! `kozmic project show`

use super::super::{find_project, open_store, say};
use crate::config::Settings;
use crate::model::FullName;
use crate::store::Comparison;

pub(super) async fn run(settings: &Settings, name: &FullName) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = find_project(&store, name).await?;
    let owner = store.user(project.owner).await?.map(|owner| owner.login).unwrap_or_default();
    let options = store.project_options(project.id).await?;
    let key = match store.deploy_key(project.id).await? {
        Some(key) if key.gh_id.is_some() => "registered at GitHub",
        Some(_) => "made, but not registered at GitHub yet",
        None => "none",
    };
    let hooks = store.hooks(project.id).await?;
    let trusted = store.trusted_authors(project.id).await?;
    let comparison = store.comparison(project.id).await?;
    store.close().await;
    let repository = &project.repository;
    let lines = [
        ("project", repository.full_name.to_string()),
        ("page", settings.page_url(&format!("/projects/{}/", project.id))),
        ("owner", owner),
        ("default branch", repository.default_branch.clone()),
        ("private", yes_or_no(!repository.is_public)),
        ("deploy key", key.into()),
        ("visible to all", yes_or_no(options.is_visible_to_all)),
        ("cancels superseded", yes_or_no(options.cancels_superseded)),
        ("forks", options.forks.to_string()),
        ("keeps logs", options.keep_logs.to_string()),
        ("jobs at once", options.jobs_at_once.to_string()),
        ("compared", compared(&comparison)),
    ];
    let hooks = hooks.into_iter().map(|hook| ("hook", hook.spec.title));
    let trusted = trusted.into_iter().map(|author| {
        ("trusted author", format!("{} (by {}, {})", author.login, author.by, author.at))
    });
    // A value may hold control characters, a terminal's included.
    let env = options.env.iter().map(|(name, value)| ("env", format!("{name}={}", visible(value))));
    for (what, is) in lines.into_iter().chain(hooks).chain(trusted).chain(env) {
        say(&format!("{what:<20}{is}"));
    }
    Ok(())
}

fn compared(comparison: &Comparison) -> String {
    match (&comparison.compared_at, &comparison.problem) {
        (None, _) => "not yet".into(),
        (Some(at), None) => format!("with GitHub at {at}"),
        (Some(at), Some(problem)) => format!("not with GitHub at {at}: {problem}"),
    }
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes".into() } else { "no".into() }
}

/// The text on one line.
fn visible(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(escape).collect()
}
