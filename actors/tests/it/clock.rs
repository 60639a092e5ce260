//! Clocks that jump.

use std::sync::{Arc, Mutex};

use actix::System;
use connector_actors::messages::control::Drain;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::spec::Schedule;
use connector_ledger::SqliteLedger;
use jiff::{SignedDuration, Timestamp};

use crate::doubles::{Bench, DEADLINE, Process, csv, rows_of, until};

/// The time of the machine, and how far somebody has moved it.
#[derive(Default)]
struct MovedClock(Mutex<SignedDuration>);

impl MovedClock {
    fn jump(&self, by: SignedDuration) {
        *self.0.lock().expect("lock") += by;
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + *self.0.lock().expect("lock")
    }
}

#[test]
fn case_14_a_clock_that_jumps_a_day_either_way_neither_reads_again_nor_stalls() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), Arc::new(SqliteLedger::in_memory().expect("opens")));
        let clock = Arc::new(MovedClock::default());
        let day = SignedDuration::from_hours(24);
        let jumps = [day, -day, -day, SignedDuration::from_secs(-1), day, day, -day];
        let process = Process::start_at(vec![bench.seat(0, bench.spec(Schedule::Auto), &ledger)], clock.clone());
        let mut expected = Vec::new();
        for (file, jump) in jumps.into_iter().enumerate() {
            let key = format!("{file}.csv");
            bench.bucket.put(&key, csv(3), file as i64);
            expected.extend(rows_of(&key, 3));
            until(async || (bench.table.rows().len() == expected.len()).then_some(())).await;
            clock.jump(jump);
        }
        // A file that has to wait when the clock goes back does not wait for a day.
        let failure = Failure::transient("timeout", "no answer");
        bench.bucket.read_faults.lock().expect("lock").insert("late.csv".to_owned(), [failure].into());
        bench.bucket.put("late.csv", csv(2), 99);
        until(async || bench.bucket.read_faults.lock().expect("lock")["late.csv"].is_empty().then_some(())).await;
        clock.jump(-day);
        bench.bucket.put("last.csv", csv(1), 100);
        until(async || bench.table.rows().contains(&("last.csv".to_owned(), 0)).then_some(())).await;
        until(async || bench.table.rows().contains(&("late.csv".to_owned(), 1)).then_some(())).await;
        process.supervisor.send(Drain { deadline: DEADLINE }).await.expect("drains");
        expected.extend([rows_of("late.csv", 2), rows_of("last.csv", 1)].concat());
        expected.sort();
        assert_eq!(bench.table.rows(), expected);
    });
}
