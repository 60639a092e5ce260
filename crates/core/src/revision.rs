//! Batches that revise rows which are there already: what they are asked for, and how their rows are accounted for.
//!
//! An ingest batch brings the rows of new object versions. The other kinds revise: a *replay* moves rows from
//! quarantine into the table, a *rollback* takes back what a batch brought, an *expiry* removes what ENGINE_TTL has
//! let expire. All have a `seq` and a batch uuid, and commit by the same protocol; see [`crate::commit`].

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use crate::ids::{BatchId, ObjectVersionId};

/// What kind of batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchKind {
    /// Brings the rows of new object versions. Commits to the quarantine table first.
    Ingest,
    /// Moves rows from quarantine into the table. Commits to the table first.
    Replay,
    /// Removes the rows of all object versions that one ingest batch brought, from both tables. The table first.
    Rollback,
    /// Removes data files of the table whose rows have all expired. Leaves the quarantine table alone.
    Expiry,
}

impl BatchKind {
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Replay, Self::Rollback, Self::Expiry];

    /// The bounded label of ledger, metrics and tracker.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Replay => "replay",
            Self::Rollback => "rollback",
            Self::Expiry => "expiry",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether the table is committed to before the quarantine table.
    pub fn table_first(self) -> bool {
        self != Self::Ingest
    }
}

/// An object version with the key it is stored under, as a table's provenance columns name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedVersion {
    pub key: String,
    pub id: ObjectVersionId,
}

/// What a revising batch is claimed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Object versions that have rows in quarantine.
    Replay { files: Vec<KeyedVersion> },
    /// The ingest batch to take back.
    Rollback { batch: BatchId },
    /// Object versions that have rows in the data files that go.
    Expiry { files: Vec<KeyedVersion> },
}

impl Revision {
    pub fn kind(&self) -> BatchKind {
        match self {
            Self::Replay { .. } => BatchKind::Replay,
            Self::Rollback { .. } => BatchKind::Rollback,
            Self::Expiry { .. } => BatchKind::Expiry,
        }
    }
}

/// The sum of a fingerprint of each of a set of rows of one object version. Two sets of equally many rows with equal sums
/// are the same set (up to a chance of 2^-128 or so), so that whether every row is there once can be told without
/// keeping the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowDigest(pub u128);

impl RowDigest {
    /// Of one row: its ordinal in the object version, from 0.
    pub fn of_row(version: ObjectVersionId, row: u64) -> Self {
        let low = mix(u64::from_le_bytes(half(&version, 0)) ^ row);
        let high = mix(u64::from_le_bytes(half(&version, 8)).wrapping_add(row.rotate_left(32)) ^ low);
        Self(u128::from(high) << 64 | u128::from(low))
    }

    /// Of the rows 0 to `rows` (exclusive). Takes a few nanoseconds a row.
    pub fn of_first(version: ObjectVersionId, rows: u64) -> Self {
        (0..rows).fold(Self::default(), |mut sum, row| {
            sum += Self::of_row(version, row);
            sum
        })
    }

    /// Without the rows of `other`, which have to be among these.
    pub fn without(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// The 16 bytes that the ledger stores.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u128::from_le_bytes(bytes)))
    }
}

impl AddAssign for RowDigest {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

fn half(version: &ObjectVersionId, start: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&version.0[start..start + 8]);
    bytes
}

/// Spreads every bit of the input over all bits of the output (the finaliser of SplitMix64).
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Where the rows of one object version are by the ledger: `read = in_table + in_quarantine + removed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Rows that were read from the object version and committed.
    pub read: u64,
    pub in_table: u64,
    pub in_quarantine: u64,
    /// Rows that a rollback, an expiry or a better version of the object took away on purpose.
    pub removed: u64,
    /// Of the rows that an expiry removed; a rollback and a better version leave none behind.
    #[serde(skip)]
    pub expired: RowDigest,
}

impl Account {
    /// Whether the sum holds.
    pub fn adds_up(&self) -> bool {
        self.read == self.in_table + self.in_quarantine + self.removed
    }
}

/// Rows by object version, ascending.
pub type RowsByVersion = BTreeMap<ObjectVersionId, Vec<u64>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_tells_every_missing_doubled_and_foreign_row() {
        let (one, other) = (ObjectVersionId([1; 16]), ObjectVersionId([2; 16]));
        let whole = RowDigest::of_first(one, 1_000);
        for row in 0..1_000 {
            let without = whole.without(RowDigest::of_row(one, row));
            assert_ne!(without, whole);
            let mut swapped = without;
            swapped += RowDigest::of_row(one, (row + 1) % 1_000);
            assert_ne!(swapped, whole, "row {row} is missing and another one is there twice");
            let mut foreign = without;
            foreign += RowDigest::of_row(other, row);
            assert_ne!(foreign, whole, "row {row} is of another version");
        }
        assert_eq!(RowDigest::from_bytes(&whole.to_bytes()), Some(whole));
    }

    #[test]
    fn rows_of_one_version_have_fingerprints_of_their_own() {
        let version = ObjectVersionId([7; 16]);
        let mut seen: Vec<u128> = (0..100_000).map(|row| RowDigest::of_row(version, row).0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100_000);
    }

    #[test]
    fn labels_are_read_back() {
        assert!(BatchKind::ALL.into_iter().all(|kind| BatchKind::parse(kind.as_str()) == Some(kind)));
    }
}
