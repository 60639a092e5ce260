//! Batches from claim to end, and what is left of them.

use connector_core::error::ErrorClass;
use connector_core::ports::{AddedColumn, Ledger, OpenBatch};
use connector_core::revision::BatchKind;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::types::ColumnType;

use super::*;

fn mixed(key: &str) -> Option<FileOutcome> {
    match key {
        "a" => Some(partly()),
        "b" => Some(failed()),
        "c" => Some(deferred(5_000)),
        "d" => Some(gone()),
        "f" => Some(quarantined()),
        _ => None,
    }
}

fn six() -> House {
    let house = House::new();
    let page: Vec<_> = ["a", "b", "c", "d", "e", "f"].iter().zip(1..).map(|(key, n)| object(key, "1", n)).collect();
    house.page(&page);
    house
}

#[test]
fn results_take_effect_when_the_batch_is_finalised_and_not_before() {
    let mut house = six();
    let batch = house.claim_all(1_000);
    house.try_stage(&batch, &staged(results(&batch, mixed))).unwrap();
    assert!(house.states().values().all(|state| state == "claimed"));
    assert_eq!((house.counts(1_000).rows, house.counts(1_000).batches), (0, 0));

    wait(house.ledger.finalise(&house.import, 1, 40, at(1_010))).unwrap();
    let states: Vec<_> = house.states().into_values().collect();
    assert_eq!(states, ["ingested", "failed", "pending", "gone", "pending", "quarantined"]);
    let counts = house.counts(1_010);
    assert_eq!((counts.rows, counts.bytes, counts.rows_quarantined, counts.batches), (7, 20, 6, 1));
    assert_eq!((counts.backlog_files, counts.backlog_bytes), (1, 10), "e; c has to wait");
    assert_eq!(counts.last_commit_at, Some(at(1_010)));
    assert_eq!(house.counts(5_000).backlog_files, 2);
    let record = wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap();
    assert_eq!((record.committed_seq, record.open_batch), (1, None));
    assert_eq!(house.claim_all(5_000).seq, 2);
}

#[test]
fn an_open_batch_comes_back_from_disk_as_it_was_staged() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
    wait(house.ledger.decide_schema(&house.import, &schema, None)).unwrap();
    house.page(&["f", "e", "d", "c", "b", "a"].map(|key| object(key, "1", 1)));
    let batch = house.claim_all(1_000);
    let mut stage = staged(results(&batch, mixed));
    stage.results.rotate_left(1);
    stage.files = vec![
        StagedFile { path: "z.parquet".into(), bytes: 1, rows: 3, stats: "{}".into(), partition: Some("x=1".into()) },
        StagedFile { path: "a.parquet".into(), bytes: 2, rows: 4, stats: String::new(), partition: None },
    ];
    stage.quarantine = vec![data_file("y.parquet", 5), data_file("b.parquet", 1)];
    let new = Column { origin: Origin::Evolved, ..Column::nullable("new", ColumnType::Bool) };
    stage.quarantine_added = vec![Column::nullable("new", ColumnType::String)];
    stage.added = vec![AddedColumn { column: new, key: Some("a".into()) }];
    let open = |staged| OpenBatch { seq: 1, uuid: batch.uuid, id: batch.id.clone(), kind: BatchKind::Ingest, staged };
    let reopened = |house: House| {
        drop(house);
        let house = House::at(dir.path());
        (house.record(), house)
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
        let mut house = six();
        let batch = house.claim_all(1_000);
        if stage {
            house.try_stage(&batch, &staged(results(&batch, mixed))).unwrap();
        }
        house.abandon(&batch);
        assert!(house.states().values().all(|state| state == "pending"));
        let left = "SELECT (SELECT COUNT(*) FROM file_result) + (SELECT COUNT(*) FROM staged_file)
            + (SELECT COUNT(*) FROM batch_outcome) + (SELECT SUM(row_count + quarantined_count) FROM batch)";
        assert_eq!(house.number(left), 0);
        let again = house.claim_all(1_000);
        assert_eq!((again.seq, &again.files), (1, &batch.files));
        assert_ne!(again.uuid, batch.uuid);
        house.commit(&again, |_| Some(ingested()), 1_001);
        assert_eq!(house.counts(1_001).rows, 42);
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
    let mut house = six();
    let batch = house.claim_all(1_000);
    let outcome = |key: &str| match mixed(key) {
        Some(FileOutcome::Ingested { .. }) => Some(FileOutcome::Ingested { rows: 0, rows_quarantined: 0 }),
        Some(FileOutcome::Quarantined { code, message, .. }) => {
            Some(FileOutcome::Quarantined { code, message, rows_quarantined: 0 })
        }
        other => other,
    };
    house.settle(&batch, outcome, 1_010);
    let states: Vec<_> = house.states().into_values().collect();
    assert_eq!(states, ["ingested", "failed", "pending", "gone", "pending", "quarantined"]);
    let counts = house.counts(1_010);
    assert_eq!((counts.batches, counts.rows, counts.rows_quarantined, counts.last_commit_at), (0, 0, 0, None));
    assert_eq!(house.claim_all(1_010).seq, 1);
}

#[test]
fn calls_that_do_not_fit_are_refused_and_change_nothing() {
    let mut house = six();
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
    let [mut short, mut less, mut silent, mut bad_short, mut bad_less, mut bad_silent, mut swapped, mut homeless] =
        std::array::from_fn(|_| good.clone());
    silent.results.remove(0);
    short.files[0].rows = 6;
    less.rows = 6;
    bad_silent.results.pop();
    bad_short.quarantine[0].rows = 5;
    bad_less.rows_quarantined = 5;
    std::mem::swap(&mut swapped.files, &mut swapped.quarantine);
    homeless.added = vec![AddedColumn { column: Column::nullable("x", ColumnType::Bool), key: None }];
    for bad in [&foreign, &twice, &short, &less, &silent, &bad_short, &bad_less, &bad_silent, &swapped, &homeless] {
        assert_eq!(house.try_stage(&batch, bad).unwrap_err().code, "ledger_protocol");
    }
    wait(house.ledger.settle(&house.import, 1, &good.results, at(1))).unwrap_err();
    let bad_rows = results(&batch, |key| (key == "f").then(quarantined));
    wait(house.ledger.settle(&house.import, 1, &bad_rows, at(1))).unwrap_err();
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
fn only_the_call_that_creates_an_import_calls_it_fresh() {
    let ledger = SqliteLedger::in_memory().unwrap();
    let import = ImportName::new("events");
    let first = wait(ledger.open_import(&import, BUCKET, OverwritePolicy::Ignore)).unwrap();
    let second = wait(ledger.open_import(&import, BUCKET, OverwritePolicy::Ignore)).unwrap();
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
