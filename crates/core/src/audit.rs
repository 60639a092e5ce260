//! The audit: whether every row of every object version is in the tables exactly once, by decisions that need no I/O.
//!
//! Two passes over the provenance columns of table and quarantine table, and neither keeps a row:
//!
//! 1. A [`Tally`] takes what the ledger expects of each object version and subtracts each row that is seen: its count, and
//!    its fingerprint from the sum of all of them. Nothing is left over if, and only if, every row is there once.
//! 2. A [`CloseLook`] at the few object versions where something was left over keeps a bitmap of their rows and tells
//!    which ordinals are missing, doubled or foreign.
//!
//! Memory: a tally holds some 60 bytes for each object version. More than [`MAX_VERSIONS`] of them are looked at in
//! several passes, a [`Share`] each. A close look holds two bits for each row of its versions; see [`plan`].
//!
//! [`judge_listed`] and [`judge_unlisted`] compare the ledger with what the bucket has now.

mod close;
mod listing;
mod ordinals;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;

use serde::Serialize;

use crate::ids::ObjectVersionId;
use crate::revision::{Account, RowDigest};

pub use self::close::{CloseLook, Observed, Window, plan};
pub use self::listing::{KeyFinding, KeyKind, ListingRules, judge_listed, judge_unlisted};
pub use self::ordinals::{MAX_RANGES, Ordinals};

/// Object versions that one pass looks at, at most.
pub const MAX_VERSIONS: u64 = 2_000_000;
/// Object versions that a pass names as suspects, at most; more are only counted.
pub const MAX_SUSPECTS: usize = 1_000;

/// One of `of` equal parts of all object versions, by the first bytes of their ids, which are hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub index: u64,
    pub of: u64,
}

impl Share {
    /// As many shares as it takes for `versions` object versions.
    pub fn all(versions: u64) -> impl Iterator<Item = Self> {
        Self::split(versions, MAX_VERSIONS)
    }

    fn split(versions: u64, at_most: u64) -> impl Iterator<Item = Self> {
        let of = versions.div_ceil(at_most).max(1);
        (0..of).map(move |index| Self { index, of })
    }

    pub fn has(self, id: ObjectVersionId) -> bool {
        let mut head = [0; 8];
        head.copy_from_slice(&id.0[..8]);
        let part = (u128::from(u64::from_be_bytes(head)) * u128::from(self.of)) >> 64;
        part == u128::from(self.index)
    }
}

/// In which of the two tables a row was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Table,
    Quarantine,
}

/// What the ledger says of an object version, as rows that have to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Ordinals of rows that may be there are below this.
    pub whole: u64,
    pub in_table: u64,
    pub in_quarantine: u64,
    /// Of the rows below `whole` that expired.
    pub expired: RowDigest,
}

impl Expected {
    /// A rollback, and a better version of the object, leave no row behind; so where rows are left although some were
    /// removed, those have expired, or the object version was read anew since.
    pub fn of(account: &Account) -> Self {
        let (in_table, in_quarantine) = (account.in_table, account.in_quarantine);
        let present = in_table + in_quarantine;
        if present == 0 || account.expired == RowDigest::default() {
            return Self { whole: present, in_table, in_quarantine, expired: RowDigest::default() };
        }
        Self { whole: account.read, in_table, in_quarantine, expired: account.expired }
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self { whole: 0, in_table: 0, in_quarantine: 0, expired: RowDigest::default() }
    }

    pub fn present(&self) -> u64 {
        self.in_table + self.in_quarantine
    }

    fn digest(&self, id: ObjectVersionId) -> RowDigest {
        RowDigest::of_first(id, self.whole).without(self.expired)
    }
}

/// Sums of rows, over all object versions of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// By the ledger: `read = in_table + in_quarantine + removed`.
    pub read: u64,
    pub in_table: u64,
    pub in_quarantine: u64,
    /// Removed on purpose.
    pub removed: u64,
    /// Rows that the tables hold.
    pub found_in_table: u64,
    pub found_in_quarantine: u64,
    /// Object versions of which rows were read.
    pub versions: u64,
    /// Object versions of which the ledger itself does not add up.
    pub unbalanced: u64,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.in_table += other.in_table;
        self.in_quarantine += other.in_quarantine;
        self.removed += other.removed;
        self.found_in_table += other.found_in_table;
        self.found_in_quarantine += other.found_in_quarantine;
        self.versions += other.versions;
        self.unbalanced += other.unbalanced;
    }
}

/// What is left to be seen of one object version.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: ObjectVersionId,
    table: i64,
    quarantine: i64,
    digest: RowDigest,
}

impl Entry {
    fn is_settled(&self) -> bool {
        self.table == 0 && self.quarantine == 0 && self.digest == RowDigest::default()
    }
}

/// The first pass over one share of the object versions. First [`Tally::expect`] each of them, then [`Tally::see`] each
/// row, then [`Tally::finish`].
#[derive(Debug)]
pub struct Tally {
    share: Share,
    entries: Vec<Entry>,
    sorted: bool,
    /// The entry of the row before: rows of one object version lie together.
    last: Option<usize>,
    /// Rows of object versions of which the ledger expects none.
    foreign: HashMap<ObjectVersionId, u64>,
    /// Rows of more of them than are kept.
    foreign_beside: u64,
    /// Rows that no object version is named for.
    nameless: u64,
    sums: Sums,
}

/// What the first pass found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tallied {
    /// Object versions where something is wrong: at most [`MAX_SUSPECTS`].
    pub suspects: Vec<ObjectVersionId>,
    /// How many there are beside these.
    pub suspects_beside: u64,
    /// Rows without provenance: another program wrote them.
    pub nameless: u64,
    pub sums: Sums,
}

impl Tally {
    pub fn new(share: Share) -> Self {
        Self {
            share,
            entries: Vec::new(),
            sorted: true,
            last: None,
            foreign: HashMap::new(),
            foreign_beside: 0,
            nameless: 0,
            sums: Sums::default(),
        }
    }

    /// What the ledger says of an object version. Those of another share do not count.
    pub fn expect(&mut self, id: ObjectVersionId, account: &Account) {
        if !self.share.has(id) || account.read == 0 {
            return;
        }
        self.sums.read += account.read;
        self.sums.in_table += account.in_table;
        self.sums.in_quarantine += account.in_quarantine;
        self.sums.removed += account.removed;
        self.sums.versions += 1;
        self.sums.unbalanced += u64::from(!account.adds_up());
        let expected = Expected::of(account);
        self.entries.push(Entry {
            id,
            table: i64::try_from(expected.in_table).unwrap_or(i64::MAX),
            quarantine: i64::try_from(expected.in_quarantine).unwrap_or(i64::MAX),
            digest: expected.digest(id),
        });
        self.sorted = false;
    }

    /// A row of one of the tables. Rows of another share do not count; rows without provenance count in the first one.
    pub fn see(&mut self, place: Place, row: Option<(ObjectVersionId, u64)>) {
        let Some((id, row)) = row else {
            if self.share.index == 0 {
                self.found(place);
                self.nameless += 1;
            }
            return;
        };
        match self.find(id) {
            Some(index) => {
                let entry = &mut self.entries[index];
                match place {
                    Place::Table => entry.table -= 1,
                    Place::Quarantine => entry.quarantine -= 1,
                }
                entry.digest = entry.digest.without(RowDigest::of_row(id, row));
            }
            None if !self.share.has(id) => return,
            None if self.foreign.contains_key(&id) || self.foreign.len() < MAX_SUSPECTS => {
                *self.foreign.entry(id).or_default() += 1;
            }
            None => self.foreign_beside += 1,
        }
        self.found(place);
    }

    fn found(&mut self, place: Place) {
        match place {
            Place::Table => self.sums.found_in_table += 1,
            Place::Quarantine => self.sums.found_in_quarantine += 1,
        }
    }

    fn find(&mut self, id: ObjectVersionId) -> Option<usize> {
        if !self.sorted {
            self.entries.sort_unstable_by_key(|entry| entry.id);
            self.sorted = true;
            self.last = None;
        }
        if let Some(last) = self.last.filter(|last| self.entries[*last].id == id) {
            return Some(last);
        }
        self.last = self.entries.binary_search_by_key(&id, |entry| entry.id).ok();
        self.last
    }

    pub fn finish(self) -> Tallied {
        let wrong = self.entries.iter().filter(|entry| !entry.is_settled()).map(|entry| entry.id);
        let mut unknown: Vec<ObjectVersionId> = self.foreign.into_keys().collect();
        unknown.sort_unstable();
        let (mut suspects, mut suspects_beside) = (Vec::new(), u64::from(self.foreign_beside > 0));
        for id in wrong.chain(unknown) {
            if suspects.len() < MAX_SUSPECTS {
                suspects.push(id);
            } else {
                suspects_beside += 1;
            }
        }
        Tallied { suspects, suspects_beside, nameless: self.nameless, sums: self.sums }
    }
}

/// What is wrong with rows of an object version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Defect {
    /// Committed by the ledger and in neither table.
    Missing,
    /// There more than once, be it in one table or in both.
    Doubled,
    /// There although the ledger expects none of them.
    Foreign,
    /// There once, but in the other table than the ledger says.
    Misplaced,
}

impl Defect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Doubled => "doubled",
            Self::Foreign => "foreign",
            Self::Misplaced => "misplaced",
        }
    }
}

/// Rows of one object version with one defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFinding {
    pub defect: Defect,
    /// How many: of doubled ones those that are too many.
    pub rows: u64,
    /// Which.
    pub ordinals: Ordinals,
    /// False if the rows are some of `ordinals`, and which is not known: others of them have expired.
    pub exact: bool,
}

/// What is wrong with an object version after a close look.
pub fn judge(id: ObjectVersionId, expected: &Expected, seen: &Observed) -> Vec<RowFinding> {
    let mut found = Vec::new();
    found.extend(missing(id, expected, seen));
    if seen.copies > 0 {
        found.push(RowFinding {
            defect: Defect::Doubled,
            rows: seen.copies,
            ordinals: seen.doubled.clone(),
            exact: true,
        });
    }
    found.extend(foreign(expected, seen));
    // Rows that are all there once, in numbers that differ from the ledger's in either table.
    let misplaced = seen.in_table.abs_diff(expected.in_table);
    if found.is_empty() && misplaced > 0 {
        found.push(RowFinding {
            defect: Defect::Misplaced,
            rows: misplaced,
            ordinals: Ordinals::default(),
            exact: false,
        });
    }
    found
}

/// Which of the unseen rows have expired is known by the sum of their fingerprints only.
fn missing(id: ObjectVersionId, expected: &Expected, seen: &Observed) -> Option<RowFinding> {
    let unseen = &seen.unseen;
    let expired = expected.whole.saturating_sub(expected.present());
    let lost = seen.unseen_digest.without(expected.expired);
    if lost == RowDigest::default() {
        return None;
    }
    let rows = unseen.rows().saturating_sub(expired);
    let all =
        |ordinals: Ordinals, exact| Some(RowFinding { defect: Defect::Missing, rows: rows.max(1), ordinals, exact });
    match rows {
        // Fewer than have expired: some of those are there again, which are foreign.
        0 if unseen.rows() < expired => None,
        // As many, but others: for each that is there again, one is missing.
        0 => all(unseen.clone(), false),
        _ if expired == 0 => all(unseen.clone(), true),
        1 => match unseen.iter().find(|row| RowDigest::of_row(id, *row) == lost) {
            Some(row) => all(Ordinals::from_iter([row]), true),
            None => all(unseen.clone(), false),
        },
        _ => all(unseen.clone(), false),
    }
}

fn foreign(expected: &Expected, seen: &Observed) -> Option<RowFinding> {
    let expired = expected.whole.saturating_sub(expected.present());
    let returned = expired.saturating_sub(seen.unseen.rows());
    let rows = seen.beyond.rows() + returned;
    (rows > 0).then(|| RowFinding {
        defect: Defect::Foreign,
        rows,
        ordinals: seen.beyond.clone(),
        exact: returned == 0,
    })
}
