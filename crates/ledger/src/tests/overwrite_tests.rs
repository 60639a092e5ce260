//! New versions of ingested keys that are let in: after their scan, and not if they are most of the bucket.

use connector_core::reread::REREAD_FILES;

use super::*;

fn version(etag: &str, files: u64) -> Vec<SelectedObject> {
    (0..files).map(|n| object(&format!("{n:04}"), etag, n as i64)).collect()
}

/// So many files are ingested, and new versions are let in.
fn appending(files: u64) -> House {
    let mut house = House::new();
    house.open_import(OverwritePolicy::Append);
    house.page(&version("1", files));
    while let Some(batch) = house.claim(ClaimLimit::Unlimited, 1_000).batch {
        house.commit(&batch, |_| Some(ingested()), 1_000);
    }
    house
}

fn states(house: &House) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    house.states().into_values().for_each(|state| *counts.entry(state).or_default() += 1);
    counts
}

fn count(house: &House, state: &str) -> usize {
    states(house).get(state).copied().unwrap_or_default()
}

#[test]
fn case_39_a_new_version_of_an_ingested_key_is_appended_after_its_scan_if_the_policy_says_so() {
    let mut house = appending(1);
    assert_eq!(house.page(&[object("0000", "2", 9)]).deferred, 1);
    assert_eq!(house.state("0000 2"), "deferred:overwrite");
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_001).batch, None, "its scan is not complete");
    assert_eq!(house.page(&[object("0000", "2", 9)]).known, 1);
    assert_eq!(house.finish_scan(1_001), None);
    assert_eq!(house.page(&[object("0000", "2", 9)]).known, 1, "let in, it stays in");
    let batch = house.claim_all(1_002);
    assert_eq!(&*batch.files[0].etag, "2");
    house.commit(&batch, |_| Some(ingested()), 1_002);
    assert_eq!((house.state("0000 1"), house.state("0000 2")), ("ingested".into(), "ingested".into()));
    assert_eq!(house.counts(1_002).rows, 14);
    assert_eq!(house.page(&[object("0000", "1", 10)]).known, 1, "put back, it is not read again");
    house.finish_scan(1_003);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_003).batch, None);
}

#[test]
fn a_version_that_came_while_its_predecessor_was_read_is_held_too() {
    let mut house = House::new();
    house.open_import(OverwritePolicy::Append);
    house.page(&[object("a", "1", 1)]);
    let batch = house.claim_all(1_000);
    assert_eq!(house.page(&[object("a", "2", 2)]).new, 1);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    assert_eq!(house.state("a 2"), "deferred:overwrite");
    house.page(&[object("a", "3", 3)]);
    assert_eq!((house.state("a 2"), house.state("a 3")), ("gone:superseded".into(), "deferred:overwrite".into()));
    house.finish_scan(1_000);
    assert_eq!(house.claim_all(1_001).files.len(), 1);
}

#[test]
fn an_archived_new_version_is_held_once_it_can_be_read() {
    let house = appending(1);
    house.page(&[archived(object("0000", "2", 9))]);
    house.finish_scan(1_000);
    assert_eq!(house.state("0000 2"), "deferred:archived");
    house.page(&[object("0000", "2", 9)]);
    assert_eq!(house.state("0000 2"), "deferred:overwrite");
    house.page(&[archived(object("0000", "2", 9))]);
    assert_eq!(house.state("0000 2"), "deferred:archived");
}

#[test]
fn a_bucket_that_was_written_anew_pauses_the_import_until_somebody_resumes_it() {
    let mut house = appending(201);
    house.page(&version("2", REREAD_FILES + 1));
    assert_eq!(house.finish_scan(1_001), Some(Reread { files: 101, ingested: 201 }));
    let record = house.open_import(OverwritePolicy::Append);
    assert!(record.paused && !record.guard_waived);
    let reason = record.guard_reason.unwrap();
    assert!(reason.contains("101 of the 201") && reason.contains("resume events"), "{reason}");
    assert_eq!(house.finish_scan(1_002), None, "that is known");
    assert_eq!(count(&house, "deferred:overwrite"), 101);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_002).batch, None);

    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    let record = house.open_import(OverwritePolicy::Append);
    assert_eq!((record.paused, record.guard_reason, record.guard_waived), (false, None, false));
    assert_eq!(count(&house, "deferred:overwrite"), 101, "until the next scan");
    assert_eq!(house.finish_scan(1_003), None);
    let batch = house.claim_all(1_003);
    assert_eq!(batch.files.len(), 101);
    house.commit(&batch, |_| Some(ingested()), 1_003);
    house.page(&version("3", 200));
    assert_eq!(
        house.finish_scan(1_004).map(|reread| (reread.files, reread.ingested)),
        Some((200, 302)),
        "it counts once"
    );
}

#[test]
fn a_pause_by_hand_lets_nothing_more_in_and_few_or_a_minority_never_trip() {
    for (ingested, new) in [(100, 100), (202, 101), (1_000, 500)] {
        let house = appending(ingested);
        wait(house.ledger.set_paused(&house.import, true)).unwrap();
        wait(house.ledger.set_paused(&house.import, false)).unwrap();
        house.page(&version("2", new));
        assert_eq!(house.finish_scan(1_001), None);
        assert_eq!(count(&house, "pending") as u64, new);
    }
}

#[test]
fn the_other_way_out_is_to_ignore_them() {
    let house = appending(150);
    house.page(&version("2", 150));
    assert!(house.finish_scan(1_001).is_some());
    house.open_import(OverwritePolicy::Ignore);
    assert_eq!(states(&house), BTreeMap::from([("ingested".into(), 150), ("skipped:overwrite".into(), 150)]));
    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    assert_eq!(house.finish_scan(1_002), None);
    house.open_import(OverwritePolicy::Append);
    house.page(&version("3", 150));
    assert!(house.finish_scan(1_003).is_some(), "the waiver was for that scan");
}

#[test]
fn the_policy_holds_for_every_listing_from_now_on() {
    let mut house = appending(2);
    house.page(&version("2", 2));
    house.finish_scan(1_000);
    assert_eq!(count(&house, "pending"), 2);
    house.open_import(OverwritePolicy::Ignore);
    house.page(&version("2", 2));
    assert_eq!(count(&house, "skipped:overwrite"), 2, "let in and not read yet");
    house.page(&version("3", 1));
    assert_eq!(count(&house, "skipped:overwrite"), 3);
    house.open_import(OverwritePolicy::Append);
    house.page(&version("3", 1));
    house.finish_scan(1_000);
    assert_eq!(keys(&house.claim_all(1_001)), ["0000"]);
}

#[test]
fn guard_and_scan_may_both_have_paused_it() {
    let mut house = appending(150);
    house.page(&[object("x", "1", 999)]);
    house.claim_all(1_000);
    house.page(&version("2", 150));
    assert!(house.finish_scan(1_001).is_some());
    wait(house.ledger.trip_guard(&house.import, 2, "bad rows")).unwrap();
    let record = house.open_import(OverwritePolicy::Append);
    assert_eq!((record.paused, record.guard_reason.as_deref()), (true, Some("bad rows")));
    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    assert!(house.open_import(OverwritePolicy::Append).guard_waived);
    assert_eq!(house.finish_scan(1_002), None);
    assert_eq!(count(&house, "pending"), 151);
}

#[test]
fn two_versions_of_a_key_that_were_claimed_together_both_come_back() {
    let mut house = House::new();
    house.page(&[object("a", "2", 2)]);
    let batch = house.claim_all(1_000);
    house.page(&[object("a", "1", 1)]);
    house.commit(&batch, |_| Some(failed()), 1_001);
    assert_eq!(house.retry(&connector_core::ports::Retry::Failed), 1);
    let both = house.claim_all(1_002);
    assert_eq!(both.files.len(), 2);
    house.abandon(&both);
    assert_eq!((house.state("a 1"), house.state("a 2")), ("pending".into(), "pending".into()));
}
