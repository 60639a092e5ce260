//! From people, by way of the Supervisor, to an import.

use actix::Message;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, Generation, ImportName};
use connector_core::quarantine::QuarantineFilter;
use connector_core::status::{ImportState, StateReason};

/// What one on-demand sync did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SyncSummary {
    pub batches: u64,
    pub files_ingested: u64,
    /// Files that do not fit the table as a whole.
    pub files_quarantined: u64,
    pub files_failed: u64,
    pub files_deferred: u64,
    pub rows: u64,
    pub rows_quarantined: u64,
}

/// Import everything that is new, without a cap. To the Supervisor, which passes it to the ConnectionActor.
/// Answered when nothing is left to claim. Costs a scan and as many batches as there are.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<SyncSummary, Failure>")]
pub struct Sync {
    pub import: ImportName,
}

/// Bring the rows of quarantine that fit by now into the table. To the Supervisor, which passes it to the ConnectionActor.
/// Runs between batches, also while the import is paused. Answered when every row that the filter admits was tried. Costs
/// a scan of the quarantine table and a read of every file with such rows, and one batch for each 1,000 files.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<ReplaySummary, Failure>")]
pub struct Replay {
    pub import: ImportName,
    pub filter: QuarantineFilter,
    /// Only count what would fit: nothing is staged.
    pub dry_run: bool,
}

/// What a replay did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct ReplaySummary {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Rows that the filter admits.
    pub rows: u64,
    /// Of these the ones that moved into the table, or would.
    pub moved: u64,
    /// Batches that were committed.
    pub batches: Vec<BatchId>,
    /// Files that had rows to be tried.
    pub files: u64,
    /// Files that could not be read again, and why. At most 20 are named.
    pub unreadable: Vec<UnreadableFile>,
    /// How many there are.
    pub unreadable_files: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct UnreadableFile {
    pub key: String,
    pub code: String,
    pub message: String,
}

/// Take back everything that one ingest batch brought. To the Supervisor, which passes it to the ConnectionActor. Runs
/// between batches, also while the import is paused. Costs two commits and the rewriting of data files that the batch's
/// rows share with others.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<RollbackSummary, Failure>")]
pub struct Rollback {
    pub import: ImportName,
    pub batch: BatchId,
    /// Only count what would go.
    pub dry_run: bool,
}

/// What a rollback removed, or would remove.
#[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct RollbackSummary {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The batch that did it; `None` if nothing was left to remove, or nothing was to be done.
    pub batch: Option<BatchId>,
    pub files: u64,
    pub rows: u64,
    pub rows_quarantined: u64,
}

/// Keep both tables in order now: expiry, compaction, checkpoints, log retention, vacuum. To the Supervisor, which passes
/// it to the ConnectionActor. Runs between batches, also while the import is paused. Answered when nothing is left to do.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<MaintenanceSummary, Failure>")]
pub struct Maintain {
    pub import: ImportName,
}

/// What maintenance did to both tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct MaintenanceSummary {
    pub steps: u64,
    /// Small data files that were written together, into so many.
    pub compacted: u64,
    pub into: u64,
    /// Rows that ENGINE_TTL had let expire.
    pub expired_rows: u64,
    pub vacuumed: u64,
    pub vacuumed_bytes: u64,
    pub log_entries: u64,
    pub checkpoints: u64,
    /// Steps that another commit got in the way of.
    pub conflicts: u64,
}

/// Stop claiming until resumed; an open batch is finished. Durable. Supervisor, then ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Failure>")]
pub struct Pause {
    pub import: ImportName,
}

/// Claim again; a `Failed` import is started anew. Supervisor, then ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Failure>")]
pub struct Resume {
    pub import: ImportName,
}

/// Start an import anew whose last generation has ended, at once; one that runs goes on. A paused import stays paused, and
/// nothing is waived. To the Supervisor; answered at once.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Result<(), Failure>")]
pub struct Restart {
    pub import: ImportName,
}

/// Finish or abandon the open batch by the deadline, then end. Supervisor, then every ConnectionActor.
/// Answered by the Supervisor once all imports have ended.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Drain {
    pub deadline: std::time::Duration,
}

/// End, because this import's configuration has changed or is gone: as [`Drain`], for one import.
/// Supervisor to ConnectionActor, which ends.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Retire {
    pub deadline: std::time::Duration,
}

/// An import as it is to be from now on.
#[derive(Clone)]
pub struct Deployment {
    pub spec: std::sync::Arc<connector_core::spec::ImportSpec>,
    pub ports: crate::world::PortsFactory,
    /// Start it anew even if its configuration is as it was: what it is built from is not.
    pub anew: bool,
}

/// These are the imports from now on, and no others. To the Supervisor. Answered at once; imports whose configuration has
/// changed finish or abandon their open batch by the deadline and start anew, those that are gone end so, and the rest
/// goes on. One that does not run because it failed, or backs off, is started at once.
#[derive(Message, Clone)]
#[rtype(result = "Reconfigured")]
pub struct Reconfigure {
    pub imports: Vec<Deployment>,
    pub deadline: std::time::Duration,
}

/// What a new configuration means for each import.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reconfigured {
    pub added: Vec<ImportName>,
    /// Started anew with another configuration.
    pub changed: Vec<ImportName>,
    /// Ended. Its table and what the ledger knows of it stay.
    pub removed: Vec<ImportName>,
    pub unchanged: Vec<ImportName>,
}

/// What the Supervisor knows of each import. Answered at once.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Vec<Observed>")]
pub struct QueryStates;

/// One import as the Supervisor sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub import: ImportName,
    pub generation: Generation,
    pub state: ImportState,
    pub reason: Option<StateReason>,
}
