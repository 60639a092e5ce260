//! An import that is forgotten leaves nothing, and takes nothing from others.

use std::collections::BTreeMap;

use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_core::uri::BucketUri;

use super::*;
use crate::LEDGER_FILE;

/// One import with all that can be known of one: files in several states, a batch that failed, a revision, a schema, and
/// one batch that is staged.
fn live(house: &mut House) {
    let uri = BucketUri::parse("s3://bucket/*.csv").unwrap();
    wait(house.ledger.accept(vec![(house.import.clone(), uri)])).unwrap();
    let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
    wait(house.ledger.decide_schema(&house.import, &schema, None)).unwrap();
    wait(house.ledger.table_created(&house.import, &schema, at(5))).unwrap();
    house.page(&[object("a", "1", 1), object("b", "1", 2), object("c", "1", 3)]);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |key| Some(if key == "a" { failed() } else { partly() }), 1_001);
    house.page(&[object("d", "1", 4), archived(object("e", "1", 5)), object("f", "1", 6)]);
    let batch = house.claim_all(1_002);
    let ids: Vec<_> = batch.files.iter().map(|file| file.id).collect();
    wait(house.ledger.mark_reading(&house.import, &ids, &[])).unwrap();
    let stage = staged(results(&batch, |_| Some(partly())));
    wait(house.ledger.mark_reading(&house.import, &[], &ids[..1])).unwrap();
    house.try_stage(&batch, &stage).unwrap();
}

/// How many rows each table has.
fn sizes(dir: &Path) -> BTreeMap<String, i64> {
    let db = rusqlite::Connection::open(dir.join(LEDGER_FILE)).unwrap();
    let mut names =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let mut broken = db.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!broken.exists([]).unwrap(), "something refers to what is gone");
    names
        .into_iter()
        .map(|name| {
            let count = db.query_row(&format!("SELECT COUNT(*) FROM {name}"), [], |row| row.get(0)).unwrap();
            (name, count)
        })
        .collect()
}

#[test]
fn an_import_is_forgotten_with_all_its_rows_and_the_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    live(&mut house);
    let (one, counts, states) = (sizes(dir.path()), house.counts(9), house.states());
    for table in
        ["import", "bucket", "batch", "object", "file_result", "staged_file", "tally", "schema_version", "origin"]
    {
        assert!(one[table] > 0, "{table} has no part in this test");
    }
    let first = std::mem::replace(&mut house.import, ImportName::new("second"));
    wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap();
    live(&mut house);
    assert!(sizes(dir.path()).iter().all(|(table, size)| *size == 2 * one[table]), "both have the same");

    assert!(wait(house.ledger.forget(&house.import)).unwrap());
    assert_eq!(sizes(dir.path()), one);
    assert!(!wait(house.ledger.forget(&house.import)).unwrap(), "it is not known any more");
    let second = std::mem::replace(&mut house.import, first);
    assert_eq!((house.counts(9), house.states()), (counts, states));

    // It may come again, and begins from nothing.
    house.import = second;
    let record = wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap();
    assert!(record.open_batch.is_none() && record.schema.is_none());
    live(&mut house);
    assert_eq!(house.counts(9).batches, 1);
}

#[test]
fn what_was_only_accepted_is_forgotten_too() {
    let house = House::new();
    let zebra = ImportName::new("zebra");
    wait(house.ledger.accept(vec![(zebra.clone(), BucketUri::parse("s3://zoo/*.csv").unwrap())])).unwrap();
    assert!(wait(house.ledger.forget(&zebra)).unwrap());
    assert_eq!(wait(house.ledger.origins()).unwrap().len(), 1);
}
