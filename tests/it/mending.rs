//! Ledgers and tables that do not agree: the import stops, says which command mends it, and that command does.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Cloud, ENGINES, Finished, Home, python, read_table};

const FILES: u64 = 6;
const ROWS: u64 = 50;

/// Two batches of three files; each third row of each file is bad.
fn home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text(
        "orders",
        "SCHEMA >\n    id Int64,\n    n Int64\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n",
    );
    land(&home, 0..FILES / 2);
    run(&home, &cloud, 0);
    (home, cloud)
}

fn land(home: &Home, files: std::ops::Range<u64>) {
    for file in files {
        let rows = (0..ROWS).map(|row| match row % 3 {
            0 => format!("{},x\n", file * 1_000 + row),
            _ => format!("{},{row}\n", file * 1_000 + row),
        });
        home.put("drop", &format!("{file}.csv"), "id,n\n".to_owned() + &rows.collect::<String>());
    }
}

#[track_caller]
fn run(home: &Home, cloud: &Cloud, code: i32) -> Finished {
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(code)
}

/// Every row of every file, once, in the table or in quarantine, by two implementations; and the audit agrees.
#[track_caller]
fn everything_is_there_once(home: &Home, cloud: &Cloud, test: &str) {
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
    let Some(python) = python(test) else { return };
    let bad = FILES * ROWS.div_ceil(3);
    for engine in ENGINES {
        for (table, rows) in [("orders", FILES * ROWS - bad), ("orders_quarantine", bad)] {
            let found = read_table(&python, &home.table(table), engine, Some("id"));
            assert_eq!((&found["rows"], &found["ids"]["distinct"]), (&json!(rows), &json!(rows)), "{table}: {found}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// What is in `data/` besides the tables.
const LEDGER_FILES: [&str; 3] = ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"];

fn save_ledger(home: &Home) {
    for name in LEDGER_FILES {
        let _ = fs::copy(home.path("data").join(name), home.path(name));
    }
}

fn restore_ledger(home: &Home) {
    for name in LEDGER_FILES {
        let _ = fs::remove_file(home.path("data").join(name));
        let _ = fs::copy(home.path(name), home.path("data").join(name));
    }
}

#[test]
fn case_12_a_lost_ledger_is_rebuilt_from_the_table_and_nothing_is_read_twice() {
    let (home, cloud) = home();
    land(&home, FILES / 2..FILES);
    run(&home, &cloud, 0);
    for name in LEDGER_FILES {
        let _ = fs::remove_file(home.path("data").join(name));
    }
    let stopped = run(&home, &cloud, 2);
    assert!(stopped.stderr.contains("s3-connector datasource adopt orders"), "{}", stopped.stderr);
    let told = home.run(cloud.endpoint(), &["datasource", "adopt", "orders"]).expect_code(0).stdout;
    assert!(
        told.contains("6 object versions with 198 rows in the table and 102 in quarantine")
            || told.contains("6 object versions"),
        "{told}"
    );
    run(&home, &cloud, 0);
    everything_is_there_once(
        &home,
        &cloud,
        "case_12_a_lost_ledger_is_rebuilt_from_the_table_and_nothing_is_read_twice",
    );
    let again = home.run(cloud.endpoint(), &["datasource", "adopt", "orders"]).expect_code(2);
    assert!(again.stderr.contains("knows this table"), "{}", again.stderr);
    home.put("drop", "new.csv", "id,n\n9999,1\n");
    run(&home, &cloud, 0);
    assert_eq!(home.counts("orders").batches, 1, "the batches of the lost ledger are not known any more");
}

#[test]
fn case_12_an_old_ledger_is_brought_up_to_the_table() {
    let (home, cloud) = home();
    save_ledger(&home);
    land(&home, FILES / 2..FILES);
    run(&home, &cloud, 0);
    restore_ledger(&home);
    let stopped = run(&home, &cloud, 2);
    assert!(stopped.stderr.contains("s3-connector ledger rebuild orders"), "{}", stopped.stderr);
    home.run(cloud.endpoint(), &["ledger", "rebuild", "orders"]).expect_code(0);
    run(&home, &cloud, 0);
    everything_is_there_once(&home, &cloud, "case_12_an_old_ledger_is_brought_up_to_the_table");
}

#[test]
fn case_25_a_table_that_was_restored_to_an_older_version_gets_its_files_again() {
    let (home, cloud) = home();
    copy(&home.path("data/tables"), &home.path("saved"));
    land(&home, FILES / 2..FILES);
    run(&home, &cloud, 0);
    fs::remove_dir_all(home.table("orders")).expect("removes");
    copy(&home.path("saved/orders"), &home.table("orders"));
    let stopped = run(&home, &cloud, 2);
    assert!(stopped.stderr.contains("s3-connector ledger reread orders"), "{}", stopped.stderr);
    let told = home.run(cloud.endpoint(), &["ledger", "reread", "orders"]).expect_code(0).stdout;
    assert!(told.contains("3 files will be read again") && told.contains("left quarantine"), "{told}");
    run(&home, &cloud, 0);
    everything_is_there_once(
        &home,
        &cloud,
        "case_25_a_table_that_was_restored_to_an_older_version_gets_its_files_again",
    );
}

#[test]
fn case_25_a_table_that_was_dropped_or_replaced_stops_the_import() {
    let (home, cloud) = home();
    copy(&home.path("data/tables"), &home.path("saved"));
    fs::remove_dir_all(home.table("orders")).expect("removes");
    let stopped = run(&home, &cloud, 2);
    assert!(stopped.stderr.contains("there is none at its place"), "{}", stopped.stderr);
    // Somebody else's table of the same name.
    let (other, other_cloud) = self::home();
    drop(other_cloud);
    copy(&other.table("orders"), &home.table("orders"));
    let stopped = run(&home, &cloud, 2);
    assert!(stopped.stderr.contains("belongs to another import"), "{}", stopped.stderr);
    fs::remove_dir_all(home.table("orders")).expect("removes");
    copy(&home.path("saved/orders"), &home.table("orders"));
    land(&home, FILES / 2..FILES);
    run(&home, &cloud, 0);
    everything_is_there_once(&home, &cloud, "case_25_a_table_that_was_dropped_or_replaced_stops_the_import");
}

#[test]
fn a_ledger_moves_to_another_place_by_export_and_import() {
    let (home, cloud) = home();
    let file = home.path("moved.sqlite3");
    let path = file.to_str().expect("UTF-8");
    home.run(cloud.endpoint(), &["ledger", "export", path]).expect_code(0);
    let taken = home.run(cloud.endpoint(), &["ledger", "export", path]).expect_code(2);
    assert!(taken.stderr.contains("moved.sqlite3"), "{}", taken.stderr);
    for name in LEDGER_FILES {
        let _ = fs::remove_file(home.path("data").join(name));
    }
    home.run(cloud.endpoint(), &["ledger", "import", path]).expect_code(0);
    land(&home, FILES / 2..FILES);
    run(&home, &cloud, 0);
    everything_is_there_once(&home, &cloud, "a_ledger_moves_to_another_place_by_export_and_import");
    fs::write(&file, "no database").expect("a file");
    let refused = home.run(cloud.endpoint(), &["ledger", "import", path, "--replace"]).expect_code(2);
    assert!(refused.stderr.contains("moved.sqlite3"), "{}", refused.stderr);
    run(&home, &cloud, 0);
}
