//! The second pass: which ordinals of a few object versions are there, and how often.

use std::collections::HashMap;

use super::{Ordinals, Place};
use crate::ids::ObjectVersionId;
use crate::revision::RowDigest;

/// Rows that one close look keeps bits for, at most: two bits each.
const MAX_ROWS: u64 = 128 << 20;

/// Ordinals `from..to` of an object version. The last window of each has `last`: it takes ordinals beyond `to`, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub id: ObjectVersionId,
    pub from: u64,
    pub to: u64,
    pub last: bool,
}

/// Which windows to look at in which pass, so that no pass keeps bits for more than 134 million rows: for object versions,
/// each with the rows that it should have. The windows of one object version come in ascending order.
pub fn plan(versions: impl IntoIterator<Item = (ObjectVersionId, u64)>) -> Vec<Vec<Window>> {
    plan_within(versions, MAX_ROWS)
}

pub(super) fn plan_within(
    versions: impl IntoIterator<Item = (ObjectVersionId, u64)>,
    max_rows: u64,
) -> Vec<Vec<Window>> {
    let (mut passes, mut pass, mut left) = (Vec::new(), Vec::new(), max_rows);
    for (id, whole) in versions {
        let mut from = 0;
        loop {
            let to = whole.min(from + left);
            let last = to == whole;
            pass.push(Window { id, from, to, last });
            left -= to - from;
            from = to;
            if last {
                break;
            }
            passes.push(std::mem::take(&mut pass));
            left = max_rows;
        }
    }
    if !pass.is_empty() {
        passes.push(pass);
    }
    passes
}

/// What was seen of one object version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The key that its rows name.
    pub key: Option<String>,
    /// Rows in each table.
    pub in_table: u64,
    pub in_quarantine: u64,
    /// Ordinals that should be there, or have expired, and that no row has.
    pub unseen: Ordinals,
    pub unseen_digest: RowDigest,
    /// Ordinals that more than one row has.
    pub doubled: Ordinals,
    /// Rows that are one too many.
    pub copies: u64,
    /// Ordinals that the object version does not have.
    pub beyond: Ordinals,
}

/// One pass. Answers for its windows only.
#[derive(Debug)]
pub struct CloseLook {
    windows: HashMap<ObjectVersionId, Looked>,
}

#[derive(Debug)]
struct Looked {
    window: Window,
    key: Option<String>,
    seen: Bits,
    doubled: Bits,
    in_table: u64,
    in_quarantine: u64,
    copies: u64,
    beyond: Vec<u64>,
    beyond_beside: u64,
}

/// Ordinals beyond an object version's end that are named.
const MAX_BEYOND: usize = 10_000;

impl CloseLook {
    pub fn new(windows: &[Window]) -> Self {
        let looked = |window: &Window| {
            let rows = window.to - window.from;
            let looked = Looked {
                window: *window,
                key: None,
                seen: Bits::new(rows),
                doubled: Bits::new(rows),
                in_table: 0,
                in_quarantine: 0,
                copies: 0,
                beyond: Vec::new(),
                beyond_beside: 0,
            };
            (window.id, looked)
        };
        Self { windows: windows.iter().map(looked).collect() }
    }

    /// Whether rows of this object version are looked at.
    pub fn wants(&self, id: ObjectVersionId) -> bool {
        self.windows.contains_key(&id)
    }

    /// A row; of another object version it does not count.
    pub fn see(&mut self, place: Place, id: ObjectVersionId, row: u64, key: Option<&str>) {
        let Some(looked) = self.windows.get_mut(&id) else { return };
        let window = looked.window;
        let inside = (window.from..window.to).contains(&row);
        let beyond = window.last && row >= window.to;
        if !inside && !beyond {
            return;
        }
        match place {
            Place::Table => looked.in_table += 1,
            Place::Quarantine => looked.in_quarantine += 1,
        }
        if looked.key.is_none() {
            looked.key = key.map(str::to_owned);
        }
        if inside {
            if !looked.seen.set(row - window.from) {
                looked.doubled.set(row - window.from);
                looked.copies += 1;
            }
        } else if looked.beyond.len() < MAX_BEYOND {
            looked.beyond.push(row);
        } else {
            looked.beyond_beside += 1;
        }
    }

    /// Adds what was seen to what earlier windows have shown.
    pub fn finish(self, observed: &mut HashMap<ObjectVersionId, Observed>) {
        for (id, mut looked) in self.windows {
            let of = observed.entry(id).or_default();
            of.key = of.key.take().or(looked.key);
            of.in_table += looked.in_table;
            of.in_quarantine += looked.in_quarantine;
            of.copies += looked.copies;
            for row in looked.window.from..looked.window.to {
                if !looked.seen.has(row - looked.window.from) {
                    of.unseen.push(row);
                    of.unseen_digest += RowDigest::of_row(id, row);
                }
                if looked.doubled.has(row - looked.window.from) {
                    of.doubled.push(row);
                }
            }
            looked.beyond.sort_unstable();
            looked.beyond.iter().for_each(|row| of.beyond.push(*row));
            of.beyond.count_beside(looked.beyond_beside);
        }
    }
}

#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(bits: u64) -> Self {
        Self(vec![0; usize::try_from(bits.div_ceil(64)).unwrap_or(usize::MAX)])
    }

    /// Sets a bit; tells whether it was not set before.
    fn set(&mut self, bit: u64) -> bool {
        let Some(word) = usize::try_from(bit / 64).ok().and_then(|index| self.0.get_mut(index)) else { return true };
        let mask = 1 << (bit % 64);
        let fresh = *word & mask == 0;
        *word |= mask;
        fresh
    }

    fn has(&self, bit: u64) -> bool {
        usize::try_from(bit / 64)
            .ok()
            .and_then(|index| self.0.get(index))
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }
}
