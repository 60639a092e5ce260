//! How batches end: committed, settled or abandoned.

use connector_core::ids::BatchSeq;
use connector_core::ports::{FileOutcome, FileResult};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::batch::{self, OpenRow, Settled};
use crate::error::Result;
use crate::import::{self, Import};
use crate::{codec, schema};

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
    schema::evolve(db, import, open.id, now)?;
    db.prepare_cached("UPDATE batch SET state = 'committed', table_version = ?2, ended_at = ?3 WHERE id = ?1")?
        .execute(params![open.id, codec::stored(table_version), codec::micros(now)])?;
    // The table has the statistics now; the paths stay, so that a batch can be found in the table.
    db.prepare_cached("UPDATE staged_file SET stats = '' WHERE batch = ?1")?.execute([open.id])?;
    db.prepare_cached(
        "UPDATE import SET committed_seq = ?2, batch_count = batch_count + 1, last_commit_at = ?3, guard_waived = 0
         WHERE id = ?1",
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
    if results.iter().any(|result| result.outcome.rows() > 0 || result.outcome.rows_quarantined() > 0) {
        return Err(import.protocol(format!("batch {seq} brought rows, so it needs a commit and cannot be settled")));
    }
    batch::write_results(db, import, &open, results)?;
    take_effect(db, import, &open)?;
    let bytes = codec::stored(batch::bytes_read(results));
    db.prepare_cached("UPDATE batch SET state = 'settled', byte_count = ?2, ended_at = ?3 WHERE id = ?1")?
        .execute(params![open.id, bytes, codec::micros(now)])?;
    import::advance_watermark(db, import)
}

/// Forgets what was staged and gives every file back.
pub(crate) fn abandon(db: &Connection, import: &Import, seq: BatchSeq) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    let staged =
        ["DELETE FROM staged_file WHERE batch = ?1", "DELETE FROM file_result WHERE batch = ?1", FORGET_OUTCOMES];
    for sql in staged {
        db.prepare_cached(sql)?.execute([open.id])?;
    }
    give_back(db, import, &open)?;
    // No time: what a crash interrupted ended when nobody looked.
    db.prepare_cached(
        "UPDATE batch SET state = 'abandoned', row_count = 0, quarantined_count = 0, byte_count = 0, added = '[]',
            quarantine_added = '[]' WHERE id = ?1",
    )?
    .execute([open.id])?;
    Ok(())
}

pub(crate) const FORGET_OUTCOMES: &str = "DELETE FROM batch_outcome WHERE batch = ?1
        AND import = (SELECT import FROM batch WHERE id = ?1)
        AND outcome IN ('ingested', 'quarantined', 'failed', 'deferred', 'gone')";

/// Most rows of the open batch were bad: its files go back, and the import stops until somebody resumes it.
pub(crate) fn trip_guard(db: &Connection, import: &Import, seq: BatchSeq, reason: &str) -> Result<()> {
    if OpenRow::expect(db, import, seq)?.staged {
        let what = format!("batch {seq} is staged, so its rows may have landed and it is too late for the guard");
        return Err(import.protocol(what));
    }
    abandon(db, import, seq)?;
    import::trip_guard(db, import, reason)
}

/// Moves every file of the batch to where its result says; what has none goes back.
fn take_effect(db: &Connection, import: &Import, open: &OpenRow) -> Result<()> {
    let mut settled = batch::results(db, import, open.id)?;
    // Stable: what has no place keeps the order in which the results were given.
    settled.sort_by_key(|settled| settled.place);
    for Settled { object, result, .. } in &settled {
        match &result.outcome {
            FileOutcome::Ingested { .. } => {
                end_as(db, *object, "ingested")?;
                settle_key(db, *object)?;
            }
            FileOutcome::Quarantined { .. } => end_as(db, *object, "quarantined")?,
            FileOutcome::Failed { .. } => end_as(db, *object, "failed")?,
            FileOutcome::Gone { .. } => end_as(db, *object, "gone")?,
            FileOutcome::Deferred { not_before, .. } => defer(db, *object, *not_before)?,
        }
    }
    give_back(db, import, open)?;
    count(db, import, settled.into_iter().map(|settled| settled.result).collect())
}

/// `results` in the order of the claim.
fn count(db: &Connection, import: &Import, results: Vec<FileResult>) -> Result<()> {
    let streak = import.streak.after(&results);
    let sum = |of: fn(&FileResult) -> u64| codec::stored(results.iter().map(of).sum());
    let bytes = |result: &FileResult| if result.outcome.is_committed() { result.bytes } else { 0 };
    db.prepare_cached(
        "UPDATE import SET row_count = row_count + ?2, quarantined_count = quarantined_count + ?3,
            byte_count = byte_count + ?4, streak_files = ?5, streak_bytes = ?6 WHERE id = ?1",
    )?
    .execute(params![
        import.id,
        sum(|result| result.outcome.rows()),
        sum(|result| result.outcome.rows_quarantined()),
        sum(bytes),
        streak.files,
        codec::stored(streak.bytes),
    ])?;
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

/// A page may have shown another version of the key while this one was being read.
pub(crate) const IGNORE_OVERWRITES: &str =
    "UPDATE object SET state = 'skipped', reason = 'overwrite', not_before = NULL, reclaimed = 0
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1
        AND state IN ('pending', 'deferred')";
/// Earlier versions that did not fit are nobody's concern any more.
pub(crate) const REPLACE: &str = "UPDATE object SET reason = 'replaced'
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1
        AND state IN ('failed', 'quarantined')";

/// A version of the key is ingested, which settles what becomes of its other versions.
fn settle_key(db: &Connection, ingested: i64) -> Result<()> {
    db.prepare_cached(IGNORE_OVERWRITES)?.execute([ingested])?;
    db.prepare_cached(REPLACE)?.execute([ingested])?;
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
