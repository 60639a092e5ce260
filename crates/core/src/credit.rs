//! Memory credit: who may hold how many bytes.
//!
//! One process-wide budget in bytes. A block takes credit before its bytes are fetched and gives it back once its rows
//! are on disk. The rules, as pure accounting:
//!
//! - Credit is granted in claim order: a request waits while an earlier file's request waits.
//! - Every import has a reserve that only its *head*, its oldest unfinished file, may use. So the head of each import
//!   can always obtain one block, whatever the others hold, and nothing deadlocks.
//! - While anybody waits, the budget is *under pressure*: open writers close their row groups early.

use std::collections::{BTreeMap, BTreeSet};

/// The smallest budget that can be configured: 32 MiB.
pub const MIN_BUDGET: u64 = 32 << 20;
/// The budget unless configured otherwise: 512 MiB.
pub const DEFAULT_BUDGET: u64 = 512 << 20;
/// The largest reserve of one import.
const MAX_RESERVE: u64 = 64 << 20;

/// An import's seat in the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat(pub usize);

/// A file's place in claim order over the whole process; lower is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileOrder(pub u64);

/// A waiting or granted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Where granted bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Shared,
    Reserve(Seat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub source: Source,
    pub bytes: u64,
}

/// The accounts of one process.
#[derive(Debug)]
pub struct Accounts {
    limit: u64,
    reserve: u64,
    shared_free: u64,
    /// One for each import.
    reserves_free: Vec<u64>,
    /// Unfinished files of each import, oldest first.
    unfinished: Vec<BTreeSet<FileOrder>>,
    waiting: BTreeMap<(FileOrder, Ticket), (Seat, u64)>,
    next_ticket: u64,
}

impl Accounts {
    /// `limit` bytes for `imports` imports. Half of the budget, at most, is reserved.
    pub fn new(limit: u64, imports: usize) -> Self {
        let limit = limit.max(MIN_BUDGET);
        let seats = imports.max(1);
        let reserve = (limit / (2 * seats as u64)).min(MAX_RESERVE);
        Self {
            limit,
            reserve,
            shared_free: limit - reserve * seats as u64,
            reserves_free: vec![reserve; seats],
            unfinished: vec![BTreeSet::new(); seats],
            waiting: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// The most that one request may ask for: what a reserve holds.
    pub fn largest_request(&self) -> u64 {
        self.reserve
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn in_use(&self) -> u64 {
        self.limit - self.shared_free - self.reserves_free.iter().sum::<u64>()
    }

    /// Whether anybody waits for credit.
    pub fn under_pressure(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A file of this import has been claimed and will ask for credit.
    pub fn enter(&mut self, seat: Seat, file: FileOrder) {
        self.unfinished[seat.0].insert(file);
    }

    /// The file needs no more credit. May make another file the head.
    pub fn leave(&mut self, seat: Seat, file: FileOrder) -> Vec<Grant> {
        self.unfinished[seat.0].remove(&file);
        self.grant()
    }

    /// Asks for bytes, cut to [`Accounts::largest_request`].
    pub fn request(&mut self, seat: Seat, file: FileOrder, bytes: u64) -> (Ticket, Vec<Grant>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert((file, ticket), (seat, bytes.min(self.reserve)));
        (ticket, self.grant())
    }

    /// Withdraws a request that was not granted.
    pub fn cancel(&mut self, file: FileOrder, ticket: Ticket) -> Vec<Grant> {
        self.waiting.remove(&(file, ticket));
        self.grant()
    }

    /// Gives bytes back.
    pub fn release(&mut self, source: Source, bytes: u64) -> Vec<Grant> {
        match source {
            Source::Shared => self.shared_free += bytes,
            Source::Reserve(seat) => self.reserves_free[seat.0] += bytes,
        }
        debug_assert!(self.shared_free <= self.limit, "more credit came back than was granted");
        self.grant()
    }

    fn grant(&mut self) -> Vec<Grant> {
        let mut grants = Vec::new();
        let mut shared_open = true;
        let waiting: Vec<_> = self.waiting.iter().map(|(key, value)| (*key, *value)).collect();
        for ((file, ticket), (seat, bytes)) in waiting {
            let is_head = self.unfinished[seat.0].first() == Some(&file);
            let source = if shared_open && bytes <= self.shared_free {
                self.shared_free -= bytes;
                Source::Shared
            } else if is_head && bytes <= self.reserves_free[seat.0] {
                self.reserves_free[seat.0] -= bytes;
                Source::Reserve(seat)
            } else {
                // Later requests must not take the shared credit that this one waits for.
                shared_open = false;
                continue;
            };
            self.waiting.remove(&(file, ticket));
            grants.push(Grant { ticket, source, bytes });
        }
        grants
    }
}

#[cfg(test)]
#[path = "credit_tests.rs"]
mod tests;
