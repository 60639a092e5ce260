//! What people ask: counts, and the newest files that did not fit.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use connector_core::ports::{DeferredFile, FailedFile, ImportCounts};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::claiming::Backlog;
use crate::error::Result;
use crate::import::{self, Import};
use crate::{codec, history, schema};

/// How many files of a kind [`ImportCounts`] names.
const RECENT_FAILURES: usize = 20;

/// The states of an object version. Counts name all of them, zeros too.
pub const OBJECT_STATES: [&str; 8] =
    ["pending", "claimed", "ingested", "quarantined", "failed", "skipped", "deferred", "gone"];

pub(crate) fn counts(db: &Connection, import: &Import, now: Timestamp) -> Result<ImportCounts> {
    let backlog = Backlog::load(db, import, now)?;
    let mut statement = db.prepare_cached(
        "SELECT row_count, byte_count, quarantined_count, batch_count, late_count, last_scan_at, last_commit_at
         FROM import WHERE id = ?1",
    )?;
    let (amounts, times): ([i64; 5], [Option<i64>; 2]) = statement.query_row([import.id], |row| {
        let amounts = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        Ok((amounts, [row.get(5)?, row.get(6)?]))
    })?;
    let [rows, bytes, rows_quarantined, batches, late] = amounts;
    Ok(ImportCounts {
        files: files_by_state(db, import)?,
        rows: codec::amount(rows)?,
        bytes: codec::amount(bytes)?,
        rows_quarantined: codec::amount(rows_quarantined)?,
        schema_version: schema::newest_version(db, import)?,
        reference: history::reference_key(db, import)?,
        batches: codec::amount(batches)?,
        backlog_files: backlog.files,
        backlog_bytes: backlog.bytes,
        oldest_pending: backlog.oldest,
        late_arrivals: codec::amount(late)?,
        watermark: import::watermark(import.watermark.clone())?,
        last_scan_at: codec::optional_time(times[0])?,
        last_commit_at: codec::optional_time(times[1])?,
        recent_failures: recent_failures(db, import)?,
        deferrals: deferrals(db, import)?,
    })
}

fn files_by_state(db: &Connection, import: &Import) -> Result<BTreeMap<String, u64>> {
    let mut files: BTreeMap<String, u64> = OBJECT_STATES.iter().map(|state| ((*state).to_owned(), 0)).collect();
    let mut statement = db.prepare_cached(
        "SELECT state, SUM(files) FROM tally WHERE bucket IN (SELECT id FROM bucket WHERE import = ?1) GROUP BY state",
    )?;
    let mut rows = statement.query([import.id])?;
    while let Some(row) = rows.next()? {
        files.insert(row.get(0)?, codec::amount(row.get(1)?)?);
    }
    Ok(files)
}

pub(crate) const RECENT: &str = "SELECT object.key, file_result.code, file_result.message, batch.ended_at
     FROM object JOIN batch ON batch.id = object.batch
        JOIN file_result ON file_result.batch = object.batch AND file_result.object = object.id
     WHERE object.bucket = ?1 AND object.state IN ('failed', 'quarantined') AND object.reason IS NULL
     ORDER BY object.batch DESC LIMIT ?2";

/// Newest first, and without those whose key was ingested since. Each bucket's newest are read by index, then merged:
/// an import has one bucket, rarely two.
fn recent_failures(db: &Connection, import: &Import) -> Result<Vec<FailedFile>> {
    let mut newest = Vec::new();
    let mut statement = db.prepare_cached(RECENT)?;
    for bucket in buckets(db, import)? {
        let rows = statement.query_and_then(params![bucket, RECENT_FAILURES as i64], |row| {
            Ok(FailedFile { key: row.get(0)?, code: row.get(1)?, message: row.get(2)?, at: codec::time(row.get(3)?)? })
        })?;
        newest.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    newest.sort_by_key(|failed: &FailedFile| Reverse(failed.at));
    newest.truncate(RECENT_FAILURES);
    Ok(newest)
}

pub(crate) const DEFERRED: &str = "SELECT object.key, file_result.code, file_result.message, object.not_before
     FROM object JOIN file_result ON file_result.batch = object.batch AND file_result.object = object.id
     WHERE object.bucket = ?1 AND object.state = 'pending' AND object.not_before IS NOT NULL
        AND file_result.outcome = 'deferred'
     ORDER BY object.not_before LIMIT ?2";

fn deferrals(db: &Connection, import: &Import) -> Result<Vec<DeferredFile>> {
    let mut next = Vec::new();
    let mut statement = db.prepare_cached(DEFERRED)?;
    for bucket in buckets(db, import)? {
        let rows = statement.query_and_then(params![bucket, RECENT_FAILURES as i64], |row| {
            let (code, message) = (row.get(1)?, row.get(2)?);
            Ok(DeferredFile { key: row.get(0)?, code, message, not_before: codec::time(row.get(3)?)? })
        })?;
        next.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    next.sort_by_key(|deferred: &DeferredFile| deferred.not_before);
    next.truncate(RECENT_FAILURES);
    Ok(next)
}

fn buckets(db: &Connection, import: &Import) -> Result<Vec<i64>> {
    let mut statement = db.prepare_cached("SELECT id FROM bucket WHERE import = ?1")?;
    Ok(statement.query_map([import.id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn imports(db: &Connection) -> Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT name FROM import ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}
