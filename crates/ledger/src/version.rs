//! Object versions as they are stored, and the ids that they have.

use std::sync::Arc;

use connector_core::ids::ObjectVersionId;
use connector_core::object::ObjectRef;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;

/// The columns that [`Stored::read`] reads, of `object JOIN bucket`.
macro_rules! stored_columns {
    () => {
        "object.id, bucket.name, key, etag, size, last_modified, object.state, reason, not_before, attempts, suspect,
         strikes, first_seen, version, object.bucket"
    };
}
pub(crate) use stored_columns;

/// One row of the table of objects.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its row.
    pub object: i64,
    pub id: ObjectVersionId,
    pub bucket_row: i64,
    pub bucket: Arc<str>,
    pub key: String,
    pub etag: String,
    pub size: u64,
    pub last_modified: Timestamp,
    pub state: String,
    pub reason: Option<String>,
    pub not_before: Option<Timestamp>,
    pub attempts: u32,
    pub suspect: bool,
    pub strikes: u32,
    pub first_seen: Timestamp,
    /// False if ETag and size are missing: only the tables know it.
    pub seen: bool,
}

impl Stored {
    pub(crate) fn read(import: &Import, row: &Row<'_>) -> Result<Self> {
        let (bucket, key, etag): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (size, version): (i64, Option<[u8; 16]>) = (row.get(4)?, row.get(13)?);
        Ok(Self {
            object: row.get(0)?,
            id: id(import, (&bucket, &key, &etag, size), version)?,
            bucket_row: row.get(14)?,
            bucket: bucket.into(),
            key,
            etag: if version.is_some() { String::new() } else { etag },
            size: codec::amount(size)?,
            last_modified: codec::time(row.get(5)?)?,
            state: row.get(6)?,
            reason: row.get(7)?,
            not_before: codec::optional_time(row.get(8)?)?,
            attempts: row.get(9)?,
            suspect: row.get(10)?,
            strikes: row.get(11)?,
            first_seen: codec::time(row.get(12)?)?,
            seen: version.is_none(),
        })
    }

    pub(crate) fn reference(&self) -> ObjectRef {
        ObjectRef {
            id: self.id,
            bucket: self.bucket.clone(),
            key: self.key.as_str().into(),
            etag: self.etag.as_str().into(),
            size: self.size,
            last_modified: self.last_modified,
            attempts: self.attempts,
            suspect: self.suspect,
            strikes: self.strikes,
        }
    }

    /// Whether the state carries this reason.
    pub(crate) fn is(&self, state: &str, reason: Option<&str>) -> bool {
        self.state == state && self.reason.as_deref() == reason
    }
}

/// Bucket, key, ETag and size make the id, unless it is stored because they are not all known.
pub(crate) fn id(
    import: &Import,
    (bucket, key, etag, size): (&str, &str, &str, i64),
    stored: Option<[u8; 16]>,
) -> Result<ObjectVersionId> {
    match stored {
        Some(bytes) => Ok(ObjectVersionId(bytes)),
        None => Ok(ObjectVersionId::of(import.uuid, bucket, key, etag, codec::amount(size)?)),
    }
}

pub(crate) const OF_KEY: &str = concat!(
    "SELECT ",
    stored_columns!(),
    " FROM object JOIN bucket ON bucket.id = object.bucket
      WHERE object.bucket IN (SELECT id FROM bucket WHERE import = ?1) AND key = ?2"
);

/// All versions of a key, in all buckets that the import has read, in the order in which they were first seen.
pub(crate) fn of_key(db: &Connection, import: &Import, key: &str) -> Result<Vec<Stored>> {
    let mut statement = db.prepare_cached(OF_KEY)?;
    let rows = statement.query_and_then(params![import.id, key], |row| Stored::read(import, row))?;
    let mut versions = rows.collect::<Result<Vec<Stored>>>()?;
    versions.sort_by_key(|stored| stored.object);
    Ok(versions)
}

pub(crate) const ONE: &str =
    concat!("SELECT ", stored_columns!(), " FROM object JOIN bucket ON bucket.id = object.bucket WHERE object.id = ?1");

pub(crate) fn one(db: &Connection, import: &Import, object: i64) -> Result<Stored> {
    db.prepare_cached(ONE)?.query_row([object], |row| Ok(Stored::read(import, row)))?
}

// The unary plus keeps the search on the key: half of all objects may be newer.
pub(crate) const NEWER: &str = "SELECT 1 FROM object AS it JOIN object AS other
        ON other.bucket = it.bucket AND other.key = it.key AND other.id <> it.id
     WHERE it.id = ?1 AND other.state <> 'gone'
        AND (+other.last_modified, +other.id) > (it.last_modified, it.id) LIMIT 1";

/// Whether a newer version of its key is known, which has not vanished.
pub(crate) fn is_overwritten(db: &Connection, object: i64) -> Result<bool> {
    Ok(db.prepare_cached(NEWER)?.exists([object])?)
}
