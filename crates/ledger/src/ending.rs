//! How batches end: committed, settled or abandoned.

use connector_core::ids::BatchSeq;
use connector_core::ports::{FileOutcome, FileResult};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::batch::{self, OpenRow, Settled, rows_ingested};
use crate::codec;
use crate::error::Result;
use crate::import::{self, Import};

/// The commit of the staged batch has landed: its results take effect.
pub(crate) fn finalise(
    db: &Connection,
    import: &Import,
    seq: BatchSeq,
    table_version: u64,
    now: Timestamp,
) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    if !open.staged {
        return Err(import.protocol(format!("batch {seq} was never staged, so its commit cannot have landed")));
    }
    take_effect(db, import, &open)?;
    db.prepare_cached("UPDATE batch SET state = 'committed', table_version = ?2, ended_at = ?3 WHERE id = ?1")?
        .execute(params![open.id, codec::stored(table_version), codec::micros(now)])?;
    // The table has the statistics now; the paths stay, so that a batch can be found in the table.
    db.prepare_cached("UPDATE staged_file SET stats = '' WHERE batch = ?1")?.execute([open.id])?;
    db.prepare_cached(
        "UPDATE import SET committed_seq = ?2, batch_count = batch_count + 1, last_commit_at = ?3 WHERE id = ?1",
    )?
    .execute(params![import.id, seq, codec::micros(now)])?;
    import::advance_watermark(db, import)
}

/// None of the batch's files brought a row: the results take effect, no commit is made and `seq` is free again.
pub(crate) fn settle(
    db: &Connection,
    import: &Import,
    seq: BatchSeq,
    results: &[FileResult],
    now: Timestamp,
) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    if open.staged {
        return Err(import.protocol(format!("batch {seq} is staged, so it may have landed and cannot be settled")));
    }
    if results.iter().any(|result| rows_ingested(result) > 0) {
        return Err(import.protocol(format!("batch {seq} brought rows, so it needs a commit and cannot be settled")));
    }
    batch::write_results(db, import, &open, results)?;
    take_effect(db, import, &open)?;
    let bytes = codec::stored(results.iter().map(|result| result.bytes).sum());
    db.prepare_cached("UPDATE batch SET state = 'settled', byte_count = ?2, ended_at = ?3 WHERE id = ?1")?
        .execute(params![open.id, bytes, codec::micros(now)])?;
    import::advance_watermark(db, import)
}

/// Forgets what was staged and gives every file back.
pub(crate) fn abandon(db: &Connection, import: &Import, seq: BatchSeq) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    for sql in ["DELETE FROM staged_file WHERE batch = ?1", "DELETE FROM file_result WHERE batch = ?1"] {
        db.prepare_cached(sql)?.execute([open.id])?;
    }
    give_back(db, import, &open)?;
    // No time: what a crash interrupted ended when nobody looked.
    db.prepare_cached("UPDATE batch SET state = 'abandoned', row_count = 0, byte_count = 0 WHERE id = ?1")?
        .execute([open.id])?;
    Ok(())
}

/// Moves every file of the batch to where its result says; what has none goes back.
fn take_effect(db: &Connection, import: &Import, open: &OpenRow) -> Result<()> {
    let (mut rows, mut bytes, mut rejected) = (0, 0, 0);
    for Settled { object, result } in batch::results(db, import, open.id)? {
        match result.outcome {
            FileOutcome::Ingested { rows: ingested } => {
                rows += ingested;
                bytes += result.bytes;
                end_as(db, object, "ingested")?;
                ignore_overwrites(db, object)?;
            }
            FileOutcome::Failed { rows_rejected, .. } => {
                rejected += rows_rejected;
                end_as(db, object, "failed")?;
            }
            FileOutcome::Gone { .. } => end_as(db, object, "gone")?,
            FileOutcome::Deferred { not_before, .. } => defer(db, object, not_before)?,
        }
    }
    give_back(db, import, open)?;
    db.prepare_cached(
        "UPDATE import SET row_count = row_count + ?2, byte_count = byte_count + ?3,
            rejected_count = rejected_count + ?4 WHERE id = ?1",
    )?
    .execute(params![import.id, codec::stored(rows), codec::stored(bytes), codec::stored(rejected)])?;
    Ok(())
}

fn end_as(db: &Connection, object: i64, state: &str) -> Result<()> {
    db.prepare_cached("UPDATE object SET state = ?2, not_before = NULL, reclaimed = 0 WHERE id = ?1")?
        .execute(params![object, state])?;
    Ok(())
}

fn defer(db: &Connection, object: i64, not_before: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE object SET state = 'pending', not_before = ?2, attempts = attempts + 1, reclaimed = 0 WHERE id = ?1",
    )?
    .execute(params![object, codec::micros(not_before)])?;
    Ok(())
}

pub(crate) const IGNORE_OVERWRITES: &str =
    "UPDATE object SET state = 'skipped', reason = 'overwrite', not_before = NULL, reclaimed = 0
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1
        AND state IN ('pending', 'deferred')";

/// A page may have shown another version of the key while this one was being read.
fn ignore_overwrites(db: &Connection, ingested: i64) -> Result<()> {
    db.prepare_cached(IGNORE_OVERWRITES)?.execute([ingested])?;
    Ok(())
}

pub(crate) const WRITE_OFF: &str = "UPDATE object SET state = 'gone', not_before = NULL, reclaimed = 0,
        reason = CASE WHEN bucket <> ?2 THEN 'bucket_changed' ELSE 'superseded' END
     WHERE batch = ?1 AND state IN ('claimed', 'pending') AND (bucket <> ?2 OR EXISTS (
        SELECT 1 FROM object AS newer WHERE newer.bucket = object.bucket AND newer.key = object.key
            AND newer.id <> object.id AND newer.state IN ('pending', 'deferred')))";
pub(crate) const GIVE_BACK: &str =
    "UPDATE object SET state = 'pending', reclaimed = 1, batch = NULL WHERE batch = ?1 AND state = 'claimed'";

/// Files of the batch that have no result are pending again and free, at the place in the order that they had. What
/// was overwritten while it was claimed, or lies in a bucket that the import has left, can only be written off.
fn give_back(db: &Connection, import: &Import, open: &OpenRow) -> Result<()> {
    db.prepare_cached(WRITE_OFF)?.execute(params![open.id, import.bucket])?;
    db.prepare_cached(GIVE_BACK)?.execute([open.id])?;
    Ok(())
}
