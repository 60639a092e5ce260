//! Events of files whose outcome is durable.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::{count_error, millis};
use crate::ids::BatchId;
use crate::ports::{FileOutcome, FileResult};
use crate::telemetry::{self, ImportLabels, Stage};

/// Emits the event of one file of a batch that is finalised or settled.
pub fn emit_file_result(import: &ImportLabels, batch: &BatchId, key: &str, result: &FileResult) {
    let bytes = result.bytes;
    let duration = Duration::from_millis(result.duration_ms);
    match &result.outcome {
        FileOutcome::Ingested { rows, rows_quarantined } => {
            let (rows, rows_quarantined) = (*rows, *rows_quarantined);
            FileIngested { import, batch, key, rows, rows_quarantined, bytes, duration }.emit();
        }
        FileOutcome::Quarantined { code, message, rows_quarantined } => {
            let rows_quarantined = *rows_quarantined;
            FileQuarantined { import, batch, key, code, message, rows_quarantined, bytes, duration }.emit();
        }
        FileOutcome::Failed { code, message } => FileFailed { import, batch, key, code, message, bytes }.emit(),
        FileOutcome::Deferred { code, message, not_before } => {
            FileDeferred { import, batch, key, code, message, not_before: *not_before, bytes }.emit();
        }
        FileOutcome::Gone { code, message } => FileGone { import, batch, key, code, message, bytes }.emit(),
        FileOutcome::Replayed { .. }
        | FileOutcome::RolledBack { .. }
        | FileOutcome::Superseded { .. }
        | FileOutcome::Expired { .. } => {
            let (rows, rows_quarantined) = result.outcome.removed();
            FileRevised { import, batch, key, outcome: result.outcome.label(), rows, rows_quarantined, bytes }.emit();
        }
    }
}

/// Rows of a file that were there before have moved, or are gone on purpose.
#[derive(Clone, Copy, Debug)]
pub struct FileRevised<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    /// `replayed`, `rolled_back`, `superseded` or `expired`.
    pub outcome: &'static str,
    /// Rows that left the table.
    pub rows: u64,
    /// Rows that left quarantine; those of a replay are in the table now.
    pub rows_quarantined: u64,
    /// Bytes read from S3.
    pub bytes: u64,
}

impl FileRevised<'_> {
    pub fn emit(&self) {
        telemetry::ROWS_REVISED.add(self.import.values([self.outcome]), self.rows + self.rows_quarantined);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            outcome = self.outcome,
            rows = self.rows,
            rows_quarantined = self.rows_quarantined,
            "file revised"
        );
    }
}

/// A file's rows are in the table, those that do not fit in its quarantine.
#[derive(Clone, Copy, Debug)]
pub struct FileIngested<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    pub rows: u64,
    pub rows_quarantined: u64,
    /// Bytes read from S3.
    pub bytes: u64,
    /// From the start of reading to the last row.
    pub duration: Duration,
}

impl FileIngested<'_> {
    pub fn emit(&self) {
        telemetry::FILES.add(self.import.values(["ingested"]), 1);
        telemetry::ROWS.add(self.import.values(["ingested"]), self.rows);
        telemetry::ROWS.add(self.import.values(["quarantined"]), self.rows_quarantined);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            rows = self.rows,
            rows_quarantined = self.rows_quarantined,
            bytes = self.bytes,
            duration_ms = millis(self.duration),
            "file ingested"
        );
    }
}

/// A file does not fit the table as a whole; all its rows are in the quarantine.
#[derive(Clone, Copy, Debug)]
pub struct FileQuarantined<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    pub code: &'static str,
    pub message: &'a str,
    pub rows_quarantined: u64,
    /// Bytes read from S3.
    pub bytes: u64,
    pub duration: Duration,
}

impl FileQuarantined<'_> {
    pub fn emit(&self) {
        telemetry::FILES.add(self.import.values(["quarantined"]), 1);
        telemetry::ROWS.add(self.import.values(["quarantined"]), self.rows_quarantined);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        count_error(self.import, Stage::Decode, self.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            code = self.code,
            reason = self.message,
            rows_quarantined = self.rows_quarantined,
            bytes = self.bytes,
            duration_ms = millis(self.duration),
            "file quarantined"
        );
    }
}

/// A file cannot be read; none of its rows is in the table.
#[derive(Clone, Copy, Debug)]
pub struct FileFailed<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    pub code: &'static str,
    pub message: &'a str,
    /// Bytes read from S3.
    pub bytes: u64,
}

impl FileFailed<'_> {
    pub fn emit(&self) {
        telemetry::FILES.add(self.import.values(["failed"]), 1);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        count_error(self.import, Stage::Decode, self.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            code = self.code,
            reason = self.message,
            bytes = self.bytes,
            "file failed"
        );
    }
}

/// A file could not be read now; it left its batch and is tried again.
#[derive(Clone, Copy, Debug)]
pub struct FileDeferred<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    pub code: &'static str,
    pub message: &'a str,
    /// When it is tried again, at the earliest.
    pub not_before: Timestamp,
    /// Bytes read from S3.
    pub bytes: u64,
}

impl FileDeferred<'_> {
    pub fn emit(&self) {
        telemetry::FILES.add(self.import.values(["deferred"]), 1);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        count_error(self.import, Stage::Read, self.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            code = self.code,
            reason = self.message,
            not_before = %self.not_before,
            "file deferred"
        );
    }
}

/// A file vanished or changed since it was listed; the next scan finds what is there now.
#[derive(Clone, Copy, Debug)]
pub struct FileGone<'a> {
    pub import: &'a ImportLabels,
    pub batch: &'a BatchId,
    pub key: &'a str,
    pub code: &'static str,
    pub message: &'a str,
    /// Bytes read from S3.
    pub bytes: u64,
}

impl FileGone<'_> {
    /// Logs at `info`: that files come and go is the normal life of a bucket.
    pub fn emit(&self) {
        telemetry::FILES.add(self.import.values(["gone"]), 1);
        telemetry::BYTES_READ.add(self.import.values([]), self.bytes);
        count_error(self.import, Stage::Read, self.code);
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            batch = self.batch.as_str(),
            key = self.key,
            code = self.code,
            reason = self.message,
            "file gone"
        );
    }
}
