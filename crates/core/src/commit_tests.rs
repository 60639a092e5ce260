//! Tries every interleaving of steps, crashes, lost answers and conflicts for two batches of one file each.

use super::*;

const FILES: usize = 2;

/// What the ledger of the model keeps.
#[derive(Clone, Debug)]
struct ModelLedger {
    facts: LedgerFacts,
    /// The file that the open batch holds.
    open_file: Option<usize>,
    ingested: [bool; FILES],
}

/// What the table of the model keeps: how often each file's rows are in it.
#[derive(Clone, Debug)]
struct ModelTable {
    txn: TableTxn,
    rows: [u32; FILES],
}

/// One process and the storage under it.
#[derive(Clone, Debug)]
struct World {
    ledger: ModelLedger,
    table: ModelTable,
    machine: CommitMachine,
    /// The next batch uuid.
    uuids: u128,
    faults_left: u32,
    /// Whether the staged data file of the open batch still exists.
    staged_file: bool,
}

/// How one action may go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    CrashBefore,
    CrashAfter,
    /// Commits only: it landed, and the answer was lost.
    AnswerLost,
    /// Commits only: it did not land, and neither did the answer.
    NothingHappened,
    /// Commits only: somebody else committed something in between.
    Conflict,
}

impl World {
    fn new(faults: u32) -> Self {
        let import = ImportUuid(uuid::Uuid::from_u128(7));
        let facts = LedgerFacts { import, table_created: true, committed_seq: 0, open: None };
        Self {
            ledger: ModelLedger { facts, open_file: None, ingested: [false; FILES] },
            table: ModelTable {
                txn: TableTxn { version: 0, import: Some(import), committed_seq: 0, committed_uuid: None },
                rows: [0; FILES],
            },
            machine: CommitMachine::new(),
            uuids: 1,
            faults_left: faults,
            staged_file: false,
        }
    }

    fn start(&mut self) -> Action {
        self.machine = CommitMachine::new();
        self.machine.on(Event::Facts { ledger: self.ledger.facts, table: Some(self.table.txn) })
    }

    /// Carries out the effect of an action, as ledger and table would, and returns the answer.
    fn effect(&mut self, action: &Action) -> Option<Event> {
        Some(match action {
            Action::Await => {
                let file = self.ledger.ingested.iter().position(|done| !done)?;
                let uuid = BatchUuid(uuid::Uuid::from_u128(self.uuids));
                self.uuids += 1;
                let seq = self.machine.next_seq();
                assert_eq!(self.ledger.facts.open, None, "claimed while a batch is open");
                self.ledger.facts.open = Some(OpenFacts { seq, uuid, staged: false });
                self.ledger.open_file = Some(file);
                Event::Claimed { seq, uuid }
            }
            Action::Decode => {
                self.staged_file = true;
                Event::Decoded { commit: true }
            }
            Action::Stage { .. } => {
                self.ledger.facts.open.as_mut().expect("open").staged = true;
                Event::Staged
            }
            Action::CheckStaged { .. } => Event::Intact(self.staged_file),
            Action::Commit { seq, uuid } => {
                // The destination's own rule: the table's txn has to be the one before.
                if self.table.txn.committed_seq != seq - 1 {
                    return Some(Event::Committed(CommitAnswer::Conflict));
                }
                self.table.txn.version += 1;
                self.table.txn.committed_seq = *seq;
                self.table.txn.committed_uuid = Some(*uuid);
                self.table.rows[self.ledger.open_file.expect("open")] += 1;
                Event::Committed(CommitAnswer::Landed { version: self.table.txn.version })
            }
            Action::ReadTable => Event::Reread { table: Some(self.table.txn) },
            Action::Finalise { seq, .. } => {
                let file = self.ledger.open_file.take().expect("open");
                self.ledger.ingested[file] = true;
                self.ledger.facts.committed_seq = *seq;
                self.ledger.facts.open = None;
                Event::Finalised
            }
            Action::Abandon { .. } | Action::Settle { .. } => {
                self.ledger.facts.open = None;
                self.ledger.open_file = None;
                Event::Closed
            }
            Action::Stop(failure) => panic!("the import stopped: {failure}"),
        })
    }

    fn check(&self) {
        for file in 0..FILES {
            assert!(self.table.rows[file] <= 1, "rows of file {file} are in the table twice: {self:?}");
            if self.ledger.ingested[file] {
                assert_eq!(self.table.rows[file], 1, "file {file} is lost: {self:?}");
            }
        }
    }
}

fn faults_of(action: &Action) -> Vec<Fault> {
    use Fault::{AnswerLost, Conflict, CrashAfter, CrashBefore, NothingHappened};
    match action {
        Action::Commit { .. } => vec![CrashBefore, CrashAfter, AnswerLost, NothingHappened, Conflict],
        _ => vec![CrashBefore, CrashAfter],
    }
}

/// Explores everything that can follow `action`. Returns how many ends were reached.
fn explore(world: &World, action: &Action) -> u64 {
    let mut faults = vec![Fault::None];
    if world.faults_left > 0 {
        faults.extend(faults_of(action));
    }
    let mut ends = 0;
    for fault in faults {
        let mut next = world.clone();
        next.faults_left -= u32::from(fault != Fault::None);
        let lost = || Event::CommitUnknown(Failure::transient("lost", "no answer"));
        let event = match fault {
            Fault::CrashBefore | Fault::NothingHappened => None,
            Fault::Conflict => {
                next.table.txn.version += 1;
                Some(Event::Committed(CommitAnswer::Conflict))
            }
            Fault::None | Fault::CrashAfter | Fault::AnswerLost => match next.effect(action) {
                Some(event) => Some(event),
                None => {
                    assert_eq!(next.ledger.ingested, [true; FILES], "nothing left to claim, but files are missing");
                    assert_eq!(next.table.rows, [1; FILES]);
                    ends += 1;
                    continue;
                }
            },
        };
        next.check();
        let following = match (fault, event) {
            (Fault::CrashBefore | Fault::CrashAfter, _) => {
                // A crash may also take the data file of a batch with it, if nobody refers to it yet.
                ends += explore_lost_file(&next);
                next.start()
            }
            (Fault::AnswerLost | Fault::NothingHappened, _) => next.machine.on(lost()),
            (_, Some(event)) => next.machine.on(event),
            (_, None) => unreachable!("only faults have no event"),
        };
        ends += explore(&next, &following);
    }
    ends
}

fn explore_lost_file(world: &World) -> u64 {
    let mut next = world.clone();
    if next.table.txn.committed_uuid.is_some()
        && next.ledger.facts.open.map(|open| Some(open.uuid)) == Some(next.table.txn.committed_uuid)
    {
        // It is part of the table: nothing may take it away.
        return 0;
    }
    next.staged_file = false;
    let action = next.start();
    explore(&next, &action)
}

#[test]
fn whatever_crashes_every_file_is_in_the_table_once() {
    let mut world = World::new(3);
    let action = world.start();
    let ends = explore(&world, &action);
    assert!(ends > 10_000, "only {ends} interleavings were tried");
}

fn ledger(committed_seq: BatchSeq, open: Option<(BatchSeq, u128, bool)>) -> LedgerFacts {
    LedgerFacts {
        import: ImportUuid(uuid::Uuid::from_u128(7)),
        table_created: true,
        committed_seq,
        open: open.map(|(seq, id, staged)| OpenFacts { seq, uuid: BatchUuid(uuid::Uuid::from_u128(id)), staged }),
    }
}

fn table(import: Option<u128>, committed_seq: BatchSeq, uuid: Option<u128>) -> TableTxn {
    TableTxn {
        version: 9,
        import: import.map(|id| ImportUuid(uuid::Uuid::from_u128(id))),
        committed_seq,
        committed_uuid: uuid.map(|id| BatchUuid(uuid::Uuid::from_u128(id))),
    }
}

#[test]
fn contradictions_stop_with_a_reason_and_are_never_guessed_away() {
    let fresh = LedgerFacts { table_created: false, ..ledger(0, None) };
    let cases = [
        (ledger(3, None), None, "table_gone"),
        (ledger(3, None), Some(table(None, 0, None)), "foreign_table"),
        (ledger(3, None), Some(table(Some(8), 3, None)), "other_import"),
        (fresh, Some(table(Some(8), 3, None)), "ledger_lost"),
        (ledger(3, None), Some(table(Some(7), 2, None)), "table_behind"),
        (ledger(3, None), Some(table(Some(7), 4, None)), "ledger_behind"),
        (ledger(3, Some((4, 1, false))), Some(table(Some(7), 4, Some(1))), "ledger_behind"),
        (ledger(3, Some((4, 1, true))), Some(table(Some(7), 4, Some(2))), "fenced"),
        (ledger(3, Some((4, 1, true))), Some(table(Some(7), 4, None)), "fenced"),
        (ledger(3, Some((4, 1, true))), Some(table(Some(7), 5, Some(1))), "ledger_behind"),
    ];
    for (ledger, table, code) in cases {
        match settle_facts(&ledger, table.as_ref()) {
            Verdict::Contradiction(failure) => assert_eq!(failure.code, code),
            other => panic!("{ledger:?} {table:?}: {other:?} instead of {code}"),
        }
    }
}

#[test]
fn agreement_goes_on_where_it_was() {
    let fresh = LedgerFacts { table_created: false, ..ledger(0, None) };
    let v3 = Some(table(Some(7), 3, Some(9)));
    assert_eq!(settle_facts(&fresh, None), Verdict::Ready);
    assert_eq!(settle_facts(&ledger(3, None), v3.as_ref()), Verdict::Ready);
    assert_eq!(settle_facts(&ledger(3, Some((4, 1, false))), v3.as_ref()), Verdict::Abandon);
    assert_eq!(settle_facts(&ledger(3, Some((4, 1, true))), v3.as_ref()), Verdict::CommitStaged);
    let landed = Some(table(Some(7), 4, Some(1)));
    assert_eq!(settle_facts(&ledger(3, Some((4, 1, true))), landed.as_ref()), Verdict::Landed { version: 9 });
}

#[test]
fn a_commit_that_never_settles_ends_the_generation_instead_of_spinning() {
    let mut world = World::new(0);
    let mut action = world.start();
    while !matches!(action, Action::Commit { .. }) {
        let event = world.effect(&action).expect("a file is left");
        action = world.machine.on(event);
    }
    for _ in 0..MAX_UNSETTLED_COMMITS {
        assert!(matches!(action, Action::Commit { .. }));
        assert_eq!(world.machine.on(Event::Committed(CommitAnswer::Conflict)), Action::ReadTable);
        action = world.machine.on(Event::Reread { table: Some(world.table.txn) });
    }
    assert!(matches!(action, Action::Stop(failure) if failure.code == "commit_unsettled"));
}

#[test]
fn a_commit_that_the_user_must_make_possible_stops_with_that_reason() {
    for (failure, attempts) in [
        (Failure::config("storage_denied", "no right to write"), 1),
        (Failure::transient("storage", "the disk is full"), MAX_UNSETTLED_COMMITS),
    ] {
        let mut world = World::new(0);
        let mut action = world.start();
        while !matches!(action, Action::Commit { .. }) {
            let event = world.effect(&action).expect("a file is left");
            action = world.machine.on(event);
        }
        for _ in 0..attempts {
            assert!(matches!(action, Action::Commit { .. }));
            world.machine.on(Event::CommitUnknown(failure.clone()));
            action = world.machine.on(Event::Reread { table: Some(world.table.txn) });
        }
        assert_eq!(action, Action::Stop(failure));
    }
}
