//! The pipeline when things go wrong.

use std::sync::Arc;

use actix::System;
use connector_actors::messages::control::{Drain, Resume};
use connector_core::csv::CsvDialect;
use connector_core::error::Failure;
use connector_core::ids::{ImportName, ImportUuid};
use connector_core::ports::{Destination, Ledger, ReferenceFile};
use connector_core::schema::{Column, TableSchema};
use connector_core::spec::{OverwritePolicy, Schedule};
use connector_core::status::ImportState;
use connector_core::types::ColumnType;
use connector_ledger::SqliteLedger;

use crate::doubles::{Bench, CommitFault, DEADLINE, Process, csv, rows_of, until};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

#[test]
fn a_commit_whose_answer_is_lost_or_refused_ends_in_one_copy() {
    for fault in [CommitFault::LandedButAnswerLost, CommitFault::NothingHappened, CommitFault::Conflict] {
        System::new().block_on(async {
            let (bench, ledger) = (Bench::new("orders"), ledger());
            bench.bucket.put("a.csv", csv(100), 1);
            bench.table.state.lock().expect("lock").faults.push_back(fault.clone());
            let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
            let summary = process.sync("orders").await.expect("syncs");
            assert_eq!(summary.rows, 100, "{fault:?}");
            assert_eq!(bench.table.rows(), rows_of("a.csv", 100), "{fault:?}");
        });
    }
}

#[test]
fn bad_rows_go_to_quarantine_and_a_file_that_cannot_be_read_fails_visibly() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", csv(3), 1);
        bench.bucket.put("2.csv", "id,name\n1,a\nnot a number,b\n3,c\n", 2);
        bench.bucket.put("3.csv", csv(4), 3);
        bench.bucket.put("4.csv", [0xFF, 0xFE, b'i', 0, b'd', 0].as_slice(), 4);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed), (3, 1));
        assert_eq!((summary.rows, summary.rows_quarantined), (9, 1));
        let second = [("2.csv".to_owned(), 0), ("2.csv".to_owned(), 2)];
        assert_eq!(bench.table.rows(), [&rows_of("1.csv", 3)[..], &second, &rows_of("3.csv", 4)].concat());
        assert_eq!(bench.quarantine.rows(), [("2.csv".to_owned(), 1)]);
        let counts = ledger.counts(&ImportName::new("orders"), jiff::Timestamp::UNIX_EPOCH).await.expect("counts");
        assert_eq!((counts.rows, counts.rows_quarantined), (9, 1));
        let failures: Vec<&str> = counts.recent_failures.iter().map(|failed| failed.code.as_str()).collect();
        assert_eq!(failures, ["encoding"]);
    });
}

#[test]
fn a_large_file_that_fails_half_way_leaves_no_row_behind() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("0.csv", csv(5), 0);
        // A record that is longer than any may be, behind rows that are staged already and bad ones.
        let long = format!("bad,row\n1,{}\n", "x".repeat(9 << 20));
        bench.bucket.put("1.csv", csv(600_000) + &long, 1);
        let process = Process::start_with_budget(
            vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)],
            connector_core::credit::MIN_BUDGET,
        );
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed, summary.rows), (1, 1, 5));
        assert_eq!((bench.table.rows(), bench.quarantine.rows()), (rows_of("0.csv", 5), Vec::new()));
        for table in [&bench.table, &bench.quarantine] {
            let files = table
                .state
                .lock()
                .expect("lock")
                .files
                .values()
                .flatten()
                .map(arrow::array::RecordBatch::num_rows)
                .sum::<usize>();
            assert_eq!(files, table.rows().len(), "its data files were discarded");
        }
    });
}

#[test]
fn one_import_whose_bucket_is_refused_fails_with_the_reason_and_the_other_goes_on() {
    System::new().block_on(async {
        let (bad, good, ledger) = (Bench::new("bad"), Bench::new("good"), ledger());
        let refusal = Failure::config("no_such_bucket", "there is no bucket named 'bucket'; correct IMPORT_BUCKET_URI");
        bad.bucket.list_faults.lock().expect("lock").push_back(refusal);
        good.bucket.put("a.csv", csv(2), 1);
        let process = Process::start(vec![
            bad.seat(0, bad.spec(Schedule::Auto), &ledger),
            good.seat(1, good.spec(Schedule::Auto), &ledger),
        ]);
        let failed = process.wait_for_state("bad", ImportState::Failed).await;
        assert_eq!(failed.reason.expect("a reason").code, "no_such_bucket");
        until(async || (good.table.rows().len() == 2).then_some(())).await;
        assert_eq!(process.sync("bad").await.expect_err("failed").code, "no_such_bucket");
        // The user mends it and resumes.
        bad.bucket.put("b.csv", csv(1), 1);
        process.supervisor.send(Resume { import: ImportName::new("bad") }).await.expect("alive").expect("resumes");
        until(async || (bad.table.rows().len() == 1).then_some(())).await;
    });
}

#[test]
fn a_listing_that_fails_for_now_degrades_the_import_until_it_works_again() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("a.csv", csv(2), 1);
        let busy = Failure::transient("slow_down", "S3 asks to slow down");
        bench.bucket.list_faults.lock().expect("lock").push_back(busy);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        until(async || (bench.table.rows().len() == 2).then_some(())).await;
        process.wait_for_state("orders", ImportState::Running).await;
    });
}

#[test]
fn a_file_that_cannot_be_read_now_leaves_its_batch_and_its_mates_land() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", csv(1), 1);
        bench.bucket.put("2.csv", csv(2), 2);
        bench.bucket.put("3.csv", csv(3), 3);
        let fault = |failure: Failure| std::collections::VecDeque::from([failure]);
        {
            let mut faults = bench.bucket.read_faults.lock().expect("lock");
            faults.insert("2.csv".to_owned(), fault(Failure::transient("timeout", "no answer")));
            faults.insert("3.csv".to_owned(), fault(Failure::data("object_changed", "changed")));
        }
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let summary = process.sync("orders").await.expect("syncs");
        // 3.csv changed between listing and reading: the next scan finds it again as what it is now.
        assert_eq!((summary.files_ingested, summary.files_deferred), (1, 1));
        assert_eq!(bench.table.rows(), rows_of("1.csv", 1));
        assert_eq!(process.sync("orders").await.expect("syncs").files_ingested, 1);
        assert_eq!(bench.table.rows(), [rows_of("1.csv", 1), rows_of("3.csv", 3)].concat());
    });
}

#[test]
fn a_full_disk_gives_the_whole_batch_up_and_the_next_generation_reads_it_again() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        (0..4).for_each(|n| bench.bucket.put(&format!("{n}.csv"), csv(10), n));
        let full = Failure::transient("storage", "no space left");
        bench.table.state.lock().expect("lock").write_faults.push_back(full);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        until(async || (bench.table.rows().len() == 40).then_some(())).await;
        let expected: Vec<_> = (0..4).flat_map(|n| rows_of(&format!("{n}.csv"), 10)).collect();
        assert_eq!(bench.table.rows(), expected);
        assert!(process.observe("orders").await.generation.0 >= 2);
    });
}

#[test]
fn a_lost_ledger_stops_the_import_instead_of_importing_everything_again() {
    System::new().block_on(async {
        let bench = Bench::new("orders");
        bench.bucket.put("a.csv", csv(10), 1);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger())]);
        process.sync("orders").await.expect("syncs");
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger())]);
        let failed = process.wait_for_state("orders", ImportState::Failed).await;
        assert_eq!(failed.reason.expect("a reason").code, "ledger_lost");
        assert_eq!(bench.table.rows().len(), 10);
    });
}

#[test]
fn a_table_that_another_program_made_is_left_alone() {
    System::new().block_on(async {
        let bench = Bench::new("orders");
        bench.bucket.put("a.csv", csv(10), 1);
        let schema = TableSchema::new(vec![Column::nullable("x", ColumnType::String)]);
        bench.table.create(ImportUuid::mint(), &schema).await.expect("creates");
        bench.table.state.lock().expect("lock").import = None;
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger())]);
        let failed = process.wait_for_state("orders", ImportState::Failed).await;
        assert_eq!(failed.reason.expect("a reason").code, "foreign_table");
    });
}

#[test]
fn a_declared_table_exists_before_its_first_file_and_an_edited_schema_is_not_ignored() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let declared = |ty| {
            let mut spec = bench.spec(Schedule::OnDemand);
            spec.columns = Some(vec![Column::nullable("id", ty)]);
            spec
        };
        let process = Process::start(vec![bench.seat(0, declared(ColumnType::Int64), &ledger)]);
        process.wait_for_state("orders", ImportState::Running).await;
        assert!(bench.table.state.lock().expect("lock").schema.is_some());
        // The column that was left out on purpose is ignored; a third one is added.
        bench.bucket.put("a.csv", csv(2), 1);
        bench.bucket.put("b.csv", "id,name,extra\n1,a,b\n", 2);
        assert_eq!(process.sync("orders").await.expect("syncs").files_ingested, 2);
        assert_eq!(bench.table.columns(), ["id", "extra"]);
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        let process = Process::start(vec![bench.seat(0, declared(ColumnType::String), &ledger)]);
        let failed = process.wait_for_state("orders", ImportState::Failed).await;
        assert_eq!(failed.reason.expect("a reason").code, "schema_changed");
    });
}

#[test]
fn files_of_which_none_has_a_schema_fail_one_by_one_and_later_ones_are_read() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("1.csv", "\n\n", 1);
        bench.bucket.put("2.parquet", "this is no parquet file at all", 2);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let first = process.sync("orders").await.expect("syncs");
        assert_eq!((first.files_ingested, first.files_failed), (1, 1), "nothing is wrong with an empty file");
        bench.bucket.put("3.csv", csv(3), 3);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 3);
    });
}

#[test]
fn a_table_whose_creation_was_interrupted_is_created_by_the_next_generation() {
    System::new().block_on(async {
        let (bench, ledger, name) = (Bench::new("orders"), ledger(), ImportName::new("orders"));
        bench.bucket.put("a.csv", csv(3), 1);
        ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens");
        let columns = vec![Column::nullable("id", ColumnType::Int64), Column::nullable("name", ColumnType::String)];
        let reference = ReferenceFile {
            key: "a.csv".into(),
            columns: vec!["id".into(), "name".into()],
            dialect: Some(CsvDialect::default()),
            evidence: Vec::new(),
        };
        ledger.decide_schema(&name, &TableSchema::new(columns), Some(&reference)).await.expect("stores");
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 3);
    });
}

#[test]
fn a_table_that_the_ledger_has_not_heard_of_yet_is_taken_up() {
    System::new().block_on(async {
        let (bench, ledger, name) = (Bench::new("orders"), ledger(), ImportName::new("orders"));
        bench.bucket.put("a.csv", csv(3), 1);
        let record = ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens");
        let columns = vec![Column::nullable("id", ColumnType::Int64), Column::nullable("name", ColumnType::String)];
        bench.table.create(record.uuid, &TableSchema::new(columns)).await.expect("creates");
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 3);
        assert!(ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens").table_created);
    });
}

#[test]
fn a_generation_that_has_failed_stops_reading_and_gives_all_its_credit_back() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        (0..800).for_each(|n| bench.bucket.put(&format!("{n:04}.csv"), csv(5), n));
        let denied = Failure::config("storage_denied", "no right to write");
        bench.table.state.lock().expect("lock").write_faults.push_back(denied);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        assert_eq!(process.sync("orders").await.expect_err("fails").code, "storage_denied");
        process.wait_for_state("orders", ImportState::Failed).await;
        until(async || (process.world.credit.usage().0 == 0).then_some(())).await;
        let reads = bench.bucket.reads.load(std::sync::atomic::Ordering::SeqCst);
        // Each was inspected once before the first was read.
        assert!(reads < 800 + 200, "{reads} reads by a generation that had failed");
    });
}

#[test]
fn a_table_that_cannot_be_written_fails_with_that_reason() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("a.csv", csv(5), 1);
        bench.table.state.lock().expect("lock").faults.push_back(CommitFault::Denied);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        assert_eq!(process.sync("orders").await.expect_err("fails").code, "storage_denied");
        process.supervisor.send(Resume { import: ImportName::new("orders") }).await.expect("alive").expect("resumes");
        assert_eq!(process.sync("orders").await.expect("syncs").batches, 0, "the staged batch was finished already");
        assert_eq!(bench.table.rows(), rows_of("a.csv", 5));
    });
}

#[test]
fn files_that_an_edited_configuration_keeps_out_are_not_read_though_they_were_listed() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        (0..8).for_each(|n| bench.bucket.put(&format!("old/{n}.csv"), csv(1), n));
        let process = Process::start(vec![bench.seat(0, slow_ticks(&bench), &ledger)]);
        until(async || (bench.table.rows().len() == 5).then_some(())).await;
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        bench.bucket.put("new/a.csv", csv(2), 1);
        let mut edited = bench.spec(Schedule::OnDemand);
        edited.uri = connector_core::uri::BucketUri::parse("s3://bucket/new/").expect("parses");
        let process = Process::start(vec![bench.seat(0, edited, &ledger)]);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 2);
        assert_eq!(bench.table.rows().len(), 7);
    });
}

fn slow_ticks(bench: &Bench) -> connector_core::spec::ImportSpec {
    let mut spec = bench.spec(Schedule::Auto);
    spec.tick = std::time::Duration::from_secs(3_600);
    spec
}
