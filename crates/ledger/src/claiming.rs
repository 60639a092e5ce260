//! Claiming the next batch.

use std::sync::Arc;

use connector_core::claim::{Candidate, ClaimLimit, choose};
use connector_core::ids::{BatchId, BatchUuid, ObjectVersionId};
use connector_core::object::ObjectRef;
use connector_core::ports::{ClaimAnswer, ClaimedBatch};
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::batch::OpenRow;
use crate::codec;
use crate::error::Result;
use crate::import::Import;

// Both read at most the largest batch, MAX_BATCH_FILES.
pub(crate) const DUE: &str = "SELECT id, key, etag, size, last_modified, reclaimed, attempts FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before <= ?2
     ORDER BY not_before, last_modified, key LIMIT 1000";
pub(crate) const FRESH: &str = "SELECT id, key, etag, size, last_modified, reclaimed, attempts FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before IS NULL
     ORDER BY last_modified, key LIMIT 1000";
/// Walks what is due, which is little next to the backlog, and nothing but an index.
pub(crate) const DUE_TOTALS: &str = "SELECT COUNT(*), COALESCE(SUM(size), 0), MIN(last_modified) FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before <= ?2";

struct Claimable {
    id: i64,
    key: String,
    etag: String,
    size: u64,
    last_modified: Timestamp,
    reclaimed: bool,
    attempts: u32,
}

impl Claimable {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            key: row.get(1)?,
            etag: row.get(2)?,
            size: codec::amount(row.get(3)?)?,
            last_modified: codec::time(row.get(4)?)?,
            reclaimed: row.get(5)?,
            attempts: row.get(6)?,
        })
    }
}

pub(crate) fn claim(
    db: &Connection,
    import: &Import,
    limit: ClaimLimit,
    (uuid, id): (BatchUuid, BatchId),
    now: Timestamp,
) -> Result<ClaimAnswer> {
    if let Some(open) = OpenRow::load(db, import)? {
        return Err(import.protocol(format!("batch {} is open, so no other one can be claimed", open.seq)));
    }
    let (allowance, length) = match limit {
        ClaimLimit::Unlimited => (None, None),
        ClaimLimit::Throttled { files, tick } => (Some(import.tick.allow(files, tick, now)), Some(tick)),
    };
    let (chosen, counted) = pick(db, import, allowance.map(|allowance| allowance.files), now)?;
    let mut batch = None;
    if !chosen.is_empty() {
        if let Some(allowance) = allowance {
            let started = allowance.tick.started_at.map(codec::micros);
            db.prepare_cached("UPDATE import SET tick_started = ?2, tick_claimed = ?3 WHERE id = ?1")?
                .execute(params![import.id, started, allowance.tick.claimed + counted])?;
        }
        batch = Some(open(db, import, chosen, uuid, id, now)?);
    }
    let backlog = Backlog::load(db, import, now)?;
    Ok(ClaimAnswer {
        batch,
        tick_ends_at: allowance.zip(length).and_then(|(allowance, length)| allowance.tick.ends_at(length)),
        backlog_files: backlog.files,
        backlog_bytes: backlog.bytes,
    })
}

/// Reads in claim order, and no further than it has to.
fn pick(db: &Connection, import: &Import, allowance: Option<u32>, now: Timestamp) -> Result<(Vec<Claimable>, u32)> {
    let (mut due, mut fresh) = (db.prepare_cached(DUE)?, db.prepare_cached(FRESH)?);
    let mut rows = due
        .query_and_then(params![import.bucket, codec::micros(now)], Claimable::read)?
        .chain(fresh.query_and_then([import.bucket], Claimable::read)?);
    let (mut read, mut failed) = (Vec::new(), None);
    let candidates = std::iter::from_fn(|| match rows.next()? {
        Ok(claimable) => {
            let candidate = Candidate { size: claimable.size, reclaimed: claimable.reclaimed };
            read.push(claimable);
            Some(candidate)
        }
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let (files, counted) = choose(candidates, allowance);
    if let Some(error) = failed {
        return Err(error);
    }
    read.truncate(files);
    Ok((read, counted))
}

fn open(
    db: &Connection,
    import: &Import,
    chosen: Vec<Claimable>,
    uuid: BatchUuid,
    id: BatchId,
    now: Timestamp,
) -> Result<ClaimedBatch> {
    let seq = import.committed_seq + 1;
    let batch = db
        .prepare_cached(
            "INSERT INTO batch (import, seq, uuid, label, state, files, claimed_at)
             VALUES (?1, ?2, ?3, ?4, 'claimed', ?5, ?6)",
        )?
        .insert(params![
            import.id,
            seq,
            uuid.0.as_bytes(),
            id.as_str(),
            codec::stored(chosen.len() as u64),
            codec::micros(now)
        ])?;
    let mut mark =
        db.prepare_cached("UPDATE object SET state = 'claimed', reason = NULL, batch = ?2, place = ?3 WHERE id = ?1")?;
    let name: String =
        db.prepare_cached("SELECT name FROM bucket WHERE id = ?1")?.query_row([import.bucket], |row| row.get(0))?;
    let bucket: Arc<str> = name.into();
    let mut files = Vec::with_capacity(chosen.len());
    for (place, file) in chosen.into_iter().enumerate() {
        mark.execute(params![file.id, batch, codec::stored(place as u64)])?;
        files.push(ObjectRef {
            id: ObjectVersionId::of(import.uuid, &bucket, &file.key, &file.etag, file.size),
            bucket: bucket.clone(),
            key: file.key.into(),
            etag: file.etag.into(),
            size: file.size,
            last_modified: file.last_modified,
            attempts: file.attempts,
        });
    }
    Ok(ClaimedBatch { seq, uuid, id, files })
}

/// What could be claimed now.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub files: u64,
    pub bytes: u64,
    /// The oldest last-modified time in it.
    pub oldest: Option<Timestamp>,
}

impl Backlog {
    pub(crate) fn load(db: &Connection, import: &Import, now: Timestamp) -> Result<Self> {
        let mut due = db.prepare_cached(DUE_TOTALS)?;
        let (due_files, due_bytes, due_oldest): (i64, i64, Option<i64>) = due
            .query_row(params![import.bucket, codec::micros(now)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut fresh = db.prepare_cached(
            "SELECT COALESCE(SUM(files), 0), COALESCE(SUM(bytes), 0) FROM tally
             WHERE bucket = ?1 AND state = 'pending' AND waiting = 0",
        )?;
        let (files, bytes): (i64, i64) = fresh.query_row([import.bucket], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let oldest = crate::import::lowest_fresh(db, import)?.map(|(time, _)| time).into_iter().chain(due_oldest).min();
        Ok(Self {
            files: codec::amount(files + due_files)?,
            bytes: codec::amount(bytes + due_bytes)?,
            oldest: codec::optional_time(oldest)?,
        })
    }
}
