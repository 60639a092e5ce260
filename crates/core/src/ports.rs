//! The outside world as actors see it: [`ObjectSource`], [`Ledger`], [`Destination`].
//!
//! Adapters implement these traits; actors hold them as `Arc<dyn …>` and link no adapter.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::claim::ClaimLimit;
use crate::csv::CsvDialect;
use crate::error::Failure;
use crate::guard::Streak;
use crate::history::{HistoryPage, HistoryQuery, SchemaVersion};
use crate::ids::{BatchId, BatchSeq, BatchUuid, ImportName, ImportUuid, ObjectVersionId};
use crate::object::{ListedObject, ObjectRef, SkipReason};
use crate::schema::{Column, TableSchema};

pub type PortResult<T> = Result<T, Failure>;

// ---------------------------------------------------------------------------------------------- object source

/// One page of a listing, keys decoded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListPage {
    pub objects: Vec<ListedObject>,
    /// Opaque; `None` on the last page.
    pub next: Option<String>,
}

/// Lists and reads one bucket through one connection.
#[async_trait]
pub trait ObjectSource: Send + Sync + 'static {
    /// One page of at most 1,000 objects below `prefix`. Retries transient errors itself.
    ///
    /// # Errors
    /// `Config` if the bucket does not exist or access is refused, `Transient` once retries are used up.
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage>;

    /// Exactly the bytes `range` of this object version, or an error; never bytes of another version, never fewer.
    /// Retries transient errors itself.
    ///
    /// # Errors
    /// `Data` with code `object_changed` (the ETag no longer matches) or `object_gone`; `Data` with code
    /// `access_denied` for this one object; `Transient` once retries are used up.
    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes>;
}

// ---------------------------------------------------------------------------------------------- ledger

/// What the ledger knows of an import when its actors start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRecord {
    pub uuid: ImportUuid,
    /// False until the table is known to exist.
    pub table_created: bool,
    /// True if this very call created the record: the ledger had never heard of the import.
    pub fresh: bool,
    /// The last finalised batch; 0 before the first.
    pub committed_seq: BatchSeq,
    /// The batch that was claimed and not finalised or abandoned, if any.
    pub open_batch: Option<OpenBatch>,
    /// The schema of the table, once decided.
    pub schema: Option<TableSchema>,
    /// Names of all columns of the reference file, as the file spells them, once known.
    pub reference: Option<ReferenceFile>,
    pub paused: bool,
    /// Why the guard paused the import, if it did.
    pub guard_reason: Option<String>,
    /// Somebody resumed the import after the guard had paused it: the next batch is not judged.
    pub guard_waived: bool,
    /// Files in a row that went to quarantine as a whole.
    pub streak: Streak,
}

/// The file from which the schema was inferred, or, with a declared schema, the first one that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceFile {
    pub key: String,
    pub columns: Vec<String>,
    /// How it is written, with what is configured applied; `None` if it is no CSV file. All CSV files of the import are
    /// read like this.
    pub dialect: Option<CsvDialect>,
    /// What its sample showed, by column of the file.
    pub evidence: Vec<ColumnEvidence>,
}

impl ReferenceFile {
    /// For each column of another file, given by all their names, whether this file has it, too. Names of a table have no
    /// case, so `ID` is this file's `id`, unless the other file has both.
    pub fn has(&self, names: &[String]) -> Vec<bool> {
        let beside: HashSet<&str> = names.iter().map(String::as_str).collect();
        let exact: HashSet<&str> = self.columns.iter().map(String::as_str).collect();
        let absent = exact.iter().filter(|known| !beside.contains(*known));
        let other_case: HashSet<String> = absent.map(|known| known.to_lowercase()).collect();
        names.iter().map(|name| exact.contains(name.as_str()) || other_case.contains(&name.to_lowercase())).collect()
    }
}

/// Why inference chose a column's type.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColumnEvidence {
    /// As the file spells it.
    pub column: String,
    /// The type that was chosen, in its canonical spelling.
    pub ty: String,
    /// Values in the sample, empty ones and NULL aside.
    pub values: u64,
    /// Empty ones and NULL.
    pub nulls: u64,
    /// In words: what decided, such as `leading zero in '02134'` or `all 1,000 values are whole numbers`.
    pub because: String,
    /// Up to three different values.
    pub examples: Vec<String>,
}

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
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimAnswer {
    /// `None` if nothing is due, or the tick is used up.
    pub batch: Option<ClaimedBatch>,
    /// Throttled claims only: when the current tick ends.
    pub tick_ends_at: Option<Timestamp>,
    /// Objects that are claimable now, after this claim.
    pub backlog_files: u64,
    pub backlog_bytes: u64,
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
        }
    }

    /// Rows in the table.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Ingested { rows, .. } => *rows,
            _ => 0,
        }
    }

    /// Rows in quarantine.
    pub fn rows_quarantined(&self) -> u64 {
        match self {
            Self::Ingested { rows_quarantined, .. } | Self::Quarantined { rows_quarantined, .. } => *rows_quarantined,
            _ => 0,
        }
    }

    /// Whether the file's rows are part of the batch's commit.
    pub fn is_committed(&self) -> bool {
        matches!(self, Self::Ingested { .. } | Self::Quarantined { .. })
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
}

/// What one listing page changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PageOutcome {
    pub new: u64,
    pub known: u64,
    pub skipped: u64,
    /// New objects at or below the watermark.
    pub late: u64,
    pub deferred: u64,
}

/// An object of a listing page, with what the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedObject {
    pub object: ListedObject,
    pub skip: Option<SkipReason>,
}

/// Position in an import's order of discovery: everything claimable lies above it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Watermark {
    pub last_modified: Timestamp,
    pub key: String,
}

/// Counts of one import, straight from the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct ImportCounts {
    /// Files by state: `pending`, `claimed`, `ingested`, `quarantined`, `failed`, `skipped`, `deferred`, `gone`.
    pub files: BTreeMap<String, u64>,
    pub rows: u64,
    pub bytes: u64,
    pub rows_quarantined: u64,
    /// 0 before the table is created.
    pub schema_version: u32,
    /// The key of the schema's reference file.
    pub reference: Option<String>,
    pub batches: u64,
    pub backlog_files: u64,
    pub backlog_bytes: u64,
    pub oldest_pending: Option<Timestamp>,
    pub late_arrivals: u64,
    pub watermark: Option<Watermark>,
    pub last_scan_at: Option<Timestamp>,
    pub last_commit_at: Option<Timestamp>,
    /// The newest files that failed or went to quarantine as a whole, for people.
    pub recent_failures: Vec<FailedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedFile {
    pub key: String,
    pub code: String,
    pub message: String,
    pub at: Timestamp,
}

/// The durable record of every object version and batch. All calls are durable when they return.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// The import's record; created with a fresh [`ImportUuid`] if there is none.
    async fn open_import(&self, import: &ImportName, bucket: &str) -> PortResult<ImportRecord>;

    /// Notes that the table exists, with this schema. The first time this is schema version 1.
    async fn table_created(&self, import: &ImportName, schema: &TableSchema, now: Timestamp) -> PortResult<()>;

    /// Stores the schema (and its reference file) before the table is created with it.
    async fn decide_schema(
        &self,
        import: &ImportName,
        schema: &TableSchema,
        reference: Option<&ReferenceFile>,
    ) -> PortResult<()>;

    /// Writes one listing page in one transaction: unknown object versions become `pending`, `skipped` or, when
    /// archived, `deferred`.
    async fn record_page(
        &self,
        import: &ImportName,
        page: Vec<SelectedObject>,
        now: Timestamp,
    ) -> PortResult<PageOutcome>;

    /// Notes a complete scan and advances the watermark.
    async fn finish_scan(&self, import: &ImportName, now: Timestamp) -> PortResult<()>;

    /// Claims the next batch: due files first (by `not_before`), then by (last-modified, key).
    async fn claim(
        &self,
        import: &ImportName,
        limit: ClaimLimit,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<ClaimAnswer>;

    /// Freezes a claimed batch.
    async fn stage(&self, import: &ImportName, seq: BatchSeq, uuid: BatchUuid, staged: &StagedBatch) -> PortResult<()>;

    /// Ends a staged batch whose commit has landed in `table_version`, and advances the watermark.
    /// The results of the staged batch take effect here: its files get their states, its added columns become part of
    /// the schema, as a new schema version, and the waiver of the guard is used up.
    async fn finalise(&self, import: &ImportName, seq: BatchSeq, table_version: u64, now: Timestamp) -> PortResult<()>;

    /// Gives the files of an open batch back; they are claimed again for free.
    async fn abandon(&self, import: &ImportName, seq: BatchSeq) -> PortResult<()>;

    /// Ends an open batch of which no file brought a row: the results are recorded, nothing is committed, and the
    /// next claim carries the same `seq` with another batch uuid.
    async fn settle(
        &self,
        import: &ImportName,
        seq: BatchSeq,
        results: &[FileResult],
        now: Timestamp,
    ) -> PortResult<()>;

    /// Pauses, or resumes. Resuming what the guard has paused waives it for the next batch.
    async fn set_paused(&self, import: &ImportName, paused: bool) -> PortResult<()>;

    /// The guard trips: gives the files of the open batch back and pauses the import, in one transaction.
    async fn trip_guard(&self, import: &ImportName, seq: BatchSeq, reason: &str) -> PortResult<()>;

    /// Batches that have ended, newest first, with their files if asked for.
    async fn history(&self, import: &ImportName, query: HistoryQuery) -> PortResult<HistoryPage>;

    /// The versions of the table's schema, oldest first.
    async fn schema_history(&self, import: &ImportName) -> PortResult<Vec<SchemaVersion>>;

    async fn counts(&self, import: &ImportName, now: Timestamp) -> PortResult<ImportCounts>;
}

// ---------------------------------------------------------------------------------------------- destination

/// What a table says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFacts {
    /// The newest version of the table.
    pub version: u64,
    /// The import that the table belongs to; `None` if another program made it.
    pub import: Option<ImportUuid>,
    /// The newest batch that landed; 0 before the first.
    pub committed_seq: BatchSeq,
    /// The batch uuid of the commit that carried `committed_seq`; `None` if none landed, or its log entry is gone.
    pub committed_uuid: Option<BatchUuid>,
    pub schema: TableSchema,
}

/// What one commit appends.
#[derive(Clone, Debug)]
pub struct TableCommit {
    pub import: ImportUuid,
    pub seq: BatchSeq,
    pub batch_uuid: BatchUuid,
    /// What the table's `txn` has to be, or the commit is a conflict: then batches are missing in between. `None`: it
    /// only has to be below `seq`, as in a quarantine table, which has no part in most batches.
    pub after: Option<BatchSeq>,
    pub files: Vec<StagedFile>,
    /// Columns that become part of the table with this very commit.
    pub add_columns: Vec<Column>,
}

/// The answer to a commit. An error is not an answer: then the table has to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitAnswer {
    Landed {
        version: u64,
    },
    /// Somebody else's commit took the place; ours did not land.
    Conflict,
}

/// Provenance that is the same for all rows of one block.
#[derive(Clone, Debug)]
pub struct RowOrigin {
    pub key: std::sync::Arc<str>,
    pub version: ObjectVersionId,
    pub batch: BatchId,
}

/// One open data file. Blocking; lives on the CPU pool.
pub trait DataFileWriter: Send {
    /// Appends rows with their provenance. `ordinals` are the rows' ordinals in their file, one for each row.
    fn write(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> PortResult<()>;

    /// Bytes of memory held by rows that are not on disk yet.
    fn buffered_bytes(&self) -> usize;

    /// Closes the current row group, so that `buffered_bytes` falls to next to nothing.
    fn flush(&mut self) -> PortResult<()>;

    /// Makes the rows durable and returns their data files: none if no row was ever written, several if the table has a
    /// partition column.
    fn finish(self: Box<Self>) -> PortResult<Vec<StagedFile>>;

    /// Removes what is unfinished.
    fn discard(self: Box<Self>);
}

/// One table: an import's, or its quarantine's. Data files are written first, unreferenced, then one commit makes them
/// part of the table.
#[async_trait]
pub trait Destination: Send + Sync + 'static {
    /// Reads the table's present state from storage, trusting nothing kept in memory. `None` if there is no table.
    async fn read(&self) -> PortResult<Option<TableFacts>>;

    /// Creates the table, stamped with the import's UUID.
    ///
    /// # Errors
    /// `Config` with code `table_exists` if there is one already.
    async fn create(&self, import: ImportUuid, schema: &TableSchema) -> PortResult<TableFacts>;

    /// Opens a new data file with a unique name for rows of this schema. Blocking; called on the CPU pool.
    fn open_writer(&self, schema: &TableSchema) -> PortResult<Box<dyn DataFileWriter>>;

    /// Removes data files that were never staged, as far as it can: what is left over is unreferenced and harmless.
    async fn discard(&self, files: &[StagedFile]);

    /// Whether every staged file is still there, whole.
    async fn staged_files_intact(&self, files: &[StagedFile]) -> PortResult<bool>;

    /// Appends the files with `txn(app id, seq)` and the batch uuid, in one commit, if the table still belongs to
    /// the import and its `txn` is below `seq`, and the one that [`TableCommit::after`] asks for.
    async fn commit(&self, commit: &TableCommit) -> PortResult<CommitAnswer>;

    /// Where the table is, for people.
    fn location(&self) -> String;
}
