//! Schemas that evolve, and rows that do not fit.

use std::sync::Arc;

use actix::System;
use connector_actors::messages::control::{Drain, Resume};
use connector_core::error::Failure;
use connector_core::evolve::{Evolution, OnMissingColumn};
use connector_core::guard::GuardLimits;
use connector_core::history::HistoryQuery;
use connector_core::ids::ImportName;
use connector_core::ports::Ledger;
use connector_core::schema::Column;
use connector_core::spec::{ImportSpec, OverwritePolicy, Schedule};
use connector_core::status::ImportState;
use connector_core::types::ColumnType;
use connector_ledger::SqliteLedger;

use crate::doubles::{Bench, CommitFault, DEADLINE, PASS, Process, rows_of, until};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

fn name() -> ImportName {
    ImportName::new("orders")
}

/// An import with these columns declared.
fn declared(bench: &Bench, columns: &[(&str, ColumnType)]) -> ImportSpec {
    let mut spec = bench.spec(Schedule::OnDemand);
    spec.columns = Some(columns.iter().map(|(name, ty)| Column::nullable(*name, ty.clone())).collect());
    spec
}

/// A sync that may be refused, and the end of the process.
async fn try_sync(bench: &Bench, spec: ImportSpec, ledger: &Arc<SqliteLedger>) {
    let process = Process::start(vec![bench.seat(0, spec, ledger)]);
    let _ = process.sync("orders").await;
    process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
}

async fn sync_once(bench: &Bench, spec: ImportSpec, ledger: &Arc<SqliteLedger>) {
    let process = Process::start(vec![bench.seat(0, spec, ledger)]);
    process.sync("orders").await.expect("syncs");
    process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
}

/// A series of files whose header grows by two columns in the middle.
fn growing_series(bench: &Bench, order: &[i64]) {
    for (time, file) in order.iter().enumerate() {
        let body = if *file < 3 { "id,name\n1,a\n2,b\n" } else { "id,name,x,y\n1,a,7,8\n2,b,9,10\n" };
        bench.bucket.put(&format!("{file}.csv"), body, time as i64);
    }
}

#[test]
fn a_header_that_grows_in_order_adds_its_columns_and_quarantines_nothing() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        growing_series(&bench, &[0, 1, 2, 3, 4, 5]);
        sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
        assert_eq!(bench.table.columns(), ["id", "name", "x", "y"]);
        assert_eq!((bench.table.rows().len(), bench.quarantine.rows().len()), (12, 0));
        let history = ledger.schema_history(&name()).await.expect("history");
        let brought: Vec<_> = history[1].changes.iter().map(|c| (c.column.as_str(), c.key.as_deref())).collect();
        assert_eq!((history.len(), brought), (2, vec![("x", Some("3.csv")), ("y", Some("3.csv"))]));
    });
}

#[test]
fn the_same_series_backwards_ends_with_the_same_rows_in_table_and_quarantine_together() {
    System::new().block_on(async {
        for (on_missing_column, in_table) in [(OnMissingColumn::Quarantine, 6), (OnMissingColumn::Null, 12)] {
            let (bench, ledger) = (Bench::new("orders"), ledger());
            growing_series(&bench, &[5, 4, 3, 2, 1, 0]);
            let mut spec = bench.spec(Schedule::OnDemand);
            spec.evolution.on_missing_column = on_missing_column;
            sync_once(&bench, spec, &ledger).await;
            let mut all = [bench.table.rows(), bench.quarantine.rows()].concat();
            all.sort();
            let expected: Vec<_> = (0..6).flat_map(|file| rows_of(&format!("{file}.csv"), 2)).collect();
            assert_eq!((all, bench.table.rows().len()), (expected, in_table), "{on_missing_column:?}");
        }
    });
}

#[test]
fn a_table_that_declares_some_columns_of_its_files_never_grows_the_others() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let mut spec = bench.spec(Schedule::OnDemand);
        spec.columns = Some(vec![Column::nullable("b", ColumnType::Int64)]);
        for file in 0..4 {
            bench.bucket.put(&format!("{file}.csv"), "a,b,c\n1,2,3\n", file);
            sync_once(&bench, spec.clone(), &ledger).await;
        }
        assert_eq!((bench.table.columns(), bench.table.rows().len()), (vec!["b".to_owned()], 4));
    });
}

#[test]
fn a_file_that_does_not_fit_goes_to_quarantine_as_a_whole_and_is_shown_so() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id,name\n1,a\n", 1);
        bench.bucket.put("2.csv", "id,extra\n1,a\n2,b\n", 2);
        sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
        assert_eq!(bench.quarantine.rows(), rows_of("2.csv", 2));
        assert_eq!(bench.table.columns(), ["id", "name"], "an incompatible file proposes no columns");
        let query = HistoryQuery { limit: 10, before: None, files: true, outcome: None };
        let page = ledger.history(&name(), query).await.expect("history");
        let second = page.batches[0].results.iter().find(|file| file.key == "2.csv").expect("there");
        assert_eq!((second.outcome.as_str(), second.rows_quarantined), ("quarantined", 2));
        assert!(second.message.as_deref().is_some_and(|text| text.contains("column 'name'")), "{second:?}");
        // A better version of the same key is read.
        bench.bucket.put("2.csv", "id,name\n1,a\n2,b\n", 3);
        sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
        assert_eq!(bench.table.rows().len(), 3);
    });
}

#[test]
fn a_frozen_table_takes_rows_without_a_value_in_the_unknown_column() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id\n1\n", 1);
        bench.bucket.put("2.csv", "id,new\n2,\n3,x\n", 2);
        let mut spec = bench.spec(Schedule::OnDemand);
        spec.evolution.evolution = Evolution::Freeze;
        sync_once(&bench, spec, &ledger).await;
        assert_eq!(bench.table.columns(), ["id"]);
        assert_eq!(bench.quarantine.rows(), [("2.csv".to_owned(), 1)]);
        assert_eq!(bench.table.rows().len(), 2);
    });
}

#[test]
fn a_column_that_schema_gains_is_added_by_the_next_commit() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let declared = |columns: &[&str]| {
            let mut spec = bench.spec(Schedule::OnDemand);
            spec.columns = Some(columns.iter().map(|name| Column::nullable(*name, ColumnType::Int64)).collect());
            spec
        };
        bench.bucket.put("1.csv", "a,b\n1,2\n", 1);
        sync_once(&bench, declared(&["a"]), &ledger).await;
        bench.bucket.put("2.csv", "a,b\n3,4\n", 2);
        sync_once(&bench, declared(&["b", "a"]), &ledger).await;
        assert_eq!(bench.table.columns(), ["a", "b"]);
        let history = ledger.schema_history(&name()).await.expect("history");
        assert_eq!(history.last().expect("two").changes[0].key, None, "no file brought it");
    });
}

#[test]
fn whatever_commit_fails_rows_and_columns_arrive_once() {
    for table in 0..2 {
        for fault in [CommitFault::LandedButAnswerLost, CommitFault::NothingHappened, CommitFault::Conflict] {
            System::new().block_on(async {
                let (bench, ledger) = (Bench::new("orders"), ledger());
                bench.bucket.put("1.csv", "id\n1\n", 1);
                sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
                bench.bucket.put("2.csv", "id,x\n2,5\nbad,6\n", 2);
                let faulty = if table == 0 { &bench.table } else { &bench.quarantine };
                faulty.state.lock().expect("lock").faults.push_back(fault.clone());
                sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
                assert_eq!(bench.table.rows(), [("1.csv".to_owned(), 0), ("2.csv".to_owned(), 0)], "{fault:?}");
                assert_eq!(bench.quarantine.rows(), [("2.csv".to_owned(), 1)], "{fault:?}");
                assert_eq!(bench.table.columns(), ["id", "x"]);
                assert!(bench.quarantine.columns().contains(&"x".to_owned()));
            });
        }
    }
}

#[test]
fn an_import_whose_rows_are_mostly_bad_is_paused_before_anything_is_stored_until_somebody_resumes_it() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id\n1\n", 1);
        let mut spec = bench.spec(Schedule::Auto);
        spec.guard = GuardLimits { rows: 3, ..GuardLimits::default() };
        let process = Process::start(vec![bench.seat(0, spec.clone(), &ledger)]);
        until(async || (bench.table.rows().len() == 1).then_some(())).await;
        bench.bucket.put("2.csv", "id\n2\nx\ny\nz\n", 2);
        let paused = process.wait_for_state("orders", ImportState::Paused).await;
        assert_eq!(paused.reason.expect("a reason").code, "too_many_bad_rows");
        assert_eq!((bench.table.rows().len(), bench.quarantine.rows().len()), (1, 0));
        until(async || bench.quarantine.state.lock().expect("lock").files.is_empty().then_some(())).await;
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        // It outlives a restart, with its reason.
        let process = Process::start(vec![bench.seat(0, spec, &ledger)]);
        let paused = process.wait_for_state("orders", ImportState::Paused).await;
        assert_eq!(paused.reason.expect("a reason").code, "too_many_bad_rows");
        assert_eq!(process.sync("orders").await.expect_err("paused").code, "too_many_bad_rows");
        process.supervisor.send(Resume { import: name() }).await.expect("alive").expect("resumes");
        until(async || (bench.quarantine.rows().len() == 3).then_some(())).await;
        assert_eq!(bench.table.rows().len(), 2);
        // The waiver was for one batch.
        bench.bucket.put("3.csv", "id\nx\ny\nz\n", 3);
        process.wait_for_state("orders", ImportState::Paused).await;
    });
}

#[test]
fn a_file_without_any_record_is_ingested_with_no_rows_and_lacks_nothing() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id,name\n1,a\n", 1);
        bench.bucket.put("2.csv", "\n\n", 2);
        bench.bucket.put("3.csv", "id,name\n", 3);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed, summary.rows), (3, 0, 1));
    });
}

#[test]
fn a_file_that_breaks_while_it_is_read_leaves_no_row_and_its_mates_land_with_their_columns() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id\n1\n", 1);
        bench.bucket.put("2.csv", format!("id,x\n1,2\n1,{}\n", "y".repeat(9 << 20)), 2);
        bench.bucket.put("3.csv", "id,z\n1,2\n", 3);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed), (2, 1));
        // The data files of its mates have its column already: it stays, and is NULL.
        assert_eq!(bench.table.columns(), ["id", "x", "z"]);
    });
}

#[test]
fn columns_that_were_left_out_stay_out_also_if_no_reference_file_could_be_found_out() {
    System::new().block_on(async {
        // A file that cannot be read for a moment, and one whose names infer nothing.
        for (body, fault) in [("a,b,c\n1,2,3\n", true), ("b,x,x,x_2\n1,2,3,4\n", false)] {
            let (bench, ledger) = (Bench::new("orders"), ledger());
            bench.bucket.put("1.csv", body, 1);
            if fault {
                let failure = Failure::transient("timeout", "no answer");
                bench.bucket.read_faults.lock().expect("lock").insert("1.csv".into(), [failure].into());
            }
            let spec = declared(&bench, &[("b", ColumnType::Int64)]);
            try_sync(&bench, spec.clone(), &ledger).await;
            bench.bucket.put("2.csv", body.replace('1', "5"), 2);
            try_sync(&bench, spec, &ledger).await;
            assert_eq!(bench.table.columns(), ["b"], "{body}");
        }
    });
}

#[test]
fn a_value_behind_the_sample_keeps_its_column_though_the_file_that_brought_it_is_gone() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.ndjson", "{\"id\":1}\n", 1);
        sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
        let filler = format!("{{\"id\":1}}{}\n", " ".repeat(90));
        let half = filler.repeat((1 << 20) / filler.len());
        // Neither the head of the file, nor its middle, nor its tail shows it.
        let quarter = filler.repeat((768 << 10) / filler.len());
        bench.bucket.put("2.ndjson", format!("{quarter}{{\"id\":7,\"x\":42}}\n{half}{half}"), 2);
        bench.bucket.put("3.ndjson", "{\"id\":3,\"x\":1}\n", 3);
        let faults = [Failure::data(PASS, "inspected"), Failure::data("object_gone", "deleted")];
        bench.bucket.read_faults.lock().expect("lock").insert("3.ndjson".into(), faults.into());
        sync_once(&bench, bench.spec(Schedule::OnDemand), &ledger).await;
        let kept = bench.table.columns().contains(&"x".to_owned()) || !bench.quarantine.rows().is_empty();
        assert!(kept, "{:?}", bench.table.columns());
    });
}

#[test]
fn a_column_that_another_program_added_need_not_be_in_any_file() {
    System::new().block_on(async {
        for columns in [None, Some(vec![Column::nullable("id", ColumnType::Int64)])] {
            let (bench, ledger) = (Bench::new("orders"), ledger());
            let mut spec = bench.spec(Schedule::OnDemand);
            spec.columns = columns;
            bench.bucket.put("1.csv", "id\n1\n", 1);
            sync_once(&bench, spec.clone(), &ledger).await;
            let note = Column::nullable("note", ColumnType::String);
            bench.table.state.lock().expect("lock").schema.as_mut().expect("a table").columns.push(note);
            bench.bucket.put("2.csv", "id\n2\n", 2);
            sync_once(&bench, spec, &ledger).await;
            assert_eq!((bench.table.rows().len(), bench.quarantine.rows().len()), (2, 0));
        }
    });
}

#[test]
fn a_schema_that_is_edited_while_a_staged_batch_adds_the_column_is_held_against_what_it_added() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "a,x\n1,5\n", 1);
        sync_once(&bench, declared(&bench, &[("a", ColumnType::Int64)]), &ledger).await;
        bench.bucket.put("2.csv", "a,x\n1,5\n", 2);
        // The table cannot be written to: the batch stays staged.
        bench.table.state.lock().expect("lock").faults.push_back(CommitFault::Denied);
        try_sync(&bench, declared(&bench, &[("a", ColumnType::Int64), ("x", ColumnType::Int64)]), &ledger).await;
        bench.bucket.put("3.csv", "a,x\n1,five\n", 3);
        try_sync(&bench, declared(&bench, &[("a", ColumnType::Int64), ("x", ColumnType::String)]), &ledger).await;
        let rows = bench.table.rows();
        assert!(!rows.iter().any(|(key, _)| key == "3.csv"), "text is in a column of integers: {rows:?}");
    });
}

#[test]
fn a_file_of_which_no_row_fits_is_read_again_when_a_better_version_comes() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id\n1\n", 1);
        bench.bucket.put("2.csv", "id\nx\ny\n", 2);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_quarantined, summary.rows_quarantined), (1, 1, 2));
        bench.bucket.put("2.csv", "id\n2\n3\n", 3);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 2);
    });
}

#[test]
fn a_resume_that_comes_while_the_guard_is_still_being_stored_is_not_lost() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "id\n1\n", 1);
        let mut spec = bench.spec(Schedule::Auto);
        spec.guard = GuardLimits { rows: 3, ..GuardLimits::default() };
        let process = Process::start(vec![bench.seat(0, spec, &ledger)]);
        until(async || (bench.table.rows().len() == 1).then_some(())).await;
        bench.bucket.put("2.csv", "id\n2\nx\ny\nz\n", 2);
        process.wait_for_state("orders", ImportState::Paused).await;
        process.supervisor.send(Resume { import: name() }).await.expect("alive").expect("resumes");
        until(async || (bench.quarantine.rows().len() == 3).then_some(())).await;
        assert!(!ledger.open_import(&name(), "bucket", OverwritePolicy::Ignore).await.expect("opens").paused);
    });
}

#[test]
fn records_without_a_value_are_not_taken_for_an_empty_file() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.ndjson", "{}\n{}\n", 1);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed), (0, 1));
    });
}

#[test]
fn a_first_file_of_too_many_columns_is_refused_and_the_next_one_makes_the_table() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let mut spec = bench.spec(Schedule::OnDemand);
        spec.evolution.max_columns = 2;
        bench.bucket.put("1.csv", "a,b,c\n1,2,3\n", 1);
        let process = Process::start(vec![bench.seat(0, spec, &ledger)]);
        assert_eq!(process.sync("orders").await.expect("syncs").files_failed, 1);
        bench.bucket.put("2.csv", "a,b\n1,2\n", 2);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 1);
        assert_eq!(bench.table.columns(), ["a", "b"]);
    });
}

#[test]
fn a_file_that_has_none_of_the_columns_is_never_the_reference_file() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let spec = declared(&bench, &[("b", ColumnType::Int64)]);
        bench.bucket.put("1.csv", "7,8,9\n1,2,3\n", 1);
        try_sync(&bench, spec.clone(), &ledger).await;
        assert_eq!(bench.quarantine.rows(), rows_of("1.csv", 2), "its first record, too");
        bench.bucket.put("2.csv", "4,5,6\n", 2);
        bench.bucket.put("3.csv", "a,b,c\n1,2,3\n", 3);
        try_sync(&bench, spec.clone(), &ledger).await;
        bench.bucket.put("4.csv", "a,b,c\n1,4,3\n", 4);
        try_sync(&bench, spec, &ledger).await;
        assert_eq!((bench.table.columns(), bench.table.rows().len()), (vec!["b".to_owned()], 2));
        assert_eq!(bench.quarantine.rows().len(), 3);
    });
}
