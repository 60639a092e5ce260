//! The searches over the right protocol. `MODEL_WIDE=1` in the environment widens the bounds: minutes instead of seconds.

use super::search::search;
use super::world::{Budget, DataFile, Job, Scenario};

pub(super) fn ingest(good: u16, bad: u16) -> Job {
    Job::Ingest { good, bad, supersedes: 0 }
}

pub(super) fn scenario(name: &'static str, jobs: &[Job]) -> Scenario {
    Scenario {
        name,
        jobs: jobs.to_vec(),
        past: 0,
        table: Vec::new(),
        quarantine: Vec::new(),
        budget: Budget::default(),
        pipelined: false,
        any_order: false,
        tells_quarantine: false,
        mistake: None,
    }
}

/// One object version has rows in both tables.
fn after_one(scenario: Scenario) -> Scenario {
    let table = vec![DataFile { path: 1, rows: 0b1 }];
    Scenario { past: 1, table, quarantine: vec![DataFile { path: 2, rows: 0b110 }], ..scenario }
}

/// Two batches with bad rows.
pub(super) fn ingesting() -> Scenario {
    scenario("ingest", &[ingest(0b1, 0b10), ingest(0b100, 0b1000)])
}

/// An object version that lies in quarantine as a whole, and a better one.
pub(super) fn superseding() -> Scenario {
    let jobs = [Job::Ingest { good: 0b100, bad: 0b1000, supersedes: 0b11 }, ingest(0b10000, 0)];
    Scenario { past: 1, quarantine: vec![DataFile { path: 1, rows: 0b11 }], ..scenario("supersede", &jobs) }
}

/// Some of the rows in quarantine fit by now.
pub(super) fn replaying() -> Scenario {
    after_one(scenario("replay", &[Job::Replay { fits: 0b10 }, ingest(0b1000, 0)]))
}

pub(super) fn rolling_back() -> Scenario {
    after_one(scenario("rollback", &[Job::Rollback { rows: 0b111 }, ingest(0b1000, 0)]))
}

/// A replay, and a rollback of the batch whose rows it moved.
fn taking_back_what_was_replayed() -> Scenario {
    after_one(scenario("replay and rollback", &[Job::Replay { fits: 0b10 }, Job::Rollback { rows: 0b111 }]))
}

fn expiring() -> Scenario {
    let jobs = [Job::Expiry { rows: 0b11 }, ingest(0b1000, 0b10000)];
    let files = vec![DataFile { path: 1, rows: 0b11 }, DataFile { path: 2, rows: 0b100 }];
    Scenario { past: 1, table: files, ..scenario("expiry", &jobs) }
}

fn pipelining() -> Scenario {
    let jobs = [ingest(0b1, 0b10), ingest(0b100, 0b1000), ingest(0b10000, 0)];
    Scenario { pipelined: true, ..scenario("pipelined", &jobs) }
}

pub(super) fn all_kinds() -> [Scenario; 6] {
    [ingesting(), superseding(), replaying(), rolling_back(), taking_back_what_was_replayed(), expiring()]
}

fn widened(budget: Budget) -> Budget {
    let more = u8::from(std::env::var_os("MODEL_WIDE").is_some());
    Budget { crashes: budget.crashes + more, unanswered: budget.unanswered + more, ..budget }
}

fn holds(scenario: &Scenario) {
    let began = std::time::Instant::now();
    let scenario = Scenario { budget: widened(scenario.budget), ..scenario.clone() };
    match search(&scenario) {
        Ok(found) => println!("{}: {found:?} in {:?}", scenario.name, began.elapsed()),
        Err(violation) => panic!("{}: {violation}", scenario.name),
    }
}

#[test]
fn whatever_crashes_every_row_is_there_once() {
    let budget = Budget { crashes: 3, unanswered: 1, losses: 1, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, ..scenario });
    }
}

#[test]
fn whoever_writes_in_between_every_row_is_there_once() {
    let budget = Budget { crashes: 1, unanswered: 1, foreign: 2, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, ..scenario });
    }
}

#[test]
fn a_batch_claimed_ahead_changes_nothing() {
    let crashes = Budget { crashes: 2, losses: 1, ..Budget::default() };
    holds(&Scenario { budget: crashes, ..pipelining() });
    let drops = Budget { crashes: 1, foreign: 1, drops: 1, ..Budget::default() };
    holds(&Scenario { budget: drops, ..pipelining() });
}

#[test]
fn an_old_process_that_goes_on_without_the_ledger_doubles_nothing() {
    let budget = Budget { crashes: 1, unanswered: 1, losses: 1, zombies: 1, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, ..scenario });
    }
}

#[test]
fn case_11_a_second_host_with_a_copy_of_the_ledger_is_fenced() {
    let budget = Budget { crashes: 1, hosts: 1, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, any_order: true, tells_quarantine: true, ..scenario });
    }
}

/// Why the ledger has to tell which batch the quarantine table may carry: a quarantine table skips batches, so what a
/// second host has put there hides below the newest batch, once the process that saw it has restarted.
#[test]
fn a_ledger_that_does_not_tell_of_the_quarantine_table_is_not_enough_against_a_second_host() {
    let jobs = [ingest(0b1, 0b10), ingest(0b100, 0)];
    let budget = Budget { crashes: 1, hosts: 1, ..Budget::default() };
    let scenario = Scenario { budget, any_order: true, ..scenario("silent ledger", &jobs) };
    let violation = search(&scenario).expect_err("a violation");
    assert!(violation.what.contains("twice in quarantine"), "{violation}");
    holds(&Scenario { tells_quarantine: true, ..scenario });
}

#[test]
fn whoever_removes_the_quarantine_table_removes_no_more_than_that() {
    let budget = Budget { crashes: 1, unanswered: 1, losses: 1, drops: 1, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, ..scenario });
    }
}

#[test]
fn case_21_a_commit_whose_answer_is_lost_is_there_once() {
    let budget = Budget { unanswered: 3, ..Budget::default() };
    for scenario in all_kinds() {
        holds(&Scenario { budget, ..scenario });
    }
}
