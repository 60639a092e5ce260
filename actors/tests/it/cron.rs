//! Imports that work at the times of a cron expression.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::System;
use connector_actors::messages::control::Drain;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::schedule::{Cron, Schedule};
use connector_core::status::ImportState;
use connector_ledger::SqliteLedger;
use jiff::{SignedDuration, Timestamp};

use crate::doubles::{Bench, DEADLINE, Process, csv, until};

/// A clock that goes as fast as that of the machine, and is somewhere else.
struct Elsewhen(SignedDuration);

impl Elsewhen {
    fn at(time: &str) -> Self {
        Self(time.parse::<Timestamp>().expect("a time").duration_since(SystemClock.now()))
    }
}

impl Clock for Elsewhen {
    fn now(&self) -> Timestamp {
        SystemClock.now() + self.0
    }
}

/// A bucket and a ledger that outlive processes; the import works at half past three.
struct Nightly {
    bench: Bench,
    ledger: Arc<SqliteLedger>,
}

impl Nightly {
    fn new() -> Self {
        Self { bench: Bench::new("orders"), ledger: Arc::new(SqliteLedger::in_memory().expect("opens")) }
    }

    fn start(&self, time: &str) -> Process {
        let spec = self.bench.spec(Schedule::Cron(Cron::parse("30 3 * * *").expect("a schedule")));
        Process::start_at(vec![self.bench.seat(0, spec, &self.ledger)], Arc::new(Elsewhen::at(time)))
    }

    /// Files of one row.
    fn put(&self, prefix: &str, files: usize) {
        (0..files).for_each(|file| self.bench.bucket.put(&format!("{prefix}{file}.csv"), csv(1), file as i64));
    }

    fn lists(&self) -> u64 {
        self.bench.bucket.lists.load(Ordering::SeqCst)
    }

    async fn wait_for_rows(&self, rows: usize) {
        until(async || (self.bench.table.rows().len() == rows).then_some(())).await;
    }
}

async fn stop(process: Process) {
    process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
}

#[test]
fn at_its_time_an_import_reads_everything_that_is_new_without_a_cap() {
    System::new().block_on(async {
        let nightly = Nightly::new();
        nightly.put("a", 7);
        let process = nightly.start("2030-01-01T03:29:59.5Z");
        nightly.wait_for_rows(7).await;
        stop(process).await;
        assert_eq!(nightly.lists(), 1, "one scan, though files are more than a tick may claim");
    });
}

#[test]
fn a_listing_that_fails_at_its_time_is_tried_again() {
    System::new().block_on(async {
        let nightly = Nightly::new();
        nightly.put("a", 1);
        let failures = [Failure::transient("timeout", "no answer"), Failure::transient("timeout", "no answer")];
        nightly.bench.bucket.list_faults.lock().expect("lock").extend(failures);
        let process = nightly.start("2030-01-01T03:29:59.5Z");
        nightly.wait_for_rows(1).await;
        stop(process).await;
        assert_eq!(nightly.lists(), 3);
    });
}

#[test]
fn times_that_were_missed_are_made_up_once_and_a_first_start_waits_for_its_time() {
    System::new().block_on(async {
        let nightly = Nightly::new();
        nightly.put("a", 2);
        let first = nightly.start("2030-01-01T04:00:00Z");
        first.wait_for_state("orders", ImportState::Running).await;
        first.sync("orders").await.expect("a sync on demand works at any time");
        stop(first).await;
        assert_eq!((nightly.bench.table.rows().len(), nightly.lists()), (2, 1), "nothing was scanned but on demand");

        nightly.put("b", 2);
        let too_early = nightly.start("2030-01-02T03:00:00Z");
        too_early.wait_for_state("orders", ImportState::Running).await;
        stop(too_early).await;
        assert_eq!(nightly.lists(), 1, "no time was missed");

        let late = nightly.start("2030-01-05T12:00:00Z");
        nightly.wait_for_rows(4).await;
        stop(late).await;
        assert_eq!(nightly.lists(), 2, "three were missed, one is made up for");
    });
}
