//! A table: an import's, or its quarantine's.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use jiff::Timestamp;

use super::{PortResult, StagedFile};
use crate::expr::Expr;
use crate::ids::{BatchId, BatchSeq, BatchUuid, ImportUuid, ObjectVersionId};
use crate::revision::{KeyedVersion, RowDigest, RowsByVersion};
use crate::schema::{Column, TableSchema};

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
    /// And its batch id, which the rows that it brought carry.
    pub committed_batch: Option<BatchId>,
    pub schema: TableSchema,
}

/// What one commit appends.
#[derive(Clone, Debug)]
pub struct TableCommit {
    pub import: ImportUuid,
    pub seq: BatchSeq,
    pub batch_uuid: BatchUuid,
    pub batch: BatchId,
    /// What the table's `txn` has to be, or the commit is a conflict: then somebody else's batch is in between, or one is
    /// missing. A quarantine table has no part in most batches; its is that of the last one that was seen there. `None`:
    /// it only has to be below `seq`.
    pub after: Option<BatchSeq>,
    pub files: Vec<StagedFile>,
    /// Columns that become part of the table with this very commit.
    pub add_columns: Vec<Column>,
    /// Rows that leave the table with this very commit.
    pub remove: Removal,
}

/// Rows that a commit takes out of a table. A data file that holds some of them beside others is written anew without
/// them. Which files those are is found out for each attempt on the newest version of the table, never rebased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    #[default]
    Nothing,
    /// All rows of these object versions.
    Versions(BTreeSet<ObjectVersionId>),
    Rows(RowsByVersion),
    /// These data files whole, by their paths as [`ExpiredFile`] names them. If one is not in the table any more, the
    /// commit is a conflict.
    DataFiles(Vec<String>),
}

/// The identities of rows in data files.
pub type RowIds = RowsByVersion;

/// Rows in batches; blocks on reads.
pub type RowBatches = Box<dyn Iterator<Item = PortResult<RecordBatch>> + Send>;

/// When rows of a table expire: once the expression, a time, lies in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryRule {
    pub ttl: Expr,
    pub now: Timestamp,
}

/// A data file of which every row has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredFile {
    pub path: String,
    pub rows: u64,
    /// Rows by object version, and their fingerprints.
    pub versions: Vec<(KeyedVersion, u64, RowDigest)>,
}

/// What keeping a table in order may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaintenanceRules {
    /// Data files below this are small, in bytes; small ones are written together into files of about four times this.
    pub small_file: u64,
    /// At least so many small files make it worth while.
    pub min_small_files: usize,
    /// One step rewrites at most this many bytes.
    pub step_bytes: u64,
    /// Unreferenced data files, and log entries before a checkpoint, are kept for this long.
    pub retention: std::time::Duration,
}

impl Default for MaintenanceRules {
    fn default() -> Self {
        Self {
            small_file: 32 << 20,
            min_small_files: 16,
            step_bytes: 256 << 20,
            retention: std::time::Duration::from_secs(7 * 86_400),
        }
    }
}

/// What one step of maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Small data files that were written together, into so many.
    pub compacted: u64,
    pub into: u64,
    pub rows: u64,
    /// Unreferenced data files that were removed, and their bytes.
    pub vacuumed: u64,
    pub vacuumed_bytes: u64,
    /// Log entries that were removed.
    pub log_entries: u64,
    pub checkpoint: bool,
    /// Somebody else's commit came in between: try again later.
    pub conflict: bool,
    /// Nothing is left to do.
    pub done: bool,
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

    /// The identities of the rows that these data files of the table hold. They may be staged or committed.
    async fn row_ids(&self, files: &[StagedFile]) -> PortResult<RowIds>;

    /// The rows that the table has now, in no promised order; `None` if there is no table. `columns`: which ones, in which
    /// order, provenance columns among them; all if not given.
    async fn rows(&self, columns: Option<&[String]>) -> PortResult<Option<RowBatches>>;

    /// Data files of which every row has expired, at most so many that their rows number a few million.
    async fn expired(&self, rule: &ExpiryRule) -> PortResult<Vec<ExpiredFile>>;

    /// One bounded step of keeping the table in order: compaction, checkpoint, log retention, vacuum. Never while a batch
    /// is staged: its data files are referred to by nobody yet. Changes no row and no `txn`.
    async fn maintain(&self, rules: &MaintenanceRules, now: Timestamp) -> PortResult<Maintained>;

    /// Where the table is, for people.
    fn location(&self) -> String;
}
