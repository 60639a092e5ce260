//! The record of an import, and its watermark.

use connector_core::claim::TickState;
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{ImportRecord, ReferenceFile, Watermark};
use connector_core::schema::TableSchema;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::batch;
use crate::codec;
use crate::error::{LedgerError, Result};

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
}

/// A place in the order of discovery: last-modified in microseconds, then key bytes.
pub(crate) type Position = (i64, String);

impl Import {
    pub(crate) fn load(db: &Connection, name: &str) -> Result<Option<Self>> {
        let mut statement = db.prepare_cached(
            "SELECT id, uuid, bucket, committed_seq, tick_started, tick_claimed, watermark_time, watermark_key
             FROM import WHERE name = ?1",
        )?;
        let row = statement
            .query_row([name], |row| {
                let (started, claimed): (Option<i64>, u32) = (row.get(4)?, row.get(5)?);
                let watermark: (Option<i64>, Option<String>) = (row.get(6)?, row.get(7)?);
                let import = Self {
                    id: row.get(0)?,
                    name: name.to_owned(),
                    uuid: ImportUuid(codec::uuid(row.get(1)?)),
                    bucket: row.get(2)?,
                    committed_seq: row.get(3)?,
                    tick: TickState { started_at: None, claimed },
                    watermark: watermark.0.zip(watermark.1),
                };
                Ok((import, started))
            })
            .optional()?;
        row.map(|(mut import, started)| {
            import.tick.started_at = codec::optional_time(started)?;
            Ok(import)
        })
        .transpose()
    }

    /// The error for a call that does not fit.
    pub(crate) fn protocol(&self, what: impl Into<String>) -> LedgerError {
        LedgerError::Protocol { import: self.name.clone(), what: what.into() }
    }
}

/// The record of the import, created if there is none.
pub(crate) fn open(db: &Connection, name: &str, bucket: &str) -> Result<ImportRecord> {
    let fresh = match Import::load(db, name)? {
        None => {
            create(db, name, bucket)?;
            true
        }
        Some(import) => {
            point_at(db, &import, bucket)?;
            false
        }
    };
    let import = Import::load(db, name)?.ok_or_else(|| LedgerError::UnknownImport { import: name.to_owned() })?;
    record(db, &import, fresh)
}

fn create(db: &Connection, name: &str, bucket: &str) -> Result<()> {
    let uuid = ImportUuid::mint();
    db.execute("INSERT INTO import (name, uuid) VALUES (?1, ?2)", params![name, uuid.0.as_bytes()])?;
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
fn point_at(db: &Connection, import: &Import, bucket: &str) -> Result<()> {
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

fn record(db: &Connection, import: &Import, fresh: bool) -> Result<ImportRecord> {
    let (table_created, paused, schema, reference): (bool, bool, Option<String>, Option<String>) = db.query_row(
        "SELECT table_created, paused, table_schema, reference FROM import WHERE id = ?1",
        [import.id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    Ok(ImportRecord {
        uuid: import.uuid,
        table_created,
        fresh,
        committed_seq: import.committed_seq,
        open_batch: batch::OpenRow::load(db, import)?.map(|open| open.describe(db, import)).transpose()?,
        schema: schema.as_deref().map(codec::schema_from_json).transpose()?,
        reference: reference.as_deref().map(codec::reference_from_json).transpose()?,
        paused,
    })
}

pub(crate) fn table_created(db: &Connection, import: &Import, schema: &TableSchema) -> Result<()> {
    db.execute(
        "UPDATE import SET table_created = 1, table_schema = ?2 WHERE id = ?1",
        params![import.id, codec::schema_to_json(schema)],
    )?;
    Ok(())
}

/// Without a reference file the stored one stays.
pub(crate) fn decide_schema(
    db: &Connection,
    import: &Import,
    schema: &TableSchema,
    reference: Option<&ReferenceFile>,
) -> Result<()> {
    db.execute(
        "UPDATE import SET table_schema = ?2, reference = COALESCE(?3, reference) WHERE id = ?1",
        params![import.id, codec::schema_to_json(schema), reference.map(codec::reference_to_json)],
    )?;
    Ok(())
}

pub(crate) fn set_paused(db: &Connection, import: &Import, paused: bool) -> Result<()> {
    db.execute("UPDATE import SET paused = ?2 WHERE id = ?1", params![import.id, paused])?;
    Ok(())
}

pub(crate) fn finish_scan(db: &Connection, import: &Import, now: Timestamp) -> Result<()> {
    db.execute("UPDATE import SET last_scan_at = ?2 WHERE id = ?1", params![import.id, codec::micros(now)])?;
    advance_watermark(db, import)
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
