//! What S3 and the network in front of it may do to an import, end to end, by the number of the case.

use std::collections::BTreeMap;

use connector_devcloud::{Fault, Faults, Operation, Refusal, Rule, When};
use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, ENGINES, Finished, Home, group_rows, python, read_table, until};

/// 2024-02-29T12:00:00Z.
const NOON: u64 = 1_709_208_000;
const DAY: u64 = 86_400;

fn home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    (home, cloud)
}

fn csv(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().fold("id\n".to_owned(), |text, id| text + &format!("{id}\n"))
}

fn once(home: &Home, cloud: &Cloud) -> Finished {
    home.run(cloud.endpoint(), &["run", "--once"])
}

fn plan(cloud: &Cloud, rules: impl IntoIterator<Item = Rule>) {
    cloud.faults().set(Faults { rules: rules.into_iter().collect(), ..Faults::seeded(1) });
}

fn count(cloud: &Cloud, fault: &str) -> u64 {
    cloud.faults().counts().get(fault).copied().unwrap_or_default()
}

/// The rows of each key, as two other engines find them; nothing if they are not installed.
#[track_caller]
fn expect_rows(test: &str, home: &Home, expected: &BTreeMap<&str, u64>) {
    let total: u64 = expected.values().sum();
    assert_eq!(home.counts("orders").rows, total);
    let Some(python) = python(test) else { return };
    let expected: Vec<Value> = expected.iter().map(|(key, rows)| json!({"_s3_key": key, "rows": rows})).collect();
    for engine in ENGINES {
        assert_eq!(group_rows(&python, &home.table("orders"), engine, &["_s3_key"]), expected, "{engine}");
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!((&table["ids"]["count"], &table["ids"]["distinct"]), (&total.into(), &total.into()), "{engine}");
    }
}

#[test]
fn case_34_an_object_that_appears_with_a_date_of_days_ago_is_ingested() {
    let (home, cloud) = home();
    home.put("drop", "new.csv", csv([1])).touch("drop", "new.csv", NOON);
    once(&home, &cloud).expect_code(0);
    // A multipart upload that began three days ago and was completed just now.
    home.put("drop", "old.csv", csv([2, 3])).touch("drop", "old.csv", NOON - 3 * DAY);
    once(&home, &cloud).expect_code(0);
    let expected = BTreeMap::from([("new.csv", 1), ("old.csv", 2)]);
    expect_rows("case_34_an_object_that_appears_with_a_date_of_days_ago_is_ingested", &home, &expected);
    assert_eq!(home.counts("orders").late_arrivals, 1);
}

#[test]
fn case_35_objects_of_one_second_around_the_watermark_come_once_each() {
    let (home, cloud) = home();
    let keys = ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"].map(|key| format!("{key}.csv"));
    let land = |number: usize| {
        home.put("drop", &keys[number], csv([number as u64])).touch("drop", &keys[number], NOON);
    };
    // Some of them at first, around those that follow: in the middle, at the end, at the beginning.
    for landed in [vec![3, 4, 5], vec![9, 6], vec![0, 1], vec![8, 2, 7]] {
        landed.into_iter().for_each(land);
        once(&home, &cloud).expect_code(0);
    }
    once(&home, &cloud).expect_code(0);
    let expected: BTreeMap<&str, u64> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    expect_rows("case_35_objects_of_one_second_around_the_watermark_come_once_each", &home, &expected);
}

#[test]
fn case_36_a_late_key_that_sorts_before_everything_is_ingested() {
    let (home, cloud) = home();
    for (id, key) in ["m.csv", "z.csv"].into_iter().enumerate() {
        home.put("drop", key, csv([id as u64])).touch("drop", key, NOON);
    }
    once(&home, &cloud).expect_code(0);
    // Late, of the same second, and the first of all keys.
    home.put("drop", "!.csv", csv([7])).touch("drop", "!.csv", NOON);
    once(&home, &cloud).expect_code(0);
    let expected = BTreeMap::from([("!.csv", 1), ("m.csv", 1), ("z.csv", 1)]);
    expect_rows("case_36_a_late_key_that_sorts_before_everything_is_ingested", &home, &expected);
}

#[test]
fn case_37_an_overwrite_between_list_and_get_brings_the_new_version_once_and_nothing_of_the_old() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv(0..10));
    // Nothing can be read until the object is another one.
    plan(&cloud, [Rule::on(Operation::Get, When::Always, Fault::Refuse(Refusal::SlowDown))]);
    let daemon = Daemon::start(&home, cloud.endpoint(), "100ms");
    until("a read of the first version", || (count(&cloud, "slow_down") > 0).then_some(()));
    home.put("drop", "k.csv", csv(100..107));
    cloud.faults().clear();
    daemon.wait_for_files("orders", "ingested", 1);
    drop(daemon);
    let expected = BTreeMap::from([("k.csv", 7)]);
    let test = "case_37_an_overwrite_between_list_and_get_brings_the_new_version_once_and_nothing_of_the_old";
    expect_rows(test, &home, &expected);
    assert_eq!(home.counts("orders").files.get("gone"), Some(&1), "the first version was seen, and never read");
}

#[test]
fn case_42_pages_that_fail_loop_or_expire_lose_no_key() {
    let (home, cloud) = home();
    let keys: Vec<String> = (0..65).map(|id| format!("{id:02}.csv")).collect();
    for (id, key) in (0..).zip(&keys) {
        home.put("drop", key, csv([id]));
    }
    let on = |n, fault| Rule::on(Operation::List, When::Nth(n), fault);
    let rules = vec![
        on(2, Fault::ExpiredPage),
        on(4, Fault::RepeatedToken),
        on(6, Fault::Refuse(Refusal::InternalError)),
        on(8, Fault::Cut { after: 500 }),
        on(10, Fault::Truncated { by: 30 }),
    ];
    cloud.faults().set(Faults { rules, page: Some(10), ..Faults::seeded(1) });
    once(&home, &cloud).expect_code(0);
    assert_eq!(cloud.faults().counts().len(), 5, "{:?}", cloud.faults().counts());
    let expected: BTreeMap<&str, u64> = keys.iter().map(|key| (key.as_str(), 1)).collect();
    expect_rows("case_42_pages_that_fail_loop_or_expire_lose_no_key", &home, &expected);

    // A listing that never gets past its first page: nothing is concluded from what it lacks.
    let watermark = home.counts("orders").watermark;
    home.put("drop", "new.csv", csv([90]));
    cloud.faults().set(Faults {
        rules: vec![Rule::on(Operation::List, When::Always, Fault::ExpiredPage)],
        page: Some(10),
        ..Faults::seeded(1)
    });
    let failed = once(&home, &cloud);
    assert_ne!(failed.code, 0, "{}", failed.stdout);
    let counts = home.counts("orders");
    assert_eq!((counts.watermark, counts.files.get("ingested")), (watermark, Some(&65)));
    assert_eq!(counts.files.get("gone").copied().unwrap_or_default(), 0);
    cloud.faults().clear();
    once(&home, &cloud).expect_code(0);
    assert_eq!(home.counts("orders").rows, 66);
}

#[test]
fn case_47_a_403_for_one_object_defers_it_and_on_a_listing_stops_the_import() {
    let (home, cloud) = home();
    home.put("drop", "ours.csv", csv([1])).put("drop", "theirs.csv", csv([2]));
    let denied = || Fault::Refuse(Refusal::AccessDenied);
    plan(&cloud, [Rule::on(Operation::Get, When::Always, denied()).key("theirs.csv")]);
    let told = once(&home, &cloud).stderr;
    assert!(told.contains("file deferred") && told.contains("theirs.csv") && told.contains("s3:GetObject"), "{told}");
    let counts = home.counts("orders");
    let states = ["ingested", "pending", "failed", "quarantined"].map(|state| counts.files[state]);
    assert_eq!(states, [1, 1, 0, 0], "{:?}", counts.files);

    plan(&cloud, [Rule::on(Operation::List, When::Always, denied())]);
    let refused = once(&home, &cloud).expect_code(2);
    assert!(refused.stderr.contains("s3:ListBucket") && refused.stderr.contains("shop"), "{}", refused.stderr);
    assert_eq!(home.counts("orders").files, counts.files, "a bucket that may not be listed is no empty bucket");

    cloud.faults().clear();
    home.run(cloud.endpoint(), &["datasource", "retry", "orders"]).expect_code(0);
    once(&home, &cloud).expect_code(0);
    let expected = BTreeMap::from([("ours.csv", 1), ("theirs.csv", 1)]);
    let test = "case_47_a_403_for_one_object_defers_it_and_on_a_listing_stops_the_import";
    expect_rows(test, &home, &expected);
}

#[test]
fn case_49_bursts_of_500_503_and_429_are_waited_out() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv(0..50));
    let first = |operation, refusal| Rule::on(operation, When::First(2), Fault::Refuse(refusal));
    plan(
        &cloud,
        [
            first(Operation::List, Refusal::SlowDown),
            first(Operation::Get, Refusal::InternalError),
            Rule::on(Operation::Get, When::Nth(3), Fault::Refuse(Refusal::TooManyRequests)),
        ],
    );
    once(&home, &cloud).expect_code(0);
    assert_eq!(
        (count(&cloud, "slow_down"), count(&cloud, "internal_error"), count(&cloud, "too_many_requests")),
        (2, 2, 1)
    );
    expect_rows("case_49_bursts_of_500_503_and_429_are_waited_out", &home, &BTreeMap::from([("k.csv", 50)]));
}

#[test]
fn case_50_a_token_that_expires_in_a_download_is_replaced_and_sts_may_fail_ten_times() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv(0..50));
    plan(
        &cloud,
        [
            Rule::on(Operation::Sts, When::First(10), Fault::Refuse(Refusal::InternalError)),
            Rule::on(Operation::Get, When::Nth(1), Fault::Refuse(Refusal::ExpiredToken)),
        ],
    );
    let daemon = Daemon::start(&home, cloud.endpoint(), "100ms");
    // By itself: nobody restarts or reloads anything.
    daemon.wait_for_files("orders", "ingested", 1);
    let (_, log) = daemon.terminate();
    assert_eq!((count(&cloud, "internal_error"), count(&cloud, "expired_token")), (10, 1));
    assert!(log.contains("assuming arn:aws:iam::000000000000:role/reader"), "{log}");
    assert!(!log.contains(crate::harness::CALLER_SECRET) && !log.contains("SessionToken"), "a secret is in the log");
    expect_rows(
        "case_50_a_token_that_expires_in_a_download_is_replaced_and_sts_may_fail_ten_times",
        &home,
        &BTreeMap::from([("k.csv", 50)]),
    );
}

#[test]
fn case_52_a_clock_that_is_off_is_named() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv([1]));
    plan(&cloud, [Rule::on(Operation::List, When::Always, Fault::Refuse(Refusal::ClockSkew))]);
    let refused = once(&home, &cloud).expect_code(2);
    assert!(refused.stderr.contains("RequestTimeTooSkewed") && refused.stderr.contains("clock"), "{}", refused.stderr);
}

#[test]
fn case_53_bodies_of_the_wrong_length_are_never_accepted() {
    let (home, cloud) = home();
    let faults = [
        ("cut.csv", Fault::Cut { after: 40 }),
        ("empty.csv", Fault::Cut { after: 0 }),
        ("long.csv", Fault::TooMuch { by: 3 }),
        ("short.csv", Fault::Truncated { by: 7 }),
        ("promised.csv", Fault::TooLittle { by: 7 }),
    ];
    for ((key, _), at) in faults.iter().zip(0..) {
        home.put("drop", key, csv(at * 100..at * 100 + 50));
    }
    plan(&cloud, faults.iter().map(|(key, fault)| Rule::on(Operation::Get, When::First(3), fault.clone()).key(key)));
    once(&home, &cloud).expect_code(0);
    assert_eq!(cloud.faults().counts().values().sum::<u64>(), 15);
    let expected = faults.iter().map(|(key, _)| (*key, 50)).collect();
    expect_rows("case_53_bodies_of_the_wrong_length_are_never_accepted", &home, &expected);
}

#[test]
fn case_54_a_flipped_bit_never_reaches_the_table() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv(1_000..1_200));
    plan(
        &cloud,
        [
            Rule::on(Operation::Get, When::First(2), Fault::FlippedBit),
            Rule::on(Operation::Get, When::Nth(3), Fault::WrongChecksum),
        ],
    );
    once(&home, &cloud).expect_code(0);
    assert_eq!((count(&cloud, "flipped_bit"), count(&cloud, "wrong_checksum")), (2, 1));
    let Some(python) = python("case_54_a_flipped_bit_never_reaches_the_table") else { return };
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!(table["ids"], json!({"count": 200, "distinct": 200, "min": 1_000, "max": 1_199}), "{engine}");
    }
}

#[test]
fn case_56_a_bucket_of_another_region_is_named_and_not_followed() {
    let (home, cloud) = home();
    home.put("drop", "k.csv", csv([1]));
    plan(&cloud, [Rule::on(Operation::List, When::Always, Fault::Refuse(Refusal::Moved))]);
    let refused = once(&home, &cloud).expect_code(2);
    assert!(refused.stderr.contains("ap-south-2") && refused.stderr.contains("S3_REGION"), "{}", refused.stderr);
}

#[test]
fn case_59_a_login_page_is_an_error_and_never_an_empty_bucket() {
    let (home, cloud) = home();
    home.put("drop", "a.csv", csv([1]));
    once(&home, &cloud).expect_code(0);
    home.put("drop", "b.csv", csv([2]));
    plan(&cloud, [Rule::on(Operation::List, When::Always, Fault::Html)]);
    let failed = once(&home, &cloud);
    assert_ne!(failed.code, 0, "{}", failed.stdout);
    assert!(failed.stderr.contains("login page"), "{}", failed.stderr);
    let files = home.counts("orders").files;
    assert_eq!((files.get("ingested"), files.values().sum::<u64>()), (Some(&1), 1), "{files:?}");
    // It goes away while the program tries.
    plan(
        &cloud,
        [Rule::on(Operation::List, When::First(2), Fault::Html), Rule::on(Operation::Get, When::First(2), Fault::Html)],
    );
    once(&home, &cloud).expect_code(0);
    let expected = BTreeMap::from([("a.csv", 1), ("b.csv", 1)]);
    expect_rows("case_59_a_login_page_is_an_error_and_never_an_empty_bucket", &home, &expected);
}
