//! Events of the process as a whole.

use metrics::SharedString;
use tracing::{info, warn};

use crate::telemetry;

/// The program starts.
#[derive(Clone, Copy, Debug)]
pub struct ProcessStarted<'a> {
    /// The version of the program, such as `0.1.0`.
    pub version: &'a str,
    pub imports: usize,
}

impl ProcessStarted<'_> {
    pub fn emit(&self) {
        telemetry::BUILD_INFO.set(vec![SharedString::from(self.version.to_owned())], 1.0);
        for outcome in [APPLIED, REFUSED] {
            telemetry::CONFIG_RELOADS.add(vec![SharedString::const_str(outcome)], 0);
        }
        telemetry::CONFIG_CURRENT.set(Vec::new(), 1.0);
        info!(version = self.version, imports = self.imports, "program started");
    }
}

/// How much of the memory budget is granted. Gauges only: it is measured every few seconds.
#[derive(Clone, Copy, Debug)]
pub struct CreditMeasured {
    pub bytes: u64,
    pub limit_bytes: u64,
}

impl CreditMeasured {
    pub fn emit(&self) {
        telemetry::MEMORY_CREDIT.set(Vec::new(), self.bytes as f64);
        telemetry::MEMORY_CREDIT_LIMIT.set(Vec::new(), self.limit_bytes as f64);
    }
}

/// How busy the CPU pool is. Gauges only: it is measured every few seconds.
#[derive(Clone, Copy, Debug)]
pub struct PoolMeasured {
    /// Jobs that wait for a thread.
    pub queue_jobs: usize,
    pub threads: usize,
}

impl PoolMeasured {
    pub fn emit(&self) {
        telemetry::POOL_QUEUE.set(Vec::new(), self.queue_jobs as f64);
        telemetry::POOL_THREADS.set(Vec::new(), self.threads as f64);
    }
}

const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

/// The program goes over to another configuration.
#[derive(Clone, Copy, Debug)]
pub struct ConfigApplied {
    /// Imports.
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
}

impl ConfigApplied {
    pub fn emit(&self) {
        telemetry::CONFIG_RELOADS.add(vec![SharedString::const_str(APPLIED)], 1);
        telemetry::CONFIG_CURRENT.set(Vec::new(), 1.0);
        info!(added = self.added, changed = self.changed, removed = self.removed, "configuration applied");
    }
}

/// The configuration was read again and is not taken: the one that runs goes on.
#[derive(Clone, Copy, Debug)]
pub struct ConfigRefused<'a> {
    pub code: &'static str,
    /// May have several lines, of which the log has the first.
    pub message: &'a str,
}

impl ConfigRefused<'_> {
    pub fn emit(&self) {
        telemetry::CONFIG_RELOADS.add(vec![SharedString::const_str(REFUSED)], 1);
        telemetry::CONFIG_CURRENT.set(Vec::new(), 0.0);
        let reason = self.message.lines().next().unwrap_or_default();
        warn!(code = self.code, reason, "configuration refused; the one before goes on");
    }
}
