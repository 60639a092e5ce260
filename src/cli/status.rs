//! `status`: how far each import is. Asks the running program if there is one, else reads the ledger.

use std::process::ExitCode;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::ports::ImportCounts;
use serde::Deserialize;

use super::scheduling::offline_state;
use super::{ConfigFolder, VerbResult, output, project, running};
use crate::config::Project;
use crate::destination::table_location;

/// Show how far each import is: state, files, rows, backlog, watermark.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector status
  s3-connector status --json | jq '.[].counts.rows'")]
pub struct Status {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// As much of an import's status as is shown.
#[derive(Deserialize)]
struct Shown {
    import: String,
    schedule: String,
    state: String,
    reason: Option<Reason>,
    uri: String,
    table: String,
    counts: Counts,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Counts {
    files: std::collections::BTreeMap<String, u64>,
    rows: u64,
    rows_quarantined: u64,
    schema_version: u32,
    reference: Option<String>,
    backlog_files: u64,
    backlog_bytes: u64,
    watermark: Option<Watermark>,
    recent_failures: Vec<Failed>,
}

#[derive(Deserialize)]
struct Watermark {
    last_modified: String,
}

#[derive(Deserialize)]
struct Failed {
    key: String,
    code: String,
    message: String,
}

impl Status {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let status = match running::find(&project) {
            Some(running) => running.status,
            None => from_ledger(&project)?,
        };
        if self.json {
            output::line(status.to_string());
        } else {
            let shown: Vec<Shown> = serde_json::from_value(status).map_err(|error| {
                Failure::bug("status", format!("the running program is of another version: {error}"))
            })?;
            show(&shown);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The status as the ledger has it while no program runs.
fn from_ledger(project: &Project) -> Result<serde_json::Value, Failure> {
    let ledger = project::open_ledger(project)?;
    let mut all = Vec::new();
    for spec in &project.imports {
        let counts = match &ledger {
            // An import that never ran has no counts.
            Some(ledger) => ledger.counts(&spec.name, SystemClock.now())?.unwrap_or_default(),
            None => ImportCounts::default(),
        };
        let record = ledger.as_ref().map(|ledger| ledger.record(&spec.name)).transpose()?.flatten();
        let (state, reason) = offline_state(record.as_ref());
        all.push(serde_json::json!({
            "import": spec.name,
            "connection": spec.connection.name,
            "uri": spec.uri.as_str(),
            "schedule": spec.schedule.as_str(),
            "state": state,
            "reason": reason,
            "generation": 0,
            "table": table_location(project, spec),
            "counts": counts,
        }));
    }
    Ok(serde_json::Value::Array(all))
}

fn show(imports: &[Shown]) {
    let heading = [
        "IMPORT",
        "STATE",
        "SCHEDULE",
        "INGESTED",
        "FAILED",
        "SKIPPED",
        "BACKLOG",
        "ROWS",
        "QUARANTINED",
        "WATERMARK",
        "READS",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for import in imports {
        let counts = &import.counts;
        let files = |states: &[&str]| {
            let count = |state: &&str| counts.files.get(*state).copied().unwrap_or(0);
            states.iter().map(count).sum::<u64>().to_string()
        };
        let watermark = counts.watermark.as_ref().map_or("-", |watermark| watermark.last_modified.as_str());
        rows.push(vec![
            import.import.clone(),
            import.state.clone(),
            import.schedule.clone(),
            files(&["ingested"]),
            files(&["failed", "quarantined"]),
            files(&["skipped"]),
            format!("{} ({})", counts.backlog_files, output::bytes(counts.backlog_bytes)),
            counts.rows.to_string(),
            counts.rows_quarantined.to_string(),
            watermark.to_owned(),
            import.uri.clone(),
        ]);
    }
    output::table(&rows);
    for import in imports {
        output::line(format!("\n{}: table {}", import.import, import.table));
        let counts = &import.counts;
        if counts.schema_version > 0 {
            let reference = counts.reference.as_ref().map_or(String::new(), |key| format!(", schema reference {key}"));
            output::line(format!("  schema version {}{reference}", counts.schema_version));
        }
        if counts.rows_quarantined > 0 {
            let rows = output::count(counts.rows_quarantined, "row");
            output::line(format!("  {rows} in quarantine: s3-connector quarantine ls {}", import.import));
        }
        if let Some(reason) = &import.reason {
            output::line(format!("  {} ({}): {}", import.state, reason.code, reason.message));
        }
        for failed in import.counts.recent_failures.iter().take(SHOWN_FAILURES) {
            output::line(format!("  not in the table: {} ({}): {}", failed.key, failed.code, failed.message));
        }
        let more = import.counts.recent_failures.len().saturating_sub(SHOWN_FAILURES);
        if more > 0 {
            output::line(format!("  and {more} more; --json has them"));
        }
    }
}

/// Failed files shown of each import.
const SHOWN_FAILURES: usize = 5;
