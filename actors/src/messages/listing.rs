//! Between ConnectionActor and ListerActor.

use actix::Message;
use connector_core::error::Failure;
use connector_core::ids::Generation;
use connector_core::ports::{PageOutcome, Reread};

/// List the whole prefix into the ledger. ConnectionActor to ListerActor; answered by [`ScanEnded`].
/// Costs one list request for each 1,000 objects; memory for one page. One at a time.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct StartScan {
    pub generation: Generation,
}

/// What one complete scan found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScanSummary {
    pub pages: u64,
    /// Objects listed, before the configuration kept any out.
    pub objects: u64,
    /// Kept out by pattern or `IMPORT_FROM_TIMESTAMP`: counted, not stored.
    pub excluded: u64,
    /// What the pages changed in the ledger, added up.
    pub outcome: PageOutcome,
    /// The import is paused, because most of its objects have new versions.
    pub reread: Option<Reread>,
}

impl ScanSummary {
    pub(crate) fn add(&mut self, page: PageOutcome) {
        self.outcome.new += page.new;
        self.outcome.known += page.known;
        self.outcome.skipped += page.skipped;
        self.outcome.late += page.late;
        self.outcome.deferred += page.deferred;
    }
}

/// The scan is complete, or was given up. ListerActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct ScanEnded {
    pub generation: Generation,
    /// What was found until the end, and why it ended early, if it did.
    pub summary: ScanSummary,
    pub failure: Option<Failure>,
    pub duration: std::time::Duration,
}
