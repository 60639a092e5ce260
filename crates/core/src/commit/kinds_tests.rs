//! The machine, step by step: batches of all kinds, batches that are claimed ahead, and hostile cases.

use super::*;
use crate::ids::ImportUuid;

const SEQ: BatchSeq = 4;

fn uuid(id: u128) -> BatchUuid {
    BatchUuid(uuid::Uuid::from_u128(id))
}

fn ledger(open: Option<OpenFacts>) -> LedgerFacts {
    let import = ImportUuid(uuid::Uuid::from_u128(7));
    LedgerFacts { import, table_created: true, committed_seq: SEQ - 1, open, ahead: None, quarantine_seq: None }
}

fn staged(kind: BatchKind, quarantine: bool) -> LedgerFacts {
    ledger(Some(OpenFacts { seq: SEQ, uuid: uuid(1), kind, staged: true, quarantine }))
}

/// A table of the import that has the batches up to this one, the last with uuid 1.
fn at(committed_seq: BatchSeq) -> Option<TableTxn> {
    let import = Some(ImportUuid(uuid::Uuid::from_u128(7)));
    Some(TableTxn { version: 9, import, committed_seq, committed_uuid: Some(uuid(1)) })
}

fn start(ledger: LedgerFacts, table: Option<TableTxn>, quarantine: Option<TableTxn>) -> (CommitMachine, Action) {
    let mut machine = CommitMachine::new();
    let action = machine.on(Event::Facts { ledger, table, quarantine });
    (machine, action)
}

fn landed(version: u64) -> Event {
    Event::Committed(CommitAnswer::Landed { version })
}

fn conflict() -> Event {
    Event::Committed(CommitAnswer::Conflict)
}

fn commit() -> Action {
    Action::Commit { seq: SEQ, uuid: uuid(1) }
}

fn commit_quarantine() -> Action {
    Action::CommitQuarantine { seq: SEQ, uuid: uuid(1) }
}

fn claimed(machine: &mut CommitMachine, seq: BatchSeq, id: u128, kind: BatchKind) -> Action {
    machine.on(Event::Claimed { seq, uuid: uuid(id), kind })
}

/// A machine with a batch of this kind, staged just now.
fn committing(kind: BatchKind, quarantine: bool) -> (CommitMachine, Action) {
    let (mut machine, action) = start(ledger(None), at(SEQ - 1), at(SEQ - 1));
    assert_eq!(action, Action::Await);
    assert_eq!(claimed(&mut machine, SEQ, 1, kind), Action::Decode);
    assert_eq!(machine.on(Event::Decoded { commit: true }), Action::Stage { seq: SEQ });
    let action = machine.on(Event::Staged { quarantine });
    (machine, action)
}

#[test]
fn replay_and_rollback_commit_to_the_table_first_and_finalise_with_its_version() {
    for kind in [BatchKind::Replay, BatchKind::Rollback] {
        let (mut machine, action) = committing(kind, true);
        assert_eq!(action, commit());
        assert_eq!(machine.on(landed(20)), commit_quarantine());
        assert_eq!(machine.on(landed(77)), Action::Finalise { seq: SEQ, table_version: 20 });
        assert_eq!(machine.on(Event::Finalised), Action::Await);
    }
}

#[test]
fn an_ingest_batch_commits_to_quarantine_first_and_an_expiry_not_at_all() {
    let (mut machine, action) = committing(BatchKind::Ingest, true);
    assert_eq!(action, commit_quarantine());
    assert_eq!(machine.on(landed(77)), commit());
    assert_eq!(machine.on(landed(20)), Action::Finalise { seq: SEQ, table_version: 20 });
    let (mut machine, action) = committing(BatchKind::Expiry, false);
    assert_eq!(action, commit());
    assert_eq!(machine.on(landed(20)), Action::Finalise { seq: SEQ, table_version: 20 });
}

#[test]
fn a_replay_is_taken_up_wherever_it_was_interrupted() {
    let facts = staged(BatchKind::Replay, true);
    assert_eq!(start(facts, at(SEQ - 1), at(SEQ - 1)).1, Action::CheckStaged { seq: SEQ });
    // Its data files are part of the table now: nobody has to look for them.
    let (mut machine, action) = start(facts, at(SEQ), at(SEQ - 1));
    assert_eq!(action, commit_quarantine());
    assert_eq!(machine.on(landed(77)), Action::Finalise { seq: SEQ, table_version: 9 });
    assert_eq!(start(facts, at(SEQ), at(SEQ)).1, Action::Finalise { seq: SEQ, table_version: 9 });
    let stopped = start(facts, at(SEQ - 1), at(SEQ)).1;
    assert!(matches!(stopped, Action::Stop(failure) if failure.code == "table_behind"));
}

#[test]
fn a_replay_of_which_nothing_landed_is_given_up_with_its_files() {
    let (mut machine, _) = start(staged(BatchKind::Replay, true), at(SEQ - 1), at(SEQ - 1));
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: SEQ });
    // The same if the quarantine table is gone: this part of the batch is done, but it is not in a table.
    let (mut machine, _) = start(staged(BatchKind::Replay, true), at(SEQ - 1), None);
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: SEQ });
}

#[test]
fn rows_that_went_with_the_quarantine_table_need_not_be_removed_from_it() {
    for kind in [BatchKind::Replay, BatchKind::Rollback] {
        let finalise = |table_version| Action::Finalise { seq: SEQ, table_version };
        let (mut machine, _) = start(staged(kind, true), at(SEQ - 1), None);
        assert_eq!(machine.on(Event::Intact(true)), commit());
        assert_eq!(machine.on(landed(20)), finalise(20));
        assert_eq!(start(staged(kind, true), at(SEQ), None).1, finalise(9));
        let (mut machine, _) = committing(kind, true);
        machine.on(landed(20));
        assert_eq!(machine.on(conflict()), Action::ReadTables);
        assert_eq!(machine.on(Event::Reread { table: at(SEQ), quarantine: None }), finalise(9));
    }
}

#[test]
fn an_expiry_that_conflicts_is_planned_anew_and_every_other_kind_tries_again() {
    let reread = || Event::Reread { table: at(SEQ - 1), quarantine: at(SEQ - 1) };
    for kind in BatchKind::ALL {
        let (mut machine, _) = committing(kind, false);
        machine.on(conflict());
        let expected = if kind == BatchKind::Expiry { Action::Abandon { seq: SEQ } } else { commit() };
        assert_eq!(machine.on(reread()), expected, "{kind:?}");
        // An error may still land: nothing else may take its place.
        let (mut machine, _) = committing(kind, false);
        machine.on(Event::CommitUnknown(Failure::transient("lost", "no answer")));
        assert_eq!(machine.on(reread()), commit(), "{kind:?}");
        // After a conflict it may have landed all the same.
        let (mut machine, _) = committing(kind, false);
        machine.on(conflict());
        let action = machine.on(Event::Reread { table: at(SEQ), quarantine: None });
        assert_eq!(action, Action::Finalise { seq: SEQ, table_version: 9 });
    }
    let (mut machine, action) = start(staged(BatchKind::Expiry, false), at(SEQ - 1), at(SEQ - 1));
    assert_eq!(action, Action::CheckStaged { seq: SEQ });
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: SEQ });
}

#[test]
fn trouble_of_a_batch_is_forgotten_with_it() {
    let (mut machine, _) = committing(BatchKind::Ingest, false);
    machine.on(Event::CommitUnknown(Failure::config("storage_denied", "no right to write")));
    let stopped = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None });
    assert!(matches!(stopped, Action::Stop(_)));
    let (mut machine, _) = committing(BatchKind::Ingest, true);
    machine.on(Event::CommitUnknown(Failure::config("storage_denied", "no right to write")));
    let gone = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None });
    assert_eq!(gone, Action::CheckStaged { seq: SEQ });
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: SEQ });
    machine.on(Event::Closed);
    claimed(&mut machine, SEQ, 2, BatchKind::Ingest);
    machine.on(Event::Decoded { commit: true });
    assert_eq!(machine.on(Event::Staged { quarantine: false }), Action::Commit { seq: SEQ, uuid: uuid(2) });
}

#[test]
fn what_only_revises_rows_is_given_up_if_the_user_has_to_make_its_commit_possible_and_nothing_has_landed() {
    for kind in [BatchKind::Replay, BatchKind::Rollback, BatchKind::Expiry] {
        let (mut machine, _) = committing(kind, kind != BatchKind::Expiry);
        machine.on(Event::CommitUnknown(Failure::config("data_file_unreadable", "it is gone")));
        let given_up = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: at(SEQ - 2) });
        assert_eq!(given_up, Action::Abandon { seq: SEQ }, "{kind:?}");
        assert_eq!(machine.take_given_up().map(|failure| failure.code), Some("data_file_unreadable"));
        assert_eq!(machine.take_given_up(), None);
    }
    // The table has its part: the other half has to follow.
    let (mut machine, _) = committing(BatchKind::Rollback, true);
    machine.on(Event::Committed(CommitAnswer::Landed { version: 9 }));
    machine.on(Event::CommitUnknown(Failure::config("data_file_unreadable", "it is gone")));
    let stopped = machine.on(Event::Reread { table: at(SEQ), quarantine: at(SEQ - 2) });
    assert!(matches!(stopped, Action::Stop(_)), "{stopped:?}");
}

#[test]
fn a_commit_to_quarantine_asks_for_what_was_seen_there() {
    let (mut machine, _) = start(ledger(None), at(SEQ - 1), at(SEQ - 2));
    assert_eq!(machine.quarantine_after(), SEQ - 2);
    claimed(&mut machine, SEQ, 1, BatchKind::Ingest);
    machine.on(Event::Decoded { commit: true });
    assert_eq!(machine.on(Event::Staged { quarantine: true }), commit_quarantine());
    let mut rival = machine.clone();
    machine.on(landed(5));
    assert_eq!(machine.quarantine_after(), SEQ);
    // Somebody has committed a batch there that this ledger finalised without it.
    rival.on(conflict());
    let stopped = rival.on(Event::Reread { table: at(SEQ - 1), quarantine: at(SEQ - 1) });
    assert!(matches!(stopped, Action::Stop(failure) if failure.code == "fenced"));
    // One that was made anew has none.
    let (machine, _) = start(ledger(None), at(SEQ - 1), None);
    assert_eq!(machine.quarantine_after(), 0);
}

#[test]
fn a_batch_is_decoded_ahead_and_staged_once_the_one_before_it_is_finalised() {
    let ahead = |machine: &mut CommitMachine| {
        assert!(machine.may_claim_ahead());
        assert_eq!(claimed(machine, SEQ + 1, 2, BatchKind::Ingest), Action::Decode);
        assert!(!machine.may_claim_ahead(), "one is enough");
    };
    // Decoded before the commit ends.
    let (mut machine, _) = committing(BatchKind::Ingest, false);
    ahead(&mut machine);
    assert_eq!(machine.on(Event::Decoded { commit: true }), Action::Wait);
    machine.on(landed(20));
    assert_eq!(machine.on(Event::Finalised), Action::Stage { seq: SEQ + 1 });
    let next = machine.on(Event::Staged { quarantine: false });
    assert_eq!(next, Action::Commit { seq: SEQ + 1, uuid: uuid(2) });
    // Decoded after it.
    let (mut machine, _) = committing(BatchKind::Ingest, false);
    ahead(&mut machine);
    machine.on(landed(20));
    assert_eq!(machine.on(Event::Finalised), Action::Wait);
    assert_eq!(machine.on(Event::Decoded { commit: false }), Action::Settle { seq: SEQ + 1 });
    assert_eq!(machine.on(Event::Closed), Action::Await);
    // Refused by the guard, meanwhile.
    let (mut machine, _) = committing(BatchKind::Ingest, false);
    ahead(&mut machine);
    assert_eq!(machine.on(Event::Refused), Action::Wait);
    machine.on(landed(20));
    assert_eq!(machine.on(Event::Finalised), Action::TripGuard { seq: SEQ + 1 });
}

#[test]
fn only_ingest_batches_are_claimed_ahead_and_only_of_each_other() {
    for kind in [BatchKind::Replay, BatchKind::Rollback, BatchKind::Expiry] {
        let (machine, _) = committing(kind, false);
        assert!(!machine.may_claim_ahead());
        let (mut machine, _) = committing(BatchKind::Ingest, false);
        let refused = claimed(&mut machine, SEQ + 1, 2, kind);
        assert!(matches!(refused, Action::Stop(failure) if failure.code == "protocol"));
    }
    let (machine, _) = start(ledger(None), at(SEQ - 1), None);
    assert!(!machine.may_claim_ahead());
}

#[test]
fn what_was_claimed_ahead_is_given_back_first_at_a_start_and_with_the_batch_before_it() {
    let ahead = OpenFacts::claimed(SEQ + 1, uuid(2), BatchKind::Ingest);
    let facts = LedgerFacts { ahead: Some(ahead), ..staged(BatchKind::Ingest, false) };
    let (mut machine, action) = start(facts, at(SEQ), None);
    assert_eq!(action, Action::Abandon { seq: SEQ + 1 });
    assert_eq!(machine.on(Event::Closed), Action::ReadTables);
    let action = machine.on(Event::Reread { table: at(SEQ), quarantine: None });
    assert_eq!(action, Action::Finalise { seq: SEQ, table_version: 9 });
    assert_eq!(machine.on(Event::Finalised), Action::Await);
    // Contradictions first: then nothing is touched.
    let stopped = start(facts, at(SEQ + 1), None).1;
    assert!(matches!(stopped, Action::Stop(failure) if failure.code == "ledger_behind"));
    // The quarantine table goes while both are under way, and a claim is answered late.
    let (mut machine, _) = committing(BatchKind::Ingest, true);
    machine.on(conflict());
    let gone = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None });
    assert_eq!(gone, Action::CheckStaged { seq: SEQ });
    assert_eq!(machine.on(Event::Intact(false)), Action::Abandon { seq: SEQ });
    assert_eq!(claimed(&mut machine, SEQ + 1, 2, BatchKind::Ingest), Action::Wait);
    assert_eq!(machine.on(Event::Closed), Action::Abandon { seq: SEQ + 1 });
    assert_eq!(machine.on(Event::Closed), Action::ReadTables);
    assert_eq!(machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None }), Action::Await);
}

/// A listing that is behind shows no quarantine table, although the batch may have landed in it.
#[test]
fn a_table_that_a_listing_hides_does_not_have_the_batch_read_again() {
    for late in [false, true] {
        let (mut machine, action) = match late {
            false => start(staged(BatchKind::Ingest, true), at(SEQ - 1), None),
            true => {
                let (mut machine, _) = committing(BatchKind::Ingest, true);
                machine.on(Event::CommitUnknown(Failure::transient("lost", "no answer")));
                let action = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None });
                (machine, action)
            }
        };
        assert_eq!(action, Action::CheckStaged { seq: SEQ });
        let stopped = machine.on(Event::Intact(true));
        let Action::Stop(failure) = stopped else { panic!("{stopped:?}") };
        assert_eq!((failure.class, failure.code), (ErrorClass::Transient, "hidden_table"), "it is looked again");
    }
}

/// Case 22: the conflict is our own earlier put, which has landed late.
#[test]
fn case_22_a_conflict_with_ones_own_earlier_put_is_no_conflict() {
    for kind in BatchKind::ALL {
        let (mut machine, action) = committing(kind, false);
        assert_eq!(action, commit());
        machine.on(Event::CommitUnknown(Failure::transient("lost", "no answer")));
        assert_eq!(machine.on(Event::Reread { table: at(SEQ - 1), quarantine: None }), commit());
        assert_eq!(machine.on(conflict()), Action::ReadTables);
        let action = machine.on(Event::Reread { table: at(SEQ), quarantine: None });
        assert_eq!(action, Action::Finalise { seq: SEQ, table_version: 9 }, "{kind:?}");
    }
}

/// Case 24: somebody changes the table so that it does not take the staged rows any more.
#[test]
fn case_24_a_table_that_refuses_frozen_rows_stops_the_import_and_they_are_never_classified_again() {
    let refused = || Event::CommitUnknown(Failure::config("schema_changed", "column 'a' is gone"));
    let (mut machine, _) = committing(BatchKind::Ingest, true);
    machine.on(landed(5));
    machine.on(refused());
    let stopped = machine.on(Event::Reread { table: at(SEQ - 1), quarantine: at(SEQ) });
    assert!(matches!(stopped, Action::Stop(failure) if failure.code == "schema_changed"));
    let (mut machine, action) = start(staged(BatchKind::Ingest, true), at(SEQ - 1), at(SEQ));
    assert_eq!(action, Action::CheckStaged { seq: SEQ });
    assert_eq!(machine.on(Event::Intact(true)), commit(), "the very same rows");
}
