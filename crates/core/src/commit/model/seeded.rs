//! Every seeded mistake has to be found by the same search, and for what is wrong with it.

use super::mistakes::Mistake;
use super::search::search;
use super::tests::{ingest, ingesting, replaying, rolling_back, scenario};
use super::world::{Budget, Scenario};

/// Searches a world with this mistake in it. Without the mistake nothing is wrong there.
fn is_found(mistake: Mistake, scenario: Scenario, budget: Budget, what: &str) {
    let right = Scenario { budget, ..scenario };
    if let Err(violation) = search(&right) {
        panic!("the right protocol fails where {mistake:?} is looked for: {violation}");
    }
    match search(&Scenario { mistake: Some(mistake), ..right }) {
        Err(violation) => {
            println!("{mistake:?}: {violation}");
            assert!(violation.what.contains(what), "{mistake:?} is found, but not because of {what:?}: {violation}");
        }
        Ok(found) => panic!("{mistake:?} is not found: {found:?}"),
    }
}

fn crash() -> Budget {
    Budget { crashes: 1, ..Budget::default() }
}

fn crash_and_loss() -> Budget {
    Budget { losses: 1, ..crash() }
}

fn no_answer() -> Budget {
    Budget { unanswered: 1, ..Budget::default() }
}

fn second_host() -> Budget {
    Budget { hosts: 1, ..Budget::default() }
}

/// Two hosts that claim in different orders; only the first batch has a bad row.
fn two_hosts() -> Scenario {
    let jobs = [ingest(0b1, 0b10), ingest(0b100, 0)];
    Scenario { any_order: true, tells_quarantine: true, ..scenario("two hosts", &jobs) }
}

#[test]
fn finalising_before_the_commit_is_durable_is_found() {
    is_found(Mistake::FinaliseBeforeFsync, ingesting(), crash(), "are lost");
}

#[test]
fn committing_bad_rows_after_the_table_is_found() {
    is_found(Mistake::TableBeforeQuarantine, ingesting(), crash(), "are lost");
}

#[test]
fn taking_an_error_for_a_commit_that_failed_is_found() {
    is_found(Mistake::ErrorMeansNotLanded, ingesting(), no_answer(), "stopped (ledger_behind)");
}

#[test]
fn taking_an_error_for_a_commit_that_landed_is_found() {
    is_found(Mistake::ErrorMeansLanded, ingesting(), no_answer(), "are lost");
}

#[test]
fn ignoring_the_batch_uuid_is_found() {
    is_found(Mistake::IgnoreUuid, two_hosts(), second_host(), "are lost");
}

#[test]
fn classifying_again_after_stage_is_found() {
    is_found(Mistake::ReclassifyAfterStage, ingesting(), crash_and_loss(), "in both tables");
}

#[test]
fn rebasing_a_removal_is_found() {
    let foreign = Budget { foreign: 1, ..Budget::default() };
    is_found(Mistake::RebaseRemoval, rolling_back(), foreign, "by its account");
    is_found(Mistake::RebaseRemoval, replaying(), foreign, "twice in quarantine");
}

#[test]
fn taking_replayed_rows_out_of_quarantine_first_is_found() {
    is_found(Mistake::ReplayQuarantineFirst, replaying(), crash_and_loss(), "are lost");
}

#[test]
fn staging_a_batch_before_the_one_before_it_is_finalised_is_found() {
    let pipelined = Scenario { pipelined: true, ..ingesting() };
    is_found(Mistake::StageAheadEarly, pipelined, crash(), "stopped (ledger_behind)");
}

#[test]
fn committing_to_quarantine_whatever_was_committed_before_is_found() {
    is_found(Mistake::QuarantineUnasked, two_hosts(), second_host(), "twice in quarantine");
}
