//! Imports that come, change and go while the others run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use connector_actors::messages::control::{Deployment, Reconfigure, Reconfigured, Resume};
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::spec::{ImportSpec, OverwritePolicy, Schedule};
use connector_core::status::ImportState;
use connector_core::uri::BucketUri;
use connector_ledger::SqliteLedger;

use crate::doubles::{Bench, DEADLINE, Process, csv, rows_of, until};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

fn deployment(bench: &Bench, spec: ImportSpec, ledger: &Arc<SqliteLedger>) -> Deployment {
    let seat = bench.seat(0, spec, ledger);
    Deployment { spec: seat.spec, ports: seat.ports, anew: false }
}

async fn reconfigure(process: &Process, imports: Vec<Deployment>) -> Reconfigured {
    process.supervisor.send(Reconfigure { imports, deadline: DEADLINE }).await.expect("the supervisor lives")
}

fn names(names: &[&str]) -> Vec<ImportName> {
    names.iter().map(|name| ImportName::new(*name)).collect()
}

#[test]
fn imports_come_and_go_and_the_others_do_not_notice() {
    System::new().block_on(async {
        let (stays, goes, comes, ledger) = (Bench::new("stays"), Bench::new("goes"), Bench::new("comes"), ledger());
        for bench in [&stays, &goes, &comes] {
            bench.bucket.put("a.csv", csv(2), 1);
        }
        let process = Process::start(vec![
            stays.seat(0, stays.spec(Schedule::Auto), &ledger),
            goes.seat(1, goes.spec(Schedule::Auto), &ledger),
        ]);
        until(async || (stays.table.rows().len() + goes.table.rows().len() == 4).then_some(())).await;
        let next = || {
            [&stays, &comes].map(|bench| deployment(bench, bench.spec(Schedule::Auto), &ledger)).into_iter().collect()
        };
        let report = reconfigure(&process, next()).await;
        assert_eq!(report.added, names(&["comes"]));
        assert_eq!(report.removed, names(&["goes"]));
        assert_eq!(report.unchanged, names(&["stays"]));
        until(async || (comes.table.rows() == rows_of("a.csv", 2)).then_some(())).await;
        assert_eq!(process.observe("stays").await.generation.0, 1, "it was not touched");
        goes.bucket.put("b.csv", csv(1), 2);
        stays.bucket.put("b.csv", csv(1), 2);
        until(async || (stays.table.rows().len() == 3).then_some(())).await;
        assert_eq!(goes.table.rows().len(), 2);
        assert_eq!(process.sync("goes").await.expect_err("gone").code, "unknown_import");
        // Back again, it goes on where it was.
        let all = [&stays, &comes, &goes].map(|bench| deployment(bench, bench.spec(Schedule::Auto), &ledger));
        reconfigure(&process, all.into_iter().collect()).await;
        until(async || (goes.table.rows().len() == 3).then_some(())).await;
    });
}

#[test]
fn an_import_that_changes_goes_on_with_what_it_is_now() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("in/a.csv", csv(2), 1);
        bench.bucket.put("out/a.csv", csv(3), 1);
        let within =
            |uri: &str| ImportSpec { uri: BucketUri::parse(uri).expect("parses"), ..bench.spec(Schedule::Auto) };
        let process = Process::start(vec![bench.seat(0, within("s3://bucket/in"), &ledger)]);
        until(async || (bench.table.rows().len() == 2).then_some(())).await;
        let report = reconfigure(&process, vec![deployment(&bench, within("s3://bucket/out"), &ledger)]).await;
        assert_eq!(report.changed, names(&["orders"]));
        until(async || (bench.table.rows().len() == 5).then_some(())).await;
        assert_eq!(process.observe("orders").await.generation.0, 2);
        let report = reconfigure(&process, vec![deployment(&bench, within("s3://bucket/out"), &ledger)]).await;
        assert_eq!(report.unchanged, names(&["orders"]));
        assert_eq!(process.observe("orders").await.generation.0, 2, "an edit that changes nothing restarts nothing");
    });
}

#[test]
fn a_failed_import_is_tried_again_with_each_new_configuration() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        let refusal = Failure::config("no_such_bucket", "there is no such bucket");
        bench.bucket.list_faults.lock().expect("lock").push_back(refusal);
        bench.bucket.put("a.csv", csv(2), 1);
        let process = Process::start(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)]);
        process.wait_for_state("orders", ImportState::Failed).await;
        reconfigure(&process, vec![deployment(&bench, bench.spec(Schedule::Auto), &ledger)]).await;
        until(async || (bench.table.rows().len() == 2).then_some(())).await;
    });
}

/// Each import gets its part of the memory budget, also those that come later.
#[test]
fn more_imports_than_the_budget_was_divided_among_all_run() {
    System::new().block_on(async {
        let benches = ["a", "b", "c", "d", "e"].map(Bench::new);
        let ledger = ledger();
        for bench in &benches {
            bench.bucket.put("1.csv", csv(4), 1);
        }
        let process = Process::start(vec![benches[0].seat(0, benches[0].spec(Schedule::Auto), &ledger)]);
        until(async || (benches[0].table.rows().len() == 4).then_some(())).await;
        assert_eq!(process.world.credit.seats(), 1);
        let all = benches.iter().map(|bench| deployment(bench, bench.spec(Schedule::Auto), &ledger)).collect();
        assert_eq!(reconfigure(&process, all).await.added.len(), 4);
        for bench in &benches {
            until(async || (bench.table.rows() == rows_of("1.csv", 4)).then_some(())).await;
        }
        assert_eq!(process.world.credit.seats(), 5);
    });
}

/// While the budget is divided anew, an import that has ended already waits for the others, whoever wants it to run.
#[test]
fn an_import_that_is_resumed_while_the_budget_is_divided_anew_holds_nobody_up() {
    System::new().block_on(async {
        let (fails, runs, comes, ledger) = (Bench::new("fails"), Bench::new("runs"), Bench::new("comes"), ledger());
        let refusal = Failure::config("no_such_bucket", "there is no such bucket");
        fails.bucket.list_faults.lock().expect("lock").push_back(refusal);
        for bench in [&fails, &runs, &comes] {
            bench.bucket.put("a.csv", csv(2), 1);
        }
        let process = Process::start(vec![
            fails.seat(0, fails.spec(Schedule::Auto), &ledger),
            runs.seat(1, runs.spec(Schedule::Auto), &ledger),
        ]);
        process.wait_for_state("fails", ImportState::Failed).await;
        until(async || (runs.table.rows().len() == 2).then_some(())).await;
        let all = [&fails, &runs, &comes].map(|bench| deployment(bench, bench.spec(Schedule::Auto), &ledger));
        process.supervisor.do_send(Reconfigure { imports: all.into_iter().collect(), deadline: DEADLINE });
        // It comes before `runs` can have ended.
        let resumed = process.supervisor.send(Resume { import: ImportName::new("fails") }).await.expect("lives");
        assert_eq!(resumed.expect_err("not now").code, "reconfigured");
        for bench in [&fails, &runs, &comes] {
            until(async || (bench.table.rows() == rows_of("a.csv", 2)).then_some(())).await;
        }
        assert_eq!(process.world.credit.seats(), 3);
    });
}

/// Whatever the order of edits, and wherever in a batch they come, each row lands once.
#[test]
fn edits_at_any_moment_lose_no_row_and_double_none() {
    for seed in 0..6 {
        System::new().block_on(async {
            let mut random = fastrand::Rng::with_seed(seed);
            let (one, two, ledger) = (Bench::new("one"), Bench::new("two"), ledger());
            let process = Process::start(vec![one.seat(0, one.spec(Schedule::Auto), &ledger)]);
            let (mut files, mut rows) = (0, [0, 0]);
            for _ in 0..30 {
                for _ in 0..random.usize(..4) {
                    files += 1;
                    for (bench, rows) in [&one, &two].into_iter().zip(&mut rows) {
                        let size = random.usize(1..200);
                        bench.bucket.put(&format!("{files:03}.csv"), csv(size), files);
                        *rows += size;
                    }
                }
                let mut imports = Vec::new();
                for bench in [&one, &two] {
                    let overwrite = if random.bool() { OverwritePolicy::Append } else { OverwritePolicy::Ignore };
                    let spec = ImportSpec { overwrite, ..bench.spec(Schedule::Auto) };
                    if random.u8(..4) > 0 {
                        imports.push(deployment(bench, spec, &ledger));
                    }
                }
                let deadline = Duration::from_millis(random.u64(..20));
                process.supervisor.send(Reconfigure { imports, deadline }).await.expect("the supervisor lives");
                tokio::time::sleep(Duration::from_millis(random.u64(..60))).await;
            }
            let both = [&one, &two].map(|bench| deployment(bench, bench.spec(Schedule::Auto), &ledger));
            reconfigure(&process, both.into_iter().collect()).await;
            for (bench, rows) in [&one, &two].into_iter().zip(rows) {
                until(async || (bench.table.rows().len() >= rows).then_some(())).await;
                let landed = bench.table.rows();
                assert_eq!(landed.len(), rows, "seed {seed}: {}", bench.name);
                assert_eq!(landed.iter().collect::<HashSet<_>>().len(), rows, "seed {seed}: {}", bench.name);
            }
        });
    }
}
