use jiff::Timestamp;

use super::*;
use crate::audit::tests::spec_for;
use crate::revision::Account;
use crate::uri::KeyPattern;

const LISTED: ObjectVersionId = ObjectVersionId([1; 16]);
const OTHER: ObjectVersionId = ObjectVersionId([2; 16]);

fn object(key: &str, second: i64, size: u64) -> ListedObject {
    ListedObject {
        key: key.to_owned(),
        etag: "e".to_owned(),
        size,
        last_modified: Timestamp::from_second(second).expect("in range"),
        storage_class: None,
    }
}

fn known(id: ObjectVersionId, state: &str, reason: Option<&str>) -> KnownAccount {
    KnownAccount {
        id,
        key: "in/a.csv".to_owned(),
        etag: "e".to_owned(),
        size: 1,
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        account: Account::default(),
    }
}

#[test]
fn an_object_is_read_or_left_out_as_scan_and_claim_would() {
    let mut spec = spec_for("s3://bkt/in/*");
    spec.exclude = vec![KeyPattern::parse("in/tmp/").expect("parses")];
    spec.from_timestamp = Timestamp::from_second(10).ok();
    for (key, second, size, expected) in [
        ("in/a.csv", 10, 1, Fate::Read(Format::Csv)),
        ("in/a.parquet", 10, 1, Fate::Read(Format::Parquet)),
        ("out/a.csv", 10, 1, Fate::Left("not_matched")),
        ("in/tmp/a.csv", 10, 1, Fate::Left("excluded")),
        ("in/a.csv", 9, 1, Fate::Left("too_old")),
        ("in/_a.csv", 10, 1, Fate::Left("hidden")),
        ("in/a.csv", 10, 0, Fate::Left("empty")),
        ("in/x/", 10, 0, Fate::Left("directory_marker")),
        ("in/a.txt", 10, 1, Fate::Left("unknown_format")),
    ] {
        assert_eq!(judge(&spec, &object(key, second, size), None, &[]), expected, "{key}");
    }
    let archived = ListedObject { storage_class: Some("GLACIER".to_owned()), ..object("in/a.csv", 10, 1) };
    assert_eq!(judge(&spec, &archived, Some(LISTED), &[]), Fate::Left("archived"));
}

#[test]
fn what_the_ledger_knows_decides_whether_it_is_new() {
    let read = Fate::Read(Format::Csv);
    let cases: &[(&[KnownAccount], Fate, Fate)] = &[
        (&[known(LISTED, "ingested", None)], Fate::Left("ingested"), Fate::Left("ingested")),
        (&[known(LISTED, "quarantined", None)], Fate::Left("quarantined"), Fate::Left("quarantined")),
        (&[known(LISTED, "failed", None)], Fate::Left("failed"), Fate::Left("failed")),
        (&[known(LISTED, "pending", None)], read, read),
        (&[known(LISTED, "claimed", None)], read, read),
        (&[known(LISTED, "gone", None)], read, read),
        (&[known(LISTED, "deferred", Some("archived"))], read, read),
        (&[known(LISTED, "skipped", Some("unknown_format"))], read, read),
        (&[known(LISTED, "skipped", Some("rolled_back"))], Fate::Left("rolled_back"), Fate::Left("rolled_back")),
        (&[known(OTHER, "ingested", None)], Fate::Left("overwrite"), read),
        (&[known(OTHER, "ingested", None), known(LISTED, "skipped", Some("overwrite"))], Fate::Left("overwrite"), read),
        (&[known(OTHER, "quarantined", None)], read, read),
        (&[known(OTHER, "failed", None)], read, read),
    ];
    for (versions, ignore, append) in cases {
        let mut spec = spec_for("s3://bkt/in/*.csv");
        let judged = |spec: &ImportSpec| judge(spec, &object("in/a.csv", 1, 1), Some(LISTED), versions);
        assert_eq!(judged(&spec), *ignore, "{versions:?}");
        spec.overwrite = OverwritePolicy::Append;
        assert_eq!(judged(&spec), *append, "{versions:?}");
    }
}

#[test]
fn a_tally_adds_up_and_keeps_the_first_in_claim_order() {
    let mut tally = Tally::new(3);
    for (key, second) in [("d", 4), ("b", 2), ("a2", 1), ("e", 5), ("a1", 1)] {
        tally.count(object(key, second, 10), Fate::Read(Format::Csv), |_, _| 2);
    }
    tally.count(object("x", 1, 10), Fate::Left("hidden"), |_, _| 2);
    let keys: Vec<&str> = tally.first().iter().map(|(object, _)| object.key.as_str()).collect();
    assert_eq!(keys, ["a1", "a2", "b"]);
    assert_eq!((tally.objects, tally.read, tally.gets), (6, Amount { files: 5, bytes: 50 }, 10));
    assert_eq!((tally.by_format["csv"].files, tally.left["hidden"]), (5, 1));
}

#[test]
fn a_thousand_files_at_five_a_minute_take_two_hundred_minutes() {
    let read = Amount { files: 1_000, bytes: 1_000 };
    let cost = at_cap(read, 2_000, 3, 5, Duration::from_secs(60));
    let expected = Cost { batches: 200, list_requests: 600, get_requests: 2_000, seconds: Some(200 * 60) };
    assert_eq!(cost, expected);
    assert_eq!(on_demand(read, 2_000, 3), Cost { batches: 1, list_requests: 3, get_requests: 2_000, seconds: None });
    let large = Amount { files: 3, bytes: 9 << 30 };
    assert_eq!(on_demand(large, 0, 1).batches, 3);
    assert_eq!(on_demand(Amount { files: 1, bytes: 9 << 30 }, 0, 1).batches, 1);
    assert_eq!(at_cap(Amount::default(), 0, 1, 5, Duration::from_secs(60)).list_requests, 1);
}
