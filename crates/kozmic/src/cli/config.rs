//! `kozmic config`: the settings in force, without secrets.

use std::fmt::Write as _;

use clap::Args;

use super::say;
use super::table::table;
use crate::config::{SETTINGS, Settings};

#[derive(Debug, Args)]
pub(super) struct Command {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// Print the reference of all settings instead, as Markdown
    #[arg(long, conflicts_with = "json")]
    reference: bool,
}

pub(super) fn run(
    settings: impl FnOnce() -> Result<Settings, crate::config::ConfigError>,
    command: &Command,
) -> anyhow::Result<()> {
    if command.reference {
        say(reference().trim_end());
        return Ok(());
    }
    let in_force = settings()?.in_force;
    if command.json {
        say(&serde_json::to_string_pretty(&in_force)?);
        return Ok(());
    }
    let rows = in_force.into_iter().map(|it| [it.name.to_owned(), it.value, it.origin.to_string()]);
    say(&table(["setting", "value", "from"], rows));
    Ok(())
}

/// docs/settings.md, as the table of settings has it.
fn reference() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         <!-- Written by `kozmic config --reference`. -->\n\n\
         Environment variables, or the same names in lower case without the prefix in\n\
         `kozmic.toml`, or in the file that `--config` or `KOZMIC_CONFIG` names:\n\n\
         ```toml\n\
         listen = \"127.0.0.1:8080\"\n\
         concurrency = 4\n\
         ```\n\n\
         The environment wins. An unknown or malformed setting is an error at start that says\n\
         what would be right; an empty variable counts as not set. `kozmic config` shows what is\n\
         in force and where each value comes from, without secrets.\n\n\
         Those marked with a file may be given as the path of a file that holds nothing else:\n\
         `KOZMIC_SECRET_KEY_FILE=/run/secrets/key`, or `secret_key_file` in `kozmic.toml`. A\n\
         last line end is left out.\n\n\
         | setting | default | meaning | file |\n| --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let default = match setting.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let file = if setting.may_be_in_file() { "yes" } else { "" };
        let _ = writeln!(text, "| `{}` | {default} | {} | {file} |", setting.name, setting.meaning);
    }
    text.push_str(
        "\nNames that begin with `KOZMIC_JOB_` or `KOZMIC_BUILD_` are the variables of scripts,\n\
         `KOZMIC_SERVER` and `KOZMIC_TOKEN` those of the client commands; they are never settings.\n\
         `KOZMIC_LOG` sets what the server itself tells: `info`, `debug`, or by module.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert_eq!(written, reference(), "run `kozmic config --reference > docs/settings.md`");
    }
}
