//! Events of the process as a whole.

use metrics::SharedString;
use tracing::info;

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
