//! `status`: how far each import is. Asks the running program if there is one, else reads the ledger.

use std::process::ExitCode;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::{ErrorClass, Failure};
use connector_core::ports::ImportCounts;
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::printable;
use super::running::Running;
use super::scheduling::{offline_state, unknown_to_the_program};
use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, running};
use crate::config::Project;
use crate::destination::table_location;

/// Show how far each import is: state, files, rows, backlog, watermark.
#[derive(Args)]
#[command(after_help = "\
If the files of the configuration are broken, the program that runs goes on with those that it
took before: then this says how far that is, and what it refuses. With --json each import then has
it in its field configuration.

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
    #[serde(default)]
    deferrals: Vec<Deferred>,
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

#[derive(Deserialize)]
struct Deferred {
    key: String,
    code: String,
    message: String,
    not_before: jiff::Timestamp,
}

impl Counts {
    /// Files in any of these states.
    fn files(&self, states: &[&str]) -> u64 {
        states.iter().map(|state| self.files.get(*state).copied().unwrap_or(0)).sum()
    }
}

impl Status {
    pub fn execute(self) -> VerbResult {
        let project = match project::load_project(&self.folder) {
            Ok(project) => project,
            // The program goes on with the configuration that it took before, so there is more to say than that.
            Err(problems) => return self.beside_broken_files(problems),
        };
        let wanted = self.datasource.as_deref().map(|name| project::import(&project, name)).transpose()?;
        let running = running::find(&project);
        let mut status = match &running {
            Some(running) => configured(running),
            None => from_ledger(&project)?,
        };
        if let (Some(spec), Value::Array(all)) = (wanted, &mut status) {
            all.retain(|import| import["import"] == spec.name.as_str());
            if all.is_empty() {
                all.push(unknown(&project, spec, running.is_some())?);
            }
        }
        self.tell(status, running.as_ref())?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the running program says of itself and of the files that it does not take.
    fn beside_broken_files(&self, problems: Ended) -> VerbResult {
        let settings = project::settings_of(&self.folder)?;
        let Some(running) = running::find_by(&settings, "mend the configuration first") else { return Err(problems) };
        let mut status = configured(&running);
        if let (Some(name), Value::Array(all)) = (&self.datasource, &mut status) {
            all.retain(|import| import["import"] == name.as_str());
            if all.is_empty() {
                let message = format!("the running program knows no data source {name} with an import");
                return Err(Failure::config("unknown_data_source", message).into());
            }
        }
        self.tell(status, Some(&running))?;
        output::note(
            "the files of the configuration have problems; the program goes on with those that it took before",
        );
        Ok(code_of(ErrorClass::Config))
    }

    fn tell(&self, status: Value, running: Option<&Running<'_>>) -> Result<(), Failure> {
        if self.json {
            output::document(&status);
            return Ok(());
        }
        let imports: Vec<Shown> = serde_json::from_value(status)
            .map_err(|error| Failure::bug("status", format!("the running program is of another version: {error}")))?;
        show(&imports);
        match running {
            Some(running) => configuration_lines(&running.config).iter().for_each(output::line),
            None if imports.is_empty() => {}
            None => output::line(
                "\nno program runs; `s3-connector run` starts one; if one has ended, its log, on its standard error, says why",
            ),
        }
        Ok(())
    }
}

/// The status of all imports, each with how it stands with the configuration of the program, if there is something to
/// know of it.
fn configured(running: &Running<'_>) -> Value {
    let mut status = running.status.clone();
    if configuration_lines(&running.config).is_empty() {
        return status;
    }
    for import in status.as_array_mut().into_iter().flatten() {
        import["configuration"] = running.config.clone();
    }
    status
}

/// How it stands with the configuration of the running program, as far as it tells and somebody has to know.
fn configuration_lines(config: &Value) -> Vec<String> {
    let time = |value: &Value| value.as_str().and_then(|at| at.parse().ok()).map_or_else(String::new, output::time);
    let mut lines = Vec::new();
    if config["refused"].is_object() {
        let refused = &config["refused"];
        let (code, message) = (refused["code"].as_str().unwrap_or_default(), refused["message"].as_str());
        let (at, loaded) = (time(&refused["at"]), time(&config["loaded_at"]));
        lines.push(format!(
            "\nthe program refused the configuration of {at} ({code}) and goes on with that of {loaded}:"
        ));
        lines.extend(message.unwrap_or_default().trim_end().lines().map(|line| format!("  {line}")));
        lines.push("  mend it and save, or see what would come of it: s3-connector push --dry-run".to_owned());
    }
    let settings: Vec<&str> =
        config["restart_needed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !settings.is_empty() {
        lines.push(format!("\nto take effect when the program is started again: {}", settings.join(", ")));
    }
    lines
}

/// An import that the running program does not know.
fn unknown(project: &Project, spec: &ImportSpec, runs: bool) -> Result<Value, Failure> {
    let ledger = project::open_ledger(project)?;
    let mut status = of_ledger(project, spec, ledger.as_ref())?;
    if runs {
        status["reason"] = unknown_to_the_program();
    }
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
        let reference =
            counts.reference.as_ref().map_or(String::new(), |key| format!(", schema reference {}", printable(key)));
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
        output::line(format!(
            "  not in the table: {} ({}): {}",
            printable(&failed.key),
            failed.code,
            printable(&failed.message)
        ));
    }
    let more = import.counts.recent_failures.len().saturating_sub(SHOWN_FAILURES);
    if more > 0 {
        output::line(format!("  and {more} more; --json has them"));
    }
    show_deferrals(&counts.deferrals);
}

/// What could not be read: nothing else says why an import that runs brings no rows.
fn show_deferrals(deferrals: &[Deferred]) {
    for deferred in deferrals.iter().take(SHOWN_FAILURES) {
        output::line(format!(
            "  deferred until {}: {} ({}): {}",
            output::time(deferred.not_before),
            printable(&deferred.key),
            deferred.code,
            printable(&deferred.message)
        ));
    }
    let more = deferrals.len().saturating_sub(SHOWN_FAILURES);
    if more > 0 {
        output::line(format!("  and {more} more are deferred; --json has them"));
    }
}

/// Failed files, and deferred ones, shown of each import.
const SHOWN_FAILURES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_and_a_program_that_does_not_tell_is_no_error() {
        assert_eq!(configuration_lines(&Value::Null), [""; 0]);
        assert_eq!(configuration_lines(&json!({ "data_dir": "d", "refused": null, "restart_needed": [] })), [""; 0]);
        let refused = json!({
            "loaded_at": "2026-01-02T03:04:05Z",
            "refused": { "at": "2026-01-03T03:04:05Z", "code": "bad_configuration", "message": "one\ntwo\n" },
            "restart_needed": ["log.level", "limits.memory"],
        });
        let lines = configuration_lines(&refused).join("\n");
        for part in ["bad_configuration", "\n  one\n  two\n", "push --dry-run", "log.level, limits.memory"] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
        assert!(configuration_lines(&json!({ "refused": {} })).len() == 2, "tolerant of what it does not know");
    }
}
