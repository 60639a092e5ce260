//! Batches from claim to end, and what is left of them.

use connector_core::error::ErrorClass;
use connector_core::ids::ObjectVersionId;
use connector_core::ports::{Ledger, OpenBatch, ReferenceFile};
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;

use super::*;

fn mixed(key: &str) -> Option<FileOutcome> {
    match key {
        "a" => Some(ingested()),
        "b" => Some(failed()),
        "c" => Some(deferred(5_000)),
        "d" => Some(gone()),
        _ => None,
    }
}

fn five() -> House {
    let house = House::new();
    let page: Vec<_> = ["a", "b", "c", "d", "e"].iter().zip(1..).map(|(key, n)| object(key, "1", n)).collect();
    house.page(&page);
    house
}

#[test]
fn results_take_effect_when_the_batch_is_finalised_and_not_before() {
    let mut house = five();
    let batch = house.claim_all(1_000);
    house.try_stage(&batch, &staged(results(&batch, mixed))).unwrap();
    assert!(house.states().values().all(|state| state == "claimed"));
    assert_eq!((house.counts(1_000).rows, house.counts(1_000).batches), (0, 0));

    wait(house.ledger.finalise(&house.import, 1, 40, at(1_010))).unwrap();
    let states: Vec<_> = house.states().into_values().collect();
    assert_eq!(states, ["ingested", "failed", "pending", "gone", "pending"]);
    let counts = house.counts(1_010);
    assert_eq!((counts.rows, counts.bytes, counts.rows_rejected, counts.batches), (7, 10, 3, 1));
    assert_eq!((counts.backlog_files, counts.backlog_bytes), (1, 10), "e; c has to wait");
    assert_eq!(counts.last_commit_at, Some(at(1_010)));
    assert_eq!(house.counts(5_000).backlog_files, 2);
    let record = wait(house.ledger.open_import(&house.import, BUCKET)).unwrap();
    assert_eq!((record.committed_seq, record.open_batch), (1, None));
    assert_eq!(house.claim_all(5_000).seq, 2);
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
    assert_eq!((&*failures[19].key, failures[19].code.as_str()), ("05", "bad_rows"));
    assert_eq!(failures[0].message, "value 'x' on column 'n' is not Int64");
}

#[test]
fn an_open_batch_comes_back_from_disk_as_it_was_staged() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    house.page(&["e", "d", "c", "b", "a"].map(|key| object(key, "1", 1)));
    let batch = house.claim_all(1_000);
    let mut stage = staged(results(&batch, mixed));
    stage.results.rotate_left(1);
    stage.files = vec![
        StagedFile { path: "z.parquet".into(), bytes: 1, rows: 3, stats: "{}".into() },
        StagedFile { path: "a.parquet".into(), bytes: 2, rows: 4, stats: String::new() },
    ];
    let open = |staged| OpenBatch { seq: 1, uuid: batch.uuid, id: batch.id.clone(), staged };
    let reopened = |house: House| {
        drop(house);
        let house = House::at(dir.path());
        (wait(house.ledger.open_import(&house.import, BUCKET)).unwrap(), house)
    };
    let (record, house) = reopened(house);
    assert_eq!((record.open_batch, record.fresh), (Some(open(None)), false));
    house.try_stage(&batch, &stage).unwrap();
    let (record, house) = reopened(house);
    assert_eq!(record.open_batch, Some(open(Some(stage))));
    wait(house.ledger.finalise(&house.import, 1, 40, at(1_000))).unwrap();
    assert_eq!(reopened(house).0.committed_seq, 1);
}

#[test]
fn an_abandoned_batch_gives_everything_back_and_its_number_is_used_again() {
    for stage in [false, true] {
        let mut house = five();
        let batch = house.claim_all(1_000);
        if stage {
            house.try_stage(&batch, &staged(results(&batch, mixed))).unwrap();
        }
        house.abandon(&batch);
        assert!(house.states().values().all(|state| state == "pending"));
        let left = "SELECT (SELECT COUNT(*) FROM file_result) + (SELECT COUNT(*) FROM staged_file)";
        let count = |db: &rusqlite::Connection| Ok(db.query_row(left, [], |row| row.get::<_, i64>(0))?);
        assert_eq!(wait(house.ledger.read("look", count)).unwrap(), 0);
        let again = house.claim_all(1_000);
        assert_eq!((again.seq, &again.files), (1, &batch.files));
        assert_ne!(again.uuid, batch.uuid);
        house.commit(&again, |_| Some(ingested()), 1_001);
        assert_eq!(house.counts(1_001).rows, 35);
    }
}

#[test]
fn a_due_file_that_is_given_back_keeps_its_place_in_the_order() {
    let mut house = House::new();
    house.page(&[object("late", "1", 9)]);
    let batch = house.claim_all(1_000);
    house.settle(&batch, |_| Some(deferred(1_001)), 1_000);
    house.page(&[object("early", "1", 1)]);
    let batch = house.claim_all(1_002);
    assert_eq!(keys(&batch), ["late", "early"]);
    house.abandon(&batch);
    assert_eq!(keys(&house.claim_all(1_002)), ["late", "early"]);
}

#[test]
fn a_settled_batch_commits_nothing_and_its_number_is_used_again() {
    let mut house = five();
    let batch = house.claim_all(1_000);
    let outcome = |key: &str| if key == "a" { Some(FileOutcome::Ingested { rows: 0 }) } else { mixed(key) };
    house.settle(&batch, outcome, 1_010);
    let states: Vec<_> = house.states().into_values().collect();
    assert_eq!(states, ["ingested", "failed", "pending", "gone", "pending"]);
    let counts = house.counts(1_010);
    assert_eq!((counts.batches, counts.rows, counts.rows_rejected, counts.last_commit_at), (0, 0, 3, None));
    assert_eq!(house.claim_all(1_010).seq, 1);
}

#[test]
fn calls_that_do_not_fit_are_refused_and_change_nothing() {
    let mut house = five();
    let none = wait(house.ledger.finalise(&house.import, 1, 40, at(1))).unwrap_err();
    assert_eq!((none.class, none.code), (ErrorClass::Bug, "ledger_protocol"));
    wait(house.ledger.abandon(&house.import, 1)).unwrap_err();
    let batch = house.claim_all(1_000);
    let before = house.states();
    let good = staged(results(&batch, mixed));

    let mut other = batch.clone();
    other.uuid = BatchUuid(Uuid::from_u128(1));
    house.try_stage(&other, &good).unwrap_err();
    other.uuid = batch.uuid;
    other.seq = 2;
    house.try_stage(&other, &good).unwrap_err();
    wait(house.ledger.finalise(&house.import, 1, 40, at(1))).unwrap_err();

    let mut foreign = good.clone();
    foreign.results[1].id = ObjectVersionId([9; 16]);
    let mut twice = good.clone();
    twice.results.push(twice.results[3].clone());
    let (mut short, mut less, mut silent) = (good.clone(), good.clone(), good.clone());
    silent.results.remove(0);
    short.files[0].rows = 6;
    less.rows = 6;
    for bad in [&foreign, &twice, &short, &less, &silent] {
        assert_eq!(house.try_stage(&batch, bad).unwrap_err().code, "ledger_protocol");
    }
    wait(house.ledger.settle(&house.import, 1, &good.results, at(1))).unwrap_err();
    assert_eq!(house.states(), before);

    house.try_stage(&batch, &good).unwrap();
    house.try_stage(&batch, &good).unwrap_err();
    wait(house.ledger.settle(&house.import, 1, &[], at(1))).unwrap_err();
    wait(house.ledger.finalise(&house.import, 2, 40, at(1))).unwrap_err();
    assert_eq!(house.states(), before);
    wait(house.ledger.finalise(&house.import, 1, 40, at(1))).unwrap();
    wait(house.ledger.finalise(&house.import, 1, 40, at(1))).unwrap_err();
}

#[test]
fn the_history_shows_the_newest_batches_first() {
    let mut house = five();
    let first = house.claim(throttled(2), 1_000).batch.unwrap();
    house.abandon(&first);
    let second = house.claim(throttled(2), 1_000).batch.unwrap();
    house.commit(&second, mixed, 1_001);
    let third = house.claim(throttled(2), 1_060).batch.unwrap();
    house.settle(&third, mixed, 1_061);
    house.claim_all(1_120);
    let history = wait(house.ledger.history(&house.import, 10)).unwrap();
    let seen: Vec<_> = history.iter().map(|b| (b.seq, b.state.as_str(), b.files, b.rows, b.committed_at)).collect();
    assert_eq!(
        seen,
        [
            (2, "claimed", 1, 0, None),
            (2, "settled", 2, 0, None),
            (1, "committed", 2, 7, Some(at(1_001))),
            (1, "abandoned", 2, 0, None)
        ]
    );
    assert_eq!((history[2].id.clone(), history[2].table_version, history[2].bytes), (second.id, Some(40), 20));
    assert_eq!(wait(house.ledger.history(&house.import, 1)).unwrap(), history[..1]);
}

#[test]
fn schema_reference_file_and_pause_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::at(dir.path());
    let open = |house: &House| wait(house.ledger.open_import(&house.import, BUCKET)).unwrap();
    let first = open(&house);
    assert_eq!((first.schema, first.reference, first.table_created, first.paused), (None, None, false, false));
    let mut schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
    let reference = ReferenceFile { key: "a.csv".into(), columns: vec!["n".into(), "ignored".into()] };
    wait(house.ledger.decide_schema(&house.import, &schema, Some(&reference))).unwrap();
    wait(house.ledger.decide_schema(&house.import, &schema, None)).unwrap();
    wait(house.ledger.set_paused(&house.import, true)).unwrap();
    assert!(!open(&house).table_created);
    schema.columns.push(Column::nullable("s", ColumnType::String));
    wait(house.ledger.table_created(&house.import, &schema)).unwrap();
    drop(house);
    let house = House::at(dir.path());
    let record = open(&house);
    assert_eq!((record.schema, record.reference), (Some(schema), Some(reference)));
    assert_eq!((record.table_created, record.paused, record.uuid), (true, true, first.uuid));
    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    assert!(!open(&house).paused);
}

#[test]
fn only_the_call_that_creates_an_import_calls_it_fresh() {
    let ledger = SqliteLedger::in_memory().unwrap();
    let import = ImportName::new("events");
    let first = wait(ledger.open_import(&import, BUCKET)).unwrap();
    let second = wait(ledger.open_import(&import, BUCKET)).unwrap();
    assert_eq!((first.fresh, second.fresh, first.committed_seq), (true, false, 0));
    assert_eq!(first.uuid, second.uuid);
    assert_eq!(wait(ledger.imports()).unwrap(), [import]);
}

#[test]
fn deferrals_are_counted_and_statistics_are_kept_only_until_the_table_has_them() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1), object("b", "1", 2)]);
    for now in [1_000, 1_001] {
        let batch = house.claim_all(now);
        house.settle(&batch, |key| (key == "a").then(|| deferred(now + 1)), now);
    }
    let batch = house.claim_all(1_002);
    house.commit(&batch, |_| Some(ingested()), 1_002);
    let read = |db: &rusqlite::Connection| {
        let attempts = db.query_row("SELECT group_concat(attempts) FROM object", [], |row| row.get::<_, String>(0))?;
        let stored = db.query_row("SELECT path || stats FROM staged_file", [], |row| row.get::<_, String>(0))?;
        Ok((attempts, stored))
    };
    let (attempts, stored) = wait(house.ledger.read("look", read)).unwrap();
    assert_eq!((attempts.as_str(), stored.as_str()), ("2,0", "part-1.parquet"));
}
