//! `run --once`: one on-demand sync of every import, side by side, and a summary.

use std::process::ExitCode;

use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::ImportName;
use connector_core::ports::{ImportCounts, Ledger};
use connector_core::spec::Schedule;
use serde::{Serialize, Serializer};
use serde_json::json;
use tokio::runtime::Handle;

use super::signals::{DRAIN, StopSignals};
use super::{Ended, code_of, output, worse};
use crate::app::{App, Service};
use crate::config::Project;

/// The exit code of a process that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

pub(super) async fn run(mut project: Project, io: Handle, json: bool) -> Result<ExitCode, Ended> {
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
            if json {
                output::failure_document(&interrupted(signal));
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    let code = summarise(&results, json);
    app.stop(DRAIN).await;
    Ok(code)
}

/// What `--json` says if a signal ended it.
pub(super) fn interrupted(signal: &str) -> Failure {
    Failure::transient("interrupted", format!("{signal} ended it; what is not finished goes on with the next start"))
}

/// What the sync of one import did.
#[derive(Serialize)]
pub(super) struct Synced {
    pub(super) import: String,
    pub(super) table: String,
    /// Files whose rows are in the table.
    pub(super) files: u64,
    pub(super) rows: u64,
    pub(super) rows_quarantined: u64,
    /// Files that do not fit as a whole, and files that cannot be read.
    pub(super) files_failed: u64,
    pub(super) files_deferred: u64,
    #[serde(serialize_with = "as_json")]
    pub(super) error: Option<Failure>,
}

fn as_json<S: Serializer>(failure: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    let json = |Failure { class, code, message }: &Failure| json!({ "class": class, "code": code, "message": message });
    failure.as_ref().map(json).serialize(serializer)
}

/// Syncs one import. Counted in the ledger, before and after: an attempt that was interrupted may have done some of the
/// work.
pub(super) async fn sync(app: &App, import: &ImportName) -> Synced {
    let counts = async || app.ledger().counts(import, app.now()).await.unwrap_or_default();
    let files = |counts: &ImportCounts, state: &str| counts.files.get(state).copied().unwrap_or(0);
    let before = counts().await;
    let result = app.sync(import).await;
    let after = counts().await;
    let more = |state: &str| files(&after, state).saturating_sub(files(&before, state));
    let spec = app.project().imports.iter().find(|spec| spec.name == *import);
    Synced {
        import: import.to_string(),
        table: spec.map(|spec| app.destinations().table_location(spec)).unwrap_or_default(),
        files: more("ingested"),
        rows: after.rows.saturating_sub(before.rows),
        rows_quarantined: after.rows_quarantined.saturating_sub(before.rows_quarantined),
        files_failed: more("failed") + more("quarantined"),
        files_deferred: result.as_ref().map_or(0, |summary| summary.files_deferred),
        error: result.err(),
    }
}

/// Tells how the syncs went: a table or, with `json`, a list of one object for each import. Returns the exit code.
fn summarise(results: &[Synced], json: bool) -> ExitCode {
    if json {
        output::document(&json!(results));
    }
    for synced in results {
        if let Some(failure) = &synced.error {
            output::error(&format!("{}: {failure}", synced.import));
        }
    }
    if !json {
        show(results);
    }
    let worst = results.iter().map(class_of).fold(None, worse);
    worst.map_or(ExitCode::SUCCESS, code_of)
}

/// A table, and notes on what to look at.
pub(super) fn show(results: &[Synced]) {
    let heading = ["IMPORT", "FILES", "ROWS", "QUARANTINED", "FAILED", "DEFERRED", "TABLE"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for synced in results {
        let counts = [synced.files, synced.rows, synced.rows_quarantined, synced.files_failed, synced.files_deferred];
        let counts = counts.map(|count| count.to_string());
        rows.push([vec![synced.import.clone()], counts.to_vec(), vec![synced.table.clone()]].concat());
    }
    output::table(&rows);
    if results.iter().map(class_of).fold(None, worse) == Some(ErrorClass::Data) {
        output::note("some files failed or do not fit; `s3-connector status` says which and why");
    }
    if results.iter().any(|synced| synced.files_deferred > 0) {
        output::note(
            "some files could not be read and are tried again later; `s3-connector status` says which and why",
        );
    }
    if results.iter().any(|synced| synced.rows_quarantined > 0) {
        output::note("some rows do not fit and are in quarantine; `s3-connector quarantine ls` says why");
    }
}

/// What a sync left undone.
pub(super) fn class_of(synced: &Synced) -> Option<ErrorClass> {
    match &synced.error {
        Some(failure) => Some(failure.class),
        None if synced.files_failed > 0 => Some(ErrorClass::Data),
        None => (synced.files_deferred > 0).then_some(ErrorClass::Transient),
    }
}
