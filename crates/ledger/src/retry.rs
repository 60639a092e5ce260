//! Trying files again by hand.

use connector_core::object::SkipReason;
use connector_core::outcome::{DECODER_DIED, POISON};
use connector_core::ports::Retry;
use rusqlite::{Connection, Params, params};

use crate::error::Result;
use crate::import::Import;
use crate::revision;
use crate::version::{self, Stored};

pub(crate) const FAILED: &str = "SELECT id FROM object WHERE bucket = ?1 AND state IN ('failed', 'quarantined') AND reason IS NULL AND state = 'failed'";
pub(crate) const WAITING: &str =
    "SELECT id FROM object WHERE bucket = ?1 AND state = 'pending' AND not_before IS NOT NULL";
pub(crate) const ROLLED_BACK: &str = "SELECT id FROM object
     WHERE batch = ?2 AND bucket = ?1 AND state = 'skipped' AND reason = 'rolled_back'";

/// Makes files claimable again; tells how many. One of which a newer version is known is not retried: nothing can read
/// it any more.
pub(crate) fn retry(db: &Connection, import: &Import, retry: &Retry) -> Result<u64> {
    let objects = match retry {
        Retry::Failed => {
            let mut objects = rows(db, FAILED, (import.bucket,))?;
            objects.extend(rows(db, WAITING, (import.bucket,))?);
            objects
        }
        Retry::RolledBack(batch) => {
            let batch = revision::ingest_batch(db, import, batch)?;
            rows(db, ROLLED_BACK, [import.bucket, batch])?
        }
        Retry::Key(key) => of_key(db, import, key)?,
    };
    let mut retried = 0;
    for object in objects {
        if !version::is_overwritten(db, object)? {
            again(db, object)?;
            retried += 1;
        }
    }
    Ok(retried)
}

fn rows(db: &Connection, sql: &str, values: impl Params) -> Result<Vec<i64>> {
    let mut statement = db.prepare_cached(sql)?;
    let objects = statement.query_map(values, |row| row.get(0))?;
    Ok(objects.collect::<rusqlite::Result<_>>()?)
}

fn of_key(db: &Connection, import: &Import, key: &str) -> Result<Vec<i64>> {
    let retriable = |version: &Stored| {
        let waits = version.state == "pending" && version.not_before.is_some();
        waits || version.is("failed", None) || version.is("skipped", Some(SkipReason::RolledBack.code()))
    };
    let versions = version::of_key(db, import, key)?.into_iter();
    let here = versions.filter(|version| version.bucket_row == import.bucket && retriable(version));
    Ok(here.map(|version| version.object).collect())
}

/// What killed its reader before is read by a child process first.
fn again(db: &Connection, object: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE object SET state = 'pending', reason = NULL, not_before = NULL, attempts = 0, reclaimed = 0, strikes = 0,
            suspect = (suspect OR EXISTS (SELECT 1 FROM file_result WHERE file_result.batch = object.batch
                AND file_result.object = object.id AND code IN (?2, ?3)))
         WHERE id = ?1",
    )?
    .execute(params![object, DECODER_DIED, POISON])?;
    Ok(())
}
