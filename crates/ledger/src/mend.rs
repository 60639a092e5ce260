//! Making the ledger agree with the table again, by hand: after one of them was lost or restored.

use std::collections::{BTreeMap, HashSet};

use connector_core::ids::{BatchSeq, ImportName, ImportUuid, ObjectVersionId};
use connector_core::ports::PortResult;
use connector_core::revision::{Account, KeyedVersion, RowDigest};
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
    /// The table was restored to an older version: rows that the ledger knows of and that are in neither table are missing,
    /// and were not taken away on purpose. So is a [`SqliteLedger::reread`] that was not followed by an adoption.
    pub restored: bool,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Object versions that the ledger knew.
    pub known: u64,
    /// Object versions that a listing has still to show.
    pub unknown: u64,
    /// Object versions of which no row is left, although the ledger knew of some: rolled back or expired since.
    pub without_rows: u64,
    /// Object versions that are pending again, because a restored table has no row of them any more.
    pub pending: u64,
    /// Object versions some of whose rows a restored table lacks, and that cannot be read again without taking away what
    /// it has, or not at all. Their accounts still count those rows.
    pub missing: Vec<MissingRows>,
}

/// Rows of an object version that are in neither table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRows {
    pub key: String,
    pub id: ObjectVersionId,
    pub rows: u64,
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

    /// Object versions that batches above `seq` brought and that [`Self::reread`] lets be read again, or already has.
    /// Whatever either table still has of them has to go with the commit that brings the table's `txn` up to date:
    /// quarantine may still have rows that such a batch brought. Versions that cannot be read again, and those that such
    /// batches only revised, are not among them: what the tables have of them stays.
    ///
    /// # Errors
    /// If the import is unknown or the database cannot be read.
    pub async fn batches_after(&self, import: &ImportName, seq: BatchSeq) -> PortResult<Vec<KeyedVersion>> {
        let job = move |db: &Connection, import: &Import| versions_after(db, import, seq);
        Ok(self.write("list the batches that the table lacks", import, job).await?)
    }

    /// The table was restored to batch `seq`: the batches above it are `lost`, and the files that they brought pending
    /// again, if they are still what their keys hold; tells how many. Their accounts say that no row of them is left, so
    /// that the rows of [`Self::batches_after`] have to be removed. Accounts of other versions say what has to be there at
    /// least, and an adoption with `restored` compares. The last batch stays what it is: the caller brings the table up to
    /// it with a commit of that `txn`. One transaction; to do it again changes nothing.
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
    let mut half_reread = false;
    match Import::load(db, name)? {
        None => import::create(db, name, bucket, adoption.uuid)?,
        Some(import) => {
            import::point_at(db, &import, bucket)?;
            let import = import::reload(db, name)?;
            if let Some(open) = OpenRow::load(db, &import)? {
                ending::abandon(db, &import, open.seq)?;
            }
            if import.uuid == adoption.uuid {
                half_reread = db.prepare_cached(HALF_REREAD)?.exists([import.id])?;
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
    let restored = adoption.restored || half_reread;
    let mut adopted = Adopted::default();
    let mut placed = HashSet::new();
    for found in &adoption.versions {
        let here = place(db, &import, found, restored, now)?;
        if here.known {
            adopted.known += 1
        } else {
            adopted.unknown += 1
        }
        if here.missing > 0 {
            adopted.missing.push(MissingRows { key: found.key.clone(), id: found.id, rows: here.missing });
        }
        placed.insert(here.object);
    }
    without_rows(db, &import, &placed, restored, &mut adopted)?;
    import::advance_watermark(db, &import)?;
    Ok(adopted)
}

/// A reread whose adoption never came: that sets another last batch.
const HALF_REREAD: &str =
    "SELECT 1 FROM import JOIN batch ON batch.import = import.id AND batch.seq = import.committed_seq
     WHERE import.id = ?1 AND batch.state = 'lost'";

/// The ledger belonged to another table: nothing that it says of rows holds for this one. Listings bring back what there
/// is to read.
fn forget(db: &Connection, import: &Import) -> Result<()> {
    let statements = [
        // Not 'lost': their numbers are those of another table, and no reread of this one may count them.
        "UPDATE batch SET state = 'abandoned' WHERE import = ?1 AND state IN ('committed', 'lost')",
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

/// Where an object version was put.
struct Placed {
    /// Its row.
    object: i64,
    /// Whether the ledger had seen it.
    known: bool,
    /// Rows that should be there and are not.
    missing: u64,
}

/// The object version is where the tables say it is.
fn place(db: &Connection, import: &Import, found: &AdoptedVersion, restored: bool, now: Timestamp) -> Result<Placed> {
    let known = version::of_key(db, import, &found.key)?.into_iter().find(|stored| stored.id == found.id);
    let state = if found.rows > 0 { "ingested" } else { "quarantined" };
    let object = match &known {
        Some(stored) => stored.object,
        None => insert(db, import, found, state, now)?,
    };
    let before = account::of(db, object)?.account;
    let held = found.rows + found.rows_quarantined;
    let missing = if restored { present(&before).saturating_sub(held) } else { 0 };
    let read = (held + missing).max(found.max_row_plus_one).max(before.read);
    let expired = match found.digest {
        _ if read == held + missing => RowDigest::default(),
        // Which rows they are is not known; the audit finds out, if it is told no more than was known.
        _ if missing > 0 => before.expired,
        Some(digest) => RowDigest::of_first(found.id, read).without(digest),
        None => before.expired,
    };
    let (in_table, in_quarantine) = (found.rows + missing, found.rows_quarantined);
    let removed = read - held - missing;
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
    Ok(Placed { object, known: known.is_some_and(|stored| stored.seen), missing })
}

fn present(account: &Account) -> u64 {
    account.in_table + account.in_quarantine
}

const WRITTEN_OFF: &str =
    "UPDATE object SET state = 'gone', reason = 'superseded' WHERE id = ?1 AND state = 'ingested'";
const COMMITTED_OBJECTS: &str = "SELECT object.id FROM object JOIN bucket ON bucket.id = object.bucket
     WHERE bucket.import = ?1 AND (object.state IN ('ingested', 'quarantined')
        OR (object.state = 'gone' AND object.reason = 'superseded'))";

/// The object versions that neither table has a row of: nothing is left of them, or it has to come back.
fn without_rows(
    db: &Connection,
    import: &Import,
    placed: &HashSet<i64>,
    restored: bool,
    adopted: &mut Adopted,
) -> Result<()> {
    let mut statement = db.prepare_cached(COMMITTED_OBJECTS)?;
    let objects = statement.query_map([import.id], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for object in objects.into_iter().filter(|object| !placed.contains(object)) {
        let before = account::of(db, object)?.account;
        if present(&before) == 0 {
            continue;
        }
        if restored && !turn_back(db, import, object)? {
            let Stored { key, id, .. } = version::one(db, import, object)?;
            adopted.missing.push(MissingRows { key, id, rows: present(&before) });
            // It stands in the way of no newer version.
            db.prepare_cached(WRITTEN_OFF)?.execute([object])?;
            continue;
        }
        let base = Base { removed: before.read, ..Base::default() };
        account::set_base(db, import, object, base)?;
        account::moved(db, import, &before, &base.account())?;
        if restored { adopted.pending += 1 } else { adopted.without_rows += 1 }
    }
    Ok(())
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
const REVISED: &str = "SELECT object, outcome FROM file_result
     WHERE batch = ?1 AND outcome NOT IN ('failed', 'deferred', 'gone') ORDER BY ordinal";

fn ids(db: &Connection, sql: &str, import: &Import, seq: BatchSeq) -> Result<Vec<i64>> {
    let mut statement = db.prepare_cached(sql)?;
    let ids = statement.query_map([import.id, seq], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// What lost batches did to an object version.
#[derive(Clone, Copy, Default)]
struct Touched {
    brought: bool,
    /// Something else than an expiry: what that removed is in the table again and expires again.
    moved: bool,
    replayed: bool,
}

/// The objects whose rows these batches brought or moved.
fn revised(db: &Connection, batches: &[i64]) -> Result<BTreeMap<i64, Touched>> {
    let mut objects = BTreeMap::<i64, Touched>::new();
    let mut statement = db.prepare_cached(REVISED)?;
    for batch in batches {
        let mut rows = statement.query([batch])?;
        while let Some(row) = rows.next()? {
            let (touched, outcome) = (objects.entry(row.get(0)?).or_default(), row.get::<_, String>(1)?);
            touched.brought |= matches!(outcome.as_str(), "ingested" | "quarantined");
            touched.moved |= outcome != "expired";
            touched.replayed |= outcome == "replayed";
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
    for (object, _) in revised(db, &batches)?.into_iter().filter(|(_, touched)| touched.brought) {
        let stored = version::one(db, import, object)?;
        let again = match stored.state.as_str() {
            "ingested" | "quarantined" => stands(&stored) && is_readable(db, import, &stored)?,
            // Pending already, or again once its batch is given up; what a rollback took away on purpose may go for good.
            state => matches!(state, "pending" | "claimed" | "deferred" | "skipped"),
        };
        if again {
            versions.push(KeyedVersion { key: stored.key, id: stored.id });
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
            superseded(db, import, open.id)?;
        }
        Some(open) => ending::abandon(db, import, open.seq)?,
        None => {}
    }
    lose(db, import, seq)
}

/// What the batch replaced may have left quarantine with its bad rows: it is not missed there. If it has not, the adoption
/// finds it.
fn superseded(db: &Connection, import: &Import, batch: i64) -> Result<()> {
    let mut statement =
        db.prepare_cached("SELECT object FROM file_result WHERE batch = ?1 AND outcome = 'superseded'")?;
    for object in statement.query_map([batch], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()? {
        let before = account::of(db, object)?.account;
        let base = Base { in_table: before.in_table, removed: before.read - before.in_table, ..Base::default() };
        account::set_base(db, import, object, base)?;
        account::moved(db, import, &before, &base.account())?;
    }
    Ok(())
}

/// The committed batches above `seq` count no more; tells how many files are pending again.
fn lose(db: &Connection, import: &Import, seq: BatchSeq) -> Result<u64> {
    let batches = ids(db, LACKING[0], import, seq)?;
    let objects = revised(db, &batches)?;
    let mut before = BTreeMap::new();
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
    for (object, touched) in objects {
        let before = before.get(&object).copied().unwrap_or_default();
        if touched.brought {
            let again = turn_back(db, import, object)?;
            pending += u64::from(again);
            // What cannot be read again is missed: the account stays, and the audit compares it with the tables.
            let left = account::of(db, object)?.account;
            if !again {
                account::set_base(db, import, object, base_of(&before))?;
            } else if present(&left) > 0 {
                account::set_base(db, import, object, Base { removed: left.read, ..Base::default() })?;
            }
        } else if touched.moved {
            unrevise(db, import, object, touched, &before)?;
        }
        let after = account::of(db, object)?.account;
        account::moved(db, import, &before, &after)?;
    }
    Ok(pending)
}

/// Lost batches only moved or removed rows of it. So many as were there before and after them have to be there still;
/// which of the tables has them is told by the adoption.
fn unrevise(db: &Connection, import: &Import, object: i64, touched: Touched, before: &Account) -> Result<()> {
    let older = account::of(db, object)?.account;
    let least = if present(before) < present(&older) { before } else { &older };
    account::set_base(db, import, object, base_of(least))?;
    if touched.replayed && older.in_table == 0 && older.in_quarantine > 0 {
        db.prepare_cached(
            "UPDATE object SET state = 'quarantined', reason = NULL WHERE id = ?1 AND state = 'ingested'",
        )?
        .execute([object])?;
    }
    Ok(())
}

fn base_of(account: &Account) -> Base {
    let Account { in_table, in_quarantine, removed, expired, .. } = *account;
    Base { in_table, in_quarantine, removed, expired }
}

/// Whether rows of it are to be in the tables, and no better version has taken its place.
fn stands(stored: &Stored) -> bool {
    stored.state == "ingested" || stored.is("quarantined", None)
}

/// Whether it is still what its key holds, as far as listings have shown.
fn is_readable(db: &Connection, import: &Import, stored: &Stored) -> Result<bool> {
    Ok(stored.bucket_row == import.bucket && stored.seen && !version::is_overwritten(db, stored.object)?)
}

/// Makes the object pending again, if it can be read again; tells whether.
fn turn_back(db: &Connection, import: &Import, object: i64) -> Result<bool> {
    let stored = version::one(db, import, object)?;
    if !stands(&stored) || !is_readable(db, import, &stored)? {
        return Ok(false);
    }
    db.prepare_cached(
        "UPDATE object SET state = 'pending', reason = NULL, not_before = NULL, reclaimed = 1, batch = NULL
         WHERE id = ?1",
    )?
    .execute([object])?;
    Ok(true)
}
