//! Claims: order, throttle, what is free, what is refused.

use connector_core::claim::{MAX_BATCH_BYTES, MAX_BATCH_FILES};
use connector_core::error::ErrorClass;

use super::*;

#[test]
fn files_are_claimed_by_time_and_then_by_the_bytes_of_their_keys() {
    let mut house = House::new();
    house.page(&[
        object("b", "1", 5),
        object("ä", "1", 5),
        object("B", "1", 5),
        object("z", "1", 4),
        object("a", "1", 6),
    ]);
    let batch = house.claim_all(1_000);
    assert_eq!(keys(&batch), ["z", "B", "b", "ä", "a"]);
    assert_eq!(batch.seq, 1);
}

#[test]
fn due_files_go_first_by_their_time_and_others_wait() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3), object("d", "1", 4)]);
    let batch = house.claim(throttled(3), 1_000).batch.unwrap();
    let until = |key: &str| {
        Some(deferred(match key {
            "a" => 2_000,
            "b" => 1_500,
            _ => 9_000,
        }))
    };
    house.settle(&batch, until, 1_000);
    assert_eq!(keys(&house.claim(throttled(3), 1_100).batch.unwrap()), ["d"]);
    wait(house.ledger.abandon(&house.import, 1)).unwrap();
    let answer = house.claim(ClaimLimit::Unlimited, 2_000);
    assert_eq!(keys(answer.batch.as_ref().unwrap()), ["b", "a", "d"]);
    assert_eq!((answer.backlog_files, answer.backlog_bytes), (0, 0), "what is not due is no backlog");
}

#[test]
fn a_tick_takes_no_more_than_its_files_and_a_restart_does_not_defeat_it() {
    let dir = tempfile::tempdir().unwrap();
    let page: Vec<_> = (0..12).map(|n| object(&format!("{n:02}"), "1", n)).collect();
    let mut house = House::at(dir.path());
    house.page(&page);
    let mut taken = Vec::new();
    for now in (1_000..1_180).step_by(10) {
        let answer = house.claim(throttled(5), now);
        let tick = 1_000 + (now - 1_000) / 60 * 60;
        assert_eq!(answer.tick_ends_at, Some(at(tick + 60)));
        if let Some(batch) = answer.batch {
            taken.push((now, batch.files.len(), answer.backlog_files, answer.backlog_bytes));
            house.commit(&batch, |_| Some(ingested()), now);
        }
        drop(house);
        house = House::at(dir.path());
    }
    assert_eq!(taken, [(1_000, 5, 7, 70), (1_060, 5, 2, 20), (1_120, 2, 0, 0)]);
}

#[test]
fn what_was_given_back_is_free_and_what_was_deferred_is_not() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3)]);
    let batch = house.claim(throttled(2), 1_000).batch.unwrap();
    house.abandon(&batch);
    let batch = house.claim(throttled(2), 1_001).batch.unwrap();
    assert_eq!(keys(&batch), ["a", "b"], "the tick is used up, but these were counted in it");
    house.settle(&batch, |key| (key == "a").then(|| deferred(1_002)), 1_001);
    let answer = house.claim(throttled(2), 1_003);
    assert_eq!((answer.batch, answer.backlog_files), (None, 3), "due, but it would count");
    assert_eq!(answer.tick_ends_at, Some(at(1_060)));
    assert_eq!(keys(&house.claim(throttled(2), 1_060).batch.unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_claim_that_finds_nothing_begins_no_tick_and_uses_up_no_number() {
    let mut house = House::new();
    let answer = house.claim(throttled(5), 1_000);
    assert_eq!((answer.batch, answer.tick_ends_at), (None, Some(at(1_060))));
    house.page(&[object("a", "1", 1)]);
    let answer = house.claim(throttled(5), 1_030);
    assert_eq!((answer.batch.unwrap().seq, answer.tick_ends_at), (1, Some(at(1_090))));
}

#[test]
fn on_demand_there_is_no_cap_and_no_tick_is_touched() {
    let mut house = House::new();
    let page: Vec<_> = (0..12).map(|n| object(&format!("{n:02}"), "1", n)).collect();
    house.page(&page);
    let answer = house.claim(ClaimLimit::Unlimited, 1_000);
    let batch = answer.batch.unwrap();
    assert_eq!((batch.files.len(), answer.tick_ends_at), (12, None));
    house.commit(&batch, |_| Some(ingested()), 1_000);
    house.page(&[object("x", "1", 20)]);
    assert_eq!(house.claim(throttled(1), 1_001).batch.unwrap().seq, 2);
}

#[test]
fn a_batch_is_bounded_in_files_and_bytes_and_due_files_share_its_bounds() {
    let mut house = House::new();
    let page: Vec<_> = (0..1_500).map(|n| object(&format!("{n:04}"), "1", n)).collect();
    house.page(&page);
    let batch = house.claim_all(10_000);
    assert_eq!(batch.files.len(), MAX_BATCH_FILES);
    house.settle(&batch, |_| Some(deferred(10_001)), 10_000);
    let answer = house.claim(ClaimLimit::Unlimited, 10_001);
    let batch = answer.batch.unwrap();
    assert_eq!((batch.files.len(), &*batch.files[999].key, answer.backlog_files), (MAX_BATCH_FILES, "0999", 500));

    let mut house = House::new();
    let mut big = [object("a", "1", 1), object("b", "1", 2), object("c", "1", 3)];
    big[0].object.size = MAX_BATCH_BYTES + 1;
    big[2].object.size = MAX_BATCH_BYTES;
    house.page(&big);
    let mut claimed = Vec::new();
    while let Some(batch) = house.claim(ClaimLimit::Unlimited, 1_000).batch {
        house.commit(&batch, |_| Some(ingested()), 1_000);
        claimed.push(keys(&batch).join(" "));
    }
    assert_eq!(claimed, ["a", "b", "c"]);
}

#[test]
fn the_limit_in_the_queries_is_the_limit_of_a_batch() {
    for sql in [crate::claiming::DUE, crate::claiming::FRESH] {
        assert!(sql.ends_with(&format!("LIMIT {MAX_BATCH_FILES}")), "{sql}");
    }
}

#[test]
fn while_a_batch_is_open_nothing_else_is_claimed() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1)]);
    let batch = house.claim_all(1_000);
    house.page(&[object("b", "1", 2)]);
    let refused = house.try_claim(ClaimLimit::Unlimited, 1_000).unwrap_err();
    assert_eq!((refused.class, refused.code), (ErrorClass::Bug, "ledger_protocol"));
    house.try_stage(&batch, &staged(results(&batch, |_| Some(ingested())))).unwrap();
    house.try_claim(ClaimLimit::Unlimited, 1_000).unwrap_err();
    assert_eq!(house.state("b 1"), "pending");
}

#[test]
fn the_clock_going_back_a_day_does_not_stall_a_throttled_import() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2)]);
    let batch = house.claim(throttled(1), 100_000).batch.unwrap();
    house.commit(&batch, |_| Some(ingested()), 100_000);
    assert_eq!(keys(&house.claim(throttled(1), 13_600).batch.unwrap()), ["b"]);
}
