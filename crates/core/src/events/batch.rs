//! Events of a batch's life, from claim to commit.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{count_error, millis, unix_seconds};
use crate::error::Failure;
use crate::ids::{BatchId, BatchSeq};
use crate::ports::AddedColumn;
use crate::revision::BatchKind;
use crate::telemetry::{self, ImportLabels, Stage};

/// A batch is in the ledger.
#[derive(Clone, Copy, Debug)]
pub struct BatchClaimed<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    pub kind: BatchKind,
    pub files: usize,
    /// Listed size.
    pub bytes: u64,
}

impl BatchClaimed<'_> {
    pub fn emit(&self) {
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            kind = self.kind.as_str(),
            files = self.files,
            bytes = self.bytes,
            "batch claimed"
        );
    }
}

/// A batch has landed in the table and is finalised in the ledger.
#[derive(Clone, Copy, Debug)]
pub struct BatchCommitted<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    pub kind: BatchKind,
    /// Files whose rows are in the table now, or of which rows were removed.
    pub files: usize,
    pub rows: u64,
    pub rows_quarantined: u64,
    /// Bytes of the data files added to the table.
    pub bytes: u64,
    pub table_version: u64,
    /// From staged to landed.
    pub duration: Duration,
    pub at: Timestamp,
}

impl BatchCommitted<'_> {
    pub fn emit(&self) {
        telemetry::COMMIT_DURATION.record(self.import.values([]), self.duration.as_secs_f64());
        telemetry::TABLE_VERSION.set(self.import.values([]), self.table_version as f64);
        telemetry::COMMITTED_SEQ.set(self.import.values([]), self.seq as f64);
        telemetry::LAST_COMMIT.set(self.import.values([]), unix_seconds(self.at));
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            kind = self.kind.as_str(),
            files = self.files,
            rows = self.rows,
            rows_quarantined = self.rows_quarantined,
            bytes = self.bytes,
            table_version = self.table_version,
            duration_ms = millis(self.duration),
            "batch committed"
        );
    }
}

/// The commit of a batch added columns to the table.
#[derive(Clone, Copy, Debug)]
pub struct SchemaEvolved<'a> {
    pub import: &'a ImportLabels,
    pub id: &'a BatchId,
    /// Columns of the table now.
    pub columns: usize,
    pub added: &'a [AddedColumn],
}

impl SchemaEvolved<'_> {
    /// One line for each column.
    pub fn emit(&self) {
        telemetry::SCHEMA_COLUMNS.set(self.import.values([]), self.columns as f64);
        for AddedColumn { column, key } in self.added {
            info!(
                connection = &*self.import.connection,
                import = &*self.import.import,
                batch = self.id.as_str(),
                column = column.name,
                r#type = %column.ty,
                key = key.as_deref(),
                columns = self.columns,
                "column added"
            );
        }
    }
}

/// Most rows of a batch were bad: nothing of it is stored, and the import is paused.
#[derive(Clone, Copy, Debug)]
pub struct GuardTripped<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    pub failure: &'a Failure,
}

impl GuardTripped<'_> {
    pub fn emit(&self) {
        telemetry::GUARD_TRIPPED.add(self.import.values([]), 1);
        count_error(self.import, Stage::Decode, self.failure.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            code = self.failure.code,
            reason = self.failure.message,
            "import paused by the guard"
        );
    }
}

/// A batch ended of which no file brought a row: its results are in the ledger, and the table is as it was.
#[derive(Clone, Copy, Debug)]
pub struct BatchSettled<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    pub files: usize,
}

impl BatchSettled<'_> {
    pub fn emit(&self) {
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            files = self.files,
            "batch settled without rows"
        );
    }
}

/// An open batch gave its files back; they are claimed again for free.
#[derive(Clone, Copy, Debug)]
pub struct BatchAbandoned<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    /// Lower-case, without a full stop.
    pub reason: &'a str,
}

impl BatchAbandoned<'_> {
    pub fn emit(&self) {
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            reason = self.reason,
            "batch abandoned"
        );
    }
}

/// A commit was answered by an error, which does not say whether it landed: the table has to be read again.
#[derive(Clone, Copy, Debug)]
pub struct CommitUnsettled<'a> {
    pub import: &'a ImportLabels,
    pub seq: BatchSeq,
    pub id: &'a BatchId,
    pub failure: &'a Failure,
}

impl CommitUnsettled<'_> {
    pub fn emit(&self) {
        count_error(self.import, Stage::Commit, self.failure.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.id.as_str(),
            seq = self.seq,
            class = %self.failure.class,
            code = self.failure.code,
            reason = self.failure.message.as_str(),
            "commit unsettled, reading the table again"
        );
    }
}

/// A tick has run its batches.
#[derive(Clone, Copy, Debug)]
pub struct TickFinished<'a> {
    pub import: &'a ImportLabels,
    pub batches: usize,
    pub files: usize,
    /// From claim to the last finalised batch.
    pub duration: Duration,
}

impl TickFinished<'_> {
    /// Logs at `debug`: what a tick did is in the events of its batches.
    pub fn emit(&self) {
        telemetry::TICK_DURATION.record(self.import.values([]), self.duration.as_secs_f64());
        debug!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batches = self.batches,
            files = self.files,
            duration_ms = millis(self.duration),
            "tick finished"
        );
    }
}
