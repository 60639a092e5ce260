//! Claiming the next batch.

use std::sync::Arc;

use connector_core::claim::{Candidate, Choice, ClaimLimit, LONGEST_WAIT, choose};
use connector_core::ids::{BatchId, BatchUuid, ObjectVersionId};
use connector_core::object::ObjectRef;
use connector_core::ports::{ClaimAnswer, ClaimedBatch, Superseded};
use connector_core::revision::BatchKind;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Result;
use crate::import::Import;
use crate::{account, batch, codec, version};

macro_rules! claimable_columns {
    () => {
        "SELECT id, key, etag, size, last_modified, reclaimed, attempts, not_before IS NOT NULL, suspect, strikes
         FROM object "
    };
}

// Both read at most the largest batch, MAX_BATCH_FILES. Suspects in between are few: what was read at once.
pub(crate) const DUE: &str = concat!(
    claimable_columns!(),
    "WHERE bucket = ?1 AND state = 'pending' AND not_before <= ?2 AND suspect = 0
     ORDER BY not_before, last_modified, key LIMIT 1000"
);
pub(crate) const FRESH: &str = concat!(
    claimable_columns!(),
    "WHERE bucket = ?1 AND state = 'pending' AND not_before IS NULL AND suspect = 0
     ORDER BY last_modified, key LIMIT 1000"
);
pub(crate) const SUSPECT_DUE: &str = concat!(
    claimable_columns!(),
    "WHERE bucket = ?1 AND state = 'pending' AND not_before <= ?2 AND suspect = 1
     ORDER BY not_before, last_modified, key LIMIT 1"
);
pub(crate) const SUSPECT_FRESH: &str = concat!(
    claimable_columns!(),
    "WHERE bucket = ?1 AND state = 'pending' AND not_before IS NULL AND suspect = 1
     ORDER BY last_modified, key LIMIT 1"
);
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
    due: bool,
    suspect: bool,
    strikes: u32,
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
            due: row.get(7)?,
            suspect: row.get(8)?,
            strikes: row.get(9)?,
        })
    }

    fn candidate(&self) -> Candidate {
        Candidate { size: self.size, reclaimed: self.reclaimed, due: self.due }
    }
}

pub(crate) fn claim(
    db: &Connection,
    import: &Import,
    limit: ClaimLimit,
    (uuid, id): (BatchUuid, BatchId),
    now: Timestamp,
) -> Result<ClaimAnswer> {
    batch::expect_none(db, import)?;
    pull_in(db, import, now)?;
    let (allowance, length) = match limit {
        ClaimLimit::Unlimited => (None, None),
        ClaimLimit::Throttled { files, tick } => (Some(import.tick.allow(files, tick, now)), Some(tick)),
    };
    let Picked { chosen, counted, passed_over } = pick(db, import, allowance.map(|allowance| allowance.files), now)?;
    let mut batch = None;
    if !chosen.is_empty() {
        if let Some(allowance) = allowance {
            let started = allowance.tick.started_at.map(codec::micros);
            db.prepare_cached("UPDATE import SET tick_started = ?2, tick_claimed = ?3 WHERE id = ?1")?
                .execute(params![import.id, started, allowance.tick.claimed + counted])?;
        }
        if passed_over != import.passed_over {
            db.prepare_cached("UPDATE import SET passed_over = ?2 WHERE id = ?1")?
                .execute(params![import.id, passed_over])?;
        }
        batch = Some(open(db, import, chosen, uuid, id, now)?);
    }
    let backlog = Backlog::load(db, import, now)?;
    let free_left = batch.is_some() && first_suspect(db, import, now)?.is_some_and(|suspect| suspect.reclaimed);
    Ok(ClaimAnswer {
        batch,
        free_left,
        tick_ends_at: allowance.zip(length).and_then(|(allowance, length)| allowance.tick.ends_at(length)),
        backlog_files: backlog.files,
        backlog_bytes: backlog.bytes,
    })
}

pub(crate) const PULL_IN: &str =
    "UPDATE object SET not_before = ?2 WHERE bucket = ?1 AND state = 'pending' AND not_before > ?3";

/// Nothing is ever put off for so long: the clock went back since, and what waits for the time that it showed then would
/// wait for all of that.
fn pull_in(db: &Connection, import: &Import, now: Timestamp) -> Result<()> {
    let latest = now.saturating_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    db.prepare_cached(PULL_IN)?.execute(params![import.bucket, codec::micros(now), codec::micros(latest)])?;
    Ok(())
}

struct Picked {
    chosen: Vec<Claimable>,
    /// How many of them count against the throttle.
    counted: u32,
    /// Batches in a row, with this one, that leave a suspect waiting.
    passed_over: u32,
}

/// Reads in claim order, and no further than it has to.
fn pick(db: &Connection, import: &Import, allowance: Option<u32>, now: Timestamp) -> Result<Picked> {
    let suspect = first_suspect(db, import, now)?;
    let (mut due, mut fresh) = (db.prepare_cached(DUE)?, db.prepare_cached(FRESH)?);
    let mut rows = due
        .query_and_then(params![import.bucket, codec::micros(now)], Claimable::read)?
        .chain(fresh.query_and_then([import.bucket], Claimable::read)?);
    let (mut read, mut failed) = (Vec::new(), None);
    let others = std::iter::from_fn(|| match rows.next()? {
        Ok(claimable) => {
            let candidate = claimable.candidate();
            read.push(claimable);
            Some(candidate)
        }
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let choice = choose(others, suspect.as_ref().map(Claimable::candidate), import.passed_over, allowance);
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(match choice {
        Choice::Suspect { counted } => Picked { chosen: suspect.into_iter().collect(), counted, passed_over: 0 },
        Choice::Others { files, counted } => {
            let passed_over = if suspect.is_some() { import.passed_over.saturating_add(1) } else { 0 };
            read.truncate(files);
            Picked { chosen: read, counted, passed_over }
        }
    })
}

fn first_suspect(db: &Connection, import: &Import, now: Timestamp) -> Result<Option<Claimable>> {
    let mut due = db.prepare_cached(SUSPECT_DUE)?;
    let due = due.query_row(params![import.bucket, codec::micros(now)], |row| Ok(Claimable::read(row))).optional()?;
    match due {
        Some(suspect) => suspect.map(Some),
        None => {
            let mut fresh = db.prepare_cached(SUSPECT_FRESH)?;
            fresh.query_row([import.bucket], |row| Ok(Claimable::read(row))).optional()?.transpose()
        }
    }
}

fn open(
    db: &Connection,
    import: &Import,
    chosen: Vec<Claimable>,
    uuid: BatchUuid,
    id: BatchId,
    now: Timestamp,
) -> Result<ClaimedBatch> {
    let batch = batch::open(db, import, BatchKind::Ingest, (uuid, &id), chosen.len(), now)?;
    let mut mark =
        db.prepare_cached("UPDATE object SET state = 'claimed', reason = NULL, batch = ?2, place = ?3 WHERE id = ?1")?;
    let bucket: Arc<str> = import.bucket_name(db)?.into();
    let (mut files, mut supersedes) = (Vec::with_capacity(chosen.len()), Vec::new());
    for (place, file) in chosen.into_iter().enumerate() {
        mark.execute(params![file.id, batch, codec::stored(place as u64)])?;
        let id = ObjectVersionId::of(import.uuid, &bucket, &file.key, &file.etag, file.size);
        for superseded in superseded(db, import, (batch, &bucket), &file)? {
            supersedes.push((id, superseded));
        }
        files.push(ObjectRef {
            id,
            bucket: bucket.clone(),
            key: file.key.into(),
            etag: file.etag.into(),
            size: file.size,
            last_modified: file.last_modified,
            attempts: file.attempts,
            suspect: file.suspect,
            strikes: file.strikes,
        });
    }
    Ok(ClaimedBatch { seq: import.committed_seq + 1, uuid, id, files, supersedes })
}

pub(crate) const SUPERSEDED: &str = "SELECT id, etag, size, version FROM object
     WHERE bucket = ?1 AND key = ?2 AND id <> ?3 AND state = 'quarantined'";

/// Other versions of the file's key that lie in quarantine as a whole. They become members of the batch.
fn superseded(
    db: &Connection,
    import: &Import,
    (batch, bucket): (i64, &str),
    file: &Claimable,
) -> Result<Vec<Superseded>> {
    let mut statement = db.prepare_cached(SUPERSEDED)?;
    let mut rows = statement.query(params![import.bucket, file.key, file.id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (object, etag, size): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let rows = account::of(db, object)?.account.in_quarantine;
        if rows > 0 {
            db.prepare_cached("INSERT INTO member (batch, object) VALUES (?1, ?2)")?.execute([batch, object])?;
            found.push(Superseded { id: version::id(import, (bucket, &file.key, &etag, size), row.get(3)?)?, rows });
        }
    }
    Ok(found)
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
