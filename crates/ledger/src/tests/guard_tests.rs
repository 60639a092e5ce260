//! Pause, guard and streak.

use connector_core::error::ErrorClass;
use connector_core::guard::Streak;

use super::*;

fn pause(house: &House, paused: bool) {
    wait(house.ledger.set_paused(&house.import, paused)).unwrap();
}

fn trip(house: &House, seq: i64) -> Result<(), Failure> {
    wait(house.ledger.trip_guard(&house.import, seq, "9 of 10 rows do not fit"))
}

/// Paused, why, and whether the next batch is judged.
fn guard(house: &House) -> (bool, Option<String>, bool) {
    let record = house.record();
    (record.paused, record.guard_reason, record.guard_waived)
}

fn two() -> House {
    let house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2)]);
    house
}

#[test]
fn the_guard_gives_the_files_back_and_pauses_the_import_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    house.page(&[object("a", "1", 1), object("b", "1", 2)]);
    let batch = house.claim(throttled(2), 1_000).batch.unwrap();
    trip(&house, batch.seq).unwrap();
    drop(house);
    house = House::at(dir.path());
    let reason = Some("9 of 10 rows do not fit".to_owned());
    assert_eq!(guard(&house), (true, reason, false));
    let record = house.record();
    assert_eq!((record.open_batch, record.committed_seq, record.streak), (None, 0, Streak::default()));
    let again = house.claim(throttled(2), 1_001).batch.unwrap();
    assert_eq!((again.seq, keys(&again)), (1, vec!["a", "b"]), "and they are free");
}

#[test]
fn resuming_what_the_guard_has_paused_waives_it_until_a_batch_is_finalised() {
    let mut house = two();
    house.claim_all(1_000);
    trip(&house, 1).unwrap();
    pause(&house, false);
    assert_eq!(guard(&house), (false, None, true));
    pause(&house, true);
    pause(&house, false);
    assert_eq!(guard(&house), (false, None, true), "a pause by hand changes nothing about it");

    let batch = house.claim_all(1_000);
    house.abandon(&batch);
    assert!(guard(&house).2, "what was interrupted used nothing up");
    let batch = house.claim_all(1_000);
    house.settle(&batch, |key| (key == "a").then(gone), 1_000);
    assert!(guard(&house).2, "no rows, nothing to judge");
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(quarantined()), 1_000);
    assert_eq!(guard(&house), (false, None, false));
}

#[test]
fn a_pause_by_hand_waives_nothing() {
    let house = two();
    pause(&house, true);
    assert_eq!(guard(&house), (true, None, false));
    pause(&house, false);
    assert_eq!(guard(&house), (false, None, false));
}

#[test]
fn the_guard_trips_on_an_open_batch_that_is_not_staged_and_on_no_other() {
    let mut house = two();
    assert_eq!(trip(&house, 1).unwrap_err().class, ErrorClass::Bug);
    let batch = house.claim_all(1_000);
    trip(&house, 2).unwrap_err();
    house.try_stage(&batch, &staged(results(&batch, |_| Some(partly())))).unwrap();
    assert_eq!(trip(&house, 1).unwrap_err().code, "ledger_protocol");
    assert_eq!(guard(&house), (false, None, false));
    assert!(house.states().values().all(|state| state == "claimed"));
    wait(house.ledger.finalise(&house.import, 1, 1, at(1_000))).unwrap();
}

#[test]
fn the_streak_is_counted_in_the_order_of_the_claim_and_across_batches_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    let page: Vec<_> = ["a", "b", "c", "d", "e", "f"].iter().zip(1..).map(|(key, n)| object(key, "1", n)).collect();
    house.page(&page);
    let mut ends = |take: u32, now: i64, outcome: fn(&str) -> Option<FileOutcome>| {
        let batch = house.claim(throttled(take), now).batch.unwrap();
        let mut results = results(&batch, outcome);
        results.reverse();
        house.try_stage(&batch, &staged(results)).unwrap();
        wait(house.ledger.finalise(&house.import, batch.seq, 1, at(now))).unwrap();
        house.ledger = SqliteLedger::in_memory().unwrap();
        house.ledger = SqliteLedger::open(dir.path()).unwrap();
        house.record().streak
    };
    let streak = |files| Streak { files, bytes: u64::from(files) * 10 };
    assert_eq!(ends(2, 1_000, |key| Some(if key == "a" { partly() } else { quarantined() })), streak(1));
    assert_eq!(ends(1, 1_060, |_| Some(quarantined())), streak(2));
    assert_eq!(ends(1, 1_120, |_| Some(failed())), streak(2), "neither here nor there");
    assert_eq!(ends(2, 1_180, |key| Some(if key == "e" { quarantined() } else { ingested() })), streak(0));
}

#[test]
fn the_place_in_the_claim_counts_even_if_a_page_moves_the_file_meanwhile() {
    let mut house = two();
    let batch = house.claim_all(1_000);
    assert_eq!(keys(&batch), ["a", "b"]);
    house.page(&[object("a", "1", 9)]);
    house.commit(&batch, |key| Some(if key == "a" { ingested() } else { quarantined() }), 1_000);
    assert_eq!(house.record().streak, Streak { files: 1, bytes: 10 });
}

#[test]
fn a_settled_batch_counts_for_the_streak_too() {
    let mut house = two();
    let batch = house.claim_all(1_000);
    let empty = |_: &str| {
        Some(FileOutcome::Quarantined { code: "missing_column", message: String::new(), rows_quarantined: 0 })
    };
    house.settle(&batch, empty, 1_000);
    assert_eq!(house.record().streak, Streak { files: 2, bytes: 20 });
    assert_eq!(house.counts(1_000).files["quarantined"], 2);
}
