//! Newtypes for everything that has an identity.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The name of an import: the name of its data source (letters, digits and `_`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImportName(String);

impl ImportName {
    /// Wraps a name that the datafile grammar has already checked.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The durable identity of an import, minted with its table and stored in both ledger and table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImportUuid(pub Uuid);

impl ImportUuid {
    pub fn mint() -> Self {
        Self(Uuid::new_v4())
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }

    /// The app id under which this import's commits carry their sequence number in the table's `txn` action.
    pub fn app_id(&self) -> String {
        format!("s3-connector/{}", self.0)
    }
}

impl fmt::Display for ImportUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Distinguishes two attempts at the same batch sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchUuid(pub Uuid);

impl BatchUuid {
    pub fn mint() -> Self {
        Self(Uuid::new_v4())
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::parse_str(text).ok().map(Self)
    }
}

impl fmt::Display for BatchUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id of a batch as people see it: a ULID, so that ids sort by time. Carried by every row as `_batch_id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    /// Builds the id from a time in milliseconds since the epoch and 80 random bits.
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(unix_ms, random).to_string())
    }

    /// Wraps an id read back from the ledger.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sequence number of a batch within its import; starts at 1 and is the version in the table's `txn` action.
pub type BatchSeq = i64;

/// Counts the lives of one import's actors. A message from an earlier generation is counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The 128-bit id of an object version: a hash of import, bucket, key bytes, ETag and size.
///
/// Last-modified time and S3 version id are attributes and do not take part, so the same bytes put again under the
/// same key are the same object version, and a re-upload with another ETag is another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectVersionId(pub [u8; 16]);

impl ObjectVersionId {
    pub fn of(import: ImportUuid, bucket: &str, key: &str, etag: &str, size: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(import.0.as_bytes());
        for part in [bucket, key, etag] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(size.to_le_bytes());
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// Lower-case hex, 32 characters: the form in the `_s3_version` column.
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Reads the id back from a `_s3_version` column.
    pub fn parse_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(id))
    }

    /// Reads the id back from the 16 bytes stored in the ledger.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for ObjectVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_identity_counts_and_parts_cannot_run_together() {
        let import = ImportUuid::mint();
        let base = ObjectVersionId::of(import, "b", "k", "e", 1);
        assert_eq!(base, ObjectVersionId::of(import, "b", "k", "e", 1));
        let others = [
            ObjectVersionId::of(ImportUuid::mint(), "b", "k", "e", 1),
            ObjectVersionId::of(import, "c", "k", "e", 1),
            ObjectVersionId::of(import, "b", "l", "e", 1),
            ObjectVersionId::of(import, "b", "k", "f", 1),
            ObjectVersionId::of(import, "b", "k", "e", 2),
            ObjectVersionId::of(import, "bk", "", "e", 1),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base.hex().len(), 32);
        assert_eq!(ObjectVersionId::parse_hex(&base.hex()), Some(base));
        assert_eq!(ObjectVersionId::parse_hex(&"+f".repeat(16)), None);
    }
}
