//! Events: the list of everything that can happen.
//!
//! Purpose: one struct for each happening, and one call, `emit`, that writes its log line and moves its metrics
//! together, so that the two never disagree. Metrics of [`crate::telemetry`] are moved nowhere else.
//!
//! | event | happens when | metrics |
//! |---|---|---|
//! | [`ProcessStarted`] | the program starts | build_info |
//! | [`CreditMeasured`], [`PoolMeasured`] | every few seconds | memory_credit…, pool… |
//! | [`ConfigApplied`], [`ConfigRefused`] | the configuration was read while the program ran | config_reloads, config_current |
//! | [`ImportRegistered`] | an import is configured, before its first generation | its counters, at 0 |
//! | [`ImportStateChanged`] | an import enters a state | state |
//! | [`SchemaDecided`] | the table's schema is settled | schema_columns |
//! | [`TableRecovered`] | a generation has read its table and agrees with the ledger | table_version, committed_seq, schema_columns |
//! | [`GenerationEnded`], [`RestartScheduled`] | any of an import's actors died | errors, restarts |
//! | [`StaleMessage`] | a message of an earlier generation arrives | stale_messages |
//! | [`ScanPageListed`] | a list page is in the ledger | list_requests, objects_listed, late_arrivals, files{skipped, deferred} |
//! | [`ScanFinished`], [`ScanFailed`] | a scan ends | scan_duration, last_scan; errors |
//! | [`BacklogMeasured`] | the ledger was counted | backlog…, oldest_pending_age, watermark…, last_scan, last_commit, schema_version |
//! | [`TickFinished`] | a tick has run its batches | tick_duration |
//! | [`BatchClaimed`] | a batch is in the ledger | none |
//! | [`BatchCommitted`] | a batch is finalised | commit_duration, table_version, committed_seq, last_commit |
//! | [`SchemaEvolved`] | the commit of a batch added columns | schema_columns |
//! | [`GuardTripped`] | most rows of a batch were bad, and the import is paused | guard_tripped, errors |
//! | [`BatchSettled`] | a batch ended of which no file brought a row | none |
//! | [`BatchAbandoned`] | an open batch gave its files back | none |
//! | [`CommitUnsettled`] | a commit was answered by an error, and the table has to be read again | errors |
//! | [`FileRevised`] | rows that were there before have moved or are gone, durably | rows_revised, bytes_read |
//! | [`TableMaintained`] | a step of maintenance has ended | compacted_files, vacuumed_files, maintenance_duration |
//! | [`RereadTripped`] | the import would read most of its objects again, and is paused | reread_tripped |
//! | [`DecoderDied`] | a child process died over a suspect file | decoder_deaths |
//! | [`FileIngested`], [`FileQuarantined`], [`FileFailed`], [`FileDeferred`], [`FileGone`] | a file's outcome is durable | files, rows, bytes_read, errors |
//!
//! File events come only after the batch is finalised or settled: [`emit_file_result`] turns a [`FileResult`] of the
//! ledger into the right one. Events borrow what they tell, so that an actor builds them for free.
//!
//! [`FileResult`]: crate::ports::FileResult

mod batch;
mod file;
mod import;
mod process;
mod scan;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

pub use self::batch::{
    BatchAbandoned, BatchClaimed, BatchCommitted, BatchSettled, CommitUnsettled, GuardTripped, SchemaEvolved,
    TickFinished,
};
pub use self::file::{
    FileDeferred, FileFailed, FileGone, FileIngested, FileQuarantined, FileRevised, emit_file_result,
};
pub use self::import::{
    DecoderDied, GenerationEnded, ImportRegistered, ImportStateChanged, RereadTripped, RestartScheduled, SchemaDecided,
    StaleMessage, TableMaintained, TableRecovered,
};
pub use self::process::{ConfigApplied, ConfigRefused, CreditMeasured, PoolMeasured, ProcessStarted};
pub use self::scan::{BacklogMeasured, ScanFailed, ScanFinished, ScanPageListed};
use crate::telemetry::{self, ImportLabels, Stage};

/// Whole milliseconds, for log lines.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, for gauges.
fn unix_seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

/// Counts one error where it arose.
fn count_error(import: &ImportLabels, stage: Stage, code: &'static str) {
    telemetry::ERRORS.add(import.values([stage.as_str(), code]), 1);
}
