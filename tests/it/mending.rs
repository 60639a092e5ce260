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
            0 => format!("{},\n", file * 1_000 + row),
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
    assert!(told.contains("6 object versions with 198 rows in the table and 102 rows in quarantine"), "{told}");
    assert!(told.contains("are read again: only the lost ledger knew of them"), "{told}");
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
    let refused = home.run(cloud.endpoint(), &["ledger", "rebuild", "orders"]).expect_code(2).stderr;
    assert!(refused.contains("the table lacks batches") && refused.contains("ledger reread"), "{refused}");
    let told = home.run(cloud.endpoint(), &["ledger", "reread", "orders"]).expect_code(0).stdout;
    assert!(told.contains("3 files will be read again") && told.contains("left quarantine"), "{told}");
    run(&home, &cloud, 0);
    everything_is_there_once(
        &home,
        &cloud,
        "case_25_a_table_that_was_restored_to_an_older_version_gets_its_files_again",
    );
}

/// The table, and the ledger, as they were saved; quarantine goes on.
fn restore_table(home: &Home) {
    fs::remove_dir_all(home.table("orders")).expect("removes");
    copy(&home.path("saved/orders"), &home.table("orders"));
}

#[test]
fn case_25_replayed_rows_that_no_file_brings_back_any_more_take_no_others_with_them() {
    let (home, cloud) = home();
    let endpoint = cloud.endpoint();
    copy(&home.path("data/tables"), &home.path("saved"));
    let source = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n";
    home.datasource_text("orders", &format!("SCHEMA >\n    id Int64,\n    n Nullable(Int64)\n\n{source}"));
    let moved = home.run(endpoint, &["quarantine", "replay", "orders", "--yes"]).expect_code(0).stdout;
    assert!(moved.contains("51 of 51 rows"), "{moved}");
    home.put("drop", "0.csv", "id,n\n1,1\n");
    run(&home, &cloud, 0);
    restore_table(&home);
    run(&home, &cloud, 2);
    let told = home.run(endpoint, &["ledger", "reread", "orders"]).expect_code(0).stdout;
    assert!(told.contains("with 99 rows in the table"), "no row has left it: {told}");
    assert!(told.contains("51 rows of 3 object versions are missing") && told.contains("  0.csv: 17 rows"), "{told}");
    let audit = home.run(endpoint, &["audit", "orders"]).expect_code(3).stdout;
    assert!(audit.contains("0.csv") && audit.contains("missing"), "{audit}");
    run(&home, &cloud, 0);
    home.run(endpoint, &["audit", "orders"]).expect_code(3);
}

/// A batch that brought its bad rows and stopped there: quarantine goes on, table and ledger do not.
fn only_quarantine_lands(home: &Home, cloud: &Cloud, put: impl FnOnce()) {
    copy(&home.path("data/tables"), &home.path("saved"));
    save_ledger(home);
    put();
    run(home, cloud, 0);
    restore_table(home);
    restore_ledger(home);
}

#[test]
fn case_12_a_rebuild_that_was_killed_between_its_commits_is_repeated_and_takes_nothing_else() {
    let (home, cloud) = home();
    only_quarantine_lands(&home, &cloud, || land(&home, FILES / 2..FILES));
    let told = home.run(cloud.endpoint(), &["ledger", "rebuild", "orders"]).expect_code(0).stdout;
    assert!(told.contains("51 rows left quarantine"), "{told}");
    restore_table(&home);
    restore_ledger(&home);
    let told = home.run(cloud.endpoint(), &["ledger", "rebuild", "orders"]).expect_code(0).stdout;
    assert!(!told.contains("left quarantine") && told.contains("99 rows in the table and 51 rows"), "{told}");
    run(&home, &cloud, 0);
    everything_is_there_once(
        &home,
        &cloud,
        "case_12_a_rebuild_that_was_killed_between_its_commits_is_repeated_and_takes_nothing_else",
    );
}

#[test]
fn case_12_a_replacement_that_landed_in_quarantine_alone_is_no_missing_row() {
    let (home, cloud) = home();
    home.put("drop", "bad.csv", "id,n\n9000,x\n");
    run(&home, &cloud, 3);
    let quarantined = home.counts("orders").rows_quarantined;
    only_quarantine_lands(&home, &cloud, || {
        home.put("drop", "bad.csv", "id,n\n9000,77\n");
    });
    let told = home.run(cloud.endpoint(), &["ledger", "rebuild", "orders"]).expect_code(0).stdout;
    assert!(told.contains("1 object version of the ledger have no row left"), "{told}");
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
    run(&home, &cloud, 0);
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
    assert_eq!(home.counts("orders").rows_quarantined, quarantined - 1);
}

#[test]
fn case_12_a_file_half_of_which_has_expired_is_adopted_as_it_is() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text(
        "orders",
        "SCHEMA >\n    id Int64,\n    at DateTime,\n    day String\n\nENGINE \"MergeTree\"\nENGINE_PARTITION_KEY day\n\
         ENGINE_TTL \"at + INTERVAL 30 DAY\"\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n",
    );
    home.put("drop", "1.csv", "id,at,day\n1,2020-01-01 00:00:00,a\n2,2999-01-01 00:00:00,b\n3,2020-01-02 00:00:00,a\n4,2999-01-01 00:00:00,b\nx,2999-01-01 00:00:00,b\n");
    run(&home, &cloud, 0);
    let told = home.run(cloud.endpoint(), &["maintain", "orders"]).expect_code(0).stdout;
    assert!(told.contains("2 rows expired"), "{told}");
    for name in LEDGER_FILES {
        let _ = fs::remove_file(home.path("data").join(name));
    }
    home.run(cloud.endpoint(), &["datasource", "adopt", "orders"]).expect_code(0);
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
    run(&home, &cloud, 0);
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
    assert_eq!((home.counts("orders").rows, home.counts("orders").rows_quarantined), (2, 1));
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
