//! What is known of object versions, for people and for the audit.

use std::collections::BTreeMap;

use connector_core::ids::BatchSeq;
use connector_core::known::{KnownAccount, KnownResult, KnownVersion};
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::import::Import;
use crate::results::outcome_columns;
use crate::version::{self, Stored, stored_columns};
use crate::{account, codec, history, results};

/// All versions of a key with all that is known of them, in the order in which they were first seen.
pub(crate) fn versions_of(db: &Connection, import: &Import, key: &str) -> Result<Vec<KnownVersion>> {
    let reference = history::reference_key(db, import)?;
    let versions = version::of_key(db, import, key)?;
    let one = |stored: Stored| {
        Ok(KnownVersion {
            id: stored.id,
            account: account::of(db, stored.object)?.account,
            results: results_of(db, &stored, reference.as_deref())?,
            key: stored.key,
            bucket: stored.bucket.to_string(),
            etag: stored.etag,
            size: stored.size,
            last_modified: stored.last_modified,
            state: stored.state,
            reason: stored.reason,
            not_before: stored.not_before,
            attempts: stored.attempts,
            suspect: stored.suspect,
            strikes: stored.strikes,
            first_seen: stored.first_seen,
        })
    };
    versions.into_iter().map(one).collect()
}

pub(crate) const RESULTS_OF: &str = concat!(
    "SELECT batch.label, batch.kind, batch.state, batch.ended_at, ",
    outcome_columns!(),
    " FROM file_result CROSS JOIN batch ON batch.id = file_result.batch
      WHERE file_result.object = ?1 ORDER BY file_result.batch"
);

fn results_of(db: &Connection, stored: &Stored, reference: Option<&str>) -> Result<Vec<KnownResult>> {
    let mut statement = db.prepare_cached(RESULTS_OF)?;
    let rows = statement.query_and_then([stored.object], |row| {
        let result = results::read(row, stored.id, 4)?;
        Ok(KnownResult {
            batch: row.get(0)?,
            kind: codec::kind(&row.get::<_, String>(1)?)?,
            state: row.get(2)?,
            ended_at: codec::optional_time(row.get(3)?)?,
            file: history::record_of(stored.key.clone(), &result, reference),
        })
    })?;
    rows.collect()
}

fn with_account(db: &Connection, stored: Stored) -> Result<KnownAccount> {
    Ok(KnownAccount {
        id: stored.id,
        account: account::of(db, stored.object)?.account,
        key: stored.key,
        etag: stored.etag,
        size: stored.size,
        state: stored.state,
        reason: stored.reason,
    })
}

/// Walks the objects of all imports in the order of their rows: who asks for all pages reads the table of objects once.
pub(crate) const ACCOUNTS: &str = concat!(
    "SELECT ",
    stored_columns!(),
    " FROM object CROSS JOIN bucket ON bucket.id = object.bucket
      WHERE object.id > ?2 AND bucket.import = ?1
        AND (object.state IN ('ingested', 'quarantined') OR object.batch IS NOT NULL)
      ORDER BY object.id LIMIT ?3"
);

/// Object versions that are or were read, each with its position.
pub(crate) fn accounts(
    db: &Connection,
    import: &Import,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, KnownAccount)>> {
    let mut statement = db.prepare_cached(ACCOUNTS)?;
    let mut rows = statement.query(params![import.id, after.unwrap_or(0), limit])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = Stored::read(import, row)?;
        accounts.push((stored.object, with_account(db, stored)?));
    }
    Ok(accounts)
}

/// The versions of these keys in the bucket that is read now; a key without any is left out.
pub(crate) fn keys(db: &Connection, import: &Import, keys: &[String]) -> Result<BTreeMap<String, Vec<KnownAccount>>> {
    let mut found = BTreeMap::new();
    for key in keys {
        let here = version::of_key(db, import, key)?.into_iter().filter(|version| version.bucket_row == import.bucket);
        let versions: Vec<KnownAccount> = here.map(|stored| with_account(db, stored)).collect::<Result<_>>()?;
        if !versions.is_empty() {
            found.insert(key.clone(), versions);
        }
    }
    Ok(found)
}

/// The last finalised batch, and the state of the open one.
pub(crate) fn committed_seq(db: &Connection, import: &Import) -> Result<(BatchSeq, Option<&'static str>)> {
    let open = crate::batch::OpenRow::load(db, import)?;
    Ok((import.committed_seq, open.map(|open| if open.staged { "staged" } else { "claimed" })))
}
