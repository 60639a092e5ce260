//! Claiming batches that revise rows which are there: replay, rollback, expiry.

use std::collections::HashSet;

use connector_core::claim::{MAX_BATCH_BYTES, MAX_BATCH_FILES};
use connector_core::ids::{BatchId, BatchUuid};
use connector_core::object::ObjectRef;
use connector_core::ports::RevisionBatch;
use connector_core::revision::{Account, KeyedVersion, Revision};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::account::{self, Life};
use crate::batch;
use crate::error::{LedgerError, Result};
use crate::import::Import;
use crate::version::{self, Stored};

/// An object version that the batch would concern.
struct Candidate {
    stored: Stored,
    account: Account,
}

/// What was asked for: what is known of it, and what is not.
#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    unknown: Vec<KeyedVersion>,
}

/// `None` if nothing is left that it could revise. The files keep their states.
pub(crate) fn claim(
    db: &Connection,
    import: &Import,
    revision: &Revision,
    (uuid, id): (BatchUuid, BatchId),
    now: Timestamp,
) -> Result<Option<RevisionBatch>> {
    batch::expect_none(db, import)?;
    let kind = revision.kind();
    let Found { candidates, unknown } = match revision {
        Revision::Replay { files } => replay(db, import, files)?,
        Revision::Rollback { batch } => rollback(db, import, batch)?,
        Revision::Expiry { files } => look_up(db, import, files)?,
    };
    if candidates.is_empty() {
        return Ok(None);
    }
    let batch = batch::open(db, import, kind, (uuid, &id), candidates.len(), now)?;
    let mut member = db.prepare_cached("INSERT INTO member (batch, object) VALUES (?1, ?2)")?;
    let mut files: Vec<(ObjectRef, Account)> = Vec::with_capacity(candidates.len());
    for Candidate { stored, account } in candidates {
        member.execute([batch, stored.object])?;
        files.push((stored.reference(), account));
    }
    Ok(Some(RevisionBatch { seq: import.committed_seq + 1, uuid, id, kind, files, unknown }))
}

/// In the order in which they were asked for, each once.
fn look_up(db: &Connection, import: &Import, wanted: &[KeyedVersion]) -> Result<Found> {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for version in wanted.iter().filter(|version| seen.insert(version.id)) {
        match version::of_key(db, import, &version.key)?.into_iter().find(|stored| stored.id == version.id) {
            None => found.unknown.push(version.clone()),
            Some(stored) => {
                let account = account::of(db, stored.object)?.account;
                found.candidates.push(Candidate { stored, account });
            }
        }
    }
    Ok(found)
}

/// Those that have rows in quarantine, as many as a batch takes. A suspect is read alone, after all others.
fn replay(db: &Connection, import: &Import, wanted: &[KeyedVersion]) -> Result<Found> {
    let Found { candidates, mut unknown } = look_up(db, import, wanted)?;
    let in_quarantine = candidates.into_iter().filter(|candidate| candidate.account.in_quarantine > 0);
    // Without its ETag no version can be read as what it is.
    let (candidates, unseen): (Vec<_>, Vec<_>) = in_quarantine.partition(|candidate| candidate.stored.seen);
    unknown.extend(unseen.into_iter().map(|Candidate { stored, .. }| KeyedVersion { key: stored.key, id: stored.id }));
    let (suspects, mut others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|file| file.stored.suspect);
    if others.is_empty() {
        return Ok(Found { candidates: suspects.into_iter().take(1).collect(), unknown });
    }
    let (mut files, mut bytes) = (0, 0u64);
    for file in others.iter().take(MAX_BATCH_FILES) {
        bytes = bytes.saturating_add(file.stored.size);
        if files > 0 && bytes > MAX_BATCH_BYTES {
            break;
        }
        files += 1;
    }
    others.truncate(files);
    Ok(Found { candidates: others, unknown })
}

pub(crate) const BY_LABEL: &str =
    "SELECT id, kind = 'ingest', state FROM batch WHERE import = ?1 AND label = ?2 ORDER BY id DESC LIMIT 1";

/// The row of an ingest batch that was committed.
pub(crate) fn ingest_batch(db: &Connection, import: &Import, batch: &BatchId) -> Result<i64> {
    let mut statement = db.prepare_cached(BY_LABEL)?;
    let row = statement.query_row(params![import.id, batch.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?, row.get::<_, String>(2)?))
    });
    let (import, batch) = (import.name.clone(), batch.to_string());
    match row.optional()? {
        None => Err(LedgerError::NoSuchBatch { import, batch, state: None }),
        Some((_, false, _)) => Err(LedgerError::NotAnIngestBatch { import, batch }),
        Some((id, true, state)) if state == "committed" => Ok(id),
        Some((_, true, state)) => Err(LedgerError::NoSuchBatch { import, batch, state: Some(state) }),
    }
}

pub(crate) const BROUGHT: &str = "SELECT object FROM file_result
     WHERE batch = ?1 AND outcome IN ('ingested', 'quarantined') ORDER BY ordinal";

/// All object versions that the batch has brought and that still have rows of that reading.
fn rollback(db: &Connection, import: &Import, batch: &BatchId) -> Result<Found> {
    let batch = ingest_batch(db, import, batch)?;
    let mut statement = db.prepare_cached(BROUGHT)?;
    let objects: Vec<i64> = statement.query_map([batch], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut found = Found::default();
    for object in objects {
        let Life { account, brought_by } = account::of(db, object)?;
        if brought_by == Some(batch) && account.in_table + account.in_quarantine > 0 {
            found.candidates.push(Candidate { stored: version::one(db, import, object)?, account });
        }
    }
    Ok(found)
}
