//! The durable record of every object version and batch.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{ClaimedBatch, FileResult, OpenBatch, PortResult, RevisionBatch, StagedBatch};
use crate::claim::ClaimLimit;
use crate::csv::CsvDialect;
use crate::guard::Streak;
use crate::history::{HistoryPage, HistoryQuery, SchemaVersion};
use crate::ids::{BatchId, BatchSeq, BatchUuid, ImportName, ImportUuid, ObjectVersionId};
use crate::object::{ListedObject, SkipReason};
use crate::revision::Revision;
use crate::schema::TableSchema;
use crate::spec::OverwritePolicy;

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
    /// The last finalised batch in which the quarantine table had a part, 0 before the first; `None` if the ledger is of a
    /// program that did not note it.
    pub quarantine_seq: Option<BatchSeq>,
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

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimAnswer {
    /// `None` if nothing is due, or the tick is used up.
    pub batch: Option<ClaimedBatch>,
    /// Throttled claims only: when the current tick ends.
    pub tick_ends_at: Option<Timestamp>,
    /// A suspect that an interrupted batch gave back is left: it comes alone and for free, so the same tick may claim
    /// again.
    pub free_left: bool,
    /// Objects that are claimable now, after this claim.
    pub backlog_files: u64,
    pub backlog_bytes: u64,
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
    /// Files that could not be read and are tried again, those first whose turn comes first, for people.
    pub deferrals: Vec<DeferredFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedFile {
    pub key: String,
    pub code: String,
    pub message: String,
    pub at: Timestamp,
}

/// A file that an attempt could not read: nothing of it is lost, it comes back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeferredFile {
    pub key: String,
    pub code: String,
    pub message: String,
    /// When it is tried again, at the earliest.
    pub not_before: Timestamp,
}

/// New versions of keys that were ingested before: so many that somebody has to look first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reread {
    /// How many would be read again.
    pub files: u64,
    /// How many object versions the import has ingested.
    pub ingested: u64,
}

/// Which files are to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// All that failed, or wait to be tried again.
    Failed,
    /// The newest version of this key, if it failed, waits, or was rolled back.
    Key(String),
    /// The files that the rollback of this ingest batch set aside.
    RolledBack(BatchId),
}

/// The durable record of every object version and batch. All calls are durable when they return.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// The import's record; created with a fresh [`ImportUuid`] if there is none.
    /// What IMPORT_ON_OVERWRITE says holds for every listing and every batch from now on.
    async fn open_import(
        &self,
        import: &ImportName,
        bucket: &str,
        overwrite: OverwritePolicy,
    ) -> PortResult<ImportRecord>;

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

    /// Notes a complete scan and advances the watermark. New versions of keys that were ingested before become claimable
    /// only here; if they are most of what the import has ingested, the import is paused instead, in the same
    /// transaction, and the answer says so. Resuming lets them in.
    async fn finish_scan(&self, import: &ImportName, now: Timestamp) -> PortResult<Option<Reread>>;

    /// Claims the next batch: due files first (by `not_before`), then by (last-modified, key).
    async fn claim(
        &self,
        import: &ImportName,
        limit: ClaimLimit,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<ClaimAnswer>;

    /// Claims a batch of another kind than ingest. `None`: nothing is left that it could revise. Its files keep their
    /// states until it is finalised.
    ///
    /// # Errors
    /// `Config` with code `no_such_batch` or `not_an_ingest_batch` for a rollback of such a one.
    async fn claim_revision(
        &self,
        import: &ImportName,
        revision: &Revision,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<Option<RevisionBatch>>;

    /// Marks files of the open batch whose bytes are about to be parsed, and those that are done with. A file that is
    /// marked when the ledger is opened, in a batch that is neither staged nor closed, is a suspect from then on.
    async fn mark_reading(
        &self,
        import: &ImportName,
        started: &[ObjectVersionId],
        finished: &[ObjectVersionId],
    ) -> PortResult<()>;

    /// Makes files claimable again; tells how many.
    async fn retry(&self, import: &ImportName, retry: &Retry, now: Timestamp) -> PortResult<u64>;

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
