//! `quarantine replay`: the rows that fit by now move into the table.

use std::process::ExitCode;

use clap::Args;
use connector_core::error::ErrorClass;
use connector_core::quarantine::shown;
use connector_core::spec::ImportSpec;
use serde_json::Value;

use super::super::{ConfigFolder, Ended, VerbResult, operation, output, project};
use super::FilterArgs;
use crate::operations::{Operation, ReplayParameters};

/// Move the rows that fit by now into the table
#[derive(Args)]
#[command(after_help = "\
Without --yes it only says how many rows would fit. The files are read again, as they are now in
the bucket, and parsed by the data source as it is configured now; a row either moves as a whole
or stays where it is. It can be killed at any moment: run it again.

Examples:
  s3-connector quarantine replay orders
  s3-connector quarantine replay orders --yes
  s3-connector quarantine replay orders --column amount --error 'is not Int64' --yes")]
pub(super) struct Replay {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let FilterArgs { column, error, key, batch } = self.filter;
        let parameters = ReplayParameters { column, error, file: key, batch, dry_run: !self.yes };
        let summary = operation::carry_out(&project, spec, Operation::Replay(parameters))?;
        if self.json {
            output::line(summary.to_string());
        } else {
            tell(spec, &summary, self.yes);
        }
        if summary["unreadable_files"].as_u64() > Some(0) {
            return Err(Ended::Told(ErrorClass::Data));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(spec: &ImportSpec, summary: &Value, done: bool) {
    let name = &spec.name;
    let number = |field: &str| summary[field].as_u64().unwrap_or_default();
    let (rows, moved) = (number("rows"), number("moved"));
    if rows == 0 {
        return output::line(format!("{name}: no such rows in quarantine"));
    }
    let files = output::count(number("files"), "file");
    let verb = if done { "moved into the table" } else { "would fit the table" };
    output::line(format!("{name}: {moved} of {} from {files} {verb}", output::count(rows, "row")));
    let unreadable = number("unreadable_files");
    if unreadable > 0 {
        output::line(format!("{} could not be read again:", output::count(unreadable, "file")));
        for file in summary["unreadable"].as_array().into_iter().flatten() {
            let text = |field: &str| file[field].as_str().unwrap_or_default();
            output::line(format!("  {}: {}", shown(text("key")), text("message")));
        }
    }
    let left = rows - moved.min(rows);
    match (done, moved) {
        (false, 0) => {
            output::line(format!("nothing was changed; s3-connector quarantine ls {name} says what is wrong"))
        }
        (false, _) => output::line("nothing was changed; the same command with --yes moves them"),
        (true, _) if left > 0 => {
            output::line(format!("{left} stay: s3-connector quarantine ls {name} says what is wrong"));
        }
        (true, _) => {}
    }
}
