//! The Prometheus exporter: takes what events record and renders it for `/metrics`.

use std::time::Duration;

use connector_core::error::{ErrorClass, Failure};
use connector_core::telemetry::{self, CATALOGUE};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::task::JoinHandle;

/// Histograms keep each observation until the next upkeep or scrape, so a process that nobody scrapes needs this.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    #[error("cannot install the metrics exporter: {0}")]
    Install(#[from] BuildError),
}

impl ExporterError {
    /// A second exporter in one process, or a catalogue that the exporter refuses: never the user's doing.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Bug
    }

    pub fn code(&self) -> &'static str {
        "metrics_exporter"
    }
}

impl From<ExporterError> for Failure {
    fn from(error: ExporterError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}

/// Renders everything that was recorded since the process started.
#[derive(Debug)]
pub struct Exporter {
    handle: PrometheusHandle,
    upkeep: JoinHandle<()>,
}

impl Exporter {
    /// Makes this the recorder of the whole process. Called once, inside a tokio runtime, before any event is emitted.
    ///
    /// # Errors
    /// If the process has a recorder already.
    pub fn install() -> Result<Self, ExporterError> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
        telemetry::describe_all();
        let upkeep = tokio::spawn(run_upkeep(handle.clone()));
        Ok(Self { handle, upkeep })
    }

    /// Everything recorded so far, in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

/// A recorder whose histograms have the buckets of the catalogue.
fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for spec in CATALOGUE {
        if let Some(buckets) = spec.buckets {
            builder = builder.set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

async fn run_upkeep(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}
