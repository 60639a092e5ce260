//! Snapshot, export and import, and what they say of a ledger that is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{LEDGER_FILE, LedgerReader, import_ledger};

/// A ledger with 3,000 objects and one committed batch.
fn filled(dir: &Path) -> House {
    let mut house = House::at(dir);
    let page: Vec<_> = (0..3_000).map(|n| object(&format!("some/longer/prefix/{n:06}.csv"), "1", n)).collect();
    house.page(&page);
    let batch = house.claim(throttled(5), 9_000).batch.unwrap();
    house.commit(&batch, |_| Some(partly()), 9_000);
    house
}

fn counts_in(dir: &Path) -> ImportCounts {
    let reader = LedgerReader::open(dir).unwrap().unwrap();
    reader.counts(&ImportName::new("events"), at(9_000)).unwrap().unwrap()
}

/// Flips bits in the middle of every page but the first.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].iter_mut().for_each(|byte| *byte ^= 0x55);
    }
    fs::write(path, bytes).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_is_whole_private_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let house = filled(dir.path());
    let out = tempfile::tempdir().unwrap();
    let to = out.path().join("snapshot.sqlite3");
    house.ledger.snapshot(&to).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(out.path()), ["snapshot.sqlite3"], "nothing else is left");
    house.page(&[object("later", "1", 1)]);
    let taken = house.ledger.snapshot(&to).unwrap_err();
    assert_eq!(taken.code(), "file_exists");
    let reader = LedgerReader::open(dir.path()).unwrap().unwrap();
    assert_eq!(reader.export(&to).unwrap_err().code(), "file_exists");
    reader.export(&out.path().join("export.sqlite3")).unwrap();

    for (file, files) in [("snapshot.sqlite3", 2_995), ("export.sqlite3", 2_996)] {
        let elsewhere = tempfile::tempdir().unwrap();
        let data = elsewhere.path().join("new/data");
        let imported = import_ledger(&data, &out.path().join(file), false).unwrap();
        assert_eq!((imported.replaced, imported.imports), (None, vec![house.import.clone()]));
        let counts = counts_in(&data);
        assert_eq!((counts.files["pending"], counts.rows), (files, 35));
        assert_eq!(fs::metadata(&imported.path).unwrap().permissions().mode() & 0o777, 0o600);
        let moved = House::at(&data);
        assert_eq!(moved.record(), house.record());
    }
    assert_eq!(SqliteLedger::in_memory().unwrap().snapshot(&to).unwrap_err().code(), "ledger_protocol");
}

#[test]
fn case_12_a_ledger_with_flipped_bits_is_found_out_before_it_is_copied_and_named_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let house = filled(dir.path());
    let out = tempfile::tempdir().unwrap();
    let good = out.path().join("good");
    house.ledger.snapshot(&good).unwrap();
    drop(house);
    let path = dir.path().join(LEDGER_FILE);
    damage(&path);
    let reader = LedgerReader::open(dir.path());
    let refused = reader.and_then(|reader| reader.unwrap().export(&out.path().join("bad"))).unwrap_err();
    assert_eq!(refused.code(), "ledger_corrupt");
    let message = refused.to_string();
    assert!(message.contains("`s3-connector ledger import FILE --replace`"), "{message}");
    assert!(message.contains("`s3-connector datasource adopt NAME`"), "{message}");
    let bad = out.path().join("bad copy");
    fs::copy(&path, &bad).unwrap();
    assert_eq!(import_ledger(&out.path().join("x"), &bad, false).unwrap_err().code(), "ledger_corrupt");
    assert_eq!(names(out.path()), ["bad copy", "good"]);

    let imported = import_ledger(dir.path(), &good, true).unwrap();
    assert_eq!(counts_in(dir.path()).rows, 35);
    let kept = imported.replaced.unwrap();
    assert_eq!(fs::read(&kept).unwrap(), fs::read(&bad).unwrap(), "what was there is there still");
}

#[test]
fn case_12_an_older_copy_takes_the_place_of_the_ledger_and_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let house = filled(dir.path());
    let out = tempfile::tempdir().unwrap();
    let old = out.path().join("old");
    house.ledger.snapshot(&old).unwrap();
    house.page(&[object("later", "1", 1)]);
    // As after a crash: what came last is in the log only.
    let crashed = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("{LEDGER_FILE}{suffix}");
        fs::copy(dir.path().join(&file), crashed.path().join(&file)).unwrap();
    }
    let data = crashed.path();
    assert_eq!(import_ledger(data, &old, false).unwrap_err().code(), "ledger_exists");
    let first = import_ledger(data, &old, true).unwrap();
    assert_eq!(counts_in(data).files["pending"], 2_995);
    let second = import_ledger(data, &old, true).unwrap();
    assert_ne!(first.replaced, second.replaced);
    assert_eq!(House::at(data).counts(1).rows, 35);
    let again = import_ledger(data, &first.replaced.unwrap(), true).unwrap();
    assert_eq!(counts_in(data).files["pending"], 2_996, "all of it was kept");
    assert!(again.replaced.is_some());
}

#[test]
fn only_a_whole_ledger_that_this_program_knows_is_imported_and_only_if_nobody_uses_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let house = filled(dir.path());
    let out = tempfile::tempdir().unwrap();
    let good = out.path().join("good");
    house.ledger.snapshot(&good).unwrap();
    assert_eq!(import_ledger(dir.path(), &good, true).unwrap_err().code(), "data_dir_in_use");
    let fresh = out.path().join("data");
    let refused = |from: &str| import_ledger(&fresh, &out.path().join(from), false).unwrap_err().code();
    assert_eq!(refused("missing"), "not_a_ledger");
    fs::write(out.path().join("text"), vec![b'x'; 5_000]).unwrap();
    assert_eq!(refused("text"), "not_a_ledger");
    let set = |name: &str, sql: &str| {
        let path = out.path().join(name);
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
    };
    set("other", "CREATE TABLE t (x); PRAGMA user_version = 3");
    assert_eq!(refused("other"), "not_a_ledger");
    fs::copy(&good, out.path().join("newer")).unwrap();
    set("newer", "PRAGMA user_version = 99");
    assert_eq!(refused("newer"), "ledger_newer");
    assert!(!fresh.join(LEDGER_FILE).exists());
    assert_eq!(import_ledger(&fresh, &good, false).unwrap().path, fresh.join(LEDGER_FILE));
}
