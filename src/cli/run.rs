//! `run`: all imports, until stopped, or once.

use std::process::ExitCode;

use clap::Args;
use tokio::runtime::Handle;

use super::signals::{Asked, DRAIN, StopSignals};
use super::{ConfigFolder, Ended, VerbResult, once, output, project, runtime};
use crate::app::live::Source;
use crate::app::{App, Service};
use crate::config::{Project, process_variable};
use crate::logging;

/// Run all imports.
///
/// Imports with IMPORT_SCHEDULE @auto read what has landed once a minute, at most 5 files each; those with @on-demand
/// wait for a sync. What is saved in the configuration folder takes effect within seconds, and SIGHUP has it read at once;
/// if it has an error, the program goes on with what it had, and `status` says why. SIGTERM or Ctrl-C ends the program within 10
/// seconds; whatever happens, the next start goes on where this one was.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector run
  s3-connector run --config /etc/s3-connector
  s3-connector run --once          everything that is new, without a cap; for cron
  s3-connector run --once --json

Without --once there is no --json: the log tells what happens, and with log.format = \"json\" as
one JSON object a line.")]
pub struct Run {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Import everything that is new, once, and end; the exit code says how it went
    #[arg(long)]
    once: bool,
    /// Print JSON: one object for each import
    #[arg(long, requires = "once")]
    json: bool,
}

impl Run {
    pub fn execute(self) -> VerbResult {
        let source = project::source(&self.folder.config, process_variable)?;
        let project = project::load_project(&self.folder)?;
        logging::start(&project.settings.log);
        if self.once {
            runtime::block_on(|io| once::run(project, io, self.json))
        } else {
            runtime::block_on(|io| daemon(project, source, io))
        }
    }
}

async fn daemon(project: Project, source: Source, io: Handle) -> Result<ExitCode, Ended> {
    let mut signals = StopSignals::listen()?.listen_for_hang_up()?;
    let app = App::start(project, io, Service::Daemon(Some(source))).await?;
    if let Some(servers) = app.servers() {
        tracing::info!(
            metrics = %format!("http://{}/metrics", servers.metrics_address()),
            api = %format!("http://{}", servers.api_address()),
            "listening"
        );
    }
    let signal = loop {
        match signals.next().await {
            Asked::ToStop(signal) => break signal,
            Asked::ToReload => {
                tracing::info!("SIGHUP: reading the configuration again");
                app.reload();
            }
        }
    };
    tracing::info!(signal, "stopping");
    app.stop(DRAIN).await;
    output::note("stopped; the next start goes on from here");
    Ok(ExitCode::SUCCESS)
}
