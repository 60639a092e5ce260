//! Credit for memory: the accounts of `connector_core::credit`, shared between tasks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_core::credit::{Accounts, FileOrder, Grant, Seat, Source, Ticket};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Budget for each reader that may be open at once: a reader's pages are not covered by credit, for a column's page
/// stays in memory from block to block, and holding credit from block to block could wait for ever.
const BUDGET_PER_READER: u64 = 16 << 20;
/// However large the budget, this many readers at most are open at once.
const MAX_READERS: u64 = 8;

/// The process-wide memory budget. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct CreditPool {
    now: Arc<Mutex<Budget>>,
}

/// A budget that is divided among a number of imports. Who has credit of it gives it back to it, also when a budget that
/// is divided otherwise has taken its place.
#[derive(Clone)]
struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    seats: usize,
    state: Mutex<State>,
    readers: Arc<Semaphore>,
    next_file: AtomicU64,
}

struct State {
    accounts: Accounts,
    waiting: HashMap<Ticket, oneshot::Sender<Credit>>,
}

impl CreditPool {
    /// A budget of `limit` bytes for `imports` imports.
    pub fn new(limit: u64, imports: usize) -> Self {
        Self { now: Arc::new(Mutex::new(Budget::new(limit, imports))) }
    }

    /// How many imports it is divided among; at least one.
    pub fn seats(&self) -> usize {
        self.now().shared.seats
    }

    /// Divides the same budget anew. Only while no import runs: what is still on its way back from the last one is not
    /// counted, and a file that is open keeps to the old division.
    pub fn divide_among(&self, imports: usize) {
        let limit = self.usage().1;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Budget::new(limit, imports);
    }

    fn now(&self) -> Budget {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the account of one file. Files get credit in the order in which they enter.
    pub fn enter(&self, seat: Seat) -> FileAccount {
        self.now().enter(seat)
    }

    /// The most that one request gets, in bytes.
    pub fn largest_request(&self) -> u64 {
        self.now().lock().accounts.largest_request()
    }

    /// Queues for one of the few readers that may be open at once, first come, first served.
    ///
    /// To be called in claim order and before the file holds credit: then the oldest unfinished file of an import never
    /// waits for a younger one, which may wait for credit in turn.
    pub(crate) fn queue_for_reader(&self) -> ReaderTurn {
        self.now().queue_for_reader()
    }

    /// Whether anybody waits; open writers should then write out what they hold.
    pub fn under_pressure(&self) -> bool {
        self.now().lock().accounts.under_pressure()
    }

    /// Bytes granted now, and the budget.
    pub fn usage(&self) -> (u64, u64) {
        let budget = self.now();
        let state = budget.lock();
        (state.accounts.in_use(), state.accounts.limit())
    }
}

impl Budget {
    fn new(limit: u64, imports: usize) -> Self {
        let state = State { accounts: Accounts::new(limit, imports), waiting: HashMap::new() };
        let readers = (state.accounts.limit() / BUDGET_PER_READER).clamp(1, MAX_READERS) as usize;
        let readers = Arc::new(Semaphore::new(readers));
        let (seats, state) = (imports.max(1), Mutex::new(state));
        Self { shared: Arc::new(Shared { seats, state, readers, next_file: AtomicU64::new(0) }) }
    }

    fn enter(&self, seat: Seat) -> FileAccount {
        let file = FileOrder(self.shared.next_file.fetch_add(1, Ordering::Relaxed));
        self.lock().accounts.enter(seat, file);
        FileAccount { pool: self.clone(), seat, file }
    }

    fn queue_for_reader(&self) -> ReaderTurn {
        let mut turn = Arc::clone(&self.shared.readers).acquire_owned().boxed();
        // The place in the queue is taken by the first poll: now, not when the task happens to run.
        match (&mut turn).now_or_never() {
            Some(reader) => futures::future::ready(reader.ok()).boxed(),
            None => turn.map(Result::ok).boxed(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out grants. Never called with the lock held: a grant that nobody takes comes straight back.
    fn deliver(&self, grants: Vec<Grant>) {
        for grant in grants {
            let waiter = self.lock().waiting.remove(&grant.ticket);
            let credit = Credit { pool: self.clone(), source: grant.source, bytes: grant.bytes };
            if let Some(waiter) = waiter {
                // Refused means the asker is gone: the credit is dropped here and comes back.
                let _ = waiter.send(credit);
            }
        }
    }
}

/// Yields the permission to keep a reader open until it is dropped. (`None` cannot happen: the semaphore is never closed.)
pub(crate) type ReaderTurn = BoxFuture<'static, Option<OwnedSemaphorePermit>>;

/// One file's standing with the budget, from claim until it needs no more credit.
pub struct FileAccount {
    pool: Budget,
    seat: Seat,
    file: FileOrder,
}

impl FileAccount {
    /// Waits for credit. `bytes` is cut to [`CreditPool::largest_request`].
    pub async fn acquire(&self, bytes: u64) -> Credit {
        let (sender, receiver) = oneshot::channel();
        let (ticket, grants) = {
            let mut state = self.pool.lock();
            let (ticket, grants) = state.accounts.request(self.seat, self.file, bytes);
            state.waiting.insert(ticket, sender);
            (ticket, grants)
        };
        let mut withdrawal = Withdrawal { account: self, ticket: Some(ticket) };
        self.pool.deliver(grants);
        match receiver.await {
            Ok(credit) => {
                withdrawal.ticket = None;
                credit
            }
            Err(_) => unreachable!("invariant: a request is answered or withdrawn, never forgotten"),
        }
    }
}

impl Drop for FileAccount {
    fn drop(&mut self) {
        let grants = self.pool.lock().accounts.leave(self.seat, self.file);
        self.pool.deliver(grants);
    }
}

/// Takes a request back when the task that waits for it is dropped.
struct Withdrawal<'a> {
    account: &'a FileAccount,
    ticket: Option<Ticket>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let pool = &self.account.pool;
        let grants = {
            let mut state = pool.lock();
            state.waiting.remove(&ticket);
            state.accounts.cancel(self.account.file, ticket)
        };
        pool.deliver(grants);
    }
}

/// Permission to hold bytes; comes back on drop.
pub struct Credit {
    pool: Budget,
    source: Source,
    bytes: u64,
}

impl Credit {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it comes from the reserve that every block of the import's oldest file depends on.
    pub fn is_reserve(&self) -> bool {
        matches!(self.source, Source::Reserve(_))
    }

    /// Gives back what is not needed.
    pub fn shrink_to(&mut self, bytes: u64) {
        let surplus = self.bytes.saturating_sub(bytes);
        if surplus > 0 {
            self.bytes = bytes;
            let grants = self.pool.lock().accounts.release(self.source, surplus);
            self.pool.deliver(grants);
        }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use connector_core::credit::MIN_BUDGET;
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn credit_comes_back_on_drop_and_wakes_who_waits() {
        let pool = CreditPool::new(MIN_BUDGET, 1);
        let file = pool.enter(Seat(0));
        let first = file.acquire(u64::MAX).await;
        let second = file.acquire(u64::MAX).await;
        assert_eq!(first.bytes() + second.bytes(), MIN_BUDGET);
        let mut third = Box::pin(file.acquire(1));
        assert!((&mut third).now_or_never().is_none());
        assert!(pool.under_pressure());
        drop(first);
        assert_eq!(third.await.bytes(), 1);
        drop(second);
        assert_eq!(pool.usage().0, 0);
    }

    #[tokio::test]
    async fn readers_are_few_and_opened_in_the_order_of_the_queue() {
        let pool = CreditPool::new(MIN_BUDGET, 1);
        let (first, _second) = (pool.queue_for_reader().await, pool.queue_for_reader().await);
        let (mut third, mut fourth) = (pool.queue_for_reader(), pool.queue_for_reader());
        assert!((&mut fourth).now_or_never().is_none());
        drop(first);
        // The third queued before the fourth, though it asks after it.
        assert!((&mut fourth).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_some());
        assert!((&mut fourth).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_budget_that_is_divided_anew_gets_back_nothing_of_the_old_one() {
        let pool = CreditPool::new(MIN_BUDGET, 1);
        let file = pool.enter(Seat(0));
        let held = file.acquire(u64::MAX).await;
        pool.divide_among(4);
        assert_eq!((pool.seats(), pool.usage()), (4, (0, MIN_BUDGET)));
        let other = pool.enter(Seat(3)).acquire(u64::MAX).await;
        assert!(other.bytes() < held.bytes(), "a fourth of what is reserved");
        drop((held, file));
        assert_eq!(pool.usage().0, other.bytes());
        drop(other);
        assert_eq!(pool.usage().0, 0);
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_takes_its_request_along() {
        let pool = CreditPool::new(MIN_BUDGET, 1);
        let file = pool.enter(Seat(0));
        let held = (file.acquire(u64::MAX).await, file.acquire(u64::MAX).await);
        assert!(file.acquire(1).now_or_never().is_none());
        assert!(!pool.under_pressure());
        drop(held);
        assert_eq!(pool.usage().0, 0);
    }
}
