//! Files that failed or went to quarantine as a whole, and which of them people are still told of.

use super::*;

fn shown(house: &House) -> Vec<(String, String)> {
    house.counts(9_000).recent_failures.into_iter().map(|failed| (failed.key, failed.code)).collect()
}

fn read(house: &mut House, page: &[SelectedObject], outcome: impl Fn(&str) -> Option<FileOutcome>, now: i64) {
    house.page(page);
    let batch = house.claim_all(now);
    house.commit(&batch, outcome, now);
}

#[test]
fn a_failed_file_is_never_claimed_again_and_shows_among_the_newest_failures() {
    let mut house = House::new();
    for n in 0..25 {
        house.page(&[object(&format!("{n:02}"), "1", n)]);
        let batch = house.claim_all(1_000 + n);
        assert_eq!(batch.files.len(), 1);
        house.settle(&batch, |_| Some(failed()), 1_000 + n);
    }
    let failures = house.counts(2_000).recent_failures;
    assert_eq!(failures.len(), 20);
    assert_eq!((&*failures[0].key, failures[0].at), ("24", at(1_024)));
    assert_eq!((&*failures[19].key, failures[19].code.as_str()), ("05", "bad_quotes"));
    assert_eq!(failures[0].message, "line 7: a quote is never closed");
}

#[test]
fn a_file_that_went_to_quarantine_as_a_whole_is_among_them_and_one_with_some_bad_rows_is_not() {
    let mut house = House::new();
    let outcome = |key: &str| Some(if key == "whole" { quarantined() } else { partly() });
    read(&mut house, &[object("whole", "1", 1), object("some", "1", 2)], outcome, 1_000);
    assert_eq!(shown(&house), [("whole".to_owned(), "missing_column".to_owned())]);
    let counts = house.counts(1_000);
    assert_eq!((counts.files["quarantined"], counts.files["ingested"]), (1, 1));
    assert_eq!((counts.rows, counts.rows_quarantined, counts.bytes), (7, 6, 20));
    assert_eq!(house.claim(ClaimLimit::Unlimited, 9_000).batch, None, "neither is claimed again");
}

#[test]
fn a_file_that_was_replaced_and_ingested_is_not_among_them() {
    let mut house = House::new();
    let bad = |key: &str| Some(if key == "f" { failed() } else { quarantined() });
    read(&mut house, &[object("f", "1", 1), object("q", "1", 2)], bad, 1_000);
    read(&mut house, &[object("f", "2", 3), object("q", "2", 4)], |_| Some(failed()), 1_001);
    assert_eq!(shown(&house).len(), 4, "the new versions are no better");
    read(&mut house, &[object("f", "3", 5), object("q", "3", 6)], |_| Some(partly()), 1_002);
    assert_eq!(shown(&house), []);
    assert_eq!((house.state("f 1"), house.state("q 1")), ("failed:replaced".into(), "quarantined:replaced".into()));
    assert_eq!(house.counts(1_002).files["quarantined"], 1, "it is counted all the same");
    house.page(&[object("q", "1", 2)]);
    assert_eq!(house.state("q 1"), "quarantined:replaced", "put back, it is what it was");
}

#[test]
fn replaced_files_take_no_place_from_others() {
    let mut house = House::new();
    read(&mut house, &[object("old", "1", 0)], |_| Some(quarantined()), 900);
    let version = |etag: &str| -> Vec<_> { (1..30).map(|n| object(&format!("{n:02}"), etag, n)).collect() };
    read(&mut house, &version("1"), |_| Some(failed()), 1_000);
    assert_eq!(shown(&house).len(), 20);
    read(&mut house, &version("2"), |_| Some(ingested()), 1_001);
    assert_eq!(shown(&house), [("old".to_owned(), "missing_column".to_owned())]);
}

#[test]
fn a_deferred_file_is_told_with_its_reason_and_its_time_until_it_is_read() {
    let mut house = House::new();
    let until = |key: &str| Some(deferred(if key == "late" { 9_000 } else { 5_000 }));
    read(&mut house, &[object("late", "1", 1), object("soon", "1", 2)], until, 1_000);
    let told = house.counts(1_000).deferrals;
    let keys: Vec<(&str, Timestamp)> = told.iter().map(|file| (file.key.as_str(), file.not_before)).collect();
    assert_eq!(keys, [("soon", at(5_000)), ("late", at(9_000))]);
    assert!(!told[0].code.is_empty() && !told[0].message.is_empty(), "{told:?}");
    let batch = house.claim_all(6_000);
    house.commit(&batch, |_| Some(ingested()), 6_000);
    let left: Vec<String> = house.counts(6_000).deferrals.into_iter().map(|file| file.key).collect();
    assert_eq!(left, ["late"]);
}
