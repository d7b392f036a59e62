//! `kozmic audit`: who changed what, on the server's machine.

use clap::Args;
use serde_json::{Value, json};

use super::table::table;
use super::{find_project, open_store, say};
use crate::config::Settings;
use crate::model::FullName;
use crate::store::{AuditPart, AuditRow};

/// Rows that are read at once.
const PART: i64 = 500;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// Only of this project, as owner/name
    #[arg(long, value_name = "FULL_NAME")]
    project: Option<FullName>,
    /// The newest so many; 0: all there are
    #[arg(long, default_value = "100", value_name = "COUNT")]
    limit: usize,
    /// Print one JSON object a line, for programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let project = match &command.project {
        Some(name) => Some(find_project(&store, name).await?.id),
        None => None,
    };
    let most = if command.limit == 0 { usize::MAX } else { command.limit };
    let (mut rows, mut before) = (Vec::new(), None);
    while rows.len() < most {
        let mut part = store.audit(AuditPart { project, before, limit: PART }).await?;
        let Some(last) = part.last() else { break };
        before = Some(last.id);
        part.truncate(most - rows.len());
        if command.json {
            for row in &part {
                say(&as_json(row).to_string());
            }
        }
        rows.append(&mut part);
    }
    store.close().await;
    if !command.json {
        let head = ["when", "who", "by", "from", "project", "action", "what", "details"];
        say(&table(head, rows.into_iter().map(line)));
    }
    Ok(())
}

fn line(row: AuditRow) -> [String; 8] {
    let by = row.via_id.map_or_else(|| row.via.clone(), |id| format!("{} {id}", row.via));
    let details =
        if row.details.is_empty() { String::new() } else { Value::from(row.details).to_string() };
    [
        row.at.to_string(),
        row.actor,
        by,
        row.address.unwrap_or_default(),
        row.project_name.unwrap_or_default(),
        row.action.to_string(),
        row.subject,
        details,
    ]
}

fn as_json(row: &AuditRow) -> Value {
    json!({
        "id": row.id,
        "at": row.at.to_string(),
        "actor": row.actor,
        "user_id": row.user.map(|user| user.0),
        "via": row.via,
        "via_id": row.via_id,
        "address": row.address,
        "project_id": row.project.map(|project| project.0),
        "project": row.project_name,
        "action": row.action.as_str(),
        "kind": row.kind,
        "subject_id": row.subject_id,
        "subject": row.subject,
        "details": row.details,
    })
}
