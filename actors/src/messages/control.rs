//! From people, by way of the Supervisor, to an import.

use actix::Message;
use connector_core::error::Failure;
use connector_core::ids::{Generation, ImportName};
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

/// Finish or abandon the open batch by the deadline, then end. Supervisor, then every ConnectionActor.
/// Answered by the Supervisor once all imports have ended.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Drain {
    pub deadline: std::time::Duration,
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
