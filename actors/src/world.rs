//! What all actors of a process share, and what one import's actors are built from.

use std::sync::Arc;

use connector_core::clock::Clock;
use connector_core::credit::Seat;
use connector_core::error::Failure;
use connector_core::ports::{Destination, Ledger, ObjectSource};
use connector_core::spec::ImportSpec;
use connector_core::telemetry::ImportLabels;
use connector_decode::Pool;

use crate::credit::CreditPool;
use crate::decoder::probe::Probe;

/// Process-wide resources. Cheap to clone.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    /// The I/O runtime: network and disk are awaited here, never in an actor's context.
    pub io: tokio::runtime::Handle,
    /// The CPU pool.
    pub pool: Pool,
    pub credit: CreditPool,
    /// Folder for files too large to hold in memory while they are decoded.
    pub spool: Arc<std::path::Path>,
    /// Starts processes that decode suspect files.
    pub probe: Arc<dyn Probe>,
}

/// The outside world of one generation of one import.
#[derive(Clone)]
pub struct ImportPorts {
    pub source: Arc<dyn ObjectSource>,
    pub ledger: Arc<dyn Ledger>,
    pub table: Arc<dyn Destination>,
    /// The table `<name>_quarantine` beside it.
    pub quarantine: Arc<dyn Destination>,
}

/// Builds fresh ports for each generation, so that nothing survives that the last one may have broken.
pub type PortsFactory = Arc<dyn Fn() -> Result<ImportPorts, Failure> + Send + Sync>;

/// One import as the supervisor is given it.
#[derive(Clone)]
pub struct ImportSeat {
    pub spec: Arc<ImportSpec>,
    pub seat: Seat,
    pub ports: PortsFactory,
}

impl ImportSeat {
    pub fn labels(&self) -> ImportLabels {
        ImportLabels::new(self.spec.connection.name.as_str(), self.spec.name.as_str())
    }
}
