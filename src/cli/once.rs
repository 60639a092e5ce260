//! `run --once`: one on-demand sync of every import, side by side, and a summary.

use std::process::ExitCode;

use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::ImportName;
use connector_core::ports::{ImportCounts, Ledger};
use connector_core::spec::Schedule;
use tokio::runtime::Handle;

use super::signals::{DRAIN, StopSignals};
use super::{Ended, code_of, output, worse};
use crate::app::{App, Service};
use crate::config::Project;

/// The exit code of a process that was interrupted.
const INTERRUPTED: u8 = 130;

pub(super) async fn run(mut project: Project, io: Handle) -> Result<ExitCode, Ended> {
    let mut signals = StopSignals::listen()?;
    // Nothing but the sync runs: no tick of an import that is done while others are not.
    project.imports.iter_mut().for_each(|spec| spec.schedule = Schedule::OnDemand);
    let app = App::start(project, io, Service::None).await?;
    let names: Vec<ImportName> = app.project().imports.iter().map(|spec| spec.name.clone()).collect();
    let syncs = futures::future::join_all(names.iter().map(|name| sync(&app, name)));
    let results = tokio::select! {
        results = syncs => results,
        signal = signals.wait() => {
            output::note(format!("{signal}: stopping; what is not finished goes on with the next start"));
            app.stop(DRAIN).await;
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    let code = summarise(&app, &names, &results);
    app.stop(DRAIN).await;
    Ok(code)
}

/// What the sync of one import did, as the ledger has it.
struct Synced {
    ingested: u64,
    rows: u64,
    quarantined: u64,
    /// Files that do not fit as a whole, and files that cannot be read.
    failed: u64,
    deferred: u64,
    failure: Option<Failure>,
}

/// Counts in the ledger, before and after: an attempt that was interrupted may have done some of the work.
async fn sync(app: &App, import: &ImportName) -> Synced {
    let counts = async || app.ledger().counts(import, app.now()).await.unwrap_or_default();
    let files = |counts: &ImportCounts, state: &str| counts.files.get(state).copied().unwrap_or(0);
    let before = counts().await;
    let result = app.sync(import).await;
    let after = counts().await;
    let more = |state: &str| files(&after, state).saturating_sub(files(&before, state));
    Synced {
        ingested: more("ingested"),
        rows: after.rows.saturating_sub(before.rows),
        quarantined: after.rows_quarantined.saturating_sub(before.rows_quarantined),
        failed: more("failed") + more("quarantined"),
        deferred: result.as_ref().map_or(0, |summary| summary.files_deferred),
        failure: result.err(),
    }
}

fn summarise(app: &App, names: &[ImportName], results: &[Synced]) -> ExitCode {
    let mut rows =
        vec![["IMPORT", "FILES", "ROWS", "QUARANTINED", "FAILED", "DEFERRED", "TABLE"].map(str::to_owned).to_vec()];
    let mut worst: Option<ErrorClass> = None;
    for (name, synced) in names.iter().zip(results) {
        let spec = app.project().imports.iter().find(|spec| spec.name == *name);
        let table = spec.map(|spec| app.destinations().table_location(spec)).unwrap_or_default();
        if let Some(failure) = &synced.failure {
            output::error(&format!("{name}: {failure}"));
        }
        worst = worse(worst, class_of(synced));
        let counts = [synced.ingested, synced.rows, synced.quarantined, synced.failed, synced.deferred];
        let counts = counts.map(|count| count.to_string());
        rows.push([vec![name.to_string()], counts.to_vec(), vec![table]].concat());
    }
    output::table(&rows);
    if worst == Some(ErrorClass::Data) {
        output::note("some files failed or do not fit; `s3-connector status` says which and why");
    }
    if results.iter().any(|synced| synced.quarantined > 0) {
        output::note("some rows do not fit and are in quarantine; `s3-connector quarantine ls` says why");
    }
    worst.map_or(ExitCode::SUCCESS, code_of)
}

/// What a sync left undone.
fn class_of(synced: &Synced) -> Option<ErrorClass> {
    match &synced.failure {
        Some(failure) => Some(failure.class),
        None if synced.failed > 0 => Some(ErrorClass::Data),
        None => (synced.deferred > 0).then_some(ErrorClass::Transient),
    }
}
