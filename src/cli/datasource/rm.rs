//! `datasource rm`: ends an import; with `--purge` also removes its tables and what the ledger has of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::ImportName;
use connector_datafile::suggest::nearest;
use connector_ledger::{LedgerReader, SqliteLedger};
use serde_json::{Value, json};

use super::super::connection::ask::agree;
use super::super::connection::files::Files;
use super::super::operation::in_use;
use super::super::running::{self, Running};
use super::super::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use crate::config::Project;
use crate::destination::Destinations;
use crate::operations::purge;

/// Remove a data source: its file goes, and its import ends. Table, quarantine and ledger keep what they have, and if the
/// file comes back, the import goes on where it was.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource rm orders
  s3-connector datasource rm orders --purge        also its tables, and its trace in the ledger
  s3-connector datasource rm orders --purge --yes  without a question")]
pub(super) struct Rm {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; with --purge also one whose file is gone already
    datasource: String,
    /// Also remove its table, its quarantine table, and what the ledger knows of its files
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long an open batch may take to end before a purge is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(200);

impl Rm {
    pub(super) fn execute(self) -> VerbResult {
        let files = Files::read(&self.folder.config)?;
        let found = files.datasources.iter().find(|(_, source)| source.name == self.datasource);
        let file = found.map(|(path, _)| path.as_path());
        if file.is_none() && !self.purge {
            return Err(unknown(&files, &self.datasource, &self.folder.config).into());
        }
        agree(self.yes, &self.question(file))?;
        if let Some(path) = file {
            fs::remove_file(path).map_err(|error| {
                let message = format!("{} cannot be removed: {error}; check the rights of its folder", path.display());
                Failure::config("unremovable", message)
            })?;
        }
        if !self.json {
            file.iter().for_each(|path| output::line(format!("removed {}", path.display())));
        }
        // What is left has to be right: the running program goes over to it, and a purge needs its settings.
        let project = project::load_project(&self.folder)?;
        let running = running::find_by(&project.settings, running::HERE);
        if let Some(running) = &running {
            running.reload(&[], false)?;
        }
        let tables = if self.purge { self.purge(&project, running.as_ref())? } else { Vec::new() };
        self.tell(&project, file, running.is_some(), &tables);
        Ok(ExitCode::SUCCESS)
    }

    fn question(&self, file: Option<&Path>) -> String {
        let name = &self.datasource;
        let file = file.map(|path| path.display().to_string());
        match (file, self.purge) {
            (Some(file), false) => format!("remove {file} and end the import? its table stays"),
            (Some(file), true) => {
                format!(
                    "remove {file}, the table of {name}, its quarantine, and what the ledger knows of it, for good?"
                )
            }
            (None, _) => {
                format!("remove the table of {name}, its quarantine, and what the ledger knows of it, for good?")
            }
        }
    }

    /// The places of the tables that were removed.
    fn purge(&self, project: &Project, running: Option<&Running<'_>>) -> Result<Vec<String>, Ended> {
        let summary = match running {
            Some(running) => self.ask_to_purge(running)?,
            None => purge_here(project.clone(), &self.datasource).map_err(|ended| in_use(ended, project))?,
        };
        let tables = summary["tables"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(tables.map(str::to_owned).collect())
    }

    /// Waits for the end of its open batch.
    fn ask_to_purge(&self, running: &Running<'_>) -> Result<Value, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match running.purge(&self.datasource) {
                Err(failure) if failure.class == ErrorClass::Transient && Instant::now() < deadline => {
                    std::thread::sleep(PACE);
                }
                done => return done,
            }
        }
    }

    fn tell(&self, project: &Project, file: Option<&Path>, ended: bool, tables: &[String]) {
        let file = file.map(|path| path.display().to_string());
        if self.json {
            output::line(json!({ "removed": file, "tables": tables, "purged": self.purge }).to_string());
            return;
        }
        tables.iter().for_each(|removed| output::line(format!("removed {removed}")));
        if ended {
            output::note(format!("note: the running program has ended the import {}", self.datasource));
        }
        if !self.purge {
            let table = crate::destination::location_of(project, &self.datasource);
            output::note(format!(
                "note: its table stays at {table}, if it has one; to remove that too: s3-connector datasource rm {} --purge",
                self.datasource
            ));
        }
    }
}

fn unknown(files: &Files, name: &str, folder: &Path) -> Failure {
    let names: Vec<&str> = files.datasources.iter().map(|(_, source)| source.name.as_str()).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => format!("there is none at all in the folder {}", folder.display()),
        None => format!("there are: {}", names.join(", ")),
    };
    Failure::config("unknown_data_source", format!("there is no data source {name}; {hint}"))
}

/// While no program runs.
fn purge_here(project: Project, name: &str) -> Result<Value, Ended> {
    let data_dir = &project.settings.data_dir;
    // A data directory is not made in order to remove something from it.
    if LedgerReader::open(data_dir).map_err(Failure::from)?.is_none() {
        let message = format!("there is nothing of {name} to remove: nothing ever ran with {}", data_dir.display());
        return Err(Failure::config("never_ran", message).into());
    }
    let import = ImportName::new(name);
    runtime::block_on(|io| async move {
        let ledger = SqliteLedger::open(&project.settings.data_dir).map_err(Failure::from)?;
        let destinations = Destinations::new(&project, Arc::new(SystemClock), io)?;
        Ok(purge(&ledger, &project.settings.data_dir, &destinations, &import).await?)
    })
}
