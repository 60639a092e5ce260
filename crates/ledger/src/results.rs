//! How the files of a batch ended: stored when it is staged or settled, in effect once it has ended.

use std::collections::{BTreeSet, HashMap, HashSet};

use connector_core::ids::ObjectVersionId;
use connector_core::ports::{FileOutcome, FileResult};
use connector_core::revision::BatchKind;
use rusqlite::{Connection, Row, params};

use crate::batch::OpenRow;
use crate::error::Result;
use crate::import::Import;
use crate::{account, codec, version};

/// A result with what the ledger knows of its object.
pub(crate) struct Settled {
    /// Its row.
    pub object: i64,
    pub key: String,
    /// In the order of the claim; `None` if the batch has not claimed it.
    pub place: Option<i64>,
    pub result: FileResult,
}

/// An object version that a batch may have a result for.
pub(crate) struct Member {
    /// Its row.
    pub object: i64,
    key: String,
    /// False: the batch only revises its rows.
    claimed: bool,
}

pub(crate) const CLAIMED: &str = "SELECT object.id, bucket.name, key, etag, size, version
     FROM object JOIN bucket ON bucket.id = object.bucket WHERE batch = ?1 AND state = 'claimed'";
pub(crate) const REVISED: &str = "SELECT object.id, bucket.name, key, etag, size, version
     FROM member CROSS JOIN object ON object.id = member.object JOIN bucket ON bucket.id = object.bucket
     WHERE member.batch = ?1";

/// What the open batch has claimed, and what it revises.
pub(crate) fn members(db: &Connection, import: &Import, open: &OpenRow) -> Result<HashMap<ObjectVersionId, Member>> {
    let mut members = HashMap::new();
    for (sql, claimed) in [(REVISED, false), (CLAIMED, true)] {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query([open.id])?;
        while let Some(row) = rows.next()? {
            let key: String = row.get(2)?;
            members.insert(version_id(import, row, &key, 5)?, Member { object: row.get(0)?, key, claimed });
        }
    }
    Ok(members)
}

/// Bucket, ETag and size at columns 1, 3 and 4, the stored id at that one.
fn version_id(import: &Import, row: &Row<'_>, key: &str, stored: usize) -> Result<ObjectVersionId> {
    let (bucket, etag, size): (String, String, i64) = (row.get(1)?, row.get(3)?, row.get(4)?);
    version::id(import, (&bucket, key, &etag, size), row.get(stored)?)
}

/// Stores how files of the open batch ended. Nothing takes effect yet.
pub(crate) fn write(db: &Connection, import: &Import, open: &OpenRow, results: &[FileResult]) -> Result<()> {
    check(db, import, open, results)?;
    let members = members(db, import, open)?;
    let mut outcomes = BTreeSet::new();
    let mut insert = db.prepare_cached(
        "INSERT INTO file_result (batch, object, ordinal, outcome, row_count, quarantined_count, removed_count,
            removed_quarantined_count, expired, byte_count, duration_ms, code, message, not_before)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for (ordinal, result) in results.iter().enumerate() {
        let Some(member) = members.get(&result.id) else { return Err(foreign(import, open, result)) };
        outcomes.insert(result.outcome.label());
        let not_before = match &result.outcome {
            FileOutcome::Deferred { not_before, .. } => Some(codec::micros(*not_before)),
            _ => None,
        };
        let expired = match &result.outcome {
            FileOutcome::Expired { digest, .. } => Some(digest.to_bytes()),
            _ => None,
        };
        let (code, message) = cause(&result.outcome).unzip();
        let (removed, removed_quarantined) = result.outcome.removed();
        insert.execute(params![
            open.id,
            member.object,
            codec::stored(ordinal as u64),
            result.outcome.label(),
            codec::stored(result.outcome.rows()),
            codec::stored(result.outcome.rows_quarantined()),
            codec::stored(removed),
            codec::stored(removed_quarantined),
            expired,
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

/// Every result is of a file of the batch, the only one of it, of a kind that the batch can have, and takes away no row
/// that is not there.
fn check(db: &Connection, import: &Import, open: &OpenRow, results: &[FileResult]) -> Result<()> {
    let members = members(db, import, open)?;
    let (mut seen, mut better, mut superseded) = (HashSet::new(), HashSet::new(), Vec::new());
    for result in results {
        let Some(member) = members.get(&result.id) else { return Err(foreign(import, open, result)) };
        if !seen.insert(result.id) {
            return Err(import.protocol(format!("object version {:?} has two results", result.id)));
        }
        if !fits(open.kind, member.claimed, &result.outcome) {
            let (outcome, kind) = (result.outcome.label(), open.kind.as_str());
            return Err(import.protocol(format!("object version {:?} is {outcome} in a batch of {kind}", result.id)));
        }
        match &result.outcome {
            FileOutcome::Ingested { .. } | FileOutcome::Quarantined { .. } => drop(better.insert(member.key.as_str())),
            FileOutcome::Superseded { .. } => superseded.push(member.key.as_str()),
            _ => {}
        }
        if result.outcome.removed() != (0, 0) {
            let life = account::of(db, member.object)?;
            account::allows(&life.account, result.id, &result.outcome).map_err(|what| import.protocol(what))?;
        }
    }
    match superseded.into_iter().find(|key| !better.contains(key)) {
        None => Ok(()),
        Some(key) => Err(import.protocol(format!("a version of '{key}' is superseded and no better one is committed"))),
    }
}

fn foreign(import: &Import, open: &OpenRow, result: &FileResult) -> crate::error::LedgerError {
    import.protocol(format!("object version {:?} is not in batch {}", result.id, open.seq))
}

/// Which outcomes a batch can have, for files that it has claimed and for those whose rows it revises.
fn fits(kind: BatchKind, claimed: bool, outcome: &FileOutcome) -> bool {
    match outcome {
        FileOutcome::Ingested { .. } | FileOutcome::Quarantined { .. } => claimed,
        FileOutcome::Failed { .. } | FileOutcome::Deferred { .. } | FileOutcome::Gone { .. } => {
            claimed || kind == BatchKind::Replay
        }
        FileOutcome::Replayed { .. } => kind == BatchKind::Replay,
        FileOutcome::RolledBack { .. } => kind == BatchKind::Rollback,
        FileOutcome::Superseded { .. } => kind == BatchKind::Ingest && !claimed,
        FileOutcome::Expired { .. } => kind == BatchKind::Expiry,
    }
}

/// Code and message of a file that was not ingested.
pub(crate) fn cause(outcome: &FileOutcome) -> Option<(&'static str, &str)> {
    match outcome {
        FileOutcome::Quarantined { code, message, .. }
        | FileOutcome::Failed { code, message }
        | FileOutcome::Deferred { code, message, .. }
        | FileOutcome::Gone { code, message } => Some((code, message)),
        _ => None,
    }
}

/// The columns of `file_result` that [`outcome`] reads.
macro_rules! outcome_columns {
    () => {
        "outcome, file_result.row_count, file_result.quarantined_count, removed_count, removed_quarantined_count,
         expired, file_result.byte_count, duration_ms, code, message, file_result.not_before"
    };
}
pub(crate) use outcome_columns;

pub(crate) const RESULTS: &str = concat!(
    "SELECT object.id, bucket.name, key, etag, object.size, ",
    outcome_columns!(),
    ", object.place, version
     FROM file_result JOIN object ON object.id = file_result.object JOIN bucket ON bucket.id = object.bucket
     WHERE file_result.batch = ?1 ORDER BY ordinal"
);

/// The stored results of a batch, as they were given. At most as many as the largest batch has files.
pub(crate) fn of_batch(db: &Connection, import: &Import, batch: i64) -> Result<Vec<Settled>> {
    let mut statement = db.prepare_cached(RESULTS)?;
    let rows = statement.query_and_then([batch], |row| {
        let key: String = row.get(2)?;
        let id = version_id(import, row, &key, 17)?;
        Ok(Settled { object: row.get(0)?, key, place: row.get(16)?, result: read(row, id, 5)? })
    })?;
    rows.collect()
}

/// The columns of a result begin at `first`.
pub(crate) fn read(row: &Row<'_>, id: ObjectVersionId, first: usize) -> Result<FileResult> {
    let bytes = codec::amount(row.get(first + 6)?)?;
    Ok(FileResult { id, outcome: outcome(row, first)?, bytes, duration_ms: codec::amount(row.get(first + 7)?)? })
}

fn outcome(row: &Row<'_>, first: usize) -> Result<FileOutcome> {
    let kind: String = row.get(first)?;
    let (rows, rows_quarantined) = (codec::amount(row.get(first + 1)?)?, codec::amount(row.get(first + 2)?)?);
    let removed = (codec::amount(row.get(first + 3)?)?, codec::amount(row.get(first + 4)?)?);
    let code = codec::code(&row.get::<_, Option<String>>(first + 8)?.unwrap_or_default());
    let message = row.get::<_, Option<String>>(first + 9)?.unwrap_or_default();
    Ok(match (kind.as_str(), codec::optional_time(row.get(first + 10)?)?) {
        ("ingested", _) => FileOutcome::Ingested { rows, rows_quarantined },
        ("quarantined", _) => FileOutcome::Quarantined { code, message, rows_quarantined },
        ("failed", _) => FileOutcome::Failed { code, message },
        ("deferred", Some(not_before)) => FileOutcome::Deferred { code, message, not_before },
        ("gone", _) => FileOutcome::Gone { code, message },
        ("replayed", _) => FileOutcome::Replayed { rows },
        ("rolled_back", _) => FileOutcome::RolledBack { rows: removed.0, rows_quarantined: removed.1 },
        ("superseded", _) => FileOutcome::Superseded { rows_quarantined: removed.1 },
        ("expired", _) => FileOutcome::Expired { rows: removed.0, digest: codec::digest(row.get(first + 5)?) },
        _ => return Err(codec::corrupt("an outcome that does not exist")),
    })
}
