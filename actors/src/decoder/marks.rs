//! Reading marks: before the first byte of a file is parsed, the ledger knows that it is being read, durably. Whatever is
//! marked when the process dies is a suspect afterwards.
//!
//! A write costs a sync of the disk, so files are marked in groups: whoever needs a mark first writes those of the files
//! that come next as well, at most [`GROUP`] in all, and tells in the same write which files are done with. One write at a
//! time; what comes up meanwhile goes into the next one. Nothing is written at the end of a batch, for its end clears all
//! its marks.
//!
//! A file is done with once it is inspected, and marked again when it is decoded: of a batch of a thousand files, no more
//! than about two groups are ever suspects. If its mark has not been taken away by then, it simply stays, so a batch of
//! up to [`GROUP`] files takes one write.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_core::error::Failure;
use connector_core::ids::{ImportName, ObjectVersionId};
use connector_core::ports::{Ledger, PortResult};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Files of one write.
pub(super) const GROUP: usize = 64;

type Ids = Vec<ObjectVersionId>;
/// Marks the first and unmarks the second.
pub(super) type Write = dyn Fn(Ids, Ids) -> BoxFuture<'static, PortResult<()>> + Send + Sync;

/// The marks of one import. Cheap to clone.
#[derive(Clone)]
pub(super) struct Marks {
    shared: Arc<Shared>,
}

struct Shared {
    write: Box<Write>,
    /// Held by whoever writes.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Files that will be read soon, in order.
    wanted: VecDeque<ObjectVersionId>,
    /// Those of the write that is under way, and whether they are done with meanwhile.
    under_way: HashMap<ObjectVersionId, bool>,
    /// Marked, durably, and not done with.
    marked: HashSet<ObjectVersionId>,
    /// Marked, durably, and done with.
    finished: HashSet<ObjectVersionId>,
}

impl Marks {
    pub(super) fn of_ledger(ledger: Arc<dyn Ledger>, import: ImportName) -> Self {
        Self::new(Box::new(move |started, finished| {
            let (ledger, import) = (Arc::clone(&ledger), import.clone());
            async move { ledger.mark_reading(&import, &started, &finished).await }.boxed()
        }))
    }

    pub(super) fn new(write: Box<Write>) -> Self {
        Self { shared: Arc::new(Shared { write, turn: tokio::sync::Mutex::default(), state: Mutex::default() }) }
    }

    /// The file will be inspected: its batch may be a new one, and then an earlier mark is gone.
    pub(super) fn want(&self, file: ObjectVersionId) {
        let mut state = self.state();
        state.under_way.remove(&file);
        state.marked.remove(&file);
        state.finished.remove(&file);
        state.wanted.push_back(file);
    }

    /// The file will be decoded, after it was inspected in the same batch: an earlier mark is as good as a new one.
    pub(super) fn want_again(&self, file: ObjectVersionId) {
        let mut state = self.state();
        if let Some(done) = state.under_way.get_mut(&file) {
            // No mark before it is written.
            *done = false;
        } else if state.finished.remove(&file) {
            state.marked.insert(file);
        } else if !state.marked.contains(&file) {
            state.wanted.push_back(file);
        }
    }

    /// Returns once the file is marked, durably.
    ///
    /// # Errors
    /// Those of the ledger.
    pub(super) async fn reading(&self, file: ObjectVersionId) -> Result<(), Failure> {
        if self.state().marked.contains(&file) {
            return Ok(());
        }
        let _turn = self.shared.turn.lock().await;
        // Whoever had the turn before may have taken it along.
        if self.state().marked.contains(&file) {
            return Ok(());
        }
        let (started, finished) = self.state().next_group(file);
        let written = (self.shared.write)(started, finished).await;
        self.state().written(written.is_ok());
        written
    }

    /// The file is not parsed any more, or will not be after all.
    pub(super) fn done(&self, file: ObjectVersionId) {
        let mut state = self.state();
        if let Some(done) = state.under_way.get_mut(&file) {
            *done = true;
        } else if state.marked.remove(&file) {
            state.finished.insert(file);
        } else {
            state.wanted.retain(|wanted| *wanted != file);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_group(&mut self, first: ObjectVersionId) -> (Ids, Ids) {
        let mut group = vec![first];
        self.wanted.retain(|file| *file != first);
        while group.len() < GROUP
            && let Some(file) = self.wanted.pop_front()
        {
            group.push(file);
        }
        // Of a write that nobody waited for to its end it is not known whether they are marked: to say that they are done
        // with does no harm.
        let left = self.under_way.drain().filter(|(file, _)| !group.contains(file)).map(|(file, _)| file);
        self.finished.extend(left);
        self.under_way.extend(group.iter().map(|file| (*file, false)));
        (group, self.finished.drain().collect())
    }

    /// What was under way is written, or not. One that was done with meanwhile is unmarked by the next write: it would be
    /// a suspect for the rest of the batch.
    fn written(&mut self, successfully: bool) {
        let State { under_way, marked, finished, .. } = self;
        for (file, done) in under_way.drain().filter(|_| successfully) {
            if done {
                finished.insert(file)
            } else {
                marked.insert(file)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Writes = Arc<Mutex<Vec<(Ids, Ids)>>>;

    fn id(number: u16) -> ObjectVersionId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_le_bytes());
        ObjectVersionId(id)
    }

    /// Marks that note what is written, and yield to others before it is.
    fn marks() -> (Marks, Writes) {
        let writes = Writes::default();
        let noted = Arc::clone(&writes);
        let write = move |started: Ids, mut finished: Ids| {
            let noted = Arc::clone(&noted);
            async move {
                tokio::task::yield_now().await;
                finished.sort();
                noted.lock().expect("lock").push((started, finished));
                Ok(())
            }
            .boxed()
        };
        (Marks::new(Box::new(write)), writes)
    }

    fn counts(writes: &Writes) -> Vec<(usize, usize)> {
        writes.lock().expect("lock").iter().map(|(started, finished)| (started.len(), finished.len())).collect()
    }

    #[tokio::test]
    async fn case_15_marks_are_written_in_groups_that_carry_along_what_is_done() {
        let (marks, writes) = marks();
        (0..150).for_each(|n| marks.want(id(n)));
        for n in 0..150 {
            marks.reading(id(n)).await.expect("marks");
            let durable = writes.lock().expect("lock").iter().any(|(started, _)| started.contains(&id(n)));
            assert!(durable, "file {n} is read, and the ledger does not know it");
            marks.done(id(n));
        }
        assert_eq!(counts(&writes), [(64, 0), (64, 64), (22, 64)]);
    }

    #[tokio::test]
    async fn files_that_ask_at_once_share_a_write_and_never_two_are_under_way() {
        let (under_way, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let (now, peak) = (Arc::clone(&under_way), Arc::clone(&most));
        let marks = Marks::new(Box::new(move |_, _| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
            async move {
                *now.lock().expect("lock") += 1;
                tokio::task::yield_now().await;
                let mut peak = peak.lock().expect("lock");
                *peak = (*peak).max(*now.lock().expect("lock"));
                *now.lock().expect("lock") -= 1;
                Ok(())
            }
            .boxed()
        }));
        (0..8).for_each(|n| marks.want(id(n)));
        let asked = futures::future::join_all((0..8).map(|n| marks.reading(id(n)))).await;
        assert!(asked.into_iter().all(|asked| asked.is_ok()));
        assert_eq!(*most.lock().expect("lock"), 1);
    }

    #[tokio::test]
    async fn a_small_batch_is_marked_once_for_inspection_and_decoding() {
        let (marks, writes) = marks();
        (0..5).for_each(|n| marks.want(id(n)));
        for n in 0..5 {
            marks.reading(id(n)).await.expect("marks");
            marks.done(id(n));
        }
        (0..5).for_each(|n| marks.want_again(id(n)));
        for n in 0..5 {
            marks.reading(id(n)).await.expect("marks");
            marks.done(id(n));
        }
        assert_eq!(counts(&writes), [(5, 0)]);
        // The next batch: the same file again is marked anew, and is not among those that are done with.
        marks.want(id(4));
        marks.reading(id(4)).await.expect("marks");
        assert_eq!(counts(&writes), [(5, 0), (1, 4)]);
    }

    #[tokio::test]
    async fn a_mark_that_was_taken_away_is_written_again() {
        let (marks, writes) = marks();
        marks.want(id(1));
        marks.reading(id(1)).await.expect("marks");
        marks.done(id(1));
        marks.want(id(2));
        marks.reading(id(2)).await.expect("marks");
        marks.want_again(id(1));
        marks.reading(id(1)).await.expect("marks");
        let found = writes.lock().expect("lock").clone();
        assert_eq!(found, [(vec![id(1)], vec![]), (vec![id(2)], vec![id(1)]), (vec![id(1)], vec![])]);
    }

    #[tokio::test]
    async fn a_file_that_is_not_read_after_all_is_not_marked_with_later_ones() {
        let (marks, writes) = marks();
        marks.want(id(1));
        marks.done(id(1));
        marks.want(id(2));
        marks.reading(id(2)).await.expect("marks");
        assert_eq!(*writes.lock().expect("lock"), [(vec![id(2)], vec![])]);
    }

    #[tokio::test]
    async fn a_mark_that_cannot_be_written_is_no_mark() {
        let failing = Arc::new(Mutex::new(true));
        let fails = Arc::clone(&failing);
        let marks = Marks::new(Box::new(move |_, _| {
            let fails = *fails.lock().expect("lock");
            let full = || Err(Failure::transient("ledger", "the disk is full"));
            async move { if fails { full() } else { Ok(()) } }.boxed()
        }));
        marks.want(id(1));
        assert!(marks.reading(id(1)).await.is_err() && marks.reading(id(1)).await.is_err());
        *failing.lock().expect("lock") = false;
        assert!(marks.reading(id(1)).await.is_ok());
    }
    /// Marks whose writes wait until they are let go on, one by one.
    fn held_marks() -> (Marks, Writes, Arc<tokio::sync::Semaphore>) {
        let (writes, gate) = (Writes::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let (noted, held) = (Arc::clone(&writes), Arc::clone(&gate));
        let write = move |started: Ids, mut finished: Ids| {
            let (noted, held) = (Arc::clone(&noted), Arc::clone(&held));
            async move {
                finished.sort();
                noted.lock().expect("lock").push((started, finished));
                held.acquire().await.expect("open").forget();
                Ok(())
            }
            .boxed()
        };
        (Marks::new(Box::new(write)), writes, gate)
    }

    #[tokio::test]
    async fn case_15_a_file_that_ends_while_its_mark_is_written_does_not_stay_marked() {
        let (marks, writes, gate) = held_marks();
        (1..=3).for_each(|n| marks.want(id(n)));
        let mut first = Box::pin(marks.reading(id(1)));
        assert!(futures::poll!(&mut first).is_pending());
        // Taken along, and over before they are marked; one of them is read after all.
        marks.done(id(2));
        marks.done(id(3));
        marks.want_again(id(3));
        let mut third = Box::pin(marks.reading(id(3)));
        assert!(futures::poll!(&mut third).is_pending(), "no mark before it is written");
        gate.add_permits(1);
        first.await.expect("marks");
        third.await.expect("marked with the first");
        gate.add_permits(1);
        marks.want(id(4));
        marks.reading(id(4)).await.expect("marks");
        let found = writes.lock().expect("lock").clone();
        assert_eq!(found, [(vec![id(1), id(2), id(3)], vec![]), (vec![id(4)], vec![id(2)])]);
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_marks_nothing_for_good() {
        let (marks, writes, gate) = held_marks();
        marks.want(id(1));
        marks.want(id(2));
        let mut first = Box::pin(marks.reading(id(1)));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        gate.add_permits(2);
        marks.reading(id(2)).await.expect("marks");
        marks.reading(id(1)).await.expect("marks");
        let found = writes.lock().expect("lock").clone();
        assert_eq!(found[1..], [(vec![id(2)], vec![id(1)]), (vec![id(1)], vec![])]);
    }
}
