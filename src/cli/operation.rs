//! Carrying an operation out for a verb: by the running program, if there is one, else here.

use std::path::Path;
use std::sync::Arc;

use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::ports::ImportRecord;
use connector_core::spec::{ImportSpec, Schedule};
use connector_ledger::{LedgerReader, SqliteLedger};
use serde_json::Value;

use super::signals::DRAIN;
use super::{Ended, running, runtime};
use crate::app::{App, Service};
use crate::config::Project;
use crate::destination::Destinations;
use crate::operations::{NoParameters, Operation, mend, retry};

/// Returns the summary of the operation.
///
/// # Errors
/// If the running program refuses it, or of the import, the ledger or the tables.
pub(super) fn carry_out(project: &Project, spec: &ImportSpec, operation: Operation) -> Result<Value, Ended> {
    if let Some(running) = running::find_by(&project.settings, running::HERE) {
        if matches!(operation, Operation::Replay(_)) {
            // What is moved goes by the data source as it is now.
            running.reload(&[], false)?;
        }
        return Ok(running.operate(spec.name.as_str(), &operation)?);
    }
    if operation.mending().is_none() {
        has_run(project, spec.name.as_str())?;
    }
    here(project.clone(), spec.clone(), operation).map_err(|ended| in_use(ended, project))
}

/// Maintenance of several imports, one after the other; one that fails keeps none of the others from it. Each is told as
/// soon as it is done.
///
/// # Errors
/// If none of them could begin.
pub(super) fn maintain(
    project: &Project,
    wanted: &[&ImportSpec],
    mut told: impl FnMut(&str, Result<Value, Failure>),
) -> Result<(), Ended> {
    let operation = || Operation::Maintain(NoParameters {});
    if let Some(running) = running::find_by(&project.settings, running::HERE) {
        for spec in wanted {
            told(spec.name.as_str(), running.operate(spec.name.as_str(), &operation()));
        }
        return Ok(());
    }
    has_run(project, "the configuration")?;
    let (names, own): (Vec<_>, _) = (wanted.iter().map(|spec| spec.name.clone()).collect(), project.clone());
    let done = runtime::block_on(|io| async move {
        let app = App::start(only(own, &names), io, Service::None).await?;
        for spec in &app.project().imports {
            told(spec.name.as_str(), app.operate(spec, operation()).await);
        }
        app.stop(DRAIN).await;
        Ok(())
    });
    done.map_err(|ended| in_use(ended, project))
}

/// Only these imports, and without ticks: nothing but what is asked for shall happen.
fn only(mut project: Project, names: &[ImportName]) -> Project {
    project.imports.retain(|spec| names.contains(&spec.name));
    project.imports.iter_mut().for_each(|spec| spec.schedule = Schedule::OnDemand);
    project
}

fn has_run(project: &Project, what: &str) -> Result<(), Failure> {
    if open(&project.settings.data_dir)?.is_some() {
        return Ok(());
    }
    let data_dir = project.settings.data_dir.display();
    let message = format!("{what} never ran with the data directory {data_dir}, so there is nothing to do");
    Err(Failure::config("never_ran", message))
}

/// Nobody answers at the API, but somebody has the data directory.
pub(super) fn in_use(ended: Ended, project: &Project) -> Ended {
    match ended {
        Ended::Failed(mut failure) if failure.code == "data_dir_in_use" => {
            let (data_dir, api) = (project.settings.data_dir.display(), project.settings.listen.api);
            failure.message = format!(
                "a program uses the data directory {data_dir} and does not answer at {api}: try again if it is just starting, \
                 or give its address if it listens elsewhere (listen.api); if it hangs, end it and start it again with \
                 s3-connector run, which loses nothing"
            );
            Ended::Failed(failure)
        }
        other => other,
    }
}

/// Without a running program.
fn here(project: Project, spec: ImportSpec, operation: Operation) -> Result<Value, Ended> {
    runtime::block_on(|io| async move {
        let clock = SystemClock;
        if let Operation::Retry(parameters) = operation {
            let ledger = SqliteLedger::open(&project.settings.data_dir).map_err(Failure::from)?;
            return Ok(retry(&ledger, &spec.name, parameters, &clock).await?);
        }
        if let Some(how) = operation.mending() {
            let data_dir = &project.settings.data_dir;
            let ledger = SqliteLedger::open(data_dir).map_err(Failure::from)?;
            let tables = Destinations::new(&project, Arc::new(SystemClock), io)?.tables(&spec)?;
            let known = known(data_dir, &spec)?;
            let now = connector_core::clock::Clock::now(&clock);
            return Ok(mend(&ledger, known.as_ref(), &tables, &spec, how, now).await?);
        }
        let app = App::start(only(project, std::slice::from_ref(&spec.name)), io, Service::None).await?;
        let summary = app.operate(&spec, operation).await;
        app.stop(DRAIN).await;
        Ok(summary?)
    })
}

fn open(data_dir: &Path) -> Result<Option<LedgerReader>, Failure> {
    Ok(LedgerReader::open(data_dir)?)
}

/// What the ledger has of an import.
fn known(data_dir: &Path, spec: &ImportSpec) -> Result<Option<ImportRecord>, Failure> {
    match open(data_dir)? {
        Some(ledger) => Ok(ledger.record(&spec.name)?),
        None => Ok(None),
    }
}
