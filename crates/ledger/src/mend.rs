//! Making the ledger agree with the table again, by hand: after one of them was lost or restored.

use std::collections::BTreeMap;

use connector_core::ids::{BatchSeq, ImportName, ImportUuid, ObjectVersionId};
use connector_core::ports::PortResult;
use connector_core::revision::{KeyedVersion, RowDigest};
use connector_core::schema::TableSchema;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::account::{self, Base};
use crate::batch::OpenRow;
use crate::error::{LedgerError, Result};
use crate::import::{self, Import};
use crate::version::{self, Stored};
use crate::{SqliteLedger, codec, ending, json, overwrite, schema};

/// What a table and its quarantine table say of the import that they belong to.
#[derive(Clone, Debug)]
pub struct Adoption {
    pub uuid: ImportUuid,
    /// The newest batch that landed in the table; 0 for none.
    pub committed_seq: BatchSeq,
    /// The newest batch that landed in the quarantine table; 0 for none.
    pub quarantine_seq: BatchSeq,
    pub schema: TableSchema,
    /// All object versions that have rows in either table, each once.
    pub versions: Vec<AdoptedVersion>,
}

/// An object version that has rows in the table or in its quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedVersion {
    pub key: String,
    pub id: ObjectVersionId,
    pub rows: u64,
    pub rows_quarantined: u64,
    /// The largest ordinal of its rows in either table, and one: at least so many rows were read of it.
    pub max_row_plus_one: u64,
    /// The sum of the fingerprints of its rows in both tables. Without it, rows that are in neither, because they have
    /// expired, are told from lost ones only if the ledger knows of them.
    pub digest: Option<RowDigest>,
}

/// What an adoption found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Object versions that the ledger knew.
    pub known: u64,
    /// Object versions that a listing has still to show.
    pub unknown: u64,
}

impl SqliteLedger {
    /// Makes the import's record, or makes it anew, so that it agrees with the table: identity, schema, last batch, and
    /// which object versions are ingested or quarantined with how many rows. What the table has is never read again, be
    /// it known already or first shown by a later listing. An open batch is abandoned; batches that the table lacks are
    /// `lost`, and their files read again if the table has no row of them. Files that the ledger calls ingested by a
    /// batch that the table has stay so. One transaction; to do it again changes nothing.
    ///
    /// No half of a batch may be in the quarantine table: rows of a batch above `committed_seq` have to be removed from
    /// it before, or their files count as quarantined.
    ///
    /// # Errors
    /// If another import of this ledger has that identity; otherwise what the database says.
    pub async fn adopt(
        &self,
        import: &ImportName,
        bucket: &str,
        adoption: Adoption,
        now: Timestamp,
    ) -> PortResult<Adopted> {
        let (name, bucket) = (import.clone(), bucket.to_owned());
        let job = move |db: &Connection| adopt(db, name.as_str(), &bucket, &adoption, now);
        Ok(self.transact("adopt the table", TransactionBehavior::Immediate, job).await?)
    }

    /// Object versions whose rows batches above `seq` brought or moved, those of [`Self::reread`] calls before among them.
    /// Whatever either table still has of them has to go with the commit that brings the table's `txn` up to date: a
    /// restored table may still have rows that such a batch removed, and its quarantine rows that it brought.
    ///
    /// # Errors
    /// If the import is unknown or the database cannot be read.
    pub async fn batches_after(&self, import: &ImportName, seq: BatchSeq) -> PortResult<Vec<KeyedVersion>> {
        let job = move |db: &Connection, import: &Import| versions_after(db, import, seq);
        Ok(self.write("list the batches that the table lacks", import, job).await?)
    }

    /// The table was restored to batch `seq`: the batches above it are `lost`, and the files that they brought or replayed
    /// pending again, if they are still what their keys hold; tells how many. Accounts and counters follow, and say that
    /// no row of them is left, so that the rows of [`Self::batches_after`] have to be removed. The last batch stays what
    /// it is: the caller brings the table up to it with a commit of that `txn`. One transaction; to do it again changes
    /// nothing.
    ///
    /// # Errors
    /// If the import is unknown or the database cannot be written.
    pub async fn reread(&self, import: &ImportName, seq: BatchSeq, _now: Timestamp) -> PortResult<u64> {
        let job = move |db: &Connection, import: &Import| reread(db, import, seq);
        Ok(self.write("let lost files be read again", import, job).await?)
    }
}

fn adopt(db: &Connection, name: &str, bucket: &str, adoption: &Adoption, now: Timestamp) -> Result<Adopted> {
    let taken = db
        .query_row(
            "SELECT name FROM import WHERE uuid = ?1 AND name <> ?2",
            params![adoption.uuid.0.as_bytes(), name],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(other) = taken {
        return Err(LedgerError::TableOfAnother { import: name.to_owned(), other });
    }
    match Import::load(db, name)? {
        None => import::create(db, name, bucket, adoption.uuid)?,
        Some(import) => {
            import::point_at(db, &import, bucket)?;
            let import = import::reload(db, name)?;
            if let Some(open) = OpenRow::load(db, &import)? {
                ending::abandon(db, &import, open.seq)?;
            }
            if import.uuid == adoption.uuid {
                lose(db, &import, adoption.committed_seq)?;
            } else {
                forget(db, &import)?;
            }
        }
    }
    db.execute(
        "UPDATE import SET uuid = ?2, committed_seq = ?3, quarantine_seq = ?4 WHERE name = ?1",
        params![name, adoption.uuid.0.as_bytes(), adoption.committed_seq, adoption.quarantine_seq],
    )?;
    let import = import::reload(db, name)?;
    db.execute(
        "UPDATE import SET table_schema = ?2 WHERE id = ?1",
        params![import.id, json::schema_to_json(&adoption.schema)],
    )?;
    schema::table_created(db, &import, &adoption.schema, now)?;
    let mut adopted = Adopted::default();
    for found in &adoption.versions {
        if place(db, &import, found, now)? { adopted.known += 1 } else { adopted.unknown += 1 }
    }
    import::advance_watermark(db, &import)?;
    Ok(adopted)
}

/// The ledger belonged to another table: nothing that it says of rows holds for this one. Listings bring back what there
/// is to read.
fn forget(db: &Connection, import: &Import) -> Result<()> {
    let statements = [
        "UPDATE batch SET state = 'lost' WHERE import = ?1 AND state = 'committed'",
        "DELETE FROM adopted WHERE object IN (
            SELECT object.id FROM object JOIN bucket ON bucket.id = object.bucket WHERE bucket.import = ?1)",
        "UPDATE object SET state = 'gone', reason = 'other_table', not_before = NULL, reclaimed = 0, batch = NULL
         WHERE bucket IN (SELECT id FROM bucket WHERE import = ?1)
            AND (state IN ('ingested', 'quarantined') OR (state = 'skipped' AND reason = 'rolled_back'))",
        "UPDATE import SET row_count = 0, quarantined_count = 0, byte_count = 0, batch_count = 0 WHERE id = ?1",
    ];
    for sql in statements {
        db.execute(sql, [import.id])?;
    }
    Ok(())
}

/// The object version is where the tables say it is. Whether the ledger knew it.
fn place(db: &Connection, import: &Import, found: &AdoptedVersion, now: Timestamp) -> Result<bool> {
    let known = version::of_key(db, import, &found.key)?.into_iter().find(|stored| stored.id == found.id);
    let state = if found.rows > 0 { "ingested" } else { "quarantined" };
    let object = match &known {
        Some(stored) => stored.object,
        None => insert(db, import, found, state, now)?,
    };
    let before = account::of(db, object)?.account;
    let present = found.rows + found.rows_quarantined;
    let read = present.max(found.max_row_plus_one).max(before.read);
    let expired = match found.digest {
        _ if read == present => RowDigest::default(),
        Some(digest) => RowDigest::of_first(found.id, read).without(digest),
        None => before.expired,
    };
    let (in_table, in_quarantine, removed) = (found.rows, found.rows_quarantined, read - present);
    let base = Base { in_table, in_quarantine, removed, expired };
    if base.account() != before {
        account::set_base(db, import, object, base)?;
        account::moved(db, import, &before, &base.account())?;
    }
    let stays = known.as_ref().is_some_and(|stored| stored.state == state || stored.state == "ingested");
    if !stays {
        db.prepare_cached(
            "UPDATE object SET state = ?2, reason = NULL, not_before = NULL, reclaimed = 0 WHERE id = ?1",
        )?
        .execute(params![object, state])?;
        if state == "ingested" {
            overwrite::settle_key(db, import, object)?;
        }
    }
    Ok(known.is_some_and(|stored| stored.seen))
}

/// ETag and size are in the id and cannot be got out of it; a listing fills them in.
fn insert(db: &Connection, import: &Import, found: &AdoptedVersion, state: &str, now: Timestamp) -> Result<i64> {
    let mut insert = db.prepare_cached(
        "INSERT INTO object (bucket, key, etag, size, last_modified, state, first_seen, version)
         VALUES (?1, ?2, ?3, 0, 0, ?4, ?5, ?6)",
    )?;
    let etag = format!("adopted:{}", found.id.hex());
    Ok(insert.insert(params![import.bucket, found.key, etag, state, codec::micros(now), found.id.0])?)
}

const LACKING: [&str; 2] = [
    "SELECT id FROM batch WHERE import = ?1 AND state = 'committed' AND seq > ?2 ORDER BY seq",
    "SELECT id FROM batch WHERE import = ?1 AND state = 'lost' AND seq > ?2 ORDER BY seq",
];
/// What an expiry removed is in the table again and expires again: nothing has to be done about it.
const REVISED: &str = "SELECT object, outcome <> 'expired' FROM file_result
     WHERE batch = ?1 AND outcome NOT IN ('failed', 'deferred', 'gone') ORDER BY ordinal";

fn ids(db: &Connection, sql: &str, import: &Import, seq: BatchSeq) -> Result<Vec<i64>> {
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map([import.id, seq], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// The objects whose rows these batches brought or moved, with whether that is anybody's concern.
fn revised(db: &Connection, batches: &[i64]) -> Result<BTreeMap<i64, bool>> {
    let mut objects = BTreeMap::new();
    let mut statement = db.prepare_cached(REVISED)?;
    for batch in batches {
        let mut rows = statement.query([batch])?;
        while let Some(row) = rows.next()? {
            *objects.entry(row.get(0)?).or_default() |= row.get::<_, bool>(1)?;
        }
    }
    Ok(objects)
}

fn versions_after(db: &Connection, import: &Import, seq: BatchSeq) -> Result<Vec<KeyedVersion>> {
    let mut batches = Vec::new();
    for sql in LACKING {
        batches.extend(ids(db, sql, import, seq)?);
    }
    batches.extend(OpenRow::load(db, import)?.filter(|open| open.staged && open.seq > seq).map(|open| open.id));
    let mut versions = Vec::new();
    for (object, concerns) in revised(db, &batches)? {
        if concerns {
            let Stored { key, id, .. } = version::one(db, import, object)?;
            versions.push(KeyedVersion { key, id });
        }
    }
    versions.sort();
    Ok(versions)
}

fn reread(db: &Connection, import: &Import, seq: BatchSeq) -> Result<u64> {
    match OpenRow::load(db, import)? {
        // Its bad rows may be in quarantine: what it was has to be known still.
        Some(open) if open.staged => {
            ending::give_back(db, import, &open)?;
            db.prepare_cached("UPDATE batch SET state = 'lost' WHERE id = ?1")?.execute([open.id])?;
        }
        Some(open) => ending::abandon(db, import, open.seq)?,
        None => {}
    }
    lose(db, import, seq)
}

/// The committed batches above `seq` count no more; tells how many files are pending again.
fn lose(db: &Connection, import: &Import, seq: BatchSeq) -> Result<u64> {
    let batches = ids(db, LACKING[0], import, seq)?;
    let mut before = BTreeMap::new();
    let objects = revised(db, &batches)?;
    for object in objects.keys() {
        before.insert(*object, account::of(db, *object)?.account);
    }
    for batch in &batches {
        db.prepare_cached("UPDATE batch SET state = 'lost' WHERE id = ?1")?.execute([batch])?;
        db.prepare_cached(
            "UPDATE import SET batch_count = batch_count - 1, byte_count = byte_count - (
                SELECT COALESCE(SUM(byte_count), 0) FROM file_result
                WHERE batch = ?2 AND outcome IN ('ingested', 'quarantined')) WHERE id = ?1",
        )?
        .execute([import.id, *batch])?;
    }
    let mut pending = 0;
    for (object, concerns) in objects {
        let left = account::of(db, object)?.account;
        if concerns {
            if left.in_table + left.in_quarantine > 0 {
                account::set_base(db, import, object, Base { removed: left.read, ..Base::default() })?;
            }
            pending += u64::from(turn_back(db, import, object)?);
        }
        let after = account::of(db, object)?.account;
        if let Some(before) = before.get(&object) {
            account::moved(db, import, before, &after)?;
        }
    }
    Ok(pending)
}

/// Whether the object is pending again.
fn turn_back(db: &Connection, import: &Import, object: i64) -> Result<bool> {
    let stored = version::one(db, import, object)?;
    if stored.state != "ingested" && !stored.is("quarantined", None) {
        return Ok(false);
    }
    let readable = stored.bucket_row == import.bucket && stored.seen && !version::is_overwritten(db, object)?;
    let (state, reason) = if readable { ("pending", None) } else { ("gone", Some("superseded")) };
    db.prepare_cached(
        "UPDATE object SET state = ?2, reason = ?3, not_before = NULL, reclaimed = 1, batch = NULL WHERE id = ?1",
    )?
    .execute(params![object, state, reason])?;
    Ok(readable)
}
