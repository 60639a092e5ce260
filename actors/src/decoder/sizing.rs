//! How large parts and blocks of a file of text are, and how much credit they take: pure numbers.
//!
//! Credit is taken before anybody knows what the bytes decode to, so it is an estimate: so many bytes of memory for
//! each byte of text. A block that takes more teaches the parts behind it.

use std::sync::atomic::{AtomicU64, Ordering};

use connector_core::evolve::FilePlan;

/// A file whose decoded rows are estimated below this is decoded whole and shares data files with its batch mates.
const SMALL_FILE_BYTES: u64 = 64 << 20;
/// Memory that one byte of text turns into while it is read, decoded and encoded.
const EXPANSION: u64 = 8;
/// The same if all rows go to quarantine, where they have their texts, their raw record and their errors.
const EXPANSION_OF_REJECTED: u64 = 24;
/// However small the records are.
const MAX_EXPANSION: u64 = 96;
/// What a decoded block takes for each column of the table, however few rows it has: the good and the bad part.
const BYTES_PER_COLUMN: u64 = 4 << 10;
/// What a small file takes beside that.
const FIXED_BYTES: u64 = 64 << 10;
/// Bytes of one part, if credit allows.
const PART_BYTES: u64 = 4 << 20;
/// The smallest part.
const MIN_PART_BYTES: u64 = 64 << 10;
/// Bytes of compressed text that are held at once, if credit allows.
const WINDOW_BYTES: u64 = 4 << 20;
/// How many parts of compressed text make a window.
const PARTS_OF_WINDOW: u64 = 4;

/// Bytes to fetch (or to decompress), and the credit that covers them until their rows are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartSize {
    pub(super) bytes: u64,
    pub(super) cost: u64,
}

/// The limit of a small file's cost, under a budget that grants `largest` bytes at a time.
pub(super) fn small_limit(largest: u64) -> u64 {
    SMALL_FILE_BYTES.min(largest)
}

/// What a small file takes however few rows it has.
pub(super) fn overhead(columns: usize) -> u64 {
    FIXED_BYTES + columns as u64 * BYTES_PER_COLUMN
}

/// Bytes of compressed text that a file may hold beside one part of decompressed text: at most a quarter of what is
/// granted at a time. A part takes at most half, so that the oldest file of an import can have both from its reserve.
pub(super) fn window(largest: u64) -> u64 {
    WINDOW_BYTES.min(largest / 4).max(PARTS_OF_WINDOW)
}

/// How many bytes of compressed text are fetched at a time, and how many parts ahead, so that they fit into a window:
/// one part is being decompressed, one arrives, the others are fetched.
pub(super) fn window_parts(window: u64) -> (u64, usize) {
    (window / PARTS_OF_WINDOW, PARTS_OF_WINDOW as usize - 2)
}

/// What one file of text takes, learnt from its blocks.
#[derive(Debug)]
pub(super) struct Sizing {
    expansion: AtomicU64,
}

impl Sizing {
    pub(super) fn new(plan: &FilePlan) -> Self {
        Self { expansion: AtomicU64::new(if plan.is_rejected() { EXPANSION_OF_REJECTED } else { EXPANSION }) }
    }

    /// Credit for this many bytes of text.
    pub(super) fn cost(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.expansion.load(Ordering::Relaxed))
    }

    /// How many bytes a small file may have whose cost, with its `overhead`, is to stay within `share`.
    pub(super) fn small_bytes(&self, share: u64, overhead: u64) -> u64 {
        small_limit(share).saturating_sub(overhead) / self.expansion.load(Ordering::Relaxed)
    }

    /// The next part, if it may take up to `share` bytes of memory.
    pub(super) fn part(&self, share: u64) -> PartSize {
        let expansion = self.expansion.load(Ordering::Relaxed);
        let bytes = (share / expansion).clamp(MIN_PART_BYTES, PART_BYTES);
        PartSize { bytes, cost: (bytes * expansion).min(share) }
    }

    /// A block of `text` bytes took `decoded` bytes of memory, and as much again while it was encoded.
    pub(super) fn learn(&self, text: u64, decoded: u64) {
        // A few records say nothing: what every block takes would count as if they took it.
        if text >= MIN_PART_BYTES {
            let needed = 1 + decoded.saturating_mul(2).div_ceil(text);
            self.expansion.fetch_max(needed.min(MAX_EXPANSION), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use connector_core::evolve::FileCause;

    use super::*;

    fn plan(rejected: bool) -> FilePlan {
        let cause = FileCause { column: "a".into(), code: "missing_column", message: "it lacks 'a'".into() };
        FilePlan { causes: rejected.then_some(cause).into_iter().collect(), ..FilePlan::default() }
    }

    #[test]
    fn rows_that_all_go_to_quarantine_take_more() {
        assert_eq!(Sizing::new(&plan(false)).cost(10), 80);
        assert_eq!(Sizing::new(&plan(true)).cost(10), 240);
        assert_eq!(Sizing::new(&plan(false)).cost(u64::MAX), u64::MAX);
    }

    #[test]
    fn parts_fit_their_share_and_are_neither_tiny_nor_huge() {
        let sizing = Sizing::new(&plan(false));
        assert_eq!(sizing.part(64 << 20), PartSize { bytes: 4 << 20, cost: 32 << 20 });
        assert_eq!(sizing.part(8 << 20), PartSize { bytes: 1 << 20, cost: 8 << 20 });
        assert_eq!(sizing.part(100_000), PartSize { bytes: 64 << 10, cost: 100_000 });
    }

    #[test]
    fn a_block_that_took_more_makes_later_parts_smaller_and_never_larger_again() {
        let sizing = Sizing::new(&plan(false));
        sizing.learn(1 << 20, 20 << 20);
        assert_eq!(sizing.cost(1), 41);
        sizing.learn(1 << 20, 1 << 20);
        assert_eq!(sizing.cost(1), 41);
        assert_eq!(sizing.part(64 << 20).bytes, (64 << 20) / 41);
        sizing.learn(1 << 20, u64::MAX);
        assert_eq!(sizing.cost(1), MAX_EXPANSION);
    }

    #[test]
    fn a_small_file_costs_no_more_than_its_share() {
        let sizing = Sizing::new(&plan(false));
        for share in [overhead(3) - 1, overhead(3) + 7, 1 << 20, 10 << 20, 64 << 20, 1 << 40] {
            let bytes = sizing.small_bytes(share, overhead(3));
            assert!(bytes == 0 || sizing.cost(bytes) + overhead(3) <= small_limit(share));
            assert!(sizing.cost(bytes + 1) + overhead(3) > small_limit(share), "{share}: {bytes}");
        }
    }

    #[test]
    fn a_few_records_teach_nothing() {
        let sizing = Sizing::new(&plan(false));
        sizing.learn(10, 100_000);
        assert_eq!(sizing.cost(1), EXPANSION);
    }

    #[test]
    fn a_window_and_a_part_fit_into_what_is_granted_at_a_time() {
        for largest in [64 << 10, 320 << 10, 1 << 20, 16 << 20, 64 << 20] {
            let part = Sizing::new(&plan(true)).part(largest / 2);
            assert!(window(largest) + part.cost <= largest, "{largest}: {part:?}");
            let (bytes, ahead) = window_parts(window(largest));
            assert!(bytes > 0 && bytes * (ahead as u64 + 2) <= window(largest), "{largest}");
        }
    }
}
