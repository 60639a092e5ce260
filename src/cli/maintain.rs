//! `maintain`: keeps the tables in order now, instead of when the program finds the time.

use std::process::ExitCode;

use clap::Args;
use connector_core::error::Failure;
use serde_json::{Map, Value, json};

use super::{ConfigFolder, VerbResult, code_of, operation, output, project, worse};

/// Keep the tables in order now: remove what has expired, write small files together, clean up
#[derive(Args)]
#[command(after_help = "\
The running program does this by itself, in small steps between batches. No row changes and none
is lost: only rows that ENGINE_TTL has let expire leave the table. A data source that fails keeps
none of the others from it; the exit code is that of the worst.

Examples:
  s3-connector maintain
  s3-connector maintain orders --json")]
pub struct Maintain {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; all of them if left out
    datasource: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Maintain {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let wanted = match &self.datasource {
            Some(name) => vec![project::import(&project, name)?],
            None => project.imports.iter().collect(),
        };
        let (mut all, mut worst) = (Map::new(), None);
        operation::maintain(&project, &wanted, |name, result| {
            let summary = result.unwrap_or_else(|Failure { class, code, message }| {
                output::error(&format!("{name}: {message}"));
                worst = worse(worst, Some(class));
                json!({ "failure": { "class": class, "code": code, "message": message } })
            });
            if !self.json && summary.get("failure").is_none() {
                tell(name, &summary);
            }
            all.insert(name.to_owned(), summary);
        })?;
        if self.json {
            output::line(Value::Object(all).to_string());
        }
        Ok(worst.map_or(ExitCode::SUCCESS, code_of))
    }
}

fn tell(name: &str, summary: &Value) {
    let number = |field: &str| summary[field].as_u64().unwrap_or_default();
    let mut did = Vec::new();
    if number("expired_rows") > 0 {
        did.push(format!("{} expired", output::count(number("expired_rows"), "row")));
    }
    if number("compacted") > 0 {
        did.push(format!(
            "{} written together into {}",
            output::count(number("compacted"), "data file"),
            number("into")
        ));
    }
    if number("vacuumed") > 0 {
        let (files, bytes) = (output::count(number("vacuumed"), "unreferenced file"), number("vacuumed_bytes"));
        did.push(format!("{files} removed ({})", output::bytes(bytes)));
    }
    if number("log_entries") > 0 {
        did.push(format!("{} of the log removed", output::count(number("log_entries"), "old file")));
    }
    if number("checkpoints") > 0 {
        did.push(output::count(number("checkpoints"), "checkpoint"));
    }
    if number("conflicts") > 0 {
        did.push("another commit came in between, so something is left for the next time".to_owned());
    }
    let did = if did.is_empty() { "nothing to do".to_owned() } else { did.join(", ") };
    output::line(format!("{name}: {did}"));
}
