//! The tracker's facts: batches, their files, and versions of the schema.

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::BatchSeq;
use crate::ports::ColumnEvidence;
use crate::revision::BatchKind;

/// Which batches are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// At most this many batches.
    pub limit: u32,
    /// Only batches older than this one, by its position; for the next page.
    pub before: Option<i64>,
    /// With the files of each batch.
    pub files: bool,
    /// Only batches with a file of this outcome.
    pub outcome: Option<String>,
}

/// A page of batches, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct HistoryPage {
    pub batches: Vec<BatchRecord>,
    /// `before` of the next page, if there is one.
    pub next: Option<i64>,
}

/// A batch, however it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchRecord {
    /// The batch id that people see.
    pub id: String,
    pub seq: BatchSeq,
    pub kind: BatchKind,
    /// `committed`, `settled`, `abandoned`, `claimed`, `staged`, or `lost`: the table was restored to before it, and its
    /// files are read again.
    pub state: String,
    pub claimed_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Files claimed.
    pub files: u64,
    pub rows: u64,
    pub rows_quarantined: u64,
    /// Bytes read from S3.
    pub bytes: u64,
    pub table_version: Option<u64>,
    /// Empty unless asked for.
    pub results: Vec<FileRecord>,
}

/// How one file of a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileRecord {
    pub key: String,
    /// The id of the object version, in hex: `_s3_version` of its rows.
    pub version: String,
    pub outcome: String,
    pub rows: u64,
    pub rows_quarantined: u64,
    /// Rows that the batch took out of the table and out of quarantine.
    pub rows_removed: u64,
    pub quarantined_removed: u64,
    pub bytes: u64,
    pub duration_ms: u64,
    pub code: Option<String>,
    pub message: Option<String>,
    /// Whether it is the schema's reference file.
    pub reference: bool,
}

/// One version of a table's schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaVersion {
    /// From 1.
    pub version: u32,
    pub at: Timestamp,
    /// The batch whose commit brought it; `None` for version 1.
    pub batch: Option<String>,
    pub changes: Vec<SchemaChange>,
    /// What the reference file's sample showed; with version 1 only.
    pub evidence: Vec<ColumnEvidence>,
}

/// A column that a version of the schema added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    pub column: String,
    /// As the `.datasource` spells it, such as `Nullable(Int64)`.
    pub ty: String,
    /// The file that brought it; `None` if SCHEMA of the data source did.
    pub key: Option<String>,
}
