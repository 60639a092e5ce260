//! Replay, rollback, better versions of quarantined files, maintenance.

use std::sync::Arc;

use actix::System;
use connector_actors::messages::control::{
    Drain, Maintain, Pause, Replay, ReplaySummary, Resume, Rollback, RollbackSummary,
};
use connector_core::error::Failure;
use connector_core::evolve::OnMissingColumn;
use connector_core::history::{BatchRecord, HistoryQuery};
use connector_core::ids::{BatchId, ImportName};
use connector_core::ports::{ImportCounts, Ledger, Retry};
use connector_core::quarantine::QuarantineFilter;
use connector_core::revision::BatchKind;
use connector_core::schema::Column;
use connector_core::spec::{ImportSpec, Schedule};
use connector_core::types::ColumnType;
use connector_ledger::SqliteLedger;
use jiff::Timestamp;

use crate::doubles::{Bench, CommitFault, DEADLINE, Process, csv, rows_of};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

fn name() -> ImportName {
    ImportName::new("orders")
}

async fn replay(process: &Process, dry_run: bool) -> Result<ReplaySummary, Failure> {
    replay_where(process, QuarantineFilter::default(), dry_run).await
}

async fn replay_where(process: &Process, filter: QuarantineFilter, dry_run: bool) -> Result<ReplaySummary, Failure> {
    let replay = process.supervisor.send(Replay { import: name(), filter, dry_run });
    tokio::time::timeout(DEADLINE, replay).await.expect("ends").expect("the supervisor lives")
}

async fn rollback(process: &Process, batch: &BatchId, dry_run: bool) -> Result<RollbackSummary, Failure> {
    let rollback = process.supervisor.send(Rollback { import: name(), batch: batch.clone(), dry_run });
    tokio::time::timeout(DEADLINE, rollback).await.expect("ends").expect("the supervisor lives")
}

async fn drain(process: &Process) {
    process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
}

async fn counts(ledger: &SqliteLedger) -> ImportCounts {
    ledger.counts(&name(), Timestamp::UNIX_EPOCH).await.expect("counts")
}

async fn newest_batch(ledger: &SqliteLedger) -> BatchRecord {
    let query = HistoryQuery { limit: 1, before: None, files: true, outcome: None };
    ledger.history(&name(), query).await.expect("history").batches.remove(0)
}

fn two_columns(bench: &Bench, nullable: bool) -> ImportSpec {
    let mut spec = bench.spec(Schedule::OnDemand);
    let number = |name| {
        if nullable { Column::nullable(name, ColumnType::Int64) } else { Column::required(name, ColumnType::Int64) }
    };
    spec.columns = Some(vec![number("id"), number("n")]);
    spec
}

/// Whole file lacks a column, single rows have bad values.
fn three_files(bench: &Bench) {
    bench.bucket.put("a.csv", "id,n\n1,10\n2,\n3,x\n4,40\n", 0);
    bench.bucket.put("b.csv", "id\n5\n6\n", 1);
    bench.bucket.put("c.csv", "id,n\n7,70\n", 2);
}

/// What stays in quarantine once empty cells and absent columns are NULL.
fn relaxed(bench: &Bench) -> ImportSpec {
    let mut spec = two_columns(bench, true);
    spec.evolution.on_missing_column = OnMissingColumn::Null;
    spec
}

async fn ingest(bench: &Bench, spec: ImportSpec, ledger: &Arc<SqliteLedger>) {
    let process = Process::start(vec![bench.seat(0, spec, ledger)]);
    process.sync("orders").await.expect("syncs");
    drain(&process).await;
}

#[test]
fn rows_that_fit_by_now_move_into_the_table_once_and_the_others_stay() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        three_files(&bench);
        ingest(&bench, two_columns(&bench, false), &ledger).await;
        assert_eq!(bench.quarantine.rows().len(), 4);

        let process = Process::start(vec![bench.seat(0, relaxed(&bench), &ledger)]);
        let before = (bench.table.rows(), bench.quarantine.rows());
        let summary = replay(&process, true).await.expect("counts");
        assert_eq!((summary.rows, summary.moved, summary.files, summary.batches.len()), (4, 3, 2, 0));
        assert_eq!((bench.table.rows(), bench.quarantine.rows()), before, "a dry run changes nothing");

        let summary = replay(&process, false).await.expect("replays");
        assert_eq!((summary.rows, summary.moved, summary.batches.len()), (4, 3, 1));
        assert_eq!(bench.quarantine.rows(), [("a.csv".to_owned(), 2)]);
        let all = [rows_of("a.csv", 4), rows_of("b.csv", 2), rows_of("c.csv", 1)].concat();
        assert_eq!(
            bench.table.rows(),
            all.into_iter().filter(|row| *row != ("a.csv".to_owned(), 2)).collect::<Vec<_>>()
        );
        let now = counts(&ledger).await;
        assert_eq!((now.rows, now.rows_quarantined), (6, 1));
        assert_eq!((now.files.get("ingested"), now.files.get("quarantined").copied().unwrap_or(0)), (Some(&3), 0));
        let batch = newest_batch(&ledger).await;
        assert_eq!((batch.kind, batch.state.as_str()), (BatchKind::Replay, "committed"));

        let again = replay(&process, false).await.expect("replays");
        assert_eq!((again.rows, again.moved, again.batches.len()), (1, 0, 0), "what does not fit is left alone");
        drain(&process).await;
    });
}

#[test]
fn a_replay_takes_only_the_rows_that_were_asked_for() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        three_files(&bench);
        ingest(&bench, two_columns(&bench, false), &ledger).await;
        let process = Process::start(vec![bench.seat(0, relaxed(&bench), &ledger)]);
        let filter = QuarantineFilter { key: Some("b.csv".to_owned()), ..QuarantineFilter::default() };
        let summary = replay_where(&process, filter, false).await.expect("replays");
        assert_eq!((summary.rows, summary.moved), (2, 2));
        assert_eq!(bench.quarantine.rows(), [("a.csv".to_owned(), 1), ("a.csv".to_owned(), 2)]);
        drain(&process).await;
    });
}

#[test]
fn whatever_becomes_of_a_replays_commits_its_rows_move_once() {
    use CommitFault::{Conflict, LandedButAnswerLost, NothingHappened};
    System::new().block_on(async {
        for (at_table, at_quarantine) in [
            (Some(LandedButAnswerLost), None),
            (Some(NothingHappened), Some(NothingHappened)),
            (Some(Conflict), Some(LandedButAnswerLost)),
            (None, Some(Conflict)),
        ] {
            let (bench, ledger) = (Bench::new("orders"), ledger());
            three_files(&bench);
            ingest(&bench, two_columns(&bench, false), &ledger).await;
            let process = Process::start(vec![bench.seat(0, relaxed(&bench), &ledger)]);
            replay(&process, true).await.expect("it runs");
            bench.table.state.lock().expect("lock").faults.extend(at_table);
            bench.quarantine.state.lock().expect("lock").faults.extend(at_quarantine);
            let summary = replay(&process, false).await.expect("replays");
            assert_eq!(summary.moved, 3);
            assert_eq!((bench.table.rows().len(), bench.quarantine.rows().len()), (6, 1));
            drain(&process).await;
        }
    });
}

#[test]
fn a_file_that_is_gone_keeps_its_rows_in_quarantine_and_is_named() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        three_files(&bench);
        ingest(&bench, two_columns(&bench, false), &ledger).await;
        bench.bucket.put("b.csv", "id,n\n5,50\n6,60\n7,70\n", 9);
        let process = Process::start(vec![bench.seat(0, relaxed(&bench), &ledger)]);
        let summary = replay(&process, false).await.expect("replays");
        assert_eq!((summary.moved, summary.unreadable_files), (1, 1));
        assert_eq!((&*summary.unreadable[0].key, &*summary.unreadable[0].code), ("b.csv", "object_changed"));
        assert_eq!(bench.quarantine.rows().len(), 3);

        // The better version takes the place of the rows that are in quarantine.
        process.sync("orders").await.expect("syncs");
        assert_eq!(bench.quarantine.rows(), [("a.csv".to_owned(), 2)]);
        assert_eq!(bench.table.rows().iter().filter(|(key, _)| key == "b.csv").count(), 3);
        let now = counts(&ledger).await;
        assert_eq!((now.rows, now.rows_quarantined), (7, 1));
        drain(&process).await;
    });
}

#[test]
fn a_rollback_takes_back_exactly_one_batch_and_its_files_wait_to_be_asked_for() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let process = Process::start(vec![bench.seat(0, two_columns(&bench, true), &ledger)]);
        bench.bucket.put("0.csv", "id,n\n0,0\n", 0);
        process.sync("orders").await.expect("syncs");
        three_files(&bench);
        process.sync("orders").await.expect("syncs");
        let wrong = BatchId::from_stored(newest_batch(&ledger).await.id);
        bench.bucket.put("d.csv", "id,n\n8,80\n", 5);
        process.sync("orders").await.expect("syncs");
        let before = (bench.table.rows(), bench.quarantine.rows());

        let summary = rollback(&process, &wrong, true).await.expect("counts");
        assert_eq!((summary.files, summary.rows, summary.rows_quarantined, summary.batch), (3, 4, 3, None));
        assert_eq!((bench.table.rows(), bench.quarantine.rows()), before, "a dry run changes nothing");

        let summary = rollback(&process, &wrong, false).await.expect("rolls back");
        assert!(summary.batch.is_some());
        assert_eq!(bench.table.rows(), [rows_of("0.csv", 1), rows_of("d.csv", 1)].concat());
        assert_eq!(bench.quarantine.rows(), []);
        process.sync("orders").await.expect("syncs");
        assert_eq!(bench.table.rows().len(), 2, "nobody has asked for them");
        let again = rollback(&process, &wrong, false).await.expect("nothing is left");
        assert_eq!((again.files, again.batch), (0, None));

        let files = ledger.retry(&name(), &Retry::RolledBack(wrong), Timestamp::UNIX_EPOCH).await.expect("retries");
        assert_eq!(files, 3);
        process.sync("orders").await.expect("syncs");
        let mut expected = before.0.clone();
        expected.sort();
        assert_eq!((bench.table.rows(), bench.quarantine.rows()), (expected, before.1));
        let no_batch = rollback(&process, &BatchId::from_stored("01ARZ3NDEKTSV4RRFFQ69G5FAV"), false).await;
        assert_eq!(no_batch.expect_err("there is none").code, "no_such_batch");
        drain(&process).await;
    });
}

#[test]
fn a_rollback_takes_rows_back_that_were_replayed_since() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        three_files(&bench);
        ingest(&bench, two_columns(&bench, false), &ledger).await;
        let batch = BatchId::from_stored(newest_batch(&ledger).await.id);
        let process = Process::start(vec![bench.seat(0, relaxed(&bench), &ledger)]);
        replay(&process, false).await.expect("replays");
        let summary = rollback(&process, &batch, false).await.expect("rolls back");
        assert_eq!((summary.rows, summary.rows_quarantined), (6, 1));
        assert_eq!((bench.table.rows().len(), bench.quarantine.rows().len()), (0, 0));
        drain(&process).await;
    });
}

#[test]
fn a_paused_import_carries_out_what_it_is_asked_for_and_claims_nothing() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        three_files(&bench);
        ingest(&bench, two_columns(&bench, false), &ledger).await;
        let mut spec = relaxed(&bench);
        spec.schedule = Schedule::Auto;
        let process = Process::start(vec![bench.seat(0, spec, &ledger)]);
        process.supervisor.send(Pause { import: name() }).await.expect("lives").expect("pauses");
        bench.bucket.put("d.csv", csv(5), 7);
        assert_eq!(replay(&process, false).await.expect("replays").moved, 3);
        let summary = process.supervisor.send(Maintain { import: name() }).await.expect("lives").expect("maintains");
        assert_eq!((summary.steps, summary.compacted), (6, 12), "three steps for each table");
        assert!(!bench.table.rows().iter().any(|(key, _)| key == "d.csv"));
        process.supervisor.send(Resume { import: name() }).await.expect("lives").expect("resumes");
        crate::doubles::until(async || bench.table.rows().iter().any(|(key, _)| key == "d.csv").then_some(())).await;
        drain(&process).await;
    });
}

#[test]
fn tables_are_looked_after_without_being_asked() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let process = Process::start(vec![bench.seat(0, two_columns(&bench, true), &ledger)]);
        let maintained = || bench.table.state.lock().expect("lock").maintained;
        for file in 0..64 {
            assert_eq!(maintained(), 0, "after {file} commits");
            bench.bucket.put(&format!("{file:02}.csv"), "id,n\n1,1\n", file);
            process.sync("orders").await.expect("syncs");
        }
        crate::doubles::until(async || (maintained() == 2).then_some(())).await;
        bench.bucket.put("more.csv", "id,n\n1,1\n", 99);
        process.sync("orders").await.expect("the import goes on");
        assert_eq!((bench.table.rows().len(), maintained()), (65, 2));
        drain(&process).await;
    });
}

#[test]
fn maintenance_that_fails_is_not_tried_without_end_and_holds_nothing_up() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let process = Process::start(vec![bench.seat(0, two_columns(&bench, true), &ledger)]);
        bench.table.state.lock().expect("lock").maintenance_fails = true;
        for file in 0..70 {
            bench.bucket.put(&format!("{file:02}.csv"), "id,n\n1,1\n", file);
            process.sync("orders").await.expect("syncs");
        }
        let tried = bench.table.state.lock().expect("lock").maintained;
        assert_eq!((bench.table.rows().len(), tried), (70, 1));
        let asked = process.supervisor.send(Maintain { import: name() }).await.expect("lives");
        assert_eq!(asked.expect_err("it fails").code, "storage_denied");
        drain(&process).await;
    });
}

#[test]
fn a_rollback_that_cannot_be_committed_is_given_up_with_its_reason_and_the_import_goes_on() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let process = Process::start(vec![bench.seat(0, two_columns(&bench, true), &ledger)]);
        three_files(&bench);
        process.sync("orders").await.expect("syncs");
        let batch = BatchId::from_stored(newest_batch(&ledger).await.id);
        let before = (bench.table.rows(), bench.quarantine.rows());
        bench.table.state.lock().expect("lock").faults.push_back(CommitFault::Denied);
        let refused = rollback(&process, &batch, false).await.expect_err("it cannot be committed");
        assert_eq!(refused.code, "storage_denied");
        assert_eq!((bench.table.rows(), bench.quarantine.rows()), before);
        assert_eq!(newest_batch(&ledger).await.state, "abandoned");
        bench.bucket.put("d.csv", "id,n\n8,80\n", 5);
        process.sync("orders").await.expect("the import goes on");
        let summary = rollback(&process, &batch, false).await.expect("it can be asked for again");
        assert_eq!((summary.files, bench.table.rows()), (3, rows_of("d.csv", 1)));
        drain(&process).await;
    });
}
