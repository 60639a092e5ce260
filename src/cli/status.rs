//! `status`: how far each import is. Asks the running program if there is one, else reads the ledger.

use std::process::ExitCode;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::ports::ImportCounts;
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::printable;
use super::scheduling::{offline_state, unknown_to_the_program};
use super::{ConfigFolder, VerbResult, output, project, running};
use crate::config::Project;
use crate::destination::table_location;

/// Show how far each import is: state, files, rows, backlog, watermark.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector status
  s3-connector status orders
  s3-connector status --json | jq '.[].counts.rows'")]
pub struct Status {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; all of them if left out
    datasource: Option<String>,
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
    #[serde(default)]
    last_scan_at: Option<jiff::Timestamp>,
    #[serde(default)]
    last_commit_at: Option<jiff::Timestamp>,
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

impl Counts {
    /// Files in any of these states.
    fn files(&self, states: &[&str]) -> u64 {
        states.iter().map(|state| self.files.get(*state).copied().unwrap_or(0)).sum()
    }
}

impl Status {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let wanted = self.datasource.as_deref().map(|name| project::import(&project, name)).transpose()?;
        let running = running::find(&project);
        let mut status = match &running {
            Some(running) => running.status.clone(),
            None => from_ledger(&project)?,
        };
        if let (Some(spec), Value::Array(all)) = (wanted, &mut status) {
            all.retain(|import| import["import"] == spec.name.as_str());
            if all.is_empty() {
                all.push(unknown(&project, spec)?);
            }
        }
        if self.json {
            output::document(&status);
            return Ok(ExitCode::SUCCESS);
        }
        let imports: Vec<Shown> = serde_json::from_value(status).map_err(|error| {
            Failure::bug("status", format!("the running program is of another version: {error}"))
        })?;
        show(&imports);
        if running.is_none() && !imports.is_empty() {
            output::line("\nno program runs; `s3-connector run` starts one. Why one has ended says its log, on its standard error");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An import that the running program does not know.
fn unknown(project: &Project, spec: &ImportSpec) -> Result<Value, Failure> {
    let ledger = project::open_ledger(project)?;
    let mut status = of_ledger(project, spec, ledger.as_ref())?;
    status["reason"] = unknown_to_the_program();
    Ok(status)
}

/// The status as the ledger has it while no program runs.
fn from_ledger(project: &Project) -> Result<Value, Failure> {
    let ledger = project::open_ledger(project)?;
    let all: Result<Vec<Value>, Failure> =
        project.imports.iter().map(|spec| of_ledger(project, spec, ledger.as_ref())).collect();
    Ok(Value::Array(all?))
}

fn of_ledger(project: &Project, spec: &ImportSpec, ledger: Option<&LedgerReader>) -> Result<Value, Failure> {
    let counts = match ledger {
        // An import that never ran has no counts.
        Some(ledger) => ledger.counts(&spec.name, SystemClock.now())?.unwrap_or_default(),
        None => ImportCounts::default(),
    };
    let record = ledger.map(|ledger| ledger.record(&spec.name)).transpose()?.flatten();
    let (state, reason) = offline_state(record.as_ref());
    Ok(json!({
        "import": spec.name,
        "connection": spec.connection.name,
        "uri": spec.uri.as_str(),
        "schedule": spec.schedule.as_str(),
        "state": state,
        "reason": reason,
        "generation": 0,
        "table": table_location(project, spec),
        "counts": counts,
    }))
}

fn show(imports: &[Shown]) {
    if imports.is_empty() {
        return output::line("there are no data sources with an import");
    }
    let heading = ["IMPORT", "STATE", "INGESTED", "FAILED", "BACKLOG", "ROWS", "QUARANTINED"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for import in imports {
        let counts = &import.counts;
        rows.push(vec![
            import.import.clone(),
            import.state.clone(),
            counts.files(&["ingested"]).to_string(),
            counts.files(&["failed", "quarantined"]).to_string(),
            counts.backlog_files.to_string(),
            counts.rows.to_string(),
            counts.rows_quarantined.to_string(),
        ]);
    }
    output::table(&rows);
    imports.iter().for_each(show_one);
}

fn show_one(import: &Shown) {
    let counts = &import.counts;
    output::line(format!("\n{}: reads {} ({})", import.import, import.uri, import.schedule));
    output::line(format!("  table {}", import.table));
    let watermark = counts.watermark.as_ref().map_or("none yet", |watermark| watermark.last_modified.as_str());
    let skipped = output::count(counts.files(&["skipped"]), "file");
    output::line(format!("  watermark {watermark}, {skipped} skipped"));
    if counts.backlog_files > 0 {
        let files = output::count(counts.backlog_files, "file");
        output::line(format!("  backlog: {files}, {}", output::bytes(counts.backlog_bytes)));
    }
    let times = [("scan", &counts.last_scan_at), ("commit", &counts.last_commit_at)];
    let times: Vec<String> =
        times.iter().filter_map(|(what, at)| Some(format!("last {what} {}", output::time((**at)?)))).collect();
    if !times.is_empty() {
        output::line(format!("  {}", times.join(", ")));
    }
    if counts.schema_version > 0 {
        let reference = counts.reference.as_ref().map_or(String::new(), |key| format!(", schema reference {}", printable(key)));
        output::line(format!("  schema version {}{reference}", counts.schema_version));
    }
    if counts.rows_quarantined > 0 {
        let rows = output::count(counts.rows_quarantined, "row");
        output::line(format!("  {rows} in quarantine: s3-connector quarantine ls {}", import.import));
    }
    if let Some(reason) = &import.reason {
        output::line(format!("  {} ({}): {}", import.state, reason.code, printable(&reason.message)));
    }
    for failed in import.counts.recent_failures.iter().take(SHOWN_FAILURES) {
        output::line(format!("  not in the table: {} ({}): {}", printable(&failed.key), failed.code, printable(&failed.message)));
    }
    let more = import.counts.recent_failures.len().saturating_sub(SHOWN_FAILURES);
    if more > 0 {
        output::line(format!("  and {more} more; --json has them"));
    }
}

/// Failed files shown of each import.
const SHOWN_FAILURES: usize = 5;
