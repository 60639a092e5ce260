//! Tries every interleaving of steps, crashes, lost answers and conflicts for two batches of one file each, the first of
//! which has a bad row beside a good one.

use super::*;
use crate::ids::ImportUuid;

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
    quarantine: ModelTable,
    machine: CommitMachine,
    /// The next batch uuid.
    uuids: u128,
    faults_left: u32,
    /// Whether the staged data files of the open batch still exist.
    staged_file: bool,
}

/// Rows that each file has for the quarantine table.
const BAD_ROWS: [u32; FILES] = [1, 0];

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
        let facts = LedgerFacts {
            import,
            table_created: true,
            committed_seq: 0,
            open: None,
            ahead: None,
            quarantine_seq: None,
        };
        let txn = TableTxn { version: 0, import: Some(import), committed_seq: 0, committed_uuid: None };
        let table = ModelTable { txn, rows: [0; FILES] };
        Self {
            ledger: ModelLedger { facts, open_file: None, ingested: [false; FILES] },
            quarantine: table.clone(),
            table,
            machine: CommitMachine::new(),
            uuids: 1,
            faults_left: faults,
            staged_file: false,
        }
    }

    fn start(&mut self) -> Action {
        self.machine = CommitMachine::new();
        let (table, quarantine) = (Some(self.table.txn), Some(self.quarantine.txn));
        self.machine.on(Event::Facts { ledger: self.ledger.facts, table, quarantine })
    }

    fn bad_rows(&self) -> u32 {
        BAD_ROWS[self.ledger.open_file.expect("open")]
    }

    fn reread(&mut self) -> Action {
        let (table, quarantine) = (Some(self.table.txn), Some(self.quarantine.txn));
        self.machine.on(Event::Reread { table, quarantine })
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
                self.ledger.facts.open =
                    Some(OpenFacts { seq, uuid, kind: BatchKind::Ingest, staged: false, quarantine: false });
                self.ledger.open_file = Some(file);
                Event::Claimed { seq, uuid, kind: BatchKind::Ingest }
            }
            Action::Decode => {
                self.staged_file = true;
                Event::Decoded { commit: true }
            }
            Action::Stage { .. } => {
                let quarantine = self.bad_rows() > 0;
                let open = self.ledger.facts.open.as_mut().expect("open");
                (open.staged, open.quarantine) = (true, quarantine);
                Event::Staged { quarantine }
            }
            Action::CheckStaged { .. } => Event::Intact(self.staged_file),
            Action::CommitQuarantine { seq, uuid } => {
                let (file, rows) = (self.ledger.open_file.expect("open"), self.bad_rows());
                assert!(rows > 0, "a commit of nothing");
                self.quarantine.commit(*seq, *uuid, file, rows)
            }
            Action::Commit { seq, uuid } => {
                let file = self.ledger.open_file.expect("open");
                assert_eq!(self.quarantine.rows[file], BAD_ROWS[file], "the quarantine comes first: {self:?}");
                self.table.commit(*seq, *uuid, file, 1)
            }
            Action::ReadTables => Event::Reread { table: Some(self.table.txn), quarantine: Some(self.quarantine.txn) },
            Action::Finalise { seq, .. } => {
                let file = self.ledger.open_file.take().expect("open");
                self.ledger.ingested[file] = true;
                self.ledger.facts.committed_seq = *seq;
                self.ledger.facts.open = None;
                Event::Finalised
            }
            Action::Abandon { .. } | Action::Settle { .. } | Action::TripGuard { .. } => {
                self.ledger.facts.open = None;
                self.ledger.open_file = None;
                Event::Closed
            }
            Action::Wait => unreachable!("nothing is claimed ahead"),
            Action::Stop(failure) => panic!("the import stopped: {failure}"),
        })
    }

    fn check(&self) {
        for (file, bad_rows) in BAD_ROWS.into_iter().enumerate() {
            assert!(self.table.rows[file] <= 1, "rows of file {file} are in the table twice: {self:?}");
            assert!(self.quarantine.rows[file] <= bad_rows, "bad rows of file {file} are there twice: {self:?}");
            if self.ledger.ingested[file] {
                assert_eq!(self.table.rows[file], 1, "file {file} is lost: {self:?}");
                assert_eq!(self.quarantine.rows[file], bad_rows, "bad rows of file {file} are lost: {self:?}");
            }
        }
    }
}

impl ModelTable {
    /// The destination's own rule: a seq lands once, and only above what has landed.
    fn commit(&mut self, seq: BatchSeq, uuid: BatchUuid, file: usize, rows: u32) -> Event {
        if self.txn.committed_seq >= seq {
            return Event::Committed(CommitAnswer::Conflict);
        }
        self.txn.version += 1;
        self.txn.committed_seq = seq;
        self.txn.committed_uuid = Some(uuid);
        self.rows[file] += rows;
        Event::Committed(CommitAnswer::Landed { version: self.txn.version })
    }
}

fn faults_of(action: &Action) -> Vec<Fault> {
    use Fault::{AnswerLost, Conflict, CrashAfter, CrashBefore, NothingHappened};
    match action {
        Action::Commit { .. } | Action::CommitQuarantine { .. } => {
            vec![CrashBefore, CrashAfter, AnswerLost, NothingHappened, Conflict]
        }
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
                next.quarantine.txn.version += 1;
                Some(Event::Committed(CommitAnswer::Conflict))
            }
            Fault::None | Fault::CrashAfter | Fault::AnswerLost => match next.effect(action) {
                Some(event) => Some(event),
                None => {
                    assert_eq!(next.ledger.ingested, [true; FILES], "nothing left to claim, but files are missing");
                    assert_eq!((next.table.rows, next.quarantine.rows), ([1; FILES], BAD_ROWS));
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
    let open = next.ledger.facts.open.map(|open| open.uuid);
    let landed = [next.table.txn.committed_uuid, next.quarantine.txn.committed_uuid];
    if open.is_some() && landed.contains(&open) {
        // It is part of a table: nothing may take it away. What happens if something does has a test of its own.
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
        open: open.map(|(seq, id, staged)| OpenFacts {
            seq,
            uuid: BatchUuid(uuid::Uuid::from_u128(id)),
            kind: BatchKind::Ingest,
            staged,
            quarantine: staged,
        }),
        ahead: None,
        quarantine_seq: None,
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
        match settle_facts(&ledger, table.as_ref(), None) {
            Verdict::Contradiction(failure) => assert_eq!(failure.code, code),
            other => panic!("{ledger:?} {table:?}: {other:?} instead of {code}"),
        }
    }
}

#[test]
fn agreement_goes_on_where_it_was() {
    let fresh = LedgerFacts { table_created: false, ..ledger(0, None) };
    let v3 = Some(table(Some(7), 3, Some(9)));
    assert_eq!(settle_facts(&fresh, None, None), Verdict::Ready);
    let (claimed, staged) = (ledger(3, Some((4, 1, false))), ledger(3, Some((4, 1, true))));
    let q2 = Some(table(Some(7), 2, Some(8)));
    assert_eq!(settle_facts(&ledger(3, None), v3.as_ref(), q2.as_ref()), Verdict::Ready);
    assert_eq!(settle_facts(&claimed, v3.as_ref(), q2.as_ref()), Verdict::Abandon);
    let commit = |quarantine_landed| Verdict::CommitStaged { quarantine_landed };
    assert_eq!(settle_facts(&staged, v3.as_ref(), q2.as_ref()), commit(false));
    let landed = Some(table(Some(7), 4, Some(1)));
    assert_eq!(settle_facts(&staged, v3.as_ref(), landed.as_ref()), commit(true));
    assert_eq!(settle_facts(&staged, landed.as_ref(), landed.as_ref()), Verdict::Landed { version: 9 });
    assert_eq!(settle_facts(&staged, v3.as_ref(), None), Verdict::Abandon, "its data files went with the table");
}

#[test]
fn a_quarantine_table_that_contradicts_stops_the_import() {
    let (claimed, staged) = (ledger(3, Some((4, 1, false))), ledger(3, Some((4, 1, true))));
    let v3 = table(Some(7), 3, Some(9));
    let v4 = table(Some(7), 4, Some(1));
    let cases = [
        (ledger(3, None), v3, table(Some(8), 2, None), "foreign_quarantine"),
        (ledger(3, None), v3, table(None, 0, None), "foreign_quarantine"),
        (ledger(3, None), v3, table(Some(7), 4, Some(1)), "ledger_behind"),
        (claimed, v3, table(Some(7), 4, Some(1)), "ledger_behind"),
        (staged, v3, table(Some(7), 5, Some(1)), "ledger_behind"),
        (staged, v3, table(Some(7), 4, Some(2)), "fenced"),
        (staged, v4, table(Some(7), 2, None), "quarantine_behind"),
    ];
    for (ledger, table, quarantine, code) in cases {
        match settle_facts(&ledger, Some(&table), Some(&quarantine)) {
            Verdict::Contradiction(failure) => assert_eq!(failure.code, code),
            other => panic!("{ledger:?} {table:?} {quarantine:?}: {other:?} instead of {code}"),
        }
    }
}

#[test]
fn a_batch_whose_bad_rows_have_landed_is_never_read_again() {
    let staged = ledger(3, Some((4, 1, true)));
    let mut machine = CommitMachine::new();
    let (table, quarantine) = (Some(table(Some(7), 3, Some(9))), Some(table(Some(7), 4, Some(1))));
    let action = machine.on(Event::Facts { ledger: staged, table, quarantine });
    assert_eq!(action, Action::CheckStaged { seq: 4 });
    let mut lost = machine.clone();
    assert!(matches!(lost.on(Event::Intact(false)), Action::Stop(failure) if failure.code == "staged_files_gone"));
    let uuid = BatchUuid(uuid::Uuid::from_u128(1));
    assert_eq!(machine.on(Event::Intact(true)), Action::Commit { seq: 4, uuid }, "only the table lacks it");
}

#[test]
fn case_23_a_commit_that_never_settles_ends_the_generation_instead_of_spinning() {
    let mut world = World::new(0);
    let mut action = world.start();
    while !matches!(action, Action::Commit { .. }) {
        let event = world.effect(&action).expect("a file is left");
        action = world.machine.on(event);
    }
    for _ in 0..MAX_UNSETTLED_COMMITS {
        assert!(matches!(action, Action::Commit { .. }));
        assert_eq!(world.machine.on(Event::Committed(CommitAnswer::Conflict)), Action::ReadTables);
        action = world.reread();
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
            action = world.reread();
        }
        assert_eq!(action, Action::Stop(failure));
    }
}

#[test]
fn what_landed_in_quarantine_is_forgotten_with_its_batch() {
    let mut machine = CommitMachine::new();
    let (none, v3) = (ledger(3, None), Some(table(Some(7), 3, Some(9))));
    machine.on(Event::Facts { ledger: none, table: v3, quarantine: None });
    let claim = |machine: &mut CommitMachine, id| {
        machine.on(Event::Claimed { seq: 4, uuid: BatchUuid(uuid::Uuid::from_u128(id)), kind: BatchKind::Ingest });
        machine.on(Event::Decoded { commit: true });
        machine.on(Event::Staged { quarantine: true })
    };
    assert!(matches!(claim(&mut machine, 1), Action::CommitQuarantine { .. }));
    let landed = Event::Committed(CommitAnswer::Landed { version: 1 });
    assert!(matches!(machine.on(landed), Action::Commit { .. }));
    machine.on(Event::Committed(CommitAnswer::Conflict));
    // Somebody removed the quarantine table meanwhile.
    assert_eq!(machine.on(Event::Reread { table: v3, quarantine: None }), Action::CheckStaged { seq: 4 });
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: 4 });
    machine.on(Event::Closed);
    assert!(
        matches!(claim(&mut machine, 2), Action::CommitQuarantine { .. }),
        "the next batch has bad rows of its own"
    );
}
