//! What a long log costs: prints it, if `DELTA_LOG_COST` says for how many commits. Takes a minute for 100,000.

use connector_core::ports::MaintenanceRules;
use jiff::SignedDuration;
use std::time::Instant;

use super::*;

/// Commits from one checkpoint to the next, as the table makes them.
const EVERY: u64 = 50;

#[test]
fn a_long_log_is_measured() {
    let Some(commits) = std::env::var("DELTA_LOG_COST").ok().and_then(|text| text.parse::<u64>().ok()) else {
        println!("not run: DELTA_LOG_COST is not set");
        return;
    };
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=EVERY as i64 {
        bench.commit(&table, &bench.batch(seq, vec![])).expect("committed");
    }
    let short = timed(&bench);
    let entry = std::fs::read_to_string(bench.log_file(EVERY)).expect("an entry");
    let checkpoint = |version: u64| bench.root.join(format!("_delta_log/{version:020}.checkpoint.parquet"));
    let ours = format!("\"version\":{EVERY}");
    assert!(entry.contains(&ours), "{entry}");
    for version in EVERY + 1..=commits {
        let text = entry.replace(&ours, &format!("\"version\":{version}"));
        std::fs::write(bench.log_file(version), text).expect("written");
        if version % EVERY == 0 {
            std::fs::copy(checkpoint(EVERY), checkpoint(version)).expect("copied");
        }
    }
    let newest = commits / EVERY * EVERY;
    let hint = bench.root.join("_delta_log/_last_checkpoint");
    let text = std::fs::read_to_string(&hint).expect("a hint");
    let mut pointer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    pointer["version"] = newest.into();
    std::fs::write(&hint, pointer.to_string()).expect("written");
    let long = timed(&bench);
    let table = bench.table();
    bench.commit(&table, &bench.batch(commits as i64 + 1, vec![])).expect("committed");
    let started = Instant::now();
    bench.commit(&table, &bench.batch(commits as i64 + 2, vec![])).expect("committed");
    let chained = started.elapsed();
    let later = bench.clock() + SignedDuration::from_hours(24 * 8);
    let started = Instant::now();
    let (mut steps, mut removed) = (0, 0);
    loop {
        let step = bench.runtime.block_on(table.maintain(&MaintenanceRules::default(), later)).expect("maintained");
        (steps, removed) = (steps + 1, removed + step.log_entries);
        if step.done {
            break;
        }
    }
    let retention = started.elapsed();
    println!("cold read: {short:?} with {EVERY} commits, {long:?} with {commits}, {:?} after retention", timed(&bench));
    println!(
        "a chained commit on top of {commits}: {chained:?}; retention: {removed} files in {steps} steps, {retention:?}"
    );
}

/// How long a fresh instance takes to read the table's state; the second time, so that the files are in the cache.
fn timed(bench: &Bench) -> std::time::Duration {
    bench.facts();
    let started = Instant::now();
    bench.facts();
    started.elapsed()
}
