//! Hostile cases by their numbers, as far as the ledger has to do with them and no other file has them.

use connector_core::object::SkipReason;

use super::*;

const DAY: i64 = 86_400;

fn pending(house: &House) -> u64 {
    house.counts(1_000_000_000).files["pending"]
}

#[test]
fn case_13_a_ledger_that_a_newer_program_has_brought_up_to_date_is_refused_by_an_older_one_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(House::at(dir.path()));
    let path = dir.path().join(crate::LEDGER_FILE);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 5).unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let Err(refused) = SqliteLedger::open(dir.path()) else { panic!("opened") };
    assert_eq!(refused.code(), "ledger_newer");
    assert!(refused.to_string().contains("has schema version 5 and this program knows versions up to 4"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn case_14_a_clock_that_jumps_neither_claims_again_nor_stalls() {
    for jump in [DAY, -DAY, -1] {
        let mut house = House::new();
        let start = 10 * DAY;
        house.page_at(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3), object("w", "1", 4)], start);
        let batch = house.claim(throttled(2), start).batch.unwrap();
        house.commit(&batch, |_| Some(ingested()), start);
        let waiting = house.claim(throttled(2), start + 60).batch.unwrap();
        house.commit(&waiting, |key| Some(if key == "w" { deferred(start + 90) } else { ingested() }), start + 60);

        let mut now = start + 61 + jump;
        house.page_at(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3), object("w", "1", 4)], now);
        house.page_at(&[object("d", "1", 5)], now);
        let mut taken = Vec::new();
        for _ in 0..30 {
            house.finish_scan(now);
            if let Some(batch) = house.claim(throttled(2), now).batch {
                taken.extend(keys(&batch).into_iter().map(str::to_owned));
                house.commit(&batch, |_| Some(ingested()), now);
            }
            now += 10;
        }
        taken.sort();
        assert_eq!(taken, ["d", "w"], "{jump}");
        assert_eq!(house.counts(now).rows, 21 + 7 * taken.len() as u64, "{jump}");
    }
}

#[test]
fn case_17_files_that_fail_for_ever_at_the_head_do_not_starve_the_others_and_the_tick_holds() {
    let mut house = House::new();
    let page: Vec<_> = (0..40).map(|n| object(&format!("{n:02}"), "1", n)).collect();
    house.page(&page);
    let (mut now, mut good, mut most) = (1_000, Vec::new(), 0);
    for _ in 0..60 {
        if let Some(batch) = house.claim(throttled(5), now).batch {
            most = most.max(batch.files.len());
            let attempts: BTreeMap<&str, u32> = batch.files.iter().map(|file| (&*file.key, file.attempts)).collect();
            let outcome = |key: &str| {
                let wait = 30 << attempts[key].min(7);
                Some(if key < "05" { deferred(now + wait) } else { ingested() })
            };
            house.commit(&batch, outcome, now);
            good.extend(batch.files.iter().filter(|file| &*file.key >= "05").map(|file| file.key.to_string()));
        }
        now += 60;
    }
    let expected: Vec<String> = (5..40).map(|n| format!("{n:02}")).collect();
    assert_eq!((good, most), (expected, 5));
}

#[test]
fn case_18_a_restart_every_ten_seconds_claims_five_files_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    let page: Vec<_> = (0..60).map(|n| object(&format!("{n:02}"), "1", n)).collect();
    house.page(&page);
    let mut distinct: BTreeMap<i64, std::collections::BTreeSet<String>> = BTreeMap::new();
    for second in (0..300).step_by(10) {
        drop(house);
        house = House::at(dir.path());
        if let Some(open) = house.record().open_batch {
            wait(house.ledger.abandon(&house.import, open.seq)).unwrap();
        }
        house.page(&page);
        let Some(batch) = house.claim(throttled(5), 1_000 + second).batch else { continue };
        distinct.entry(second / 60).or_default().extend(keys(&batch).into_iter().map(str::to_owned));
        // Every third life comes as far as a commit.
        if second % 30 == 20 {
            house.commit(&batch, |_| Some(ingested()), 1_000 + second);
        }
    }
    assert!(distinct.values().all(|files| files.len() <= 5), "{distinct:?}");
    assert_eq!(house.counts(1_300).files["ingested"], 25);
}

#[test]
fn case_35_ten_objects_of_the_same_second_around_the_watermark_are_each_read_once() {
    let mut house = House::new();
    let mut read = Vec::new();
    let take = |house: &mut House, now: i64, read: &mut Vec<String>| {
        house.finish_scan(now);
        if let Some(batch) = house.claim(throttled(3), now).batch {
            read.extend(keys(&batch).into_iter().map(str::to_owned));
            house.commit(&batch, |_| Some(ingested()), now);
        }
    };
    // They show up in an order that is neither that of their keys nor that of the watermark.
    let order = [5, 1, 9, 0, 4, 8, 2, 7, 3, 6];
    for (round, n) in order.into_iter().enumerate() {
        let listed: Vec<_> = order[..=round].iter().map(|n| object(&format!("k{n}"), "1", 500)).collect();
        house.page(&listed);
        take(&mut house, 1_000 + 60 * round as i64, &mut read);
        assert!(read.contains(&format!("k{n}")));
    }
    let mut once = read.clone();
    once.sort();
    once.dedup();
    assert_eq!((read.len(), once.len(), pending(&house)), (10, 10, 0));
}

#[test]
fn case_36_a_key_before_all_others_that_comes_late_is_read() {
    let mut house = House::new();
    house.page(&[object("m", "1", 100)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(ingested()), 1_000);
    house.finish_scan(1_000);
    let late = house.page(&[object("!first", "1", 100), object("", "1", 1)]);
    assert_eq!((late.new, late.late), (2, 2));
    assert_eq!(keys(&house.claim_all(1_001)), ["", "!first"]);
}

#[test]
fn case_40_the_same_bytes_put_again_are_not_read_again() {
    for policy in [OverwritePolicy::Ignore, OverwritePolicy::Append] {
        let mut house = House::new();
        house.open_import(policy);
        house.page(&[object("a", "1", 5)]);
        let batch = house.claim_all(1_000);
        house.commit(&batch, |_| Some(ingested()), 1_000);
        assert_eq!(house.page(&[object("a", "1", 50_000)]).known, 1);
        house.finish_scan(1_000);
        assert_eq!(house.claim(ClaimLimit::Unlimited, 2_000).batch, None);
        assert_eq!(house.counts(2_000).rows, 7);
    }
}

#[test]
fn case_41_a_version_that_is_promoted_again_is_read_once_in_all() {
    let mut house = House::new();
    house.open_import(OverwritePolicy::Append);
    let mut read = Vec::new();
    // The second version, a delete marker, then the first version is back with its old time, then the marker again.
    for (now, listed) in [(1_000, Some("1")), (1_060, Some("2")), (1_120, None), (1_180, Some("1")), (1_240, None)] {
        let page: Vec<_> = listed.into_iter().map(|etag| object("a", etag, if etag == "1" { 5 } else { 9 })).collect();
        house.page_at(&page, now);
        house.finish_scan(now);
        if let Some(batch) = house.claim(ClaimLimit::Unlimited, now).batch {
            read.extend(batch.files.iter().map(|file| file.etag.to_string()));
            house.commit(&batch, |_| Some(ingested()), now);
        }
    }
    assert_eq!(read, ["1", "2"]);
}

#[test]
fn case_43_what_is_never_worth_reading_is_skipped_with_its_reason_and_counted() {
    let mut house = House::new();
    let names = [
        ("dir/", 0, "directory_marker"),
        ("x_$folder$", 0, "directory_marker"),
        ("out/_SUCCESS", 0, "hidden"),
        ("out/.part.csv.tmp", 9, "hidden"),
        ("out/_temporary", 9, "hidden"),
        ("empty.csv", 0, "empty"),
    ];
    let page: Vec<_> = names
        .iter()
        .map(|(key, size, _)| {
            let mut selected = object(key, "1", 5);
            selected.object.size = *size;
            selected.skip = SkipReason::of_listing(key, *size);
            selected
        })
        .collect();
    assert_eq!(house.page(&page).skipped, 6);
    assert_eq!(house.page(&page).known, 6);
    for (key, _, reason) in names {
        assert_eq!(house.state(&format!("{key} 1")), format!("skipped:{reason}"));
    }
    assert_eq!(house.counts(1_000).files["skipped"], 6);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None);
}

#[test]
fn case_46_an_object_in_an_archive_waits_and_one_that_is_found_to_be_in_one_is_retried_slowly() {
    let mut house = House::new();
    house.page(&[archived(object("cold", "1", 5)), object("tiered", "1", 6)]);
    assert_eq!(house.state("cold 1"), "deferred:archived");
    let mut now = 1_000;
    for wait in [60, 120, 240] {
        let batch = house.claim_all(now);
        assert_eq!(keys(&batch), ["tiered"]);
        let state =
            FileOutcome::Deferred { code: "archived", message: "not restored".into(), not_before: at(now + wait) };
        house.settle(&batch, |_| Some(state.clone()), now);
        assert_eq!(house.claim(ClaimLimit::Unlimited, now + wait - 1).batch, None);
        now += wait;
    }
    assert_eq!(house.known("tiered", "1").attempts, 3);
    assert_eq!(house.retry(&Retry::Failed), 1, "what waits for a listing is left to it");
    assert_eq!(house.state("cold 1"), "deferred:archived");
    assert_eq!(keys(&house.claim_all(now)), ["tiered"]);
}

#[test]
fn retries_take_what_failed_or_waits_and_leave_what_is_gone_or_overwritten() {
    let mut house = House::new();
    let outcome = |key: &str| {
        Some(match &key[..1] {
            "f" => failed(),
            "w" => deferred(90_000),
            "g" => gone(),
            "q" => quarantined(),
            _ => ingested(),
        })
    };
    house.page(&["f1", "f2", "w1", "g1", "q1", "i1"].map(|key| object(key, "1", 5)));
    let batch = house.claim_all(1_000);
    house.commit(&batch, outcome, 1_000);
    house.page(&[object("f2", "2", 6)]);
    let retry_key = |house: &House, key: &str| house.retry(&Retry::Key(key.into()));
    for key in ["f2", "g1", "q1", "i1", "nobody"] {
        assert_eq!(retry_key(&house, key), 0, "{key}");
    }
    assert_eq!((retry_key(&house, "w1"), retry_key(&house, "w1")), (1, 0));
    assert_eq!(house.retry(&Retry::Failed), 1);
    let batch = house.claim_all(1_001);
    assert_eq!(keys(&batch), ["f1", "w1", "f2"]);
    assert_eq!((&*batch.files[2].etag, batch.files[1].attempts), ("2", 0));
}
