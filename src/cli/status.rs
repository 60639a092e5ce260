//! `status`: how far each import is. Asks the running program if there is one, else reads the ledger.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::ports::ImportCounts;
use serde::Deserialize;

use super::{ConfigFolder, VerbResult, output, project};
use crate::app::table_folder;
use crate::config::Project;

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
        let api = project.settings.listen.api;
        let running = ask_running(api);
        let ours = running.filter(|status| {
            is_of(status, &project) || {
                output::note(format!("note: another s3-connector answers at {api}; this is what the ledger has"));
                false
            }
        });
        let status = match ours {
            Some(status) => status,
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

/// The status as the running program tells it; `None` if none answers.
fn ask_running(api: SocketAddr) -> Option<serde_json::Value> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&api, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // HTTP 1.0: the answer ends with the connection and comes in one piece.
    write!(stream, "GET /api/v1/status HTTP/1.0\r\nHost: {api}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then_some(())?;
    serde_json::from_str(body).ok()
}

/// Whether a status is that of this configuration: it fills our tables.
fn is_of(status: &serde_json::Value, project: &Project) -> bool {
    let tables = |import: &serde_json::Value| import["table"].as_str().map(str::to_owned);
    let theirs: Vec<String> = status.as_array().into_iter().flatten().filter_map(tables).collect();
    project.imports.iter().all(|spec| theirs.contains(&table_folder(project, spec).display().to_string()))
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
        all.push(serde_json::json!({
            "import": spec.name,
            "connection": spec.connection.name,
            "uri": spec.uri.as_str(),
            "schedule": spec.schedule.as_str(),
            "state": "Stopped",
            "reason": null,
            "generation": 0,
            "table": table_folder(project, spec),
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
            files(&["ingested", "quarantined"]),
            files(&["failed"]),
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
            let rows = counts.rows_quarantined;
            output::line(format!("  {rows} rows in quarantine: s3-connector quarantine ls {}", import.import));
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
