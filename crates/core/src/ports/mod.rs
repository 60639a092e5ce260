//! The outside world as actors see it: [`ObjectSource`], [`Ledger`], [`Destination`].
//!
//! Adapters implement these traits; actors hold them as `Arc<dyn …>` and link no adapter.

mod batch;
mod destination;
mod ledger;
mod source;

pub use batch::{
    AddedColumn, ClaimedBatch, FileOutcome, FileResult, OpenBatch, RevisionBatch, StagedBatch, StagedFile,
    StagedRemoval, Superseded,
};
pub use destination::{
    CommitAnswer, DataFileWriter, Destination, ExpiredFile, ExpiryRule, Maintained, MaintenanceRules, Removal,
    RowBatches, RowIds, RowOrigin, TableCommit, TableFacts,
};
pub use ledger::{
    ClaimAnswer, ColumnEvidence, DeferredFile, FailedFile, ImportCounts, ImportRecord, Ledger, PageOutcome,
    ReferenceFile, Reread, Retry, SelectedObject, Watermark,
};
pub use source::{ListPage, ObjectSource};

use crate::error::Failure;

pub type PortResult<T> = Result<T, Failure>;
