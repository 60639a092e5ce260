//! The watermark: the newest place with nothing claimable at or below it; and what arrives below it.

use super::*;

fn watermark(house: &House) -> Option<(i64, String)> {
    house.counts(1_000).watermark.map(|mark| (mark.last_modified.as_second(), mark.key))
}

fn place(second: i64, key: &str) -> Option<(i64, String)> {
    Some((second, key.to_owned()))
}

#[test]
fn it_stops_below_the_first_file_that_is_pending_or_claimed() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3)]);
    house.finish_scan(1_000);
    assert_eq!(watermark(&house), None);
    let batch = house.claim(throttled(2), 1_000).batch.unwrap();
    house.finish_scan(1_000);
    assert_eq!(watermark(&house), None, "claimed is not ingested");
    house.commit(&batch, |_| Some(ingested()), 1_000);
    assert_eq!(watermark(&house), place(2, "b"));
    let batch = house.claim_all(1_000);
    house.finish_scan(1_000);
    assert_eq!(watermark(&house), place(2, "b"));
    house.settle(&batch, |_| Some(failed()), 1_000);
    assert_eq!(watermark(&house), place(3, "c"));
    assert_eq!(house.counts(1_000).last_scan_at, Some(at(1_000)));
}

#[test]
fn ties_are_broken_by_the_bytes_of_the_key() {
    let mut house = House::new();
    house.page(&[object("ä", "1", 1), object("b", "1", 1), object("B", "1", 1)]);
    let mut seen = Vec::new();
    for now in [1_000, 1_060, 1_120] {
        let batch = house.claim(throttled(1), now).batch.unwrap();
        house.commit(&batch, |_| Some(ingested()), now);
        seen.push(watermark(&house).unwrap().1);
    }
    assert_eq!(seen, ["B", "b", "ä"]);
}

#[test]
fn files_that_wait_failed_or_were_skipped_do_not_pin_it() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2), archived(object("c", "1", 3)), object("d", "1", 4)]);
    let batch = house.claim_all(1_000);
    let outcome = |key: &str| Some(if key == "a" { deferred(9_000) } else { failed() });
    house.settle(&batch, outcome, 1_000);
    assert_eq!(watermark(&house), place(4, "d"));
}

#[test]
fn it_is_never_lowered_and_what_is_first_seen_below_it_is_late() {
    let mut house = House::new();
    house.page(&[object("m", "1", 10)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    assert_eq!(watermark(&house), place(10, "m"));
    let mut hidden = object("_h", "1", 5);
    hidden.skip = Some(connector_core::object::SkipReason::Hidden);
    let outcome = house.page(&[
        object("a", "1", 9),
        object("b", "1", 10),
        archived(object("c", "1", 10)),
        object("n", "1", 10),
        object("z", "1", 11),
        hidden,
    ]);
    assert_eq!((outcome.late, outcome.new), (3, 4));
    assert_eq!(house.page(&[object("a", "1", 9)]).late, 0);
    house.finish_scan(1_000);
    assert_eq!(watermark(&house), place(10, "m"), "held, with a late file below it");
    assert_eq!(house.counts(1_000).late_arrivals, 3);
    let batch = house.claim(throttled(2), 1_000).batch.unwrap();
    assert_eq!(keys(&batch), ["a", "b"]);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    assert_eq!(watermark(&house), place(10, "m"));
    assert_eq!(house.counts(1_000).oldest_pending, Some(at(10)));
}

#[test]
fn it_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    house.page(&[object("m", "1", 10)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    drop(house);
    assert_eq!(watermark(&House::at(dir.path())), place(10, "m"));
}

#[test]
fn the_place_of_the_watermark_itself_counts_as_late() {
    let mut house = House::new();
    house.page(&[object("m", "1", 10)]);
    let batch = house.claim_all(1_000);
    house.settle(&batch, |_| Some(failed()), 1_000);
    assert_eq!(watermark(&house), place(10, "m"));
    let outcome = house.page(&[object("m", "2", 10)]);
    assert_eq!((outcome.new, outcome.late), (1, 1));
}
