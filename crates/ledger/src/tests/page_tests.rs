//! Listing pages: what becomes of each object of a page.

use connector_core::object::SkipReason;
use connector_core::ports::{Ledger, PageOutcome};

use super::*;

fn skip(mut selected: SelectedObject, reason: SkipReason) -> SelectedObject {
    selected.skip = Some(reason);
    selected
}

#[test]
fn a_new_object_is_pending_and_listing_it_again_changes_nothing() {
    let mut house = House::new();
    assert_eq!(house.page(&[object("a", "1", 5)]), PageOutcome { new: 1, ..PageOutcome::default() });
    assert_eq!(house.page(&[object("a", "1", 5)]), PageOutcome { known: 1, ..PageOutcome::default() });
    assert_eq!(house.state("a 1"), "pending");
    let batch = house.claim_all(1_000);
    assert_eq!(house.page(&[object("a", "1", 5)]).known, 1);
    assert_eq!(house.state("a 1"), "claimed");
    for (outcome, state) in [(failed(), "failed"), (quarantined(), "quarantined"), (ingested(), "ingested")] {
        let mut house = House::new();
        house.page(&[object("a", "1", 5)]);
        let batch = house.claim_all(1_000);
        house.commit(&batch, |_| Some(outcome.clone()), 1_000);
        assert_eq!(house.page(&[object("a", "1", 5)]).known, 1);
        assert_eq!(house.state("a 1"), state);
    }
    assert_eq!(batch.files[0].id.hex().len(), 32);
}

#[test]
fn the_same_bytes_put_again_refresh_the_time_and_nothing_else() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5), object("b", "1", 6)]);
    assert_eq!(house.page(&[object("a", "1", 50)]).known, 1);
    assert_eq!(keys(&house.claim_all(1_000)), ["b", "a"]);
}

#[test]
fn size_is_part_of_the_identity() {
    let mut house = House::new();
    let mut longer = object("a", "1", 5);
    longer.object.size = 11;
    house.page(&[object("a", "1", 5)]);
    assert_eq!(house.page(&[longer]).new, 1);
    let batch = house.claim_all(1_000);
    assert_eq!(batch.files.iter().map(|file| file.size).collect::<Vec<_>>(), [11]);
}

#[test]
fn the_id_of_a_claimed_object_is_the_one_of_core() {
    let mut house = House::new();
    house.page(&[object("a b+%ü", "e", 5)]);
    let uuid = wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap().uuid;
    let file = house.claim_all(1_000).files.remove(0);
    assert_eq!(file.id, connector_core::ids::ObjectVersionId::of(uuid, BUCKET, "a b+%ü", "e", 10));
    assert_eq!(
        (&*file.bucket, &*file.key, &*file.etag, file.size, file.last_modified),
        (BUCKET, "a b+%ü", "e", 10, at(5))
    );
}

#[test]
fn what_is_never_worth_reading_is_stored_with_its_reason() {
    let mut house = House::new();
    let page = [skip(object("a/", "1", 5), SkipReason::DirectoryMarker), object("b", "1", 6)];
    assert_eq!(house.page(&page), PageOutcome { skipped: 1, new: 1, ..PageOutcome::default() });
    assert_eq!(house.page(&page), PageOutcome { known: 2, ..PageOutcome::default() });
    assert_eq!(house.state("a/ 1"), "skipped:directory_marker");
    assert_eq!(keys(&house.claim_all(1_000)), ["b"]);
}

#[test]
fn a_format_that_the_configuration_has_learnt_is_read_after_all() {
    let house = House::new();
    house.page(&[skip(object("a.dat", "1", 5), SkipReason::UnknownFormat)]);
    assert_eq!(house.page(&[object("a.dat", "1", 5)]).new, 1);
    assert_eq!(house.state("a.dat 1"), "pending");
}

#[test]
fn archived_objects_wait_until_a_listing_shows_them_readable() {
    let mut house = House::new();
    let cold = archived(object("a", "1", 5));
    assert_eq!(house.page(std::slice::from_ref(&cold)), PageOutcome { deferred: 1, ..PageOutcome::default() });
    assert_eq!(house.page(std::slice::from_ref(&cold)).known, 1);
    assert_eq!(house.state("a 1"), "deferred:archived");
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None);
    assert_eq!(house.page(&[object("a", "1", 5)]).new, 1);
    assert_eq!(house.state("a 1"), "pending");
    assert_eq!(house.page(&[cold]).deferred, 1, "archived before it was read");
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None);
}

#[test]
fn an_object_that_vanished_and_shows_up_again_is_read() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5)]);
    let batch = house.claim_all(1_000);
    house.settle(&batch, |_| Some(gone()), 1_000);
    assert_eq!(house.state("a 1"), "gone");
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None);
    assert_eq!(house.page(&[object("a", "1", 5)]).new, 1);
    assert_eq!(keys(&house.claim_all(1_000)), ["a"]);
}

#[test]
fn a_version_that_is_never_what_its_page_says_comes_back_ever_later_and_leaves_the_throttle_to_others() {
    let mut house = House::new();
    let page = [object("a", "1", 5), object("b", "1", 6), object("c", "1", 7), object("d", "1", 8)];
    let (mut now, mut read, mut waits) = (1_000, vec![], vec![]);
    for _ in 0..12 {
        house.page_at(&page, now);
        if let Some(batch) = house.claim(throttled(1), now).batch {
            read.push(keys(&batch)[0].to_owned());
            house.commit(&batch, |key| Some(if key == "a" { gone() } else { ingested() }), now);
            if read.ends_with(&["a".to_owned()]) {
                waits.push(now);
            }
        }
        now += 60;
    }
    // The first return is at once, the second after half a minute, then after one, two and four.
    assert_eq!(read[..8], ["a", "a", "b", "a", "c", "a", "d", "a"].map(str::to_owned), "{read:?} {waits:?}");
}

#[test]
fn a_version_that_vanished_for_another_reason_than_a_read_returns_at_once() {
    let mut house = House::new();
    for etag in ["1", "2", "1", "2", "1"] {
        house.page(&[object("a", etag, 5)]);
    }
    assert_eq!(keys(&house.claim_all(1_000)), ["a"]);
}

#[test]
fn a_key_that_was_ingested_is_not_read_again_with_other_bytes() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    let outcome = house.page(&[object("a", "2", 6), object("b", "2", 6)]);
    assert_eq!(outcome, PageOutcome { skipped: 1, new: 1, ..PageOutcome::default() });
    assert_eq!(house.state("a 2"), "skipped:overwrite");
    assert_eq!(house.page(&[object("a", "2", 6)]).known, 1);
    assert_eq!(house.page(&[archived(object("a", "3", 7))]).skipped, 1);
}

#[test]
fn a_key_of_which_no_row_is_in_the_table_is_read_with_its_new_bytes() {
    for outcome in [failed(), gone(), quarantined()] {
        let mut house = House::new();
        house.page(&[object("a", "1", 5)]);
        let batch = house.claim_all(1_000);
        house.commit(&batch, |_| Some(outcome.clone()), 1_000);
        assert_eq!(house.page(&[object("a", "2", 6)]).new, 1);
        assert_eq!(house.state("a 2"), "pending");
        let batch = house.claim_all(1_000);
        house.commit(&batch, |_| Some(ingested()), 1_000);
        assert_eq!(house.page(&[object("a", "3", 7)]).skipped, 1, "now it is in the table");
    }
    let house = House::new();
    house.page(&[skip(object("a", "1", 5), SkipReason::Empty)]);
    assert_eq!(house.page(&[object("a", "2", 6)]).new, 1);
    assert_eq!(house.states()["a 1"], "skipped:empty");
}

#[test]
fn a_key_of_which_some_rows_are_in_the_table_is_not_read_again() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(partly()), 1_000);
    assert_eq!(house.page(&[object("a", "2", 6)]).skipped, 1);
    assert_eq!(house.state("a 2"), "skipped:overwrite");
}

#[test]
fn an_unread_version_is_gone_once_its_key_holds_another_one() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5), archived(object("b", "1", 5)), object("c", "1", 5)]);
    let batch = house.claim_all(1_000);
    house.settle(&batch, |key| Some(if key == "c" { deferred(9_000) } else { gone() }), 1_000);
    house.page(&[object("a", "1", 5)]);
    house.page(&[object("a", "2", 6), object("b", "2", 6), object("c", "2", 6)]);
    for key in ["a", "b", "c"] {
        assert_eq!(house.state(&format!("{key} 1")), "gone:superseded");
        assert_eq!(house.state(&format!("{key} 2")), "pending");
    }
    assert_eq!(house.counts(9_999).backlog_files, 3, "the one that was waiting is not due any more");
}

#[test]
fn a_key_that_flips_back_is_read_once_as_what_it_holds_now() {
    let house = House::new();
    for etag in ["1", "2", "1"] {
        house.page(&[object("a", etag, 5)]);
    }
    assert_eq!(house.state("a 1"), "pending");
    assert_eq!(house.state("a 2"), "gone:superseded");
}

#[test]
fn a_version_that_comes_back_after_its_successor_was_ingested_counts_as_overwritten() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5)]);
    house.page(&[object("a", "2", 6)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    assert_eq!(house.page(&[object("a", "1", 7)]).skipped, 1);
    assert_eq!(house.state("a 1"), "skipped:overwrite");
}

#[test]
fn a_version_listed_while_its_predecessor_is_read_waits_for_the_verdict_on_it() {
    for (outcome, expected) in [
        (ingested(), "skipped:overwrite"),
        (partly(), "skipped:overwrite"),
        (gone(), "pending"),
        (failed(), "pending"),
        (quarantined(), "pending"),
    ] {
        let mut house = House::new();
        house.page(&[object("a", "1", 5)]);
        let batch = house.claim_all(1_000);
        assert_eq!(house.page(&[object("a", "2", 6)]).new, 1);
        house.commit(&batch, |_| Some(outcome.clone()), 1_000);
        assert_eq!(house.state("a 2"), expected);
    }
}

#[test]
fn a_version_overwritten_while_claimed_is_not_claimed_again() {
    for deferring in [true, false] {
        let mut house = House::new();
        house.page(&[object("a", "1", 5)]);
        let batch = house.claim_all(1_000);
        house.page(&[object("a", "2", 6)]);
        if deferring {
            house.settle(&batch, |_| Some(deferred(1_001)), 1_000);
        } else {
            house.abandon(&batch);
        }
        assert_eq!(house.state("a 1"), "gone:superseded");
        assert_eq!(house.claim_all(2_000).files.iter().map(|file| &*file.etag).collect::<Vec<_>>(), ["2"]);
    }
}

#[test]
fn another_bucket_starts_afresh_and_the_old_one_keeps_its_history() {
    let mut house = House::new();
    house.page(&[object("a", "1", 5), object("b", "1", 6)]);
    let batch = house.claim(throttled(1), 1_000).batch.unwrap();
    house.commit(&batch, |_| Some(ingested()), 1_000);
    let record = wait(house.ledger.open_import(&house.import, "other", OverwritePolicy::Ignore)).unwrap();
    assert!(!record.fresh);
    assert_eq!(house.state("b 1"), "gone:bucket_changed");
    assert_eq!(house.page(&[object("a", "1", 5)]).new, 1, "the bucket is part of the identity");
    let batch = house.claim_all(1_000);
    assert_eq!((&*batch.files[0].bucket, batch.files.len()), ("other", 1));
    let back = wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap();
    assert_eq!(back.open_batch.map(|open| open.seq), Some(2));
    house.abandon(&batch);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None, "given back in a bucket that was left");
    assert_eq!(house.page(&[object("a", "1", 5), object("b", "1", 6)]).new, 1);
    assert_eq!(keys(&house.claim_all(1_000)), ["b"]);
}

#[test]
fn imports_do_not_see_each_other() {
    let mut house = House::new();
    let other = ImportName::new("other");
    let record = wait(house.ledger.open_import(&other, BUCKET, OverwritePolicy::Ignore)).unwrap();
    house.page(&[object("a", "1", 5)]);
    assert_eq!(wait(house.ledger.record_page(&other, vec![object("a", "1", 5)], at(1))).unwrap().new, 1);
    let batch = house.claim_all(1_000);
    assert_eq!(wait(house.ledger.counts(&other, at(1_000))).unwrap().backlog_files, 1);
    assert_ne!(
        wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap().uuid,
        record.uuid
    );
    assert_eq!(record.open_batch, None);
    house.abandon(&batch);
    let unknown = wait(house.ledger.record_page(&ImportName::new("nobody"), vec![], at(1))).unwrap_err();
    assert_eq!(unknown.code, "ledger_unknown_import");
}
