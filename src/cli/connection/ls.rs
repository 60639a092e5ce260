//! `connection ls`: the connections, who uses them, and those that are not finished.

use std::process::ExitCode;

use clap::Args;
use connector_datafile::AccessDef;
use serde_json::{Value, json};

use super::super::{ConfigFolder, VerbResult, output};
use super::draft::{Draft, Drafts, UNNAMED};
use super::files::{Files, Found, User};

/// List the connections: how they reach S3, who uses them, and those that are not finished.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection ls
  s3-connector connection ls --json | jq -r '.connections[].name'")]
pub struct Ls {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    pub fn execute(self) -> VerbResult {
        let files = Files::read(&self.folder.config)?;
        let drafts = Drafts::of(&self.folder.config).all();
        if self.json {
            let connections: Vec<Value> = files.connections.iter().map(|found| as_json(&files, found)).collect();
            let unfinished: Vec<Value> = drafts.iter().map(|(label, draft)| draft_as_json(label, draft)).collect();
            output::line(json!({ "connections": connections, "unfinished": unfinished }).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        if files.connections.is_empty() && drafts.is_empty() {
            output::note(format!(
                "there is no connection in {}; create one: s3-connector connection create s3_iamrole",
                self.folder.config.join("connections").display()
            ));
        }
        let mut first = true;
        for found in &files.connections {
            separate(&mut first);
            show(&files, found);
        }
        for (label, draft) in &drafts {
            separate(&mut first);
            show_draft(label, draft);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn separate(first: &mut bool) {
    if !std::mem::replace(first, false) {
        output::line("");
    }
}

/// How a connection reaches S3, in a word or two.
fn kind(access: &AccessDef) -> &'static str {
    match access {
        AccessDef::Role { .. } => "role",
        AccessDef::Keys { .. } => "keys",
        AccessDef::Anonymous => "anonymous",
        AccessDef::DefaultChain => "default chain",
    }
}

fn show(files: &Files, found: &Found) {
    let connection = &found.connection;
    let region = connection.region.as_ref().map(|region| format!(", {}", region.value)).unwrap_or_default();
    let broken = if found.broken { ", has errors: s3-connector check --offline" } else { "" };
    output::line(format!("{} ({}{region}{broken})", connection.name, kind(&connection.access)));
    let detail = |what: &str, value: &str| output::line(format!("  {what:<12} {value}"));
    if let AccessDef::Role { arn, .. } = &connection.access {
        detail("role", &arn.value);
        let external_id = files.external_id(connection);
        detail("external id", external_id.as_deref().unwrap_or("derived at the first check or run"));
    }
    if let Some(endpoint) = &connection.endpoint {
        detail("endpoint", &endpoint.value);
    }
    let users = files.users(&connection.name);
    let names: Vec<&str> = users.iter().map(User::name).collect();
    detail("used by", if names.is_empty() { "nothing yet".to_owned() } else { names.join(", ") }.as_str());
    detail("file", &found.path.display().to_string());
}

/// What a draft is called to people, and what goes on with it.
fn show_draft(label: &str, draft: &Draft) {
    output::line(format!("{} (unfinished, begun {})", shown_name(label), draft.begun));
    output::line(format!("  waits for    {}", draft.waits_for()));
    output::line(format!("  external id  {}", draft.external_id));
    output::line(format!("  go on with   {}", resume(label)));
}

fn shown_name(label: &str) -> &str {
    if label == UNNAMED { "a connection without a name yet" } else { label }
}

/// The command that goes on with a draft.
pub fn resume(label: &str) -> String {
    match label {
        UNNAMED => "s3-connector connection create s3_iamrole".to_owned(),
        name => format!("s3-connector connection create s3_iamrole --name {name}"),
    }
}

fn as_json(files: &Files, found: &Found) -> Value {
    let connection = &found.connection;
    let role = match &connection.access {
        AccessDef::Role { arn, .. } => Some(&arn.value),
        _ => None,
    };
    let users = files.users(&connection.name);
    let sources: Vec<&str> = users.iter().filter(|user| matches!(user, User::DataSource(..))).map(User::name).collect();
    json!({
        "name": connection.name,
        "access": kind(&connection.access),
        "role_arn": role,
        "external_id": files.external_id(connection),
        "region": connection.region.as_ref().map(|region| &region.value),
        "endpoint": connection.endpoint.as_ref().map(|endpoint| &endpoint.value),
        "file": found.path.display().to_string(),
        "data_sources": sources,
        "writes_tables": users.iter().any(|user| matches!(user, User::Destination(_))),
        "has_errors": found.broken,
    })
}

fn draft_as_json(label: &str, draft: &Draft) -> Value {
    json!({
        "name": (label != UNNAMED).then_some(label),
        "begun": draft.begun,
        "waits_for": draft.waits_for(),
        "external_id": draft.external_id,
        "policy": draft.policy,
        "places": draft.places,
        "resume": resume(label),
    })
}
