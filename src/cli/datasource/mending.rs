//! `datasource retry` and `datasource adopt`; also what `ledger rebuild` and `ledger reread` do.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::super::{ConfigFolder, VerbResult, operation, output, project};
use crate::operations::{NoParameters, Operation, RetryParameters};

/// Make files that failed, wait, or were rolled back claimable again
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource retry orders
  s3-connector datasource retry orders --file orders/2025-01-31.csv
  s3-connector datasource retry orders --batch 01JCXW2Q0V5T8Z3M4N6P7R9S1K    after a rollback")]
pub(super) struct Retry {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Only the file with this key, or this s3:// URI
    #[arg(long, conflicts_with = "batch")]
    file: Option<String>,
    /// The files of this batch, which was rolled back
    #[arg(long)]
    batch: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Retry {
    pub(super) fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        // Whoever copies from a listing of the bucket has the URI.
        let bucket = format!("s3://{}/", spec.uri.bucket());
        let key = |file: String| file.strip_prefix(&bucket).map(str::to_owned).unwrap_or(file);
        let parameters = RetryParameters { file: self.file.map(key), batch: self.batch };
        let asked = parameters.file.as_ref().map(|key| format!("{bucket}{key}"));
        let summary = operation::carry_out(&project, spec, Operation::Retry(parameters))?;
        if self.json {
            output::document(&summary);
            return Ok(ExitCode::SUCCESS);
        }
        let files = summary["files"].as_u64().unwrap_or_default();
        output::line(match (files, asked) {
            (0, Some(uri)) => {
                let uri = output::printable(&uri);
                format!(
                    "{}: that file neither waits nor has failed; why, says: s3-connector explain '{uri}'",
                    spec.name
                )
            }
            (0, None) => format!("{}: no such file waits or has failed", spec.name),
            (files, _) => format!("{}: {} will be read with the next claim", spec.name, output::count(files, "file")),
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// Help of `datasource adopt`.
pub(super) const ADOPT: &str = "\
For a table whose ledger is lost, or that came from another host: the ledger then knows what the
table holds, and nothing of it is imported a second time. The program must not run.

Examples:
  s3-connector datasource adopt orders
  s3-connector datasource adopt orders --json";

/// Help of `ledger rebuild`.
pub(in crate::cli) const REBUILD: &str = "\
For a ledger that is older than its table, such as one that came from a backup.

Examples:
  s3-connector ledger rebuild orders
  s3-connector ledger rebuild orders --json";

/// Help of `ledger reread`.
pub(in crate::cli) const REREAD: &str = "\
For a table that is older than its ledger, such as one that came from a backup.

Examples:
  s3-connector ledger reread orders
  s3-connector ledger reread orders --json";

/// Put ledger and table right, by what the table holds
#[derive(Args)]
pub(in crate::cli) struct Mend {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Mend {
    pub(in crate::cli) fn execute(self, operation: fn(NoParameters) -> Operation) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let operation = operation(NoParameters {});
        let adopted = matches!(operation, Operation::Adopt(_));
        let summary = operation::carry_out(&project, spec, operation)?;
        if self.json {
            output::line(summary.to_string());
        } else {
            tell(spec.name.as_str(), &summary, adopted);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn tell(name: &str, summary: &Value, adopted: bool) {
    let count = |field: &str, noun: &str| output::count(summary[field].as_u64().unwrap_or_default(), noun);
    output::line(format!(
        "{name}: the ledger goes by the table now: {} with {} in the table and {} in quarantine",
        count("object_versions", "object version"),
        count("rows", "row"),
        count("rows_quarantined", "row"),
    ));
    if summary["removed_from_quarantine"].as_u64() > Some(0) {
        let rows = count("removed_from_quarantine", "row");
        output::line(format!("{rows} left quarantine: of batches that were half done, or whose files are read again"));
    }
    if summary["reread_files"].as_u64() > Some(0) {
        output::line(format!("{} will be read again", count("reread_files", "file")));
    }
    if summary["without_rows"].as_u64() > Some(0) {
        let versions = count("without_rows", "object version");
        output::line(format!("{versions} of the ledger have no row left in the table: rolled back or expired since"));
    }
    if summary["missing_rows"].as_u64() > Some(0) {
        let (rows, versions) = (count("missing_rows", "row"), count("missing_versions", "object version"));
        output::line(format!("{rows} of {versions} are missing from both tables and are not read again:"));
        for missing in summary["missing"].as_array().into_iter().flatten() {
            let key = missing["key"].as_str().unwrap_or_default();
            output::line(format!("  {key}: {}", output::count(missing["rows"].as_u64().unwrap_or_default(), "row")));
        }
    }
    if adopted {
        output::line(
            "files whose batch was rolled back, or whose rows have all expired, are read again: only the lost ledger knew of them",
        );
    }
    output::line(format!("then compare: s3-connector audit {name}"));
}
