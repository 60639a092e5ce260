//! The reader of the command line: beside a writer and without one.

use connector_core::ports::ReferenceFile;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;

use super::history_tests::newest;
use super::*;
use crate::{LEDGER_FILE, LedgerReader};

fn open(dir: &Path) -> LedgerReader {
    LedgerReader::open(dir).unwrap().unwrap()
}

#[test]
fn without_a_ledger_there_is_no_reader_and_none_is_made() {
    let parent = tempfile::tempdir().unwrap();
    assert!(LedgerReader::open(parent.path()).unwrap().is_none());
    assert!(LedgerReader::open(&parent.path().join("missing")).unwrap().is_none());
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn it_sees_what_is_recorded_with_and_without_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    let reader = open(dir.path());
    let import = house.import.clone();
    let pending = |reader: &LedgerReader| reader.counts(&import, at(1)).unwrap().unwrap().files["pending"];
    assert_eq!(pending(&reader), 0);
    house.page(&[object("a", "1", 1)]);
    assert_eq!(pending(&reader), 1);
    house.page(&[object("b", "1", 1)]);
    let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
    let reference = ReferenceFile { key: "a".into(), columns: vec!["n".into()], dialect: None, evidence: vec![] };
    wait(house.ledger.decide_schema(&import, &schema, Some(&reference))).unwrap();
    wait(house.ledger.table_created(&import, &schema, at(5))).unwrap();
    let batch = house.claim(throttled(1), 1_000).batch.unwrap();
    house.commit(&batch, |_| Some(partly()), 1_001);
    house.claim_all(1_002);
    assert_eq!(pending(&reader), 0);

    let look = |reader: &LedgerReader| {
        (
            reader.imports().unwrap(),
            reader.counts(&import, at(9)).unwrap().unwrap(),
            reader.history(&import, &newest(9)).unwrap().unwrap(),
            reader.schema_history(&import).unwrap().unwrap(),
            reader.record(&import).unwrap().unwrap(),
        )
    };
    let beside = look(&reader);
    assert_eq!(beside.0, std::slice::from_ref(&import));
    assert_eq!(beside.1, house.counts(9));
    assert_eq!(beside.2, super::history_tests::page(&house, &newest(9)));
    assert_eq!(beside.3, wait(house.ledger.schema_history(&import)).unwrap());
    assert_eq!(beside.4, house.record());
    assert_eq!((beside.4.reference.as_ref(), beside.4.open_batch.is_some()), (Some(&reference), true));
    drop(reader);
    drop(house);
    assert_eq!(look(&open(dir.path())), beside);
}

#[test]
fn an_import_that_never_ran_has_nothing_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let _house = House::at(dir.path());
    let (reader, unknown) = (open(dir.path()), ImportName::new("unknown"));
    assert_eq!(reader.counts(&unknown, at(1)).unwrap(), None);
    assert_eq!(reader.history(&unknown, &newest(1)).unwrap(), None);
    assert_eq!(reader.schema_history(&unknown).unwrap(), None);
    assert_eq!(reader.record(&unknown).unwrap(), None);
}

#[test]
fn a_ledger_that_changes_its_version_under_a_reader_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::at(dir.path());
    let reader = open(dir.path());
    let newer = |db: &rusqlite::Connection| Ok(db.execute_batch("PRAGMA user_version = 99")?);
    wait(house.ledger.transact("change", rusqlite::TransactionBehavior::Immediate, newer)).unwrap();
    let refused = reader.imports().unwrap_err();
    assert_eq!(refused.code(), "ledger_newer");
    assert!(refused.to_string().contains(&dir.path().join(LEDGER_FILE).display().to_string()), "{refused}");
}

#[test]
fn it_holds_nothing_back_from_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::at(dir.path());
    let reader = open(dir.path());
    reader.counts(&house.import, at(1)).unwrap();
    house.page(&[object("a", "1", 1)]);
    // A read that was left open would keep the log from being emptied.
    let db = rusqlite::Connection::open(dir.path().join(LEDGER_FILE)).unwrap();
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}
