//! Builds are found: by branch, author, status and words, on both databases.

use kozmic::model::{
    BuildStatus, GithubUser, JobEnd, ProjectId, PullRequest, RemoteRepository, Timestamp,
};
use kozmic::store::{BuildFilter, Hook, Listed, NewBuild, Place, ProjectsPart, Store};
use sqlx::AnyPool;

use crate::harness::Postgres;
use crate::store::{LEASE, build, delivery, on_both, project, spec};

/// What a person may type, and a database may take for something else.
const HOSTILE: &[&str] = &[
    "\"",
    "\"\"\"",
    "'",
    "''",
    "*",
    "a*",
    "-",
    "NOT",
    "a AND",
    "OR OR",
    "NEAR(a b, 3)",
    "(",
    ")",
    "a)",
    "words:",
    "project : \"1\"",
    "{words project} : a",
    "^a",
    "a + b",
    ":",
    ":1",
    "':1'",
    ":*",
    "&",
    "a & | b",
    "!a",
    "<->",
    "a <2> b",
    "\\",
    "\\'",
    "%",
    "_",
    "$1",
    "?",
    ";--",
    "\0",
    "a\0b",
    "🚀",
    "—",
    "\u{301}",
    "日本",
    "\u{10ffff}",
    "\u{1e900}x",
    "a\u{1e900}b",
    "ǅ",
    "İ",
    "\u{feff}",
];

fn text(text: &str) -> BuildFilter {
    BuildFilter { text: Some(text.into()), ..BuildFilter::default() }
}

/// The numbers of the builds that are like the filter.
async fn numbers(store: &Store, project: ProjectId, filter: &BuildFilter) -> Vec<i64> {
    let part = store.history(project, filter, Place::Newest, 100).await.unwrap();
    assert!(!part.has_newer && !part.has_older);
    let marks = store.history_marks(project, filter, i64::MAX, 100).await.unwrap();
    let numbers: Vec<i64> = part.builds.iter().map(|build| build.number).collect();
    assert_eq!(marks.iter().rev().map(|mark| mark.number).collect::<Vec<_>>(), numbers);
    numbers
}

/// A commit like no other.
fn commit(number: u32, branch: &str, author: &str, message: &str) -> NewBuild {
    let mut new = build(branch, '0');
    new.commit.sha = format!("{:040x}", 0xabc0_0000_u32 + number).parse().unwrap();
    new.commit.author = author.into();
    new.commit.message = message.into();
    new
}

async fn call(store: &Store, hook: &Hook, new: &NewBuild) {
    let guid = format!("{}-{}", new.commit.sha, new.pull_request.is_some());
    store.hook_called(&delivery(hook, &guid), new, Timestamp(10)).await.unwrap();
}

/// A second project, whose builds are like the first one's.
async fn another(store: &Store) -> (ProjectId, Hook) {
    let user = GithubUser {
        gh_id: 6,
        login: "ada".into(),
        name: "Ada".into(),
        avatar_url: None,
        email: None,
    };
    let owner = store.user_signed_in(&user, &"token".into(), Timestamp(1)).await.unwrap();
    let repository = RemoteRepository {
        gh_id: 8,
        full_name: "ada/engine_50".parse().unwrap(),
        ssh_clone_url: "git@github.com:ada/engine.git".into(),
        https_clone_url: "https://github.com/ada/engine.git".into(),
        default_branch: "main".into(),
        is_public: true,
    };
    let project = store.project_added(&repository, owner, Timestamp(1)).await.unwrap();
    let hook = store.hook_added(project, &spec("Tests"), &"x".into(), "ada", Timestamp(2)).await;
    store.hook_connected(hook.unwrap(), 77).await.unwrap();
    (project, store.hooks(project).await.unwrap().remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_found_by_what_they_are() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let (other, others_hook) = another(&store).await;
        let long = format!("Pack\n\n{} end", "x".repeat(5_000));
        for (number, branch, author, message) in [
            (1, "main", "Ada", "Fix the log-viewer's colours"),
            (2, "feature/login_page", "Bob", "Größer: naïve fixtures\n\nCloses the gap."),
            (3, "main", "Bob", "Prefer v1.2.3 over 12e5"),
            (4, "main", "Ada", &long),
        ] {
            let new = commit(number, branch, author, message);
            call(&store, &hooks[0], &new).await;
            call(&store, &others_hook, &new).await;
        }
        // A pull request that is learned of later has its title added.
        let mut pull = commit(3, "main", "Bob", "");
        pull.pull_request = Some(PullRequest {
            number: 7,
            title: "Teach the moon".into(),
            author: "bob".into(),
            author_id: None,
            fork: None,
        });
        call(&store, &hooks[0], &pull).await;
        let first = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let end = JobEnd::Exited(0);
        store.job_finished(first.id, first.attempt, &end, Timestamp(30)).await.unwrap();

        for (typed, found) in [
            ("fix", vec![2, 1]),
            ("FIX", vec![2, 1]),
            ("fix log", vec![2, 1]),
            ("fix colours", vec![1]),
            ("view col", vec![1]),
            ("log-viewer's", vec![1]),
            ("iewer", vec![]),
            ("größ", vec![2]),
            ("closes", vec![2]),
            ("login", vec![2]),
            ("page feature", vec![2]),
            ("feature/login_page", vec![2]),
            ("bob", vec![3, 2]),
            ("ada pack", vec![4]),
            ("xxx", vec![4]),
            ("end", vec![4]),
            ("v1.2.3", vec![3]),
            ("12e5", vec![3]),
            ("moon", vec![3]),
            ("teach 12", vec![3]),
            (&format!("{:040x}", 0xabc0_0002_u32), vec![2]),
            (&format!("{:040x}", 0xabc0_0002_u32)[..38], vec![4, 3, 2, 1]),
            ("heads", vec![]),
            ("fix nothing", vec![]),
        ] {
            assert_eq!(numbers(&store, project, &text(typed)).await, found, "{typed:?}");
        }
        let all = BuildFilter::default();
        assert!(all.is_empty());
        assert_eq!(numbers(&store, project, &all).await, [4, 3, 2, 1]);
        let main = BuildFilter { git_ref: Some("refs/heads/main".into()), ..all.clone() };
        assert_eq!(numbers(&store, project, &main).await, [4, 3, 1]);
        let of_bob = BuildFilter { author: Some("Bob".into()), ..main.clone() };
        assert_eq!(numbers(&store, project, &of_bob).await, [3]);
        let green = BuildFilter { status: Some(BuildStatus::Success), ..all.clone() };
        assert_eq!(numbers(&store, project, &green).await, [1]);
        let of_ada = BuildFilter { author: Some("Ada".into()), ..text("co") };
        assert_eq!(numbers(&store, project, &of_ada).await, [1]);
        assert_eq!(numbers(&store, other, &text("moon")).await, [] as [i64; 0]);
        let (refs, authors) = store.recent_refs_and_authors(project, 2).await.unwrap();
        assert_eq!(refs.into_iter().collect::<Vec<_>>(), ["main"]);
        assert_eq!(authors.into_iter().collect::<Vec<_>>(), ["Ada", "Bob"]);

        // In several projects, of those that are asked for.
        let found = async |projects: &[ProjectId], typed| {
            let found = store.builds_with_words(projects, typed, 3).await.unwrap();
            found
                .into_iter()
                .map(|(name, build)| format!("{name} {}", build.number))
                .collect::<Vec<_>>()
        };
        assert_eq!(found(&[project], "gap").await, ["octo/orbit 2"]);
        assert_eq!(found(&[project, other], "gap").await, ["ada/engine_50 2", "octo/orbit 2"]);
        assert_eq!(found(&[other], "fix").await, ["ada/engine_50 2", "ada/engine_50 1"]);
        assert_eq!(found(&[project, other], "9z main").await.len(), 0);
        assert_eq!(found(&[project, other], "main").await.len(), 3, "the newest three");
        assert!(found(&[], "gap").await.is_empty());
        // Words go with their build.
        store.project_abandoned(other).await.unwrap();
        assert_eq!(found(&[project, other], "gap").await, ["octo/orbit 2"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_typed_is_an_error() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        for (number, typed) in (1..).zip(HOSTILE) {
            let message = typed.replace('\0', " ");
            call(&store, &hooks[0], &commit(number, "main", "Ada", &message)).await;
        }
        let long = "w".repeat(1_000_000);
        let many = "a ".repeat(100_000);
        let mut hostile = HOSTILE.to_vec();
        hostile.extend([long.as_str(), many.as_str()]);
        for typed in hostile {
            let shown: String = typed.chars().take(20).collect();
            let filters = [
                text(typed),
                BuildFilter { author: Some(typed.into()), ..BuildFilter::default() },
                BuildFilter { git_ref: Some(typed.into()), ..BuildFilter::default() },
            ];
            for filter in filters {
                for place in [Place::Newest, Place::Before(3), Place::After(3)] {
                    let found = store.history(project, &filter, place, 50).await;
                    assert!(found.is_ok(), "{shown:?} at {place:?}: {found:?}");
                }
                let marks = store.history_marks(project, &filter, 9, 50).await;
                assert!(marks.is_ok(), "{shown:?}: {marks:?}");
            }
            let found = store.builds_with_words(&[project], typed, 50).await;
            assert!(found.is_ok(), "{shown:?}: {found:?}");
            let part = ProjectsPart { of: Listed::All, named: typed, skip: 0, limit: 9 };
            let listed = store.projects_listed(&part).await;
            assert!(listed.is_ok(), "{shown:?}: {listed:?}");
        }
        for typed in ["\"", "*", " ", "🚀", "\0"] {
            assert!(numbers(&store, project, &text(typed)).await.is_empty(), "{typed:?}");
        }
        let at = HOSTILE.iter().position(|typed| *typed == "日本").unwrap() + 1;
        assert_eq!(numbers(&store, project, &text("日本")).await, [i64::try_from(at).unwrap()]);
        let all: Vec<ProjectId> = (1..=500).map(ProjectId).collect();
        assert!(!store.builds_with_words(&all, "a", 50).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_to_both_ends_and_keep_their_filter() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        for number in 1..=23 {
            let author = if number % 3 == 0 { "Bob" } else { "Ada" };
            let new = commit(number, "main", author, &format!("Change {author}"));
            call(&store, &hooks[0], &new).await;
        }
        let bobs = BuildFilter { author: Some("Bob".into()), ..BuildFilter::default() };
        for (filter, expected) in [
            (BuildFilter::default(), (1..=23).rev().collect::<Vec<i64>>()),
            (bobs, (1..=7).rev().map(|number| number * 3).collect()),
            (text("chan ada"), (1..=23).rev().filter(|number| number % 3 != 0).collect()),
        ] {
            let (mut place, mut older) = (Place::Newest, Vec::new());
            loop {
                let part = store.history(project, &filter, place, 4).await.unwrap();
                assert_eq!(part.has_newer, !older.is_empty(), "{place:?}");
                older.extend(part.builds.iter().map(|build| build.number));
                if !part.has_older {
                    break;
                }
                place = Place::Before(*older.last().unwrap());
            }
            assert_eq!(older, expected);
            let (mut place, mut newer) = (Place::After(0), Vec::new());
            loop {
                let part = store.history(project, &filter, place, 4).await.unwrap();
                assert_eq!(part.has_older, !newer.is_empty(), "{place:?}");
                newer.extend(part.builds.iter().rev().map(|build| build.number));
                if !part.has_newer {
                    break;
                }
                place = Place::After(*newer.last().unwrap());
            }
            newer.reverse();
            assert_eq!(newer, expected);
        }
        // Behind both ends.
        for (place, newer, older) in [
            (Place::Before(1), true, false),
            (Place::After(23), false, true),
            (Place::Before(i64::MIN), true, false),
            (Place::After(i64::MAX), false, true),
        ] {
            let part = store.history(project, &BuildFilter::default(), place, 4).await.unwrap();
            assert!(part.builds.is_empty());
            assert_eq!((part.has_newer, part.has_older), (newer, older), "{place:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_the_latest_builds_and_what_is_under_way() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let (other, others_hook) = another(&store).await;
        let names = async |named: &str, skip, limit| {
            let part = ProjectsPart { of: Listed::All, named, skip, limit };
            let listed = store.projects_listed(&part).await.unwrap();
            listed.into_iter().map(|project| project.full_name).collect::<Vec<_>>()
        };
        assert_eq!(names("", 0, 9).await, ["ada/engine_50", "octo/orbit"], "by name");
        let before = store.work_under_way(Timestamp(0)).await.unwrap();
        assert!(before.is_empty());
        for number in 1..=5 {
            call(&store, &hooks[0], &commit(number, "main", "Ada", "x")).await;
        }
        assert_eq!(names("", 0, 9).await, ["octo/orbit", "ada/engine_50"], "the last built first");
        assert_eq!(names("", 1, 1).await, ["ada/engine_50"]);
        assert_eq!(names("ORB", 0, 9).await, ["octo/orbit"]);
        assert_eq!(names("_50", 0, 9).await, ["ada/engine_50"]);
        assert_eq!(names("o_o", 0, 9).await, [] as [&str; 0]);
        call(&store, &others_hook, &commit(9, "main", "Ada", "x")).await;
        let marks = store.latest_marks(&[(project, 5), (other, 1)], 3).await.unwrap();
        let numbers = |id| marks[&id].iter().map(|mark| mark.number).collect::<Vec<_>>();
        assert_eq!((numbers(project), numbers(other)), (vec![3, 4, 5], vec![1]));

        let first = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let (running, waiting) = store.jobs_under_way(Listed::All, 3).await.unwrap();
        assert_eq!(running.len(), 1);
        assert_eq!((running[0].build_number, running[0].project_name.as_str()), (1, "octo/orbit"));
        assert_eq!(waiting.iter().map(|job| job.build_number).collect::<Vec<_>>(), [2, 3, 4]);
        let owner = store.project(other).await.unwrap().unwrap().owner;
        let (running, waiting) = store.jobs_under_way(Listed::Of(owner), 3).await.unwrap();
        assert!(running.is_empty());
        assert_eq!(waiting.iter().map(|job| job.project).collect::<Vec<_>>(), [other]);
        let among = async |of| store.listed_among(of, &[project, other]).await.unwrap();
        assert_eq!(among(Listed::Of(owner)).await, [other]);
        assert_eq!(among(Listed::VisibleToAll).await, []);
        assert_eq!(among(Listed::All).await, [project, other]);

        // What changes is noticed, and where.
        let changed = async |since| store.work_under_way(Timestamp(since)).await.unwrap();
        let running = changed(0).await;
        store.job_is(first.id, first.attempt, "doing something else").await.unwrap();
        let moved = changed(0).await;
        assert!(moved[&project].has_changed(running[&project]));
        assert!(!moved[&other].has_changed(running[&other]));
        let end = JobEnd::Exited(1);
        store.job_finished(first.id, first.attempt, &end, Timestamp(30)).await.unwrap();
        let ended = changed(0).await;
        assert!(ended[&project].has_changed(moved[&project]));
        assert!(!changed(100).await[&project].has_changed(ended[&project]), "it is long ago");
    })
    .await;
}

/// Runs the files of migrations from one number on, before another.
async fn migrate(pool: &AnyPool, dialect: &str, numbers: std::ops::Range<u32>) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if numbers.contains(&name[..4].parse().unwrap()) {
            let text = std::fs::read_to_string(&file).unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(pool).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_before_there_was_a_search_is_found_as_well() {
    sqlx::any::install_default_drivers();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}?mode=rwc", folder.path().join("kozmic.db").display());
    let postgres = Postgres::start().await;
    for (url, dialect) in [(&sqlite, "sqlite"), (&postgres.url, "postgres")] {
        let pool = AnyPool::connect(url).await.unwrap();
        migrate(&pool, dialect, 0..19).await;
        for statement in [
            "INSERT INTO users (id, gh_id, gh_login, gh_name, created_at) VALUES (1, 1, 'o', 'o', 1)",
            "INSERT INTO projects (id, owner_id, gh_id, gh_login, gh_name, gh_full_name, gh_ssh_clone_url, \
             gh_https_clone_url, gh_default_branch, is_public, cancels_superseded, created_at) \
             VALUES (1, 1, 1, 'o', 'p', 'o/p', '', '', 'main', 1, 0, 1)",
            "INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author, \
             gh_commit_message, triggered_by, is_from_fork, status, created_at) \
             VALUES (1, 1, 'refs/heads/main', '1111111111111111111111111111111111111111', 'Ada', \
             'An old story', 'push', 0, 'success', 77)",
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        migrate(&pool, dialect, 19..1000).await;
        pool.close().await;
        let seal = kozmic::seal::Seal::from_text(&"k".repeat(32).into()).unwrap();
        let store = Store::open(url, seal).await.unwrap();
        assert_eq!(numbers(&store, ProjectId(1), &text("old sto")).await, [1]);
        let part = ProjectsPart { of: Listed::All, named: "", skip: 0, limit: 1 };
        let listed = store.projects_listed(&part).await.unwrap();
        assert_eq!(listed[0].latest.as_ref().unwrap().created_at, Timestamp(77));
        store.close().await;
    }
}
