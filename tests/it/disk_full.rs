//! The disk is full: nothing is committed by halves, the program says so, and goes on when there is room again.
//!
//! The disk fills up under `tests/power_loss/shim.c`: no write to the paths in question succeeds while a file is there.

use std::fs;

use crate::harness::{Cloud, Daemon, Home, python, until};
use crate::shim::{Fate, library, under};
use crate::workload::{Judge, Sample, datasource, put};

/// What is full, how many bytes still fit, and whether the file to come is too large for memory.
const CASES: [(&str, &str, u64, bool); 7] = [
    ("the first byte of a data file", "*/tables/orders/*.parquet", 0, false),
    ("the middle of a data file", "*/tables/orders/*.parquet", 500, false),
    ("a data file of the quarantine table", "*/tables/orders_quarantine/*.parquet", 700, false),
    ("the log of the table", "*/tables/orders/_delta_log/*", 100, false),
    ("the log of the quarantine table", "*/tables/orders_quarantine/_delta_log/*", 0, false),
    ("the ledger", "*/ledger.sqlite3*", 5_000, false),
    ("the spool", "*/spool/*", 100_000, true),
];

/// Rows of a Parquet file that is fetched into the spool under the smallest budget.
const LARGE_ROWS: u64 = 300_000;

#[test]
fn case_07_a_full_disk_commits_nothing_by_halves_and_is_told() {
    let test = "case_07_a_full_disk_commits_nothing_by_halves_and_is_told";
    let (Some(library), Some(python)) = (library(test), python(test)) else { return };
    let mut judge = Judge::start(&python);
    for (what, pattern, room, large) in CASES {
        println!("{what}");
        let home = Home::new();
        let cloud = Cloud::start(&home);
        home.role_connection(cloud.endpoint()).datasource_text("orders", &datasource("@auto"));
        let switch = home.path("full");
        let fate = Fate { full: Some((pattern.to_owned(), room, switch.clone())), ..Fate::default() };
        let mut command = home.command(cloud.endpoint(), &["run"]);
        command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB");
        let daemon = Daemon::spawn(under(&mut command, library, &home.path(""), &fate));
        let (table, quarantine) = (home.table("orders"), home.table("orders_quarantine"));

        // Of each three files one has bad rows and one is Parquet.
        let mut samples: Vec<Sample> = (0..3).map(|number| Sample::new(number, 40)).collect();
        put(&home, &samples);
        daemon.wait_for_files("orders", "ingested", 3);
        let before = judge.compare(&table, &quarantine, &samples);
        assert_eq!(before.wrong(), None, "{what}: before");

        fs::write(&switch, "").expect("the switch");
        let rows = |number| if large && number % 3 == 2 { LARGE_ROWS } else { 60 };
        let new: Vec<Sample> = (3..6).map(|number| Sample::new(number, rows(number))).collect();
        put(&home, &new);
        samples.extend(new);
        until(&format!("{what}: somebody to be told"), || {
            let history = daemon.get(daemon.api, "/api/v1/imports/orders/history?files=true").1;
            let told = daemon.status("orders").to_string() + &history;
            (told.contains("No space left") || told.contains("disk is full")).then_some(())
        });
        let during = judge.compare(&table, &quarantine, &samples);
        assert_eq!(during.wrong_so_far(), None, "{what}: while it is full");

        fs::remove_file(&switch).expect("the switch");
        // Files that could not be read wait for half a minute and more; nobody has to wait for that here.
        let waits = || daemon.status("orders")["counts"]["files"]["deferred"].as_u64().unwrap_or(0) > 0;
        if waits() {
            let mut retry = home.command(cloud.endpoint(), &["datasource", "retry", "orders"]);
            let output = retry.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string()).output().expect("it starts");
            assert!(output.status.success(), "{what}: {output:?}");
        }
        daemon.wait_for_files("orders", "ingested", 6);
        let (code, log) = daemon.terminate();
        assert_eq!(code, 0, "{what}: {log}");
        assert!(log.contains("No space left") || log.contains("disk is full"), "{what}: the log does not say why");
        let after = judge.compare(&table, &quarantine, &samples);
        assert_eq!(after.wrong(), None, "{what}: once there is room again\n{log}");
    }
}
