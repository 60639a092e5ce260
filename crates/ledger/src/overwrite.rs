//! New versions of keys that were ingested before: ignored, or held until their scan is complete and then let in.

use connector_core::ports::Reread;
use connector_core::reread;
use connector_core::spec::OverwritePolicy;
use rusqlite::{Connection, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;

/// The reason of versions that are not read, or not yet, because their key was ingested before.
pub(crate) const OVERWRITE: &str = "overwrite";

pub(crate) fn parse(text: &str) -> Result<OverwritePolicy> {
    [OverwritePolicy::Ignore, OverwritePolicy::Append]
        .into_iter()
        .find(|policy| policy.as_str() == text)
        .ok_or_else(|| codec::corrupt("a policy for overwritten keys that does not exist"))
}

pub(crate) const IGNORE_HELD: &str =
    "UPDATE object SET state = 'skipped' WHERE bucket = ?1 AND state = 'deferred' AND reason = 'overwrite'";
pub(crate) const RELEASE: &str = "UPDATE object SET state = 'pending', reason = NULL WHERE bucket = ?1 AND state = 'deferred' AND reason = 'overwrite'";
pub(crate) const HELD: &str =
    "SELECT COUNT(*) FROM object WHERE bucket = ?1 AND state = 'deferred' AND reason = 'overwrite'";

/// From now on.
pub(crate) fn set_policy(db: &Connection, import: &Import, policy: OverwritePolicy) -> Result<()> {
    if import.overwrite == policy {
        return Ok(());
    }
    db.prepare_cached("UPDATE import SET overwrite = ?2 WHERE id = ?1")?
        .execute(params![import.id, policy.as_str()])?;
    if policy == OverwritePolicy::Ignore {
        db.prepare_cached(IGNORE_HELD)?.execute([import.bucket])?;
    }
    Ok(())
}

/// A scan is complete: lets in what it held, unless that is most of what the import has ingested and nobody has said that
/// it may be read. Then the import is paused, and what is held stays held until somebody resumes it.
pub(crate) fn admit(db: &Connection, import: &Import) -> Result<Option<Reread>> {
    let (tripped, waived): (bool, bool) = db
        .prepare_cached("SELECT reread_reason IS NOT NULL, reread_waived FROM import WHERE id = ?1")?
        .query_row([import.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if tripped {
        return Ok(None);
    }
    let held = codec::amount(db.prepare_cached(HELD)?.query_row([import.bucket], |row| row.get(0))?)?;
    let reread = if waived { None } else { reread::judge(held, ingested(db, import)?) };
    if let Some(reread) = reread {
        db.prepare_cached("UPDATE import SET paused = 1, reread_reason = ?2 WHERE id = ?1")?
            .execute(params![import.id, reread.message(&import.name)])?;
        return Ok(Some(reread));
    }
    if held > 0 {
        db.prepare_cached(RELEASE)?.execute([import.bucket])?;
    }
    if waived {
        db.prepare_cached("UPDATE import SET reread_waived = 0 WHERE id = ?1")?.execute([import.id])?;
    }
    Ok(None)
}

fn ingested(db: &Connection, import: &Import) -> Result<u64> {
    let mut statement =
        db.prepare_cached("SELECT COALESCE(SUM(files), 0) FROM tally WHERE bucket = ?1 AND state = 'ingested'")?;
    codec::amount(statement.query_row([import.bucket], |row| row.get(0))?)
}

/// A page may have shown another version of the key while this one was being read.
pub(crate) const IGNORE_OTHERS: &str =
    "UPDATE object SET state = 'skipped', reason = 'overwrite', not_before = NULL, reclaimed = 0
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1
        AND state IN ('pending', 'deferred')";
pub(crate) const HOLD_OTHERS: &str =
    "UPDATE object SET state = 'deferred', reason = 'overwrite', not_before = NULL, reclaimed = 0
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1 AND state = 'pending'";
/// Earlier versions that did not fit are nobody's concern any more.
pub(crate) const REPLACE: &str = "UPDATE object SET reason = 'replaced'
     WHERE (bucket, key) = (SELECT bucket, key FROM object WHERE id = ?1) AND id <> ?1
        AND state IN ('failed', 'quarantined')";

/// A version of the key is ingested, which settles what becomes of its other versions.
pub(crate) fn settle_key(db: &Connection, import: &Import, ingested: i64) -> Result<()> {
    let others = match import.overwrite {
        OverwritePolicy::Ignore => IGNORE_OTHERS,
        OverwritePolicy::Append => HOLD_OTHERS,
    };
    db.prepare_cached(others)?.execute([ingested])?;
    db.prepare_cached(REPLACE)?.execute([ingested])?;
    Ok(())
}
