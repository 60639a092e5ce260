//! How batches end: committed, settled or abandoned.

use connector_core::ids::BatchSeq;
use connector_core::object::SkipReason;
use connector_core::outcome::{DECODE_STUCK, DECODER_DIED};
use connector_core::ports::{FileOutcome, FileResult};
use connector_core::revision::BatchKind;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::batch::{self, OpenRow};
use crate::error::Result;
use crate::import::{self, Import};
use crate::results::{self, Settled};
use crate::{account, codec, overwrite, reading, schema, version};

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
        "UPDATE import SET committed_seq = ?2, batch_count = batch_count + 1, last_commit_at = ?3,
            guard_waived = (guard_waived AND ?4) WHERE id = ?1",
    )?
    .execute(params![import.id, seq, codec::micros(now), open.kind != BatchKind::Ingest])?;
    db.prepare_cached(NOTE_QUARANTINE)?.execute(params![import.id, seq, open.id])?;
    import::advance_watermark(db, import)
}

const NOTE_QUARANTINE: &str = "UPDATE import SET quarantine_seq = ?2 WHERE id = ?1 AND (
        EXISTS (SELECT 1 FROM staged_file WHERE batch = ?3 AND kind = 'quarantine')
        OR EXISTS (SELECT 1 FROM batch WHERE id = ?3 AND quarantine_removes <> 'null'))";

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
    let moves =
        |outcome: &FileOutcome| outcome.rows() > 0 || outcome.rows_quarantined() > 0 || outcome.removed() != (0, 0);
    if results.iter().any(|result| moves(&result.outcome)) {
        return Err(import.protocol(format!("batch {seq} moves rows, so it needs a commit and cannot be settled")));
    }
    results::write(db, import, &open, results)?;
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
            quarantine_added = '[]', removes = 'null', quarantine_removes = 'null' WHERE id = ?1",
    )?
    .execute([open.id])?;
    Ok(())
}

pub(crate) const FORGET_OUTCOMES: &str = "DELETE FROM batch_outcome WHERE batch = ?1
        AND import = (SELECT import FROM batch WHERE id = ?1)
        AND outcome IN (
            'ingested', 'quarantined', 'failed', 'deferred', 'gone', 'replayed', 'rolled_back', 'superseded', 'expired')";

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
    let mut settled = results::of_batch(db, import, open.id)?;
    // Stable: what has no place keeps the order in which the results were given.
    settled.sort_by_key(|settled| settled.place);
    for settled in &settled {
        match open.kind {
            BatchKind::Ingest => end(db, import, settled)?,
            _ => revise(db, import, settled)?,
        }
    }
    give_back(db, import, open)?;
    count(db, import, settled.into_iter().map(|settled| settled.result).collect())
}

fn end(db: &Connection, import: &Import, settled: &Settled) -> Result<()> {
    let object = settled.object;
    match &settled.result.outcome {
        FileOutcome::Ingested { .. } => {
            end_as(db, object, "ingested", None)?;
            overwrite::settle_key(db, import, object)
        }
        FileOutcome::Quarantined { .. } => end_as(db, object, "quarantined", None),
        FileOutcome::Failed { .. } => end_as(db, object, "failed", None),
        FileOutcome::Gone { .. } => end_as(db, object, "gone", None),
        FileOutcome::Deferred { not_before, code, .. } => defer(db, object, *not_before, code),
        FileOutcome::Superseded { .. } => {
            db.prepare_cached("UPDATE object SET reason = 'replaced' WHERE id = ?1")?.execute([object])?;
            Ok(())
        }
        other => Err(codec::corrupt(&format!("a file that was {} by an ingest batch", other.label()))),
    }
}

/// The files of a revising batch keep their states, but for those that its commit has changed.
fn revise(db: &Connection, import: &Import, settled: &Settled) -> Result<()> {
    let object = settled.object;
    match &settled.result.outcome {
        FileOutcome::Replayed { rows } => {
            acquit(db, object)?;
            let whole = *rows > 0 && version::one(db, import, object)?.state == "quarantined";
            if whole {
                end_as(db, object, "ingested", None)?;
                overwrite::settle_key(db, import, object)?;
            }
            Ok(())
        }
        FileOutcome::RolledBack { .. } => end_as(db, object, "skipped", Some(SkipReason::RolledBack.code())),
        FileOutcome::Expired { .. } => Ok(()),
        FileOutcome::Failed { .. } | FileOutcome::Gone { .. } => acquit(db, object),
        FileOutcome::Deferred { code, .. } => accuse(db, object, code),
        other => Err(codec::corrupt(&format!("a file that was {} by a revising batch", other.label()))),
    }
}

/// `results` in the order of the claim.
fn count(db: &Connection, import: &Import, results: Vec<FileResult>) -> Result<()> {
    let streak = import.streak.after(&results);
    let bytes = |result: &FileResult| match result.outcome {
        FileOutcome::Ingested { .. } | FileOutcome::Quarantined { .. } => result.bytes,
        _ => 0,
    };
    db.prepare_cached(
        "UPDATE import SET byte_count = byte_count + ?2, streak_files = ?3, streak_bytes = ?4 WHERE id = ?1",
    )?
    .execute(params![
        import.id,
        codec::stored(results.iter().map(bytes).sum()),
        streak.files,
        codec::stored(streak.bytes),
    ])?;
    let sum = |of: fn(&FileOutcome) -> u64| codec::stored(results.iter().map(|result| of(&result.outcome)).sum());
    let table = sum(FileOutcome::rows) - sum(|outcome| outcome.removed().0);
    let quarantine = sum(FileOutcome::rows_quarantined) - sum(|outcome| outcome.removed().1);
    account::add_rows(db, import, table, quarantine)
}

fn end_as(db: &Connection, object: i64, state: &str, reason: Option<&str>) -> Result<()> {
    db.prepare_cached(
        "UPDATE object SET state = ?2, reason = ?3, not_before = NULL, reclaimed = 0, suspect = 0, strikes = 0
         WHERE id = ?1",
    )?
    .execute(params![object, state, reason])?;
    Ok(())
}

fn defer(db: &Connection, object: i64, not_before: Timestamp, code: &str) -> Result<()> {
    db.prepare_cached(
        "UPDATE object SET state = 'pending', not_before = ?2, attempts = attempts + 1, reclaimed = 0 WHERE id = ?1",
    )?
    .execute(params![object, codec::micros(not_before)])?;
    accuse(db, object, code)
}

/// A child process that died over a file is a strike against it; a thread that does not come back makes it a suspect.
fn accuse(db: &Connection, object: i64, code: &str) -> Result<()> {
    let sql = match code {
        DECODER_DIED => "UPDATE object SET suspect = 1, strikes = strikes + 1 WHERE id = ?1",
        DECODE_STUCK => "UPDATE object SET suspect = 1 WHERE id = ?1",
        _ => return Ok(()),
    };
    db.prepare_cached(sql)?.execute([object])?;
    Ok(())
}

/// Reading it has killed nobody.
fn acquit(db: &Connection, object: i64) -> Result<()> {
    db.prepare_cached("UPDATE object SET suspect = 0, strikes = 0 WHERE id = ?1 AND (suspect = 1 OR strikes > 0)")?
        .execute([object])?;
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
/// was overwritten while it was claimed, or lies in a bucket that the import has left, can only be written off. Nothing
/// is being read any more, and nothing revised.
pub(crate) fn give_back(db: &Connection, import: &Import, open: &OpenRow) -> Result<()> {
    reading::clear(db, open.id)?;
    db.prepare_cached("DELETE FROM member WHERE batch = ?1")?.execute([open.id])?;
    db.prepare_cached(WRITE_OFF)?.execute(params![open.id, import.bucket])?;
    db.prepare_cached(GIVE_BACK)?.execute([open.id])?;
    Ok(())
}
