use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::audit::tests::spec_for;
use crate::history::FileRecord;
use crate::known::KnownResult;
use crate::revision::{Account, BatchKind};
use crate::spec::Schedule;

const KEY: &str = "in/a.csv";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn import() -> ImportUuid {
    ImportUuid::parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8").expect("a UUID")
}

fn object(etag: &str) -> ListedObject {
    ListedObject { key: KEY.to_owned(), etag: etag.to_owned(), size: 10, last_modified: at(500), storage_class: None }
}

fn version(etag: &str, state: &str, reason: Option<&str>) -> KnownVersion {
    KnownVersion {
        id: ObjectVersionId::of(import(), "bkt", KEY, etag, 10),
        key: KEY.to_owned(),
        bucket: "bkt".to_owned(),
        etag: etag.to_owned(),
        size: 10,
        last_modified: at(500),
        state: state.to_owned(),
        reason: reason.map(str::to_owned),
        not_before: None,
        attempts: 0,
        suspect: false,
        strikes: 0,
        first_seen: at(600),
        account: Account::default(),
        results: Vec::new(),
    }
}

fn result(kind: BatchKind, outcome: &str, trouble: Option<(&str, &str)>) -> KnownResult {
    KnownResult {
        batch: format!("B-{outcome}"),
        kind,
        state: "committed".to_owned(),
        ended_at: Some(at(700)),
        file: FileRecord {
            key: KEY.to_owned(),
            version: String::new(),
            outcome: outcome.to_owned(),
            rows: 4,
            rows_quarantined: 0,
            rows_removed: 0,
            quarantined_removed: 0,
            bytes: 10,
            duration_ms: 1,
            code: trouble.map(|(code, _)| code.to_owned()),
            message: trouble.map(|(_, message)| message.to_owned()),
            reference: false,
        },
    }
}

fn standing() -> Standing {
    Standing {
        running: Running::Yes { state: "Running".to_owned(), reason: None },
        paused: false,
        guard_reason: None,
        last_scan_at: Some(at(900)),
        open_batch: None,
        ahead: None,
        tick_ends_at: Some(at(1_030)),
        tick_left: 0,
    }
}

fn ask(object: Now, versions: &[KnownVersion], standing: &Standing) -> Explanation {
    let spec = spec_for("s3://bkt/in/*.csv");
    explain(&Inquiry {
        spec: &spec,
        bucket: "bkt",
        key: KEY,
        object,
        import: Some(import()),
        versions,
        standing,
        now: at(1_000),
    })
}

fn known(version: KnownVersion) -> Explanation {
    ask(Now::Listed(object("e")), &[version], &standing())
}

fn with_rows(mut version: KnownVersion, in_table: u64, in_quarantine: u64, removed: u64) -> KnownVersion {
    let read = in_table + in_quarantine + removed;
    version.account = Account { read, in_table, in_quarantine, removed, ..Account::default() };
    version
}

#[track_caller]
fn says(found: &Explanation, verdict: Verdict, parts: &[&str]) {
    let text =
        format!("{}\n{}\n{}\n{}", found.because, found.next, found.details.join("\n"), found.commands.join("\n"));
    assert_eq!(found.verdict, verdict, "{text}");
    for part in parts {
        assert!(text.contains(part), "no '{part}' in:\n{text}");
    }
}

#[test]
fn what_the_configuration_keeps_out_names_the_rule() {
    let spec = crate::spec::ImportSpec { from_timestamp: Some(at(400)), ..spec_for("s3://bkt/in/*.csv") };
    let ask = |bucket: &'static str, key: &'static str, size, modified, class: Option<&str>| {
        let object = ListedObject {
            key: key.to_owned(),
            etag: "e".to_owned(),
            size,
            last_modified: at(modified),
            storage_class: class.map(str::to_owned),
        };
        let object = Now::Listed(object);
        let (versions, standing, now) = (&[], &standing(), at(1_000));
        explain(&Inquiry { spec: &spec, bucket, key, object, import: Some(import()), versions, standing, now })
    };
    says(&ask("other", KEY, 1, 500, None), Verdict::OtherBucket, &["reads the bucket bkt, not other"]);
    says(&ask("bkt", "out/a.csv", 1, 500, None), Verdict::NotMatched, &["IMPORT_BUCKET_URI s3://bkt/in/*.csv"]);
    says(&ask("bkt", KEY, 1, 399, None), Verdict::TooOld, &["IMPORT_FROM_TIMESTAMP"]);
    says(&ask("bkt", "in/_a.csv", 1, 500, None), Verdict::Hidden, &[]);
    says(&ask("bkt", KEY, 0, 500, None), Verdict::Empty, &["other content"]);
    says(&ask("bkt", KEY, 1, 500, None), Verdict::NotListed, &["the next tick", "1970-01-01T00:17:10Z"]);
    says(&ask("bkt", KEY, 1, 500, Some("GLACIER")), Verdict::NotListed, &["archive"]);
    let all = crate::spec::ImportSpec { ..spec_for("s3://bkt/in/") };
    for (key, verdict) in [("in/x/", Verdict::DirectoryMarker), ("in/a.txt", Verdict::UnknownFormat)] {
        let object = Now::Listed(ListedObject { key: key.to_owned(), ..object("e") });
        let (versions, standing, now) = (&[], &standing(), at(1_000));
        let inquiry =
            Inquiry { spec: &all, bucket: "bkt", key, object, import: Some(import()), versions, standing, now };
        says(&explain(&inquiry), verdict, &[]);
    }
}

#[test]
fn every_state_of_the_ledger_has_its_answer() {
    let mut one = version("e", "pending", None);
    says(&known(one.clone()), Verdict::Pending, &["waits for its turn", "one of the next ticks"]);
    one.suspect = true;
    one.strikes = 1;
    says(&known(one.clone()), Verdict::Suspect, &["read alone", "died over it 1 times"]);
    let mut one = version("e", "pending", None);
    (one.not_before, one.attempts) = (Some(at(2_000)), 2);
    one.results = vec![result(BatchKind::Ingest, "deferred", Some(("access_denied", "S3 says no")))];
    let deferred = known(one);
    says(&deferred, Verdict::Deferred, &["2 times so far: access_denied: S3 says no", "from 1970-01-01T00:33:20Z on"]);
    assert_eq!(deferred.commands, ["s3-connector datasource retry orders --file in/a.csv"]);
    says(&known(version("e", "deferred", Some("archived"))), Verdict::Archived, &["archive", "restored"]);

    let ingested = || {
        let mut one = with_rows(version("e", "ingested", None), 4, 0, 0);
        one.results = vec![result(BatchKind::Ingest, "ingested", None)];
        one
    };
    let found = known(ingested());
    says(&found, Verdict::Ingested, &["by batch B-ingested at 1970-01-01T00:11:40Z", "4 rows read: 4 in the table"]);
    assert!(found.versions[0].current && found.commands.is_empty());
    let found = known(with_rows(ingested(), 3, 1, 0));
    says(&found, Verdict::PartlyQuarantined, &["quarantine show orders --file in/a.csv", "quarantine replay orders"]);
    let mut one = ingested();
    one.results.push(result(BatchKind::Replay, "replayed", None));
    says(&known(one), Verdict::Replayed, &["4 rows moved from quarantine into the table by batch B-replayed"]);
    let mut one = with_rows(ingested(), 1, 0, 3);
    one.results.push(result(BatchKind::Expiry, "expired", None));
    says(&known(one), Verdict::Expired, &["3 rows left the table because ENGINE_TTL"]);

    let mut one = with_rows(version("e", "quarantined", None), 0, 9, 0);
    one.results = vec![result(BatchKind::Ingest, "quarantined", Some(("missing_column", "the file lacks 'id'")))];
    says(&known(one), Verdict::Quarantined, &["missing_column: the file lacks 'id'", "quarantine replay", "9 in quar"]);
    let mut one = version("e", "failed", None);
    one.results = vec![result(BatchKind::Ingest, "failed", Some(("corrupt", "bad footer")))];
    says(&known(one.clone()), Verdict::Failed, &["corrupt: bad footer", "datasource retry orders"]);
    one.strikes = 3;
    says(&known(one.clone()), Verdict::Poison, &["3 processes died over it"]);
    one.reason = Some("replaced".to_owned());
    says(&known(one), Verdict::Superseded, &["later version"]);
    let mut one = version("e", "skipped", Some("rolled_back"));
    one.results = vec![result(BatchKind::Rollback, "rolled_back", None)];
    says(&known(one), Verdict::RolledBack, &["by batch B-rolled_back", "datasource retry"]);
    for (reason, verdict) in [
        ("hidden", Verdict::Hidden),
        ("empty", Verdict::Empty),
        ("directory_marker", Verdict::DirectoryMarker),
        ("unknown_format", Verdict::UnknownFormat),
    ] {
        says(&known(version("e", "skipped", Some(reason))), verdict, &[]);
    }
    says(&known(version("e", "gone", None)), Verdict::Gone, &["vanished or changed"]);
    says(&known(version("e", "gone", Some("superseded"))), Verdict::Gone, &["another version"]);
}

#[test]
fn a_claimed_object_names_the_batch_that_has_it() {
    let claimed = [version("e", "claimed", None)];
    for (staged, part) in [(false, "is reading it now"), (true, "is being committed now")] {
        let standing = Standing { open_batch: Some(("B-1".to_owned(), staged)), ..standing() };
        says(&ask(Now::Listed(object("e")), &claimed, &standing), Verdict::Claimed, &["batch B-1", part]);
    }
    let stopped = Standing { running: Running::No, ..standing() };
    says(&ask(Now::Listed(object("e")), &claimed, &stopped), Verdict::Claimed, &["interrupted", "s3-connector run"]);
}

#[test]
fn an_object_that_waits_is_told_its_place_and_about_when_it_is_read() {
    let pending = [version("e", "pending", None)];
    let ask = |ahead, left| {
        let standing = Standing { ahead: Some(ahead), tick_left: left, ..standing() };
        ask(Now::Listed(object("e")), &pending, &standing)
    };
    says(&ask(0, 5), Verdict::Pending, &["the next one", "with this tick"]);
    says(&ask(4, 5), Verdict::Pending, &["4 files before it", "with this tick"]);
    // The next tick begins at 1,030 s and takes the sixth to the tenth.
    says(&ask(5, 5), Verdict::Pending, &["1970-01-01T00:17:10Z"]);
    says(&ask(9, 5), Verdict::Pending, &["1970-01-01T00:17:10Z"]);
    says(&ask(10, 5), Verdict::Pending, &["1970-01-01T00:18:10Z"]);
    says(&ask(0, 0), Verdict::Pending, &["1970-01-01T00:17:10Z"]);
}

#[test]
fn what_keeps_an_import_from_going_on_is_said_instead_of_a_time() {
    let pending = [version("e", "pending", None)];
    let ask = |standing: &Standing| ask(Now::Listed(object("e")), &pending, standing);
    let paused = Standing { paused: true, guard_reason: Some("mostly bad".to_owned()), ..standing() };
    says(&ask(&paused), Verdict::Pending, &["(mostly bad)", "datasource scheduling resume orders"]);
    let failed = Running::Yes { state: "Failed".to_owned(), reason: Some("no access".to_owned()) };
    says(&ask(&Standing { running: failed, ..standing() }), Verdict::Pending, &["import is Failed (no access)"]);
    says(&ask(&Standing { running: Running::No, ..standing() }), Verdict::Pending, &["s3-connector run"]);
    let spec = crate::spec::ImportSpec { schedule: Schedule::OnDemand, ..spec_for("s3://bkt/in/*.csv") };
    let obstacle = |running| Standing { running, ..standing() }.obstacle(&spec).expect("an obstacle");
    assert!(obstacle(Running::No).contains("run --once"));
    let runs = Running::Yes { state: "Running".to_owned(), reason: None };
    assert!(obstacle(runs).contains("datasource sync orders"));
}

#[test]
fn a_new_version_of_an_ingested_key_is_told_by_what_the_policy_does() {
    let ingested = || {
        let mut one = with_rows(version("old", "ingested", None), 4, 0, 0);
        one.results = vec![result(BatchKind::Ingest, "ingested", None)];
        one
    };
    let changed = ask(Now::Listed(object("e")), &[ingested()], &standing());
    says(&changed, Verdict::Changed, &["B-ingested", "IMPORT_ON_OVERWRITE is ignore"]);
    let mut newer = version("e", "skipped", Some("overwrite"));
    newer.first_seen = at(800);
    let overwritten = ask(Now::Listed(object("e")), &[ingested(), newer], &standing());
    says(&overwritten, Verdict::Overwritten, &["ingested by batch B-ingested", "IMPORT_ON_OVERWRITE append"]);
    assert_eq!(overwritten.versions.iter().map(|line| line.current).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn what_is_not_in_the_bucket_is_told_apart_from_what_never_was() {
    says(&ask(Now::Absent, &[], &standing()), Verdict::NoSuchObject, &["no such object"]);
    let ingested = with_rows(version("e", "ingested", None), 4, 0, 0);
    says(
        &ask(Now::Absent, std::slice::from_ref(&ingested), &standing()),
        Verdict::Vanished,
        &["its rows stay", "4 in the table"],
    );
    says(&ask(Now::Absent, &[version("e", "gone", None)], &standing()), Verdict::Gone, &["never ingested"]);
    let rolled_back = version("e", "skipped", Some("rolled_back"));
    says(&ask(Now::Absent, &[rolled_back], &standing()), Verdict::Gone, &["was rolled back"]);
    let down = || Now::Unreachable("no answer".to_owned());
    says(&ask(down(), &[ingested], &standing()), Verdict::Ingested, &["S3 could not be asked", "no answer"]);
    says(&ask(down(), &[], &standing()), Verdict::Unknown, &["no answer"]);
}

#[test]
fn what_waits_and_is_not_let_in_any_more_is_not_promised_a_turn() {
    let spec = spec_for("s3://bkt/elsewhere/");
    for (state, verdict) in [("pending", Verdict::NotMatched), ("ingested", Verdict::Ingested)] {
        let (versions, standing, now) = (&[version("e", state, None)], &standing(), at(1_000));
        let object = Now::Listed(object("e"));
        let inquiry =
            Inquiry { spec: &spec, bucket: "bkt", key: KEY, object, import: Some(import()), versions, standing, now };
        says(&explain(&inquiry), verdict, &["does not match IMPORT_BUCKET_URI"]);
    }
}

#[test]
fn a_clock_that_is_off_and_a_long_backlog_give_a_time_all_the_same() {
    let mut standing = standing();
    standing.ahead = Some(u64::MAX);
    standing.tick_ends_at = Some(Timestamp::MAX - SignedDuration::from_secs(1));
    says(&ask(Now::Listed(object("e")), &[version("e", "pending", None)], &standing), Verdict::Pending, &["9999"]);
}

#[test]
fn keys_are_quoted_for_a_shell() {
    let cases =
        [("a/b-1.csv", "a/b-1.csv"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("-rf", "'-rf'"), ("$(x)", "'$(x)'")];
    for (key, expected) in cases {
        assert_eq!(quoted(key), expected);
    }
}
