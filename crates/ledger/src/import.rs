//! The record of an import, its pause and guard, and its watermark.

use connector_core::claim::TickState;
use connector_core::guard::Streak;
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{ImportRecord, Reread, Watermark};
use connector_core::spec::OverwritePolicy;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::error::{LedgerError, Result};
use crate::{batch, codec, overwrite, reading, schema};

/// What the operations on an import need of its row.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub id: i64,
    pub name: String,
    pub uuid: ImportUuid,
    /// Row of the bucket that is read now.
    pub bucket: i64,
    pub committed_seq: BatchSeq,
    pub tick: TickState,
    pub watermark: Option<Position>,
    pub streak: Streak,
    pub overwrite: OverwritePolicy,
    /// Batches in a row that left a suspect waiting.
    pub passed_over: u32,
}

/// A place in the order of discovery: last-modified in microseconds, then key bytes.
pub(crate) type Position = (i64, String);

impl Import {
    pub(crate) fn load(db: &Connection, name: &str) -> Result<Option<Self>> {
        let mut statement = db.prepare_cached(
            "SELECT id, uuid, bucket, committed_seq, tick_started, tick_claimed, watermark_time, watermark_key,
                streak_files, streak_bytes, overwrite, passed_over
             FROM import WHERE name = ?1",
        )?;
        let mut rows = statement.query_and_then([name], |row| {
            let watermark: (Option<i64>, Option<String>) = (row.get(6)?, row.get(7)?);
            Ok(Self {
                id: row.get(0)?,
                name: name.to_owned(),
                uuid: ImportUuid(codec::uuid(row.get(1)?)),
                bucket: row.get(2)?,
                committed_seq: row.get(3)?,
                tick: TickState { started_at: codec::optional_time(row.get(4)?)?, claimed: row.get(5)? },
                watermark: watermark.0.zip(watermark.1),
                streak: Streak { files: row.get(8)?, bytes: codec::amount(row.get(9)?)? },
                overwrite: overwrite::parse(&row.get::<_, String>(10)?)?,
                passed_over: row.get(11)?,
            })
        })?;
        rows.next().transpose()
    }

    /// Of the bucket that is read now.
    pub(crate) fn bucket_name(&self, db: &Connection) -> Result<String> {
        let mut statement = db.prepare_cached("SELECT name FROM bucket WHERE id = ?1")?;
        Ok(statement.query_row([self.bucket], |row| row.get(0))?)
    }

    /// The error for a call that does not fit.
    pub(crate) fn protocol(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Protocol { import: self.name.clone(), what: what.into() }
    }
}

/// The record of the import, created if there is none. `first`: since the ledger was opened; then what was being read when
/// the process before died is suspect from now on.
pub(crate) fn open(
    db: &Connection,
    name: &str,
    bucket: &str,
    policy: OverwritePolicy,
    first: bool,
) -> Result<ImportRecord> {
    let fresh = match Import::load(db, name)? {
        None => {
            create(db, name, bucket, ImportUuid::mint())?;
            true
        }
        Some(import) => {
            point_at(db, &import, bucket)?;
            false
        }
    };
    let import = reload(db, name)?;
    overwrite::set_policy(db, &import, policy)?;
    if first {
        reading::suspect(db, &import)?;
    }
    record(db, &reload(db, name)?, fresh)
}

pub(crate) fn reload(db: &Connection, name: &str) -> Result<Import> {
    Import::load(db, name)?.ok_or_else(|| LedgerError::UnknownImport { import: name.to_owned() })
}

pub(crate) fn create(db: &Connection, name: &str, bucket: &str, uuid: ImportUuid) -> Result<()> {
    db.execute("INSERT INTO import (name, uuid, quarantine_seq) VALUES (?1, ?2, 0)", params![name, uuid.0.as_bytes()])?;
    set_bucket(db, db.last_insert_rowid(), bucket).map(|_| ())
}

/// Returns the bucket's row.
fn set_bucket(db: &Connection, import: i64, bucket: &str) -> Result<i64> {
    db.execute("INSERT INTO bucket (import, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![import, bucket])?;
    let id = db.query_row("SELECT id FROM bucket WHERE import = ?1 AND name = ?2", params![import, bucket], |row| {
        row.get(0)
    })?;
    db.execute("UPDATE import SET bucket = ?2 WHERE id = ?1", params![import, id])?;
    Ok(id)
}

/// What was waiting in the bucket before cannot be read through this import any more. Should the import come back to
/// that bucket, its listing brings it back.
pub(crate) fn point_at(db: &Connection, import: &Import, bucket: &str) -> Result<()> {
    let now = set_bucket(db, import.id, bucket)?;
    if now != import.bucket {
        db.execute(
            "UPDATE object SET state = 'gone', reason = 'bucket_changed', not_before = NULL, reclaimed = 0
             WHERE bucket = ?1 AND state IN ('pending', 'deferred')",
            [import.bucket],
        )?;
    }
    Ok(())
}

pub(crate) fn record(db: &Connection, import: &Import, fresh: bool) -> Result<ImportRecord> {
    let mut statement = db.prepare_cached(
        "SELECT table_created, paused, guard_waived, COALESCE(guard_reason, reread_reason), quarantine_seq FROM import
         WHERE id = ?1",
    )?;
    let ([table_created, paused, guard_waived], guard_reason, quarantine_seq) = statement
        .query_row([import.id], |row| Ok(([row.get(0)?, row.get(1)?, row.get(2)?], row.get(3)?, row.get(4)?)))?;
    Ok(ImportRecord {
        uuid: import.uuid,
        table_created,
        fresh,
        committed_seq: import.committed_seq,
        quarantine_seq,
        open_batch: batch::OpenRow::load(db, import)?.map(|open| open.describe(db, import)).transpose()?,
        schema: schema::of_table(db, import)?,
        reference: schema::reference(db, import)?,
        paused,
        guard_reason,
        guard_waived,
        streak: import.streak,
    })
}

/// Who resumes what the guard has paused takes the next batch as it is; who resumes what a scan has paused lets the next
/// scan in as it is.
pub(crate) fn set_paused(db: &Connection, import: &Import, paused: bool) -> Result<()> {
    let sql = if paused {
        "UPDATE import SET paused = 1 WHERE id = ?1"
    } else {
        "UPDATE import SET paused = 0, guard_waived = (guard_waived OR guard_reason IS NOT NULL), guard_reason = NULL,
            reread_waived = (reread_waived OR reread_reason IS NOT NULL), reread_reason = NULL WHERE id = ?1"
    };
    db.execute(sql, [import.id])?;
    Ok(())
}

/// The import is paused, and says why.
pub(crate) fn trip_guard(db: &Connection, import: &Import, reason: &str) -> Result<()> {
    db.execute(
        "UPDATE import SET paused = 1, guard_reason = ?2, guard_waived = 0 WHERE id = ?1",
        params![import.id, reason],
    )?;
    Ok(())
}

/// Some if the scan shows that most of the import would be read again, and it was paused therefore.
pub(crate) fn finish_scan(db: &Connection, import: &Import, now: Timestamp) -> Result<Option<Reread>> {
    db.execute("UPDATE import SET last_scan_at = ?2 WHERE id = ?1", params![import.id, codec::micros(now)])?;
    let reread = overwrite::admit(db, import)?;
    advance_watermark(db, import)?;
    Ok(reread)
}

pub(crate) const LOWEST_FRESH: &str = "SELECT last_modified, key FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before IS NULL ORDER BY last_modified, key LIMIT 1";
pub(crate) const LOWEST_CLAIMED: &str = "SELECT last_modified, key FROM object
     WHERE bucket = ?1 AND state = 'claimed' ORDER BY last_modified, key LIMIT 1";
pub(crate) const HIGHEST: &str = "SELECT last_modified, key FROM object
     WHERE bucket = ?1 ORDER BY last_modified DESC, key DESC LIMIT 1";
pub(crate) const HIGHEST_BELOW: &str = "SELECT last_modified, key FROM object
     WHERE bucket = ?1 AND (last_modified, key) < (?2, ?3) ORDER BY last_modified DESC, key DESC LIMIT 1";

/// Moves the watermark to the newest object with nothing claimable at or below it, unless it is there or beyond.
pub(crate) fn advance_watermark(db: &Connection, import: &Import) -> Result<()> {
    let claimed = position(db, LOWEST_CLAIMED, [import.bucket])?;
    let highest = match lowest_fresh(db, import)?.into_iter().chain(claimed).min() {
        None => position(db, HIGHEST, [import.bucket])?,
        Some((time, key)) => position(db, HIGHEST_BELOW, params![import.bucket, time, key])?,
    };
    if highest > import.watermark {
        let (time, key) = highest.unzip();
        db.execute(
            "UPDATE import SET watermark_time = ?2, watermark_key = ?3 WHERE id = ?1",
            params![import.id, time, key],
        )?;
    }
    Ok(())
}

/// The first of the files that never had to wait.
pub(crate) fn lowest_fresh(db: &Connection, import: &Import) -> Result<Option<Position>> {
    position(db, LOWEST_FRESH, [import.bucket])
}

fn position(db: &Connection, sql: &str, params: impl Params) -> Result<Option<Position>> {
    Ok(db.prepare_cached(sql)?.query_row(params, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

pub(crate) fn watermark(position: Option<Position>) -> Result<Option<Watermark>> {
    position.map(|(time, key)| Ok(Watermark { last_modified: codec::time(time)?, key })).transpose()
}
