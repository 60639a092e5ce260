//! The independent checker finds what it is there for, before anything else relies on it.

use std::path::Path;
use std::process::Command;

use crate::harness::{Cloud, Home, python};
use crate::kill_files::{Manifest, SCHEMA, file};

#[test]
fn the_checker_finds_every_defect_that_is_planted() {
    let Some(python) = python("the_checker_finds_every_defect_that_is_planted") else { return };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/test_check.py");
    let output = Command::new(python).arg(tests).output().expect("python runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("\nOK"), "{told}");
    assert!(!told.contains("Ran 0 tests"), "{told}");
}

/// The same workload, manifest and checker as in the kill loop, with nothing going wrong: what it finds there is then no
/// mistake of theirs. And it notices a row that is gone from a table of ours.
#[test]
fn a_table_of_ours_is_clean_and_a_defect_in_it_is_found() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let import = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\nIMPORT_SCHEDULE @on-demand\n";
    home.datasource_text("orders", &format!("{SCHEMA}{import}"));
    let mut manifest = Manifest::new(&home);
    for number in 0..48 {
        let made = file(number);
        home.put("drop", &made.key, &made.bytes);
        manifest.add(&made);
    }
    home.run(cloud.endpoint(), &["run", "--once"]);
    let Some(python) = python("a_table_of_ours_is_clean_and_a_defect_in_it_is_found") else { return };
    let (rows, bad) = (manifest.rows, manifest.bad_rows);
    let tables = (home.table("orders"), home.table("orders_quarantine"));
    let report = manifest.check(&python, &tables.0, &tables.1);
    assert_eq!(report["clean"], true, "{report:#}");
    assert_eq!((report["expected"].as_u64(), report["in_quarantine"].as_u64()), (Some(rows), Some(bad)));
    assert!(bad > 500, "{bad}");

    // A manifest that knows one file less, and one more.
    let mut short = Manifest::new(&home);
    (0..47).chain([90]).for_each(|number| short.add(&file(number)));
    let report = short.check(&python, &tables.0, &tables.1);
    assert_eq!(report["phantom"]["count"], 147, "{report:#}");
    assert_eq!(report["lost"]["count"], 140, "{report:#}");
    assert_eq!(report["altered"]["count"], 0, "{report:#}");
}
