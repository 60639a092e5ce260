//! Opening: one process, file modes, versions, reading beside a writer.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use connector_core::error::ErrorClass;

use super::*;
use crate::{LEDGER_FILE, LedgerError, LedgerReader};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn error<T>(result: Result<T, LedgerError>) -> LedgerError {
    result.map(|_| ()).unwrap_err()
}

#[test]
fn case_10_a_data_directory_serves_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteLedger::open(dir.path()).unwrap();
    let second = error(SqliteLedger::open(dir.path()));
    assert_eq!((second.class(), second.code()), (ErrorClass::Config, "data_dir_in_use"));
    assert!(second.to_string().starts_with("another s3-connector is using this data directory"));
    drop(first);
    SqliteLedger::open(dir.path()).unwrap();
}

#[test]
fn nobody_else_may_read_the_ledger() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new").join("data");
    let house = House::at(&dir);
    house.page(&[object("a", "1", 1)]);
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(house);
    fs::set_permissions(dir.join(LEDGER_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    let _house = House::at(&dir);
    assert_eq!(mode(&dir.join(LEDGER_FILE)), 0o600);
}

#[test]
fn the_settings_that_durability_rests_on_are_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::at(dir.path());
    let pragma = |name: &'static str| {
        let read = move |db: &rusqlite::Connection| {
            Ok(db.query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| {
                row.get::<_, String>(0)
            })?)
        };
        wait(house.ledger.read("look", read)).unwrap()
    };
    let expected = [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("trusted_schema", "0")];
    for (name, value) in expected {
        assert_eq!(pragma(name), value.to_owned(), "{name}");
    }
}

#[test]
fn a_ledger_of_a_newer_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(House::at(dir.path()));
    let path = dir.path().join(LEDGER_FILE);
    let set = |version: i64| {
        let db = rusqlite::Connection::open(&path).unwrap();
        db.pragma_update(None, "user_version", version).unwrap();
    };
    set(99);
    for refused in [error(SqliteLedger::open(dir.path())), error(LedgerReader::open(dir.path()))] {
        assert_eq!((refused.class(), refused.code()), (ErrorClass::Config, "ledger_newer"));
    }
    set(1);
    let refused = error(LedgerReader::open(dir.path()));
    assert_eq!((refused.class(), refused.code()), (ErrorClass::Config, "ledger_older"));
    assert!(refused.to_string().contains("start `run` of this version once"), "{refused}");
}

#[test]
fn a_file_that_is_no_ledger_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(LEDGER_FILE), vec![b'x'; 4096]).unwrap();
    let refused = error(SqliteLedger::open(dir.path()));
    assert_eq!((refused.class(), refused.code()), (ErrorClass::Config, "ledger_corrupt"));
    assert!(refused.to_string().contains("`s3-connector ledger import FILE --replace`"), "{refused}");
}

#[test]
fn a_job_that_panics_is_reported_and_ends_the_ledger() {
    let house = House::new();
    let boom = |_: &rusqlite::Connection| -> crate::error::Result<()> { panic!("on purpose") };
    let lost = wait(house.ledger.read("look", boom)).unwrap_err();
    assert_eq!((lost.class(), lost.code()), (ErrorClass::Bug, "ledger_stopped"));
    let later = wait(house.ledger.counts(&house.import, at(1))).unwrap_err();
    assert_eq!(later.code, "ledger_stopped");
}
