//! Hooks as files. `NAME.sh` is a build script, `NAME.install.sh` beside it the
//! install script; any extension will do. Comment lines right after the shebang
//! are the header, and no part of the script:
//!
//! ```text
//! #!/bin/bash
//! # kozmic: title = Tests
//! # kozmic: image = kozmic/debian:bookworm
//! # kozmic: track = Cargo.lock
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::model::{
    DockerImage, HookOptions, HookSpec, Invalid, OPTION_NAMES, Script, TrackedPath,
};

const MARK: &str = "kozmic:";
const KEYS: [&str; 3] = ["title", "image", "track"];

/// Reads every hook of a folder; an error names the file and the line.
pub(in crate::cli) fn read(dir: &Path) -> anyhow::Result<Vec<HookSpec>> {
    let mut builds = BTreeMap::new();
    let mut installs = BTreeMap::new();
    let entries =
        fs::read_dir(dir).with_context(|| format!("the folder {} can't be read", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| dir.display().to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with('~') || !path.is_file() {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (kind, stem) = match stem.strip_suffix(".install") {
            Some(stem) => (&mut installs, stem.to_owned()),
            None => (&mut builds, stem),
        };
        if let Some(other) = kind.insert(stem, path.clone()) {
            bail!(
                "{} and {} are both the same script of one hook",
                other.display(),
                path.display()
            );
        }
    }
    let mut specs: Vec<HookSpec> = Vec::new();
    for (stem, path) in &builds {
        let spec = read_hook(path, installs.remove(stem).as_deref())?;
        if specs.iter().any(|other| other.title == spec.title) {
            bail!("{}: another hook has the title `{}`, too", path.display(), spec.title);
        }
        specs.push(spec);
    }
    if let Some(path) = installs.values().next() {
        bail!("{} is an install script without a build script beside it", path.display());
    }
    if specs.is_empty() {
        bail!("there is no hook in {}; a hook is a file like tests.sh", dir.display());
    }
    Ok(specs)
}

fn read_hook(path: &Path, install: Option<&Path>) -> anyhow::Result<HookSpec> {
    let text = read_text(path)?;
    let (header, script) = split_header(&text);
    let (mut title, mut image, mut tracked) = (None, None, Vec::new());
    let mut options = HookOptions::default();
    for (line, content) in header {
        let at = || format!("{}:{line}", path.display());
        let (key, value) = content
            .split_once('=')
            .with_context(|| format!("{}: write it as key = value", at()))?;
        match key.trim() {
            "title" if title.is_none() => {
                title = Some(HookSpec::parse_title(value).with_context(at)?);
            }
            "image" if image.is_none() => {
                image = Some(value.parse::<DockerImage>().with_context(at)?);
            }
            "track" => tracked.push(value.parse::<TrackedPath>().with_context(at)?),
            key if OPTION_NAMES.contains(&key) => options.set(key, value).with_context(at)?,
            key @ ("title" | "image") => bail!("{}: `{key}` was given before", at()),
            key => {
                let known = KEYS.into_iter().chain(OPTION_NAMES);
                let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(known, key));
                bail!(
                    "{}: there is no `{key}`; did you mean `{}`?",
                    at(),
                    nearest.unwrap_or_default()
                );
            }
        }
    }
    options.wanted.check().with_context(|| path.display().to_string())?;
    let missing = |key: &str, example: &str| {
        format!("{}: the header lacks a line `# {MARK} {key} = {example}`", path.display())
    };
    tracked.sort();
    tracked.dedup();
    Ok(HookSpec {
        title: title.with_context(|| missing("title", "Tests"))?,
        image: image.with_context(|| missing("image", "kozmic/debian:bookworm"))?,
        install_script: install.map(|path| parse_script(path, &read_text(path)?)).transpose()?,
        tracked,
        build_script: parse_script(path, &script)?,
        options,
    })
}

fn parse_script(path: &Path, text: &str) -> anyhow::Result<Script> {
    Script::parse(text).with_context(|| path.display().to_string())
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    String::from_utf8(bytes)
        .map_err(|_| Invalid::new("a script must be UTF-8 text"))
        .with_context(|| path.display().to_string())
}

/// The header's lines with their numbers, and the script without them.
fn split_header(text: &str) -> (Vec<(usize, &str)>, String) {
    let (mut header, mut script) = (Vec::new(), String::with_capacity(text.len()));
    let mut in_header = true;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim();
        let comment = trimmed.trim_start_matches(['#', '/', '-', ';', '%', '"']).trim_start();
        if in_header && comment.len() < trimmed.len() && comment.starts_with(MARK) {
            header.push((index + 1, comment[MARK.len()..].trim()));
        } else {
            in_header &= index == 0 && line.starts_with("#!");
            script.push_str(line);
        }
    }
    (header, script)
}

/// Writes hooks so that [`read`] gives the same again; returns the files.
pub(super) fn write(dir: &Path, specs: &[HookSpec]) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let mut written = Vec::new();
    for spec in specs {
        let mut stem = slug(&spec.title);
        let mut count = 1;
        while written.contains(&dir.join(format!("{stem}.sh"))) {
            count += 1;
            stem = format!("{}-{count}", slug(&spec.title));
        }
        let files = [
            (format!("{stem}.sh"), Some(with_header(spec))),
            (
                format!("{stem}.install.sh"),
                spec.install_script.as_ref().map(|script| script.as_str().to_owned()),
            ),
        ];
        for (name, content) in files {
            if let Some(content) = content {
                let path = dir.join(name);
                fs::write(&path, content).with_context(|| path.display().to_string())?;
                written.push(path);
            }
        }
    }
    Ok(written)
}

fn with_header(spec: &HookSpec) -> String {
    let script = spec.build_script.as_str();
    let (shebang, rest) = match script.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => (format!("{first}\n"), rest),
        _ => (String::new(), script),
    };
    // `#` begins a comment in nearly every language that has a shebang.
    let mut text = shebang;
    let _ = writeln!(text, "# {MARK} title = {}", spec.title);
    let _ = writeln!(text, "# {MARK} image = {}", spec.image);
    for path in &spec.tracked {
        let _ = writeln!(text, "# {MARK} track = {}", path.as_str());
    }
    for (name, value) in spec.options.written() {
        let _ = writeln!(text, "# {MARK} {name} = {value}");
    }
    text + rest
}

fn slug(title: &str) -> String {
    let words: String = title
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' })
        .collect();
    let slug = words.split_whitespace().collect::<Vec<_>>().join("-");
    if slug.is_empty() { "hook".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn problem(files: &[(&str, &str)]) -> String {
        format!("{:#}", read(folder(files).path()).unwrap_err())
    }

    const HEADER: &str = "# kozmic: title = Tests\n# kozmic: image = debian:12\n";

    #[test]
    fn a_header_is_read_and_is_no_part_of_the_script() {
        let text = format!(
            "#!/bin/bash\n{HEADER}# kozmic: track = ./b\n# kozmic: track = a\nmake\n# kozmic: not = this\n"
        );
        let folder =
            folder(&[("tests.sh", &text), ("tests.install.sh", "apt-get\n"), (".hidden", "x")]);
        let [spec] = &read(folder.path()).unwrap()[..] else { panic!() };
        assert_eq!((spec.title.as_str(), spec.image.as_str()), ("Tests", "debian:12"));
        assert_eq!(spec.build_script.as_str(), "#!/bin/bash\nmake\n# kozmic: not = this\n");
        assert_eq!(spec.install_script.as_ref().unwrap().as_str(), "apt-get\n");
        assert_eq!(spec.tracked.iter().map(TrackedPath::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let spec = |title: &str, script: &str| HookSpec {
            title: title.into(),
            image: "debian:12".parse().unwrap(),
            install_script: Some(Script::parse("x\n").unwrap()),
            tracked: vec!["a b".parse().unwrap()],
            build_script: Script::parse(script).unwrap(),
            options: HookOptions { memory: Some(1 << 30), retry: false, ..Default::default() },
        };
        let specs =
            vec![spec("a/b", "#!/bin/sh\nx"), spec("A B", "no shebang\n"), spec("ü", "#!/bin/sh")];
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &specs).unwrap();
        let mut read = read(folder.path()).unwrap();
        read.sort_by_key(|read| specs.iter().position(|spec| spec.title == read.title));
        assert_eq!(read.len(), 3);
        assert_eq!(read[..2], specs[..2]);
    }

    #[test]
    fn mistakes_name_the_file_and_what_is_right() {
        let script = format!("{HEADER}make\n");
        assert!(problem(&[]).contains("there is no hook in"));
        assert!(problem(&[("a.sh", "make\n")]).contains("# kozmic: title = Tests"));
        assert!(
            problem(&[("a.sh", "# kozmic: titel = x\n")])
                .contains("a.sh:1: there is no `titel`; did you mean `title`?")
        );
        assert!(
            problem(&[("a.sh", "# kozmic: image = A B\n")])
                .contains("a.sh:1: `A B` is not the name")
        );
        assert!(
            problem(&[("a.sh", "# kozmic: track = ../x\n")])
                .contains("leads out of the repository")
        );
        assert!(
            problem(&[("a.sh", "# kozmic: memory = lots\n")]).contains("must be a number of bytes")
        );
        assert!(problem(&[("a.sh", "# kozmic: memroy = 1G\n")]).contains("did you mean `memory`?"));
        assert!(problem(&[("a.sh", "# kozmic: title\n")]).contains("write it as key = value"));
        assert!(
            problem(&[("a.sh", &script), ("b.sh", &script)]).contains("the title `Tests`, too")
        );
        assert!(problem(&[("a.sh", &script), ("a.bash", &script)]).contains("same script"));
        assert!(
            problem(&[("a.sh", &script), ("b.install.sh", "x")]).contains("without a build script")
        );
        assert!(problem(&[("a.sh", HEADER)]).contains("the script is empty"));
    }
}
