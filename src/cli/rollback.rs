//! `rollback`: takes back everything that one batch brought.

use std::process::ExitCode;

use clap::Args;
use connector_core::error::Failure;
use connector_core::history::HistoryQuery;
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use serde_json::Value;

use super::{ConfigFolder, Ended, VerbResult, operation, output, project};
use crate::config::Project;
use crate::operations::{Operation, RollbackParameters};

/// Take back everything that one batch brought, from the table and from quarantine
#[derive(Args)]
#[command(after_help = "\
Without --yes it only says what would go. The files of the batch are then set aside: nothing reads
them again until `s3-connector datasource retry NAME --batch ID`, or until a new version of them
lands.

Examples:
  s3-connector history orders
  s3-connector rollback 01JCXW2Q0V5T8Z3M4N6P7R9S1K
  s3-connector rollback 01JCXW2Q0V5T8Z3M4N6P7R9S1K --yes")]
pub struct Rollback {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The batch id, as `history` shows it and `_batch_id` of its rows has it
    batch: String,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rollback {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = import_of(&project, &self.batch)?;
        let parameters = RollbackParameters { batch: self.batch.clone(), dry_run: !self.yes };
        let summary = operation::carry_out(&project, spec, Operation::Rollback(parameters))?;
        if self.json {
            output::line(summary.to_string());
        } else {
            self.tell(spec, &summary);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, spec: &ImportSpec, summary: &Value) {
        let count = |name: &str, noun: &str| output::count(summary[name].as_u64().unwrap_or_default(), noun);
        let (files, rows, bad) = (count("files", "file"), count("rows", "row"), count("rows_quarantined", "row"));
        let (name, batch) = (&spec.name, &self.batch);
        if summary["files"] == 0 {
            return output::line(format!("{name}: nothing of batch {batch} is left"));
        }
        if !self.yes {
            output::line(format!("{name}: {rows} of the table and {bad} of quarantine, from {files}, would go"));
            return output::line(format!("nothing was changed; s3-connector rollback {batch} --yes does it"));
        }
        output::line(format!("{name}: {rows} of the table and {bad} of quarantine, from {files}, are gone"));
        output::line(format!(
            "the files wait until they are asked for: s3-connector datasource retry {name} --batch {batch}"
        ));
    }
}

/// The import that a batch belongs to.
fn import_of<'a>(project: &'a Project, batch: &str) -> Result<&'a ImportSpec, Ended> {
    let ledger: Option<LedgerReader> = project::open_ledger(project)?;
    for spec in &project.imports {
        let Some(ledger) = &ledger else { break };
        let mut before = None;
        loop {
            let query = HistoryQuery { limit: 1_000, before, files: false, outcome: None };
            let Some(page) = ledger.history(&spec.name, &query).map_err(Failure::from)? else { break };
            if page.batches.iter().any(|record| record.id == batch) {
                return Ok(spec);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    let message = format!("no import has a batch {batch}; s3-connector history NAME lists them");
    Err(Failure::config("no_such_batch", message).into())
}
