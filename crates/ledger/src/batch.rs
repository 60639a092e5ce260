//! The open batch: what is claimed, and what was staged for it.

use std::collections::HashMap;

use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ObjectVersionId};
use connector_core::ports::{FileOutcome, FileResult, OpenBatch, StagedBatch, StagedFile};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;

/// The row of the one batch of an import that is claimed or staged.
#[derive(Clone, Debug)]
pub(crate) struct OpenRow {
    pub id: i64,
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub label: String,
    pub staged: bool,
}

/// A result with the row of its object.
pub(crate) struct Settled {
    pub object: i64,
    pub result: FileResult,
}

pub(crate) const OPEN: &str =
    "SELECT id, seq, uuid, label, state = 'staged' FROM batch WHERE import = ?1 AND state IN ('claimed', 'staged')";

impl OpenRow {
    pub(crate) fn load(db: &Connection, import: &Import) -> Result<Option<Self>> {
        let mut statement = db.prepare_cached(OPEN)?;
        let row = statement.query_row([import.id], |row| {
            Ok(Self {
                id: row.get(0)?,
                seq: row.get(1)?,
                uuid: BatchUuid(codec::uuid(row.get(2)?)),
                label: row.get(3)?,
                staged: row.get(4)?,
            })
        });
        Ok(row.optional()?)
    }

    /// The open batch, if it is the one that the caller means.
    pub(crate) fn expect(db: &Connection, import: &Import, seq: BatchSeq) -> Result<Self> {
        match Self::load(db, import)? {
            Some(open) if open.seq == seq => Ok(open),
            Some(open) => Err(import.protocol(format!("batch {} is open, not batch {seq}", open.seq))),
            None => Err(import.protocol(format!("batch {seq} is not open"))),
        }
    }

    /// The batch as recovery needs to see it.
    pub(crate) fn describe(self, db: &Connection, import: &Import) -> Result<OpenBatch> {
        let staged = if self.staged {
            let results = results(db, import, self.id)?.into_iter().map(|settled| settled.result).collect();
            let files = staged_files(db, self.id)?;
            let rows = files.iter().map(|file| file.rows).sum();
            Some(StagedBatch { files, results, rows })
        } else {
            None
        };
        Ok(OpenBatch { seq: self.seq, uuid: self.uuid, id: BatchId::from_stored(self.label), staged })
    }
}

/// Freezes the claimed batch.
pub(crate) fn stage(
    db: &Connection,
    import: &Import,
    seq: BatchSeq,
    uuid: BatchUuid,
    staged: &StagedBatch,
) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    if open.uuid != uuid {
        return Err(import.protocol(format!("batch {seq} is open as {}, not as {uuid}", open.uuid)));
    }
    if open.staged {
        return Err(import.protocol(format!("batch {seq} is staged already")));
    }
    let in_files: u64 = staged.files.iter().map(|file| file.rows).sum();
    let ingested: u64 = staged.results.iter().map(rows_ingested).sum();
    if in_files != staged.rows || ingested != staged.rows {
        return Err(import.protocol(format!(
            "batch {seq} does not add up: {} rows staged, {in_files} in its data files, {ingested} from its files",
            staged.rows
        )));
    }
    for (ordinal, file) in staged.files.iter().enumerate() {
        db.prepare_cached("INSERT INTO staged_file VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            open.id,
            codec::stored(ordinal as u64),
            file.path,
            codec::stored(file.bytes),
            codec::stored(file.rows),
            file.stats
        ])?;
    }
    write_results(db, import, &open, &staged.results)?;
    db.prepare_cached("UPDATE batch SET state = 'staged', row_count = ?2, byte_count = ?3 WHERE id = ?1")?.execute(
        params![open.id, codec::stored(staged.rows), codec::stored(staged.results.iter().map(|r| r.bytes).sum())],
    )?;
    Ok(())
}

pub(crate) fn rows_ingested(result: &FileResult) -> u64 {
    match result.outcome {
        FileOutcome::Ingested { rows } => rows,
        _ => 0,
    }
}

/// Stores how files of the open batch ended. Nothing takes effect yet.
pub(crate) fn write_results(db: &Connection, import: &Import, open: &OpenRow, results: &[FileResult]) -> Result<()> {
    let members = members(db, import, open.id)?;
    let mut seen = std::collections::HashSet::new();
    let mut insert = db.prepare_cached("INSERT INTO file_result VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for (ordinal, result) in results.iter().enumerate() {
        let Some(object) = members.get(&result.id) else {
            return Err(import.protocol(format!("object version {:?} is not in batch {}", result.id, open.seq)));
        };
        if !seen.insert(result.id) {
            return Err(import.protocol(format!("object version {:?} has two results", result.id)));
        }
        let (outcome, rows, code, message, not_before) = match &result.outcome {
            FileOutcome::Ingested { rows } => ("ingested", *rows, None, None, None),
            FileOutcome::Failed { code, message, rows_rejected } => {
                ("failed", *rows_rejected, Some(*code), Some(message), None)
            }
            FileOutcome::Deferred { code, message, not_before } => {
                ("deferred", 0, Some(*code), Some(message), Some(codec::micros(*not_before)))
            }
            FileOutcome::Gone { code, message } => ("gone", 0, Some(*code), Some(message), None),
        };
        insert.execute(params![
            open.id,
            object,
            codec::stored(ordinal as u64),
            outcome,
            codec::stored(rows),
            codec::stored(result.bytes),
            codec::stored(result.duration_ms),
            code,
            message,
            not_before
        ])?;
    }
    Ok(())
}

pub(crate) const MEMBERS: &str = "SELECT object.id, bucket.name, key, etag, size
     FROM object JOIN bucket ON bucket.id = object.bucket WHERE batch = ?1 AND state = 'claimed'";

/// The rows of the files that the batch holds, by object version.
fn members(db: &Connection, import: &Import, batch: i64) -> Result<HashMap<ObjectVersionId, i64>> {
    let mut statement = db.prepare_cached(MEMBERS)?;
    let rows = statement.query_and_then([batch], |row| Ok((version_id(import, row, 1)?, row.get(0)?)))?;
    rows.collect()
}

/// Bucket, key, ETag and size begin at this column.
fn version_id(import: &Import, row: &Row<'_>, at: usize) -> Result<ObjectVersionId> {
    let (bucket, key, etag): (String, String, String) = (row.get(at)?, row.get(at + 1)?, row.get(at + 2)?);
    Ok(ObjectVersionId::of(import.uuid, &bucket, &key, &etag, codec::amount(row.get(at + 3)?)?))
}

pub(crate) const RESULTS: &str =
    "SELECT object.id, bucket.name, key, etag, object.size, outcome, row_count, byte_count,
        duration_ms, code, message, file_result.not_before
     FROM file_result JOIN object ON object.id = file_result.object JOIN bucket ON bucket.id = object.bucket
     WHERE file_result.batch = ?1 ORDER BY ordinal";

/// The stored results of a batch, as they were given.
pub(crate) fn results(db: &Connection, import: &Import, batch: i64) -> Result<Vec<Settled>> {
    let mut statement = db.prepare_cached(RESULTS)?;
    let rows = statement.query_and_then([batch], |row| {
        let result = FileResult {
            id: version_id(import, row, 1)?,
            outcome: outcome(row)?,
            bytes: codec::amount(row.get(7)?)?,
            duration_ms: codec::amount(row.get(8)?)?,
        };
        Ok(Settled { object: row.get(0)?, result })
    })?;
    rows.collect()
}

fn outcome(row: &Row<'_>) -> Result<FileOutcome> {
    let kind: String = row.get(5)?;
    let rows = codec::amount(row.get(6)?)?;
    let code = codec::code(&row.get::<_, Option<String>>(9)?.unwrap_or_default());
    let message = row.get::<_, Option<String>>(10)?.unwrap_or_default();
    Ok(match (kind.as_str(), codec::optional_time(row.get(11)?)?) {
        ("ingested", _) => FileOutcome::Ingested { rows },
        ("failed", _) => FileOutcome::Failed { code, message, rows_rejected: rows },
        ("deferred", Some(not_before)) => FileOutcome::Deferred { code, message, not_before },
        ("gone", _) => FileOutcome::Gone { code, message },
        _ => return Err(codec::corrupt("an outcome that does not exist")),
    })
}

fn staged_files(db: &Connection, batch: i64) -> Result<Vec<StagedFile>> {
    let mut statement = db.prepare_cached(
        "SELECT path, byte_count, row_count, stats FROM staged_file WHERE batch = ?1 ORDER BY ordinal",
    )?;
    let rows = statement.query_and_then([batch], |row| {
        Ok(StagedFile {
            path: row.get(0)?,
            bytes: codec::amount(row.get(1)?)?,
            rows: codec::amount(row.get(2)?)?,
            stats: row.get(3)?,
        })
    })?;
    rows.collect()
}
