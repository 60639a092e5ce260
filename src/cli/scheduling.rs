//! `datasource scheduling`: is an import paused, and why; pausing and resuming it. Tells the running program if there is
//! one, else writes the ledger.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::ports::{ImportRecord, Ledger, Reread};
use connector_core::status::{ImportState, StateReason};
use connector_ledger::{LedgerReader, SqliteLedger};
use serde_json::{Value, json};

use super::{ConfigFolder, VerbResult, operation, output, project, running, runtime};
use crate::config::Project;

/// Say whether an import is paused, and why; pause and resume it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource scheduling state orders
  s3-connector datasource scheduling resume orders    also after the guard has paused it: the next batch is
                                                      then taken as it is")]
pub struct Scheduling {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Say whether the import runs, is paused or is stopped, and why
    #[command(after_help = "Examples:\n  s3-connector datasource scheduling state orders")]
    State(Named),
    /// Claim no more files until it is resumed; survives a restart
    #[command(after_help = "Examples:\n  s3-connector datasource scheduling pause orders")]
    Pause(Named),
    /// Go on. After the guard has paused the import, its next batch is taken as it is
    #[command(after_help = "Examples:\n  s3-connector datasource scheduling resume orders")]
    Resume(Named),
}

#[derive(Args)]
struct Named {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Scheduling {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::State(named) => named.state(),
            Verb::Pause(named) => named.set_paused(true),
            Verb::Resume(named) => named.set_paused(false),
        }
    }
}

/// The state of an import while no program runs.
pub(super) fn offline_state(record: Option<&ImportRecord>) -> (ImportState, Option<StateReason>) {
    let Some(record) = record.filter(|record| record.paused) else { return (ImportState::Stopped, None) };
    let by_guard = |message: &String| {
        let code = if Reread::is_reason(message) { "reread" } else { "too_many_bad_rows" };
        StateReason { code: code.to_owned(), message: message.clone() }
    };
    (ImportState::Paused, record.guard_reason.as_ref().map(by_guard))
}

impl Named {
    fn state(&self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let name = &project::import(&project, &self.datasource)?.name;
        let (state, reason) = match running::find(&project) {
            Some(running) => match running.import(name.as_str()) {
                Some(import) => (import["state"].as_str().unwrap_or_default().to_owned(), import["reason"].clone()),
                None => ("Stopped".to_owned(), unknown_to_the_program()),
            },
            None => {
                let record = recorded(&project, name)?;
                let (state, reason) = offline_state(record.as_ref());
                (state.to_string(), json!(reason))
            }
        };
        if self.json {
            output::document(&json!({ "import": name, "state": state, "reason": reason }));
            return Ok(ExitCode::SUCCESS);
        }
        let why = match (&*state, reason["message"].as_str()) {
            (_, Some(reason)) => format!(": {reason}"),
            ("Paused", None) => format!(": by hand; s3-connector datasource scheduling resume {name} goes on"),
            ("Stopped", None) => ": no program runs; s3-connector run starts one".to_owned(),
            _ => String::new(),
        };
        output::line(format!("{name}: {state}{why}"));
        Ok(ExitCode::SUCCESS)
    }

    fn set_paused(&self, paused: bool) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let name = &project::import(&project, &self.datasource)?.name;
        let record = recorded(&project, name)?;
        let running = running::find_by(&project.settings, running::HERE);
        match &running {
            Some(running) => running.command(name.as_str(), if paused { "pause" } else { "resume" }).map(drop)?,
            None => {
                write(&project, name, record.as_ref(), paused).map_err(|ended| operation::in_use(ended, &project))?
            }
        }
        if self.json {
            output::document(&json!({ "import": name, "paused": paused, "running": running.is_some() }));
            return Ok(ExitCode::SUCCESS);
        }
        let by_guard = record.is_some_and(|record| record.paused && record.guard_reason.is_some());
        let next = match (paused, running.is_some()) {
            (true, _) => format!("; s3-connector datasource scheduling resume {name} goes on"),
            (false, _) if by_guard => "; its next batch is taken as it is".to_owned(),
            (false, true) => String::new(),
            (false, false) => "; it goes on with the next s3-connector run".to_owned(),
        };
        output::line(format!("{name}: {}{next}", if paused { "paused" } else { "resumed" }));
        Ok(ExitCode::SUCCESS)
    }
}

/// Why an import of the configuration is none of the running program's.
pub(super) fn unknown_to_the_program() -> Value {
    let message = "the running program does not know it: its configuration is older than the files here; s3-connector push \
                   has it read them, or says why it refuses them";
    json!({ "code": "unknown_import", "message": message })
}

/// What the ledger knows of an import; `None` if it never ran.
fn recorded(project: &Project, name: &ImportName) -> Result<Option<ImportRecord>, Failure> {
    match LedgerReader::open(&project.settings.data_dir)? {
        Some(ledger) => Ok(ledger.record(name)?),
        None => Ok(None),
    }
}

/// Writes to the ledger, which nobody else may do meanwhile.
fn write(
    project: &Project,
    name: &ImportName,
    record: Option<&ImportRecord>,
    paused: bool,
) -> Result<(), super::Ended> {
    if record.is_none() {
        let data_dir = project.settings.data_dir.display();
        let message = format!("{name} never ran with the data directory {data_dir}, so there is nothing to do");
        return Err(Failure::config("never_ran", message).into());
    }
    let data_dir = project.settings.data_dir.clone();
    runtime::block_on(|_| async move {
        let ledger = SqliteLedger::open(&data_dir).map_err(Failure::from)?;
        Ok(ledger.set_paused(name, paused).await?)
    })
}
