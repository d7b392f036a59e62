//! Plain variables of a project and of its hooks.

use crate::cache::remove_cached;
use crate::harness::{BASE, World, hook};

const SEEN: &str = "#!/bin/bash\necho \"$STEP a=$A b=$B c=${C-unset} ci=$CI\"\n";

/// What a command said: standard output, then standard error, and how it ended.
async fn kozmic(world: &World, arguments: &[&str]) -> (String, Option<i32>) {
    let output = world.run("http://127.0.0.1:0", arguments).await;
    let said = String::from_utf8(output.stdout).unwrap();
    (said + &String::from_utf8(output.stderr).unwrap(), output.status.code())
}

async fn set(world: &World, arguments: &[&str]) -> (String, Option<i32>) {
    kozmic(world, &[&["project", "set", "octo/orbit"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_variables_reach_all_its_scripts() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let plain = hook("Plain", BASE, SEEN);
    let own = "# kozmic: env = B=of the hook\n# kozmic: env = C=\n# kozmic: image";
    let own = hook("Own", BASE, SEEN).replacen("# kozmic: image", own, 1);
    let install = SEEN.replace("$STEP", "install");
    let files = [("plain.sh", plain.as_str()), ("own.sh", &own), ("own.install.sh", &install)];
    world.apply_files(&server.url, &files).await;
    let said = set(&world, &["--env", "A=it's $(no) \"code\"", "--env", "B=of the project"]).await;
    let expected = "Jobs of octo/orbit made from now on have the variable A.\n\
                    Jobs of octo/orbit made from now on have the variable B.\n";
    assert_eq!(said, (expected.into(), Some(0)));

    let logs = async || {
        let sha = world.push(&[("a", b"a")]).await;
        let mut logs = Vec::new();
        for job in world.finished(&server.url, &sha).await.jobs {
            let log = world.log_text(&job).await;
            let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('[')).collect();
            logs.push(lines.join("\n"));
        }
        logs.sort();
        logs
    };
    let project_s = " a=it's $(no) \"code\" b=of the project c=unset ci=true";
    let hook_s = "a=it's $(no) \"code\" b=of the hook c= ci=true";
    assert_eq!(logs().await, [project_s.into(), format!("install {hook_s}\n {hook_s}")]);

    let said = set(&world, &["--unset-env", "A", "--env", "B=two\nlines"]).await;
    let expected = "Jobs of octo/orbit made from now on have the variable B.\n\
                    Jobs of octo/orbit made from now on don't have the project's A.\n";
    assert_eq!(said, (expected.into(), Some(0)));
    // The install step's inputs are the same.
    assert_eq!(logs().await, [" a= b=of the hook c= ci=true", " a= b=two\nlines c=unset ci=true"]);
    let (shown, _) = kozmic(&world, &["project", "show", "octo/orbit"]).await;
    assert!(shown.contains("env                 B=two\\nlines\n"), "{shown}");

    let folder = world.folder().join("exported");
    kozmic(&world, &["hooks", "export", "octo/orbit", folder.to_str().unwrap()]).await;
    assert_eq!(std::fs::read_to_string(folder.join("plain.sh")).unwrap(), plain);
    assert!(!std::fs::read_to_string(folder.join("own.sh")).unwrap().contains("two"));
    remove_cached(&world).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_shown_and_mistakes_in_its_variables_are_named() {
    let world = World::new().await;
    let url = "http://127.0.0.1:8080";
    world.project(url, &[hook("Tests", BASE, ":\n")]).await;
    let wrong: [(&[&str], &str); 8] = [
        (&["--env", "A"], "write it as NAME=VALUE"),
        (&["--env", "1A=b"], "`1A` is not the name of a variable"),
        (&["--env", "a-b=c"], "`a-b` is not the name of a variable"),
        (&["--env", "KOZMIC_X=1"], "the variable KOZMIC_X is set by Kozmic itself"),
        (&["--env", "CI=false"], "the variable CI is set by Kozmic itself"),
        (&["--env", "A=1", "--env", "A=2"], "kozmic: the variable A was given twice\n"),
        (
            &["--env", "A=1", "--unset-env", "A"],
            "kozmic: the variable A can't be both set and unset\n",
        ),
        (
            &["--env", "A=1", "--unset-env", "B"],
            "kozmic: octo/orbit was not changed: the project has no variable B\n",
        ),
    ];
    for (arguments, expected) in wrong {
        let (said, code) = set(&world, arguments).await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_ne!(code, Some(0), "{arguments:?}");
    }
    let (said, code) = set(&world, &[]).await;
    assert!(said.contains("--cancel-superseded") && said.contains("--unset-env"), "{said}");
    assert_eq!(code, Some(2), "nothing to change");
    let command = world.command(url, &["project", "show", "octo/orbit"]);
    let shown = async |mut command: tokio::process::Command| {
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    };
    assert_eq!(
        shown(command).await,
        "project             octo/orbit\n\
         page                http://127.0.0.1:8080/projects/1/\n\
         owner               octo\n\
         default branch      main\n\
         private             no\n\
         deploy key          none\n\
         visible to all      no\n\
         cancels superseded  no\n\
         forks               ask\n\
         keeps logs          for good\n\
         jobs at once        as many as there are workers for\n\
         compared            not yet\n\
         hook                Tests\n"
    );
    set(&world, &["--cancel-superseded", "on", "--env", "B=", "--env", "A=1"]).await;
    let changed = shown(world.command(url, &["project", "show", "octo/orbit"])).await;
    assert!(
        changed.ends_with(
            "cancels superseded  yes\n\
             forks               ask\n\
             keeps logs          for good\n\
         jobs at once        as many as there are workers for\n\
             compared            not yet\n\
             hook                Tests\n\
             env                 A=1\n\
             env                 B=\n"
        ),
        "{changed}"
    );
    let (said, code) = kozmic(&world, &["project", "show", "octo/none"]).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("kozmic: octo/none is not a project"), "{said}");

    let folder = world.folder().join("reserved");
    std::fs::create_dir(&folder).unwrap();
    let reserved = format!("# kozmic: env = KOZMIC_X=1\n{}", hook("Tests", BASE, ":\n"));
    std::fs::write(folder.join("t.sh"), reserved).unwrap();
    let (said, code) =
        kozmic(&world, &["hooks", "apply", "octo/orbit", folder.to_str().unwrap()]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("t.sh:1: the variable KOZMIC_X is set by Kozmic itself"), "{said}");
}
