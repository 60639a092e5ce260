//! Ledgers and tables in a bucket that do not agree: as `mending`, where every row is read from S3.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{ENGINES, Home, python};
use crate::s3_tables::{audit, bad_rows, cloud, configure, expected, expected_bad, in_lake, rows};
use crate::workload::{Sample, datasource, put};

#[test]
fn case_12_25_ledger_and_table_in_a_bucket_are_made_to_agree_again() {
    let test = "case_12_25_ledger_and_table_in_a_bucket_are_made_to_agree_again";
    let Some(python) = python(test) else { return };
    let home = Home::new();
    let cloud = cloud(&home);
    let endpoint = cloud.endpoint();
    configure(&home, endpoint);
    home.datasource_text("orders", &datasource("@on-demand"));
    let samples: Vec<Sample> = (0..9).map(|number| Sample::new(number, 40)).collect();
    let ledger =
        ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"].map(|name| home.path("data").join(name));
    let saved = |file: &Path| home.path("saved").join(file.file_name().expect("a name"));
    let mended = |verb: &[&str], count: usize| {
        let stopped = home.run(endpoint, &["run", "--once"]).expect_code(2).stderr;
        assert!(stopped.contains(&format!("s3-connector {}", verb.join(" "))), "{stopped}");
        home.run(endpoint, verb).expect_code(0);
        home.run(endpoint, &["run", "--once"]).expect_code(0);
        for engine in ENGINES {
            assert_eq!(rows(&python, endpoint, engine), expected(&samples[..count], false), "{verb:?} {engine}");
            assert_eq!(bad_rows(&python, endpoint, engine), expected_bad(&samples[..count]), "{verb:?} {engine}");
        }
        audit(&home, &cloud);
    };
    let read = |range: std::ops::Range<usize>| {
        put(&home, &samples[range]);
        home.run(endpoint, &["run", "--once"]).expect_code(0);
    };
    read(0..3);
    ledger.iter().for_each(|file| drop(fs::remove_file(file)));
    mended(&["datasource", "adopt", "orders"], 3);

    fs::create_dir_all(home.path("saved")).expect("folder");
    ledger.iter().for_each(|file| drop(fs::copy(file, saved(file))));
    read(3..6);
    for file in &ledger {
        let _ = fs::remove_file(file);
        let _ = fs::copy(saved(file), file);
    }
    mended(&["ledger", "rebuild", "orders"], 6);

    let log = || -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(in_lake(&home, "orders").join("_delta_log")).expect("a log");
        entries.map(|entry| entry.expect("readable").path()).collect()
    };
    let before = log();
    read(6..9);
    log().difference(&before).for_each(|entry| fs::remove_file(entry).expect("removes"));
    mended(&["ledger", "reread", "orders"], 9);
}
