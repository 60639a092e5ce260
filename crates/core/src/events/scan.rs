//! Events of discovery: scans, and what waits to be claimed.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{count_error, millis, unix_seconds};
use crate::error::Failure;
use crate::ports::{ImportCounts, PageOutcome};
use crate::telemetry::{self, ImportLabels, Stage};

/// A list page is in the ledger.
///
/// Counts what the page changed, so that a scan that fails half-way has counted exactly what it stored.
#[derive(Clone, Copy, Debug)]
pub struct ScanPageListed<'a> {
    pub import: &'a ImportLabels,
    /// Objects on the page, before the configuration excluded any.
    pub objects: u64,
    pub outcome: PageOutcome,
}

impl ScanPageListed<'_> {
    pub fn emit(&self) {
        let PageOutcome { new, known, skipped, late, deferred } = self.outcome;
        telemetry::LIST_REQUESTS.add(self.import.values([]), 1);
        telemetry::OBJECTS_LISTED.add(self.import.values([]), self.objects);
        telemetry::LATE_ARRIVALS.add(self.import.values([]), late);
        telemetry::FILES.add(self.import.values(["skipped"]), skipped);
        telemetry::FILES.add(self.import.values(["deferred"]), deferred);
        debug!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            objects = self.objects,
            new,
            known,
            skipped,
            late,
            deferred,
            "list page recorded"
        );
    }
}

/// A scan has listed the whole prefix. Its counts are sums over its pages, which were counted page by page.
#[derive(Clone, Copy, Debug)]
pub struct ScanFinished<'a> {
    pub import: &'a ImportLabels,
    pub pages: u64,
    pub objects: u64,
    /// Objects that the configuration keeps out; they are not stored.
    pub excluded: u64,
    pub outcome: PageOutcome,
    pub duration: Duration,
    pub at: Timestamp,
}

impl ScanFinished<'_> {
    /// Logs at `info` if the scan found anything, else at `debug`: an idle bucket is scanned each minute.
    pub fn emit(&self) {
        telemetry::SCAN_DURATION.record(self.import.values([]), self.duration.as_secs_f64());
        telemetry::LAST_SCAN.set(self.import.values([]), unix_seconds(self.at));
        let (connection, import) = (&*self.import.connection, &*self.import.import);
        let (pages, objects, excluded) = (self.pages, self.objects, self.excluded);
        let PageOutcome { new, known, skipped, late, deferred } = self.outcome;
        let duration_ms = millis(self.duration);
        if new + skipped + deferred > 0 {
            info!(
                connection,
                import, pages, objects, new, known, skipped, deferred, late, excluded, duration_ms, "scan finished"
            );
        } else {
            debug!(connection, import, pages, objects, known, excluded, duration_ms, "scan finished, nothing new");
        }
    }
}

/// A scan ended before it had listed the whole prefix.
#[derive(Clone, Copy, Debug)]
pub struct ScanFailed<'a> {
    pub import: &'a ImportLabels,
    pub failure: &'a Failure,
    /// Pages that were recorded before; they stay recorded.
    pub pages: u64,
}

impl ScanFailed<'_> {
    pub fn emit(&self) {
        count_error(self.import, Stage::Scan, self.failure.code);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            pages = self.pages,
            class = %self.failure.class,
            code = self.failure.code,
            reason = self.failure.message.as_str(),
            "scan failed"
        );
    }
}

/// The ledger was counted. Gauges only: it happens with every tick.
#[derive(Clone, Copy, Debug)]
pub struct BacklogMeasured<'a> {
    pub import: &'a ImportLabels,
    pub counts: &'a ImportCounts,
    pub now: Timestamp,
}

impl BacklogMeasured<'_> {
    pub fn emit(&self) {
        let (counts, labels) = (self.counts, || self.import.values([]));
        telemetry::BACKLOG_FILES.set(labels(), counts.backlog_files as f64);
        telemetry::BACKLOG_BYTES.set(labels(), counts.backlog_bytes as f64);
        telemetry::OLDEST_PENDING_AGE.set(labels(), counts.oldest_pending.map_or(0.0, |time| self.age(time)));
        telemetry::WATERMARK_LAG.set(labels(), self.watermark_lag());
        telemetry::SCHEMA_VERSION.set(labels(), f64::from(counts.schema_version));
        if let Some(watermark) = &counts.watermark {
            telemetry::WATERMARK.set(labels(), unix_seconds(watermark.last_modified));
        }
        if let Some(at) = counts.last_scan_at {
            telemetry::LAST_SCAN.set(labels(), unix_seconds(at));
        }
        if let Some(at) = counts.last_commit_at {
            telemetry::LAST_COMMIT.set(labels(), unix_seconds(at));
        }
    }

    /// Without a backlog nothing lags, however old the newest file is; before the first watermark the oldest pending
    /// file is the best measure.
    fn watermark_lag(&self) -> f64 {
        if self.counts.backlog_files == 0 {
            return 0.0;
        }
        let watermark = self.counts.watermark.as_ref().map(|watermark| watermark.last_modified);
        watermark.or(self.counts.oldest_pending).map_or(0.0, |time| self.age(time))
    }

    /// Never negative: S3 and this machine may disagree about the time.
    fn age(&self, time: Timestamp) -> f64 {
        self.now.duration_since(time).as_secs_f64().max(0.0)
    }
}
