//! The open batch: what is claimed, and what was staged for it.

use std::collections::{BTreeSet, HashMap, HashSet};

use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ObjectVersionId};
use connector_core::ports::{FileOutcome, FileResult, OpenBatch, StagedBatch, StagedFile};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Result;
use crate::import::Import;
use crate::{codec, json};

/// The row of the one batch of an import that is claimed or staged.
#[derive(Clone, Debug)]
pub(crate) struct OpenRow {
    pub id: i64,
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub label: String,
    pub staged: bool,
}

/// A result with what the ledger knows of its object.
pub(crate) struct Settled {
    /// Its row.
    pub object: i64,
    pub key: String,
    /// In the order of the claim; `None` if version 1 of this program claimed it.
    pub place: Option<i64>,
    pub result: FileResult,
}

/// Which table a data file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Quarantine,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Quarantine => "quarantine",
        }
    }
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
        let staged = if self.staged { Some(staged(db, import, self.id)?) } else { None };
        Ok(OpenBatch { seq: self.seq, uuid: self.uuid, id: BatchId::from_stored(self.label), staged })
    }
}

fn staged(db: &Connection, import: &Import, batch: i64) -> Result<StagedBatch> {
    let files = staged_files(db, batch, Kind::Table)?;
    let quarantine = staged_files(db, batch, Kind::Quarantine)?;
    let (added, quarantine_added): (String, String) = db
        .prepare_cached("SELECT added, quarantine_added FROM batch WHERE id = ?1")?
        .query_row([batch], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(StagedBatch {
        rows: rows_in(&files),
        rows_quarantined: rows_in(&quarantine),
        files,
        quarantine,
        results: results(db, import, batch)?.into_iter().map(|settled| settled.result).collect(),
        added: json::added_from_json(&added)?,
        quarantine_added: json::columns_from_json(&quarantine_added)?,
    })
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
    add_up(import, seq, staged)?;
    // Once its commit has landed, the columns have to go somewhere.
    if !staged.added.is_empty() && crate::schema::of_table(db, import)?.is_none() {
        return Err(import.protocol(format!("batch {seq} adds columns to a table whose schema is not decided")));
    }
    write_files(db, open.id, staged)?;
    write_results(db, import, &open, &staged.results)?;
    db.prepare_cached(
        "UPDATE batch SET state = 'staged', row_count = ?2, quarantined_count = ?3, byte_count = ?4, added = ?5,
            quarantine_added = ?6 WHERE id = ?1",
    )?
    .execute(params![
        open.id,
        codec::stored(staged.rows),
        codec::stored(staged.rows_quarantined),
        codec::stored(bytes_read(&staged.results)),
        json::added_to_json(&staged.added),
        json::columns_to_json(&staged.quarantine_added),
    ])?;
    Ok(())
}

/// Every row that a file brought is in a data file, and no other one is: for the table and for its quarantine.
fn add_up(import: &Import, seq: BatchSeq, staged: &StagedBatch) -> Result<()> {
    let brought = |count: fn(&FileOutcome) -> u64| staged.results.iter().map(|result| count(&result.outcome)).sum();
    let of_files: [u64; 2] = [brought(FileOutcome::rows), brought(FileOutcome::rows_quarantined)];
    let sides = [
        ("staged", staged.rows, rows_in(&staged.files), of_files[0]),
        ("staged for quarantine", staged.rows_quarantined, rows_in(&staged.quarantine), of_files[1]),
    ];
    for (what, said, in_files, brought) in sides {
        if in_files != said || brought != said {
            return Err(import.protocol(format!(
                "batch {seq} does not add up: {said} rows {what}, {in_files} in its data files, {brought} from its files"
            )));
        }
    }
    Ok(())
}

fn rows_in(files: &[StagedFile]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

pub(crate) fn bytes_read(results: &[FileResult]) -> u64 {
    results.iter().map(|result| result.bytes).sum()
}

fn write_files(db: &Connection, batch: i64, staged: &StagedBatch) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO staged_file (batch, ordinal, kind, path, byte_count, row_count, stats, partition)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let table = staged.files.iter().map(|file| (Kind::Table, file));
    let quarantine = staged.quarantine.iter().map(|file| (Kind::Quarantine, file));
    for (ordinal, (kind, file)) in table.chain(quarantine).enumerate() {
        insert.execute(params![
            batch,
            codec::stored(ordinal as u64),
            kind.as_str(),
            file.path,
            codec::stored(file.bytes),
            codec::stored(file.rows),
            file.stats,
            file.partition,
        ])?;
    }
    Ok(())
}

/// Stores how files of the open batch ended. Nothing takes effect yet.
pub(crate) fn write_results(db: &Connection, import: &Import, open: &OpenRow, results: &[FileResult]) -> Result<()> {
    let members = members(db, import, open.id)?;
    let (mut seen, mut outcomes) = (HashSet::new(), BTreeSet::new());
    let mut insert = db.prepare_cached(
        "INSERT INTO file_result (batch, object, ordinal, outcome, row_count, quarantined_count, byte_count,
            duration_ms, code, message, not_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (ordinal, result) in results.iter().enumerate() {
        let Some(object) = members.get(&result.id) else {
            return Err(import.protocol(format!("object version {:?} is not in batch {}", result.id, open.seq)));
        };
        if !seen.insert(result.id) {
            return Err(import.protocol(format!("object version {:?} has two results", result.id)));
        }
        outcomes.insert(result.outcome.label());
        let not_before = match &result.outcome {
            FileOutcome::Deferred { not_before, .. } => Some(codec::micros(*not_before)),
            _ => None,
        };
        let (code, message) = cause(&result.outcome).unzip();
        insert.execute(params![
            open.id,
            object,
            codec::stored(ordinal as u64),
            result.outcome.label(),
            codec::stored(result.outcome.rows()),
            codec::stored(result.outcome.rows_quarantined()),
            codec::stored(result.bytes),
            codec::stored(result.duration_ms),
            code,
            message,
            not_before
        ])?;
    }
    let mut note = db.prepare_cached("INSERT INTO batch_outcome (import, outcome, batch) VALUES (?1, ?2, ?3)")?;
    for outcome in outcomes {
        note.execute(params![import.id, outcome, open.id])?;
    }
    Ok(())
}

/// Code and message of a file that was not ingested.
pub(crate) fn cause(outcome: &FileOutcome) -> Option<(&'static str, &str)> {
    match outcome {
        FileOutcome::Ingested { .. } => None,
        FileOutcome::Quarantined { code, message, .. }
        | FileOutcome::Failed { code, message }
        | FileOutcome::Deferred { code, message, .. }
        | FileOutcome::Gone { code, message } => Some((code, message)),
    }
}

pub(crate) const MEMBERS: &str = "SELECT object.id, bucket.name, key, etag, size
     FROM object JOIN bucket ON bucket.id = object.bucket WHERE batch = ?1 AND state = 'claimed'";

/// The rows of the files that the batch holds, by object version.
fn members(db: &Connection, import: &Import, batch: i64) -> Result<HashMap<ObjectVersionId, i64>> {
    let mut statement = db.prepare_cached(MEMBERS)?;
    let rows = statement.query_and_then([batch], |row| {
        let key: String = row.get(2)?;
        Ok((version_id(import, row, &key, (1, 3))?, row.get(0)?))
    })?;
    rows.collect()
}

/// Bucket at the one column, ETag and size from the other one on.
fn version_id(import: &Import, row: &Row<'_>, key: &str, (bucket, etag): (usize, usize)) -> Result<ObjectVersionId> {
    let (bucket, etag, size): (String, String, i64) = (row.get(bucket)?, row.get(etag)?, row.get(etag + 1)?);
    Ok(ObjectVersionId::of(import.uuid, &bucket, key, &etag, codec::amount(size)?))
}

pub(crate) const RESULTS: &str = "SELECT object.id, bucket.name, key, etag, object.size, outcome, row_count,
        quarantined_count, byte_count, duration_ms, code, message, file_result.not_before, object.place
     FROM file_result JOIN object ON object.id = file_result.object JOIN bucket ON bucket.id = object.bucket
     WHERE file_result.batch = ?1 ORDER BY ordinal";

/// The stored results of a batch, as they were given. At most as many as the largest batch has files.
pub(crate) fn results(db: &Connection, import: &Import, batch: i64) -> Result<Vec<Settled>> {
    let mut statement = db.prepare_cached(RESULTS)?;
    let rows = statement.query_and_then([batch], |row| {
        let key: String = row.get(2)?;
        let result = FileResult {
            id: version_id(import, row, &key, (1, 3))?,
            outcome: outcome(row)?,
            bytes: codec::amount(row.get(8)?)?,
            duration_ms: codec::amount(row.get(9)?)?,
        };
        Ok(Settled { object: row.get(0)?, key, place: row.get(13)?, result })
    })?;
    rows.collect()
}

fn outcome(row: &Row<'_>) -> Result<FileOutcome> {
    let kind: String = row.get(5)?;
    let (rows, rows_quarantined) = (codec::amount(row.get(6)?)?, codec::amount(row.get(7)?)?);
    let code = codec::code(&row.get::<_, Option<String>>(10)?.unwrap_or_default());
    let message = row.get::<_, Option<String>>(11)?.unwrap_or_default();
    Ok(match (kind.as_str(), codec::optional_time(row.get(12)?)?) {
        ("ingested", _) => FileOutcome::Ingested { rows, rows_quarantined },
        ("quarantined", _) => FileOutcome::Quarantined { code, message, rows_quarantined },
        ("failed", _) => FileOutcome::Failed { code, message },
        ("deferred", Some(not_before)) => FileOutcome::Deferred { code, message, not_before },
        ("gone", _) => FileOutcome::Gone { code, message },
        _ => return Err(codec::corrupt("an outcome that does not exist")),
    })
}

fn staged_files(db: &Connection, batch: i64, kind: Kind) -> Result<Vec<StagedFile>> {
    let mut statement = db.prepare_cached(
        "SELECT path, byte_count, row_count, stats, partition FROM staged_file WHERE batch = ?1 AND kind = ?2
         ORDER BY ordinal",
    )?;
    let rows = statement.query_and_then(params![batch, kind.as_str()], |row| {
        Ok(StagedFile {
            path: row.get(0)?,
            bytes: codec::amount(row.get(1)?)?,
            rows: codec::amount(row.get(2)?)?,
            stats: row.get(3)?,
            partition: row.get(4)?,
        })
    })?;
    rows.collect()
}
