//! `run --once`: one on-demand sync of every import, side by side, and a summary.

use std::process::ExitCode;

use connector_actors::messages::control::SyncSummary;
use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::ImportName;
use tokio::runtime::Handle;

use super::signals::{DRAIN, StopSignals};
use super::{Ended, code_of, output, worse};
use crate::app::{App, table_folder};
use crate::config::Project;

/// The exit code of a process that was interrupted.
const INTERRUPTED: u8 = 130;

pub(super) async fn run(project: Project, io: Handle) -> Result<ExitCode, Ended> {
    let mut signals = StopSignals::listen()?;
    let app = App::start(project, io, false).await?;
    let names: Vec<ImportName> = app.project().imports.iter().map(|spec| spec.name.clone()).collect();
    let syncs = futures::future::join_all(names.iter().map(|name| app.sync(name)));
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

fn summarise(app: &App, names: &[ImportName], results: &[Result<SyncSummary, Failure>]) -> ExitCode {
    let mut rows = vec![["IMPORT", "FILES", "ROWS", "FAILED", "DEFERRED", "TABLE"].map(str::to_owned).to_vec()];
    let mut worst: Option<ErrorClass> = None;
    for (name, result) in names.iter().zip(results) {
        let spec = app.project().imports.iter().find(|spec| spec.name == *name);
        let table = spec.map(|spec| table_folder(app.project(), spec).display().to_string()).unwrap_or_default();
        let (counts, class) = match result {
            Ok(summary) => {
                let counts = [summary.files_ingested, summary.rows, summary.files_failed, summary.files_deferred];
                (counts.map(|count| count.to_string()).to_vec(), class_of(summary))
            }
            Err(failure) => {
                output::error(&format!("{name}: {failure}"));
                (vec!["-".to_owned(); 4], Some(failure.class))
            }
        };
        worst = worse(worst, class);
        rows.push([vec![name.to_string()], counts, vec![table]].concat());
    }
    output::table(&rows);
    worst.map_or(ExitCode::SUCCESS, code_of)
}

/// What a finished sync left undone.
fn class_of(summary: &SyncSummary) -> Option<ErrorClass> {
    if summary.files_failed > 0 {
        Some(ErrorClass::Data)
    } else {
        (summary.files_deferred > 0).then_some(ErrorClass::Transient)
    }
}
