//! `history`: the tracker. Which batches there were, what became of their files, how the schema came about. Reads the
//! ledger, whether the program runs or not: it is the same that the API would answer.

use std::process::ExitCode;

use clap::Args;
use connector_core::error::Failure;
use connector_core::history::{BatchRecord, HistoryPage, HistoryQuery, SchemaVersion};
use serde_json::json;

use super::{ConfigFolder, VerbResult, output, project};

/// Show the batches of an import, their files, and the versions of its schema.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector history orders
  s3-connector history orders --files --outcome quarantined
  s3-connector history orders --schema
  s3-connector history orders --json | jq '.batches[0]'")]
pub struct History {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// With the files of each batch
    #[arg(long)]
    files: bool,
    /// Only batches with a file of this outcome: ingested, quarantined, failed, deferred, gone, replayed, rolled_back,
    /// superseded or expired
    #[arg(long, value_parser = ["ingested", "quarantined", "failed", "deferred", "gone"])]
    outcome: Option<String>,
    /// The versions of the schema instead of the batches
    #[arg(long, conflicts_with_all = ["files", "outcome", "before", "limit"])]
    schema: bool,
    /// Batches shown at most
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Go on where the page before ended
    #[arg(long)]
    before: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl History {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let name = project::import(&project, &self.datasource)?.name.clone();
        let ledger = project::open_ledger(&project)?;
        if self.schema {
            let versions = ledger.map(|ledger| ledger.schema_history(&name)).transpose().map_err(Failure::from)?;
            self.show_schema(&versions.flatten().unwrap_or_default(), name.as_str());
            return Ok(ExitCode::SUCCESS);
        }
        let query =
            HistoryQuery { limit: self.limit, before: self.before, files: self.files, outcome: self.outcome.clone() };
        let page = ledger.map(|ledger| ledger.history(&name, &query)).transpose().map_err(Failure::from)?;
        let page = page.flatten().unwrap_or_default();
        if self.json {
            output::line(json!(page).to_string());
        } else {
            self.show(&page, name.as_str());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, page: &HistoryPage, name: &str) {
        if page.batches.is_empty() {
            let older = if self.before.is_some() { "older " } else { "" };
            return output::line(match &self.outcome {
                Some(outcome) => format!("{name}: no {older}batches with a file that is {outcome}"),
                None => format!("{name}: no {older}batches"),
            });
        }
        let heading = ["BATCH", "CLAIMED", "KIND", "STATE", "FILES", "ROWS", "QUARANTINED", "READ", "VERSION"];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(page.batches.iter().map(batch_row));
        if !self.files {
            output::table(&rows);
        }
        for batch in page.batches.iter().filter(|_| self.files) {
            output::table(&[rows[0].clone(), batch_row(batch)]);
            for file in &batch.results {
                let reference = if file.reference { ", schema reference" } else { "" };
                output::line(format!(
                    "    {} {}: {}, {} quarantined, {}, {} ms{reference}",
                    file.outcome,
                    output::printable(&file.key),
                    output::count(file.rows, "row"),
                    file.rows_quarantined,
                    output::bytes(file.bytes),
                    file.duration_ms
                ));
                if let (Some(code), Some(message)) = (&file.code, &file.message) {
                    output::line(format!("        {code}: {}", output::printable(message)));
                }
            }
        }
        if let Some(next) = page.next {
            output::line(format!("older ones: add --before {next}"));
        }
    }

    fn show_schema(&self, versions: &[SchemaVersion], name: &str) {
        if self.json {
            return output::document(&json!(versions));
        }
        if versions.is_empty() {
            return output::line(format!("{name}: no schema yet: it comes with the first batch"));
        }
        for version in versions {
            let batch = version.batch.as_ref().map_or(String::new(), |batch| format!(", batch {batch}"));
            output::line(format!("version {} at {}{batch}", version.version, output::time(version.at)));
            for change in &version.changes {
                let cause =
                    change.key.as_ref().map_or(String::new(), |key| format!("  from {}", output::printable(key)));
                output::line(format!("    + {} {}{cause}", change.column, change.ty));
            }
        }
    }
}

fn batch_row(batch: &BatchRecord) -> Vec<String> {
    vec![
        batch.id.clone(),
        output::time(batch.claimed_at),
        batch.kind.as_str().to_owned(),
        batch.state.clone(),
        batch.files.to_string(),
        batch.rows.to_string(),
        batch.rows_quarantined.to_string(),
        output::bytes(batch.bytes),
        batch.table_version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
    ]
}
