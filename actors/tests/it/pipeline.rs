//! The pipeline as it should run.

use std::sync::Arc;

use actix::System;
use connector_actors::messages::control::{Drain, Pause, Resume};
use connector_core::credit::MIN_BUDGET;
use connector_core::ids::ImportName;
use connector_core::ports::{Destination, Ledger};
use connector_core::spec::{OverwritePolicy, Schedule};
use connector_core::status::ImportState;
use connector_ledger::SqliteLedger;

use crate::doubles::{Bench, DEADLINE, Process, csv, rows_of, until};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

#[test]
fn ticks_take_five_five_two_oldest_first() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        // Key order is the reverse of time order.
        for number in 0..12 {
            bench.bucket.put(&format!("{:02}.csv", 99 - number), csv(number as usize + 1), number);
        }
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        until(async || (bench.table.rows().len() == 78).then_some(())).await;
        assert_eq!(bench.table.commits(), [1 + 2 + 3 + 4 + 5, 6 + 7 + 8 + 9 + 10, 11 + 12]);
        let expected: Vec<_> =
            (0..12).rev().flat_map(|number| rows_of(&format!("{:02}.csv", 99 - number), number as u64 + 1)).collect();
        assert_eq!(bench.table.rows(), expected);
        assert_eq!(process.observe("orders").await.state, ImportState::Running);
        let counts = until(async || {
            let counts = ledger.counts(&ImportName::new("orders"), jiff::Timestamp::UNIX_EPOCH).await.expect("counts");
            (counts.rows == 78).then_some(counts)
        })
        .await;
        assert_eq!(counts.watermark.expect("a watermark").key, "88.csv", "the newest file");
    });
}

#[test]
fn on_demand_takes_everything_at_once_and_nothing_twice() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        for number in 0..12 {
            bench.bucket.put(&format!("{number:02}.csv"), csv(10), number);
        }
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let first = process.sync("orders").await.expect("syncs");
        assert_eq!((first.batches, first.files_ingested, first.rows), (1, 12, 120));
        assert_eq!(bench.table.commits(), [120]);
        let second = process.sync("orders").await.expect("syncs");
        assert_eq!((second.batches, second.rows), (0, 0));
        bench.bucket.put("late.csv", csv(3), -1_000);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 3, "an older time than all others");
    });
}

#[test]
fn a_restart_between_ticks_does_not_defeat_the_cap() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        for number in 0..12 {
            bench.bucket.put(&format!("{number:02}.csv"), csv(1), number);
        }
        let spec = || {
            let mut spec = bench.spec(Schedule::Auto);
            spec.tick = std::time::Duration::from_secs(3_600);
            spec
        };
        for _ in 0..3 {
            let process = Process::start(vec![bench.seat(0, spec(), &ledger)]);
            until(async || (bench.table.rows().len() == 5).then_some(())).await;
            let scans = bench.bucket.lists.load(std::sync::atomic::Ordering::SeqCst);
            until(async || (bench.bucket.lists.load(std::sync::atomic::Ordering::SeqCst) >= scans).then_some(())).await;
            process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        }
        assert_eq!(bench.table.rows().len(), 5);
    });
}

#[test]
fn two_imports_run_side_by_side_and_pause_and_resume_alone() {
    System::new().block_on(async {
        let (one, two, ledger) = (Bench::new("one"), Bench::new("two"), ledger());
        let process = Process::start(vec![
            one.seat(0, one.spec(Schedule::Auto), &ledger),
            two.seat(1, two.spec(Schedule::Auto), &ledger),
        ]);
        process.wait_for_state("one", ImportState::Running).await;
        let pause = Pause { import: ImportName::new("one") };
        process.supervisor.send(pause).await.expect("alive").expect("pauses");
        one.bucket.put("a.csv", csv(1), 1);
        two.bucket.put("a.csv", csv(2), 1);
        until(async || (two.table.rows().len() == 2).then_some(())).await;
        assert_eq!(process.observe("one").await.state, ImportState::Paused);
        assert!(one.table.rows().is_empty());
        let resume = Resume { import: ImportName::new("one") };
        process.supervisor.send(resume).await.expect("alive").expect("resumes");
        until(async || (one.table.rows().len() == 1).then_some(())).await;
    });
}

#[test]
fn a_pause_outlives_a_restart() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("one"), ledger());
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        process.wait_for_state("one", ImportState::Running).await;
        process.supervisor.send(Pause { import: ImportName::new("one") }).await.expect("alive").expect("pauses");
        until(async || {
            ledger
                .open_import(&ImportName::new("one"), "bucket", OverwritePolicy::Ignore)
                .await
                .expect("opens")
                .paused
                .then_some(())
        })
        .await;
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        process.wait_for_state("one", ImportState::Paused).await;
        assert_eq!(process.sync("one").await.expect_err("paused").code, "paused");
    });
}

#[test]
fn eight_imports_of_large_files_share_the_smallest_budget_without_a_deadlock() {
    System::new().block_on(async {
        let ledger = ledger();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let benches: Vec<Bench> = names.into_iter().map(Bench::new).collect();
        let seats = benches
            .iter()
            .enumerate()
            .map(|(seat, bench)| {
                // The first ones are far larger than a block under this budget; the others are small.
                (0..4).for_each(|n| bench.bucket.put(&format!("{n}.csv"), csv(if n < 2 { 60_000 } else { 500 }), n));
                bench.seat(seat, bench.spec(Schedule::OnDemand), &ledger)
            })
            .collect();
        let process = Process::start_with_budget(seats, MIN_BUDGET);
        let syncs = futures::future::join_all(names.iter().map(|name| process.sync(name))).await;
        assert!(syncs.into_iter().all(|sync| sync.expect("syncs").rows == 121_000));
        assert_eq!(process.world.credit.usage().0, 0, "all credit came back");
        for bench in &benches {
            let rows = bench.table.rows();
            assert_eq!(rows.len(), 121_000);
            assert!(rows.is_sorted_by(|one, two| one < two), "no row is there twice");
        }
    });
}

#[test]
fn a_sync_tells_what_it_did_and_not_what_ticks_did_before_it() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("a.csv", csv(3), 1);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        until(async || (bench.table.rows().len() == 3).then_some(())).await;
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 0);
    });
}

#[test]
fn a_pause_ends_a_running_sync_after_its_open_batch() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        (0..2_500).for_each(|n| bench.bucket.put(&format!("{n:04}.csv"), csv(1), n));
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        let pause = async {
            until(async || (!bench.table.commits().is_empty()).then_some(())).await;
            process.supervisor.send(Pause { import: ImportName::new("orders") }).await.expect("alive").expect("pauses");
        };
        let (sync, ()) = futures::join!(process.sync("orders"), pause);
        assert_eq!(sync.expect_err("paused").code, "paused");
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        assert!(bench.table.commits().len() <= 2, "{:?}", bench.table.commits());
    });
}

#[test]
fn a_resume_of_a_failed_and_paused_import_is_not_forgotten_while_it_starts() {
    System::new().block_on(async {
        let (bench, ledger, name) = (Bench::new("orders"), ledger(), ImportName::new("orders"));
        let record = ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens");
        ledger.set_paused(&name, true).await.expect("pauses");
        // A table of nobody: the import fails.
        let schema = connector_core::schema::TableSchema::new(Vec::new());
        bench.table.create(record.uuid, &schema).await.expect("creates");
        bench.table.state.lock().expect("lock").import = None;
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        process.wait_for_state("orders", ImportState::Failed).await;
        bench.table.state.lock().expect("lock").import = Some(record.uuid);
        process.supervisor.send(Resume { import: name.clone() }).await.expect("alive").expect("resumes");
        process.wait_for_state("orders", ImportState::Running).await;
        assert!(!ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens").paused);
    });
}

#[test]
fn large_files_of_one_batch_do_not_keep_their_data_files_open() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        (0..40).for_each(|n| bench.bucket.put(&format!("{n:02}.csv"), csv(150_000), n));
        let seats = vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)];
        let process = Process::start_with_budget(seats, MIN_BUDGET);
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 40 * 150_000);
        let most = bench.table.state.lock().expect("lock").most_open;
        assert!(most <= 10, "{most} data files were open at once");
    });
}

#[test]
fn a_sync_of_an_import_that_turns_out_to_be_paused_is_refused_and_does_not_hang() {
    System::new().block_on(async {
        let (bench, ledger, name) = (Bench::new("orders"), ledger(), ImportName::new("orders"));
        ledger.open_import(&name, "bucket", OverwritePolicy::Ignore).await.expect("opens");
        ledger.set_paused(&name, true).await.expect("pauses");
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)]);
        // Asked for before the ledger was read.
        assert_eq!(process.sync("orders").await.expect_err("paused").code, "paused");
    });
}
