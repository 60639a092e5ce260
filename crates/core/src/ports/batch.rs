//! Batches between claim and end: what was claimed, how each file ended, what is staged.

use jiff::Timestamp;

use crate::ids::{BatchId, BatchSeq, BatchUuid, ObjectVersionId};
use crate::object::ObjectRef;
use crate::revision::{Account, BatchKind, KeyedVersion, RowDigest};
use crate::schema::Column;

/// A column that a commit adds to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedColumn {
    pub column: Column,
    /// The key of the file that brought it; `None` if SCHEMA of the data source did.
    pub key: Option<String>,
}

/// A batch that is neither finalised nor abandoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBatch {
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub id: BatchId,
    pub kind: BatchKind,
    /// `Some` once staged.
    pub staged: Option<StagedBatch>,
}

/// What was claimed: the files of one batch in claim order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedBatch {
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub id: BatchId,
    pub files: Vec<ObjectRef>,
    /// Earlier versions of these files' keys that lie in quarantine as a whole: their rows are removed from it if the
    /// file that is named first is committed.
    pub supersedes: Vec<(ObjectVersionId, Superseded)>,
}

/// An object version in quarantine that a better version of its key takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    pub id: ObjectVersionId,
    /// Rows that it has in quarantine.
    pub rows: u64,
}

/// What was claimed to revise rows that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionBatch {
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub id: BatchId,
    pub kind: BatchKind,
    /// The object versions that it concerns, each with the rows it has by the ledger. Of a rollback: all that the batch
    /// to take back has brought and that still have rows.
    pub files: Vec<(ObjectRef, Account)>,
    /// Those that were asked for and that the ledger does not know.
    pub unknown: Vec<KeyedVersion>,
}

/// A file that a destination wrote and nobody refers to yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    /// Relative to the table.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// Column statistics in the destination's own form.
    pub stats: String,
    /// The value of the partition column in all its rows, as the destination spells it (`None`: NULL). Without
    /// meaning if the table has no partition column.
    pub partition: Option<String>,
}

/// How one file of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// Its rows are in the staged files: those that fit in the table's, the others in the quarantine's.
    Ingested { rows: u64, rows_quarantined: u64 },
    /// It does not fit the table as a whole: all its rows are in the staged files of the quarantine.
    Quarantined { code: &'static str, message: String, rows_quarantined: u64 },
    /// It cannot be read; none of its rows is staged. Ends the file until its object changes or it is retried by hand.
    Failed { code: &'static str, message: String },
    /// Could not be read now; leaves the batch and is tried again from `not_before` on.
    Deferred { code: &'static str, message: String, not_before: Timestamp },
    /// Vanished or changed since it was listed: the next scan finds what is there now.
    Gone { code: &'static str, message: String },
    /// Of a replay: these of its rows moved from quarantine into the table.
    Replayed { rows: u64 },
    /// Of a rollback: it has no row left in either table.
    RolledBack { rows: u64, rows_quarantined: u64 },
    /// A better version of its key was committed: its rows left quarantine.
    Superseded { rows_quarantined: u64 },
    /// Of an expiry: these of its rows left the table.
    Expired { rows: u64, digest: RowDigest },
}

impl FileOutcome {
    /// The bounded label of ledger, metrics and tracker.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ingested { .. } => "ingested",
            Self::Quarantined { .. } => "quarantined",
            Self::Failed { .. } => "failed",
            Self::Deferred { .. } => "deferred",
            Self::Gone { .. } => "gone",
            Self::Replayed { .. } => "replayed",
            Self::RolledBack { .. } => "rolled_back",
            Self::Superseded { .. } => "superseded",
            Self::Expired { .. } => "expired",
        }
    }

    /// Rows that the batch adds to the table.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Ingested { rows, .. } | Self::Replayed { rows } => *rows,
            _ => 0,
        }
    }

    /// Rows that the batch takes out of the table and out of quarantine.
    pub fn removed(&self) -> (u64, u64) {
        match self {
            Self::Replayed { rows } => (0, *rows),
            Self::RolledBack { rows, rows_quarantined } => (*rows, *rows_quarantined),
            Self::Superseded { rows_quarantined } => (0, *rows_quarantined),
            Self::Expired { rows, .. } => (*rows, 0),
            _ => (0, 0),
        }
    }

    /// Rows that the batch adds to quarantine.
    pub fn rows_quarantined(&self) -> u64 {
        match self {
            Self::Ingested { rows_quarantined, .. } | Self::Quarantined { rows_quarantined, .. } => *rows_quarantined,
            _ => 0,
        }
    }

    /// Whether the file's rows, new or removed, are part of the batch's commit.
    pub fn is_committed(&self) -> bool {
        !matches!(self, Self::Failed { .. } | Self::Deferred { .. } | Self::Gone { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileResult {
    pub id: ObjectVersionId,
    pub outcome: FileOutcome,
    /// Bytes read from S3.
    pub bytes: u64,
    /// Milliseconds from the start of reading to the last row.
    pub duration_ms: u64,
}

/// A batch whose rows are frozen: what will be committed, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBatch {
    /// Data files of the table.
    pub files: Vec<StagedFile>,
    /// Data files of the quarantine table. None: the batch leaves it alone.
    pub quarantine: Vec<StagedFile>,
    pub results: Vec<FileResult>,
    /// Rows in `files`.
    pub rows: u64,
    /// Rows in `quarantine`.
    pub rows_quarantined: u64,
    /// Columns that the commit adds to the table.
    pub added: Vec<AddedColumn>,
    /// Columns that the quarantine table lacks to take its rows.
    pub quarantine_added: Vec<Column>,
    /// Rows that the commit takes out of the table, and those that it takes out of the quarantine table.
    pub removes: StagedRemoval,
    pub quarantine_removes: StagedRemoval,
}

impl StagedBatch {
    /// Whether the quarantine table has a part in it.
    pub fn touches_quarantine(&self) -> bool {
        !self.quarantine.is_empty() || self.quarantine_removes != StagedRemoval::Nothing
    }
}

/// Which rows a staged batch removes, as the ledger keeps it. Which data files that concerns is found out anew for every
/// attempt to commit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum StagedRemoval {
    #[default]
    Nothing,
    /// All rows of these object versions.
    Versions(Vec<ObjectVersionId>),
    /// The rows that the batch's own data files of the table hold: they move.
    Moved,
    /// These data files whole, by their paths. None of them may be missing.
    DataFiles(Vec<String>),
}
