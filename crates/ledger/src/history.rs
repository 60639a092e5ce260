//! The tracker's facts: batches, newest first, a page at a time.

use connector_core::history::{BatchRecord, FileRecord, HistoryPage, HistoryQuery};
use connector_core::ports::FileResult;
use rusqlite::{Connection, Row, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;
use crate::results::{self, Settled};

/// Batches on one page, however many are wanted: a page is held in memory.
pub const MAX_PAGE: u32 = 1_000;
/// A page with files ends before the batch with which it would hold more than this many; one batch it has always.
pub const MAX_PAGE_FILES: u64 = 10_000;

pub(crate) const ALL: &str =
    "SELECT id, label, seq, state, files, row_count, quarantined_count, byte_count, claimed_at,
        ended_at, table_version, kind
     FROM batch WHERE import = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
pub(crate) const WITH_OUTCOME: &str = "SELECT id, label, seq, state, files, row_count, quarantined_count, byte_count,
        claimed_at, ended_at, table_version, kind
     FROM batch_outcome CROSS JOIN batch ON batch.id = batch_outcome.batch
     WHERE batch_outcome.import = ?1 AND batch_outcome.outcome = ?4 AND batch_outcome.batch < ?2
     ORDER BY batch_outcome.batch DESC LIMIT ?3";

pub(crate) fn page(db: &Connection, import: &Import, query: &HistoryQuery) -> Result<HistoryPage> {
    let limit = query.limit.min(MAX_PAGE);
    let mut page = HistoryPage::default();
    if limit == 0 {
        return Ok(page);
    }
    let before = query.before.unwrap_or(i64::MAX);
    // One more than wanted says whether there is a next page.
    let most = i64::from(limit) + 1;
    let mut statement = db.prepare_cached(if query.outcome.is_some() { WITH_OUTCOME } else { ALL })?;
    let mut rows = match &query.outcome {
        None => statement.query(params![import.id, before, most])?,
        Some(outcome) => statement.query(params![import.id, before, most, outcome])?,
    };
    let reference = if query.files { reference_key(db, import)? } else { None };
    let (mut last, mut files) = (None, 0);
    while let Some(row) = rows.next()? {
        let (position, mut record) = read(row)?;
        files += if query.files { record.files } else { 0 };
        if page.batches.len() == limit as usize || (last.is_some() && files > MAX_PAGE_FILES) {
            page.next = last;
            break;
        }
        if query.files {
            let settled = results::of_batch(db, import, position)?;
            record.results = settled.into_iter().map(|file| file_record(file, reference.as_deref())).collect();
        }
        page.batches.push(record);
        last = Some(position);
    }
    Ok(page)
}

fn read(row: &Row<'_>) -> Result<(i64, BatchRecord)> {
    let record = BatchRecord {
        id: row.get(1)?,
        seq: row.get(2)?,
        kind: codec::kind(&row.get::<_, String>(11)?)?,
        state: row.get(3)?,
        files: codec::amount(row.get(4)?)?,
        rows: codec::amount(row.get(5)?)?,
        rows_quarantined: codec::amount(row.get(6)?)?,
        bytes: codec::amount(row.get(7)?)?,
        claimed_at: codec::time(row.get(8)?)?,
        ended_at: codec::optional_time(row.get(9)?)?,
        table_version: row.get::<_, Option<i64>>(10)?.map(codec::amount).transpose()?,
        results: Vec::new(),
    };
    Ok((row.get(0)?, record))
}

fn file_record(settled: Settled, reference: Option<&str>) -> FileRecord {
    record_of(settled.key, &settled.result, reference)
}

pub(crate) fn record_of(key: String, result: &FileResult, reference: Option<&str>) -> FileRecord {
    let (code, message) = results::cause(&result.outcome).unzip();
    let (rows_removed, quarantined_removed) = result.outcome.removed();
    FileRecord {
        version: result.id.hex(),
        outcome: result.outcome.label().to_owned(),
        rows: result.outcome.rows(),
        rows_quarantined: result.outcome.rows_quarantined(),
        rows_removed,
        quarantined_removed,
        bytes: result.bytes,
        duration_ms: result.duration_ms,
        code: code.map(str::to_owned),
        message: message.map(str::to_owned),
        reference: reference == Some(key.as_str()),
        key,
    }
}

/// The key of the schema's reference file, once there is one.
pub(crate) fn reference_key(db: &Connection, import: &Import) -> Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT reference_key FROM import WHERE id = ?1")?;
    Ok(statement.query_row([import.id], |row| row.get(0))?)
}
