//! Rows that come back from quarantine, batches that are taken back, tables that are looked after: as a user does it.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, ENGINES, Home, group_rows, python, read_table};

const SOURCE: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\nIMPORT_SCHEDULE @auto\n";
const STRICT: &str = "SCHEMA >\n    id Int64,\n    amount Int64,\n    note String\n\n";
/// What was NOT NULL may be empty, and what was required may be absent.
const RELAXED: &str = "SCHEMA >\n    id Int64,\n    amount Nullable(Int64),\n    note String\n\n";

/// Files of the series; every second one lacks a column, every fifth row of the others has no amount.
const FILES: u64 = 12;
const ROWS: u64 = 500;

fn body(file: u64) -> String {
    let lacking = file % 2 == 1;
    let mut text = if lacking { "id,note\n" } else { "id,amount,note\n" }.to_owned();
    for row in 0..ROWS {
        let id = file * 10_000 + row;
        match (lacking, row % 5) {
            (true, _) => text.push_str(&format!("{id},note {id}\n")),
            (false, 0) => text.push_str(&format!("{id},,note {id}\n")),
            (false, _) => text.push_str(&format!("{id},{row},note {id}\n")),
        }
    }
    text
}

/// A home whose quarantine holds half of the files whole, and some rows of the others.
fn home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource_text("orders", &format!("{STRICT}{SOURCE}"));
    for file in 0..FILES {
        let key = format!("{file:02}.csv");
        home.put("drop", &key, body(file)).touch("drop", &key, 1_700_000_000 + file);
    }
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    (home, cloud)
}

fn relax(home: &Home) {
    home.datasource_text("orders", &format!("{RELAXED}{SOURCE}IMPORT_ON_MISSING_COLUMN null\n"));
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn audit(home: &Home, cloud: &Cloud, code: i32) -> String {
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(code).stdout
}

/// Every id is in the table once, by two implementations, and quarantine is empty.
#[track_caller]
fn all_in_the_table(home: &Home, test: &str) {
    let Some(python) = python(test) else { return };
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!(
            (&table["rows"], &table["ids"]["distinct"]),
            (&json!(FILES * ROWS), &json!(FILES * ROWS)),
            "{table}"
        );
        let left = read_table(&python, &home.table("orders_quarantine"), engine, None);
        assert_eq!(left["rows"], 0, "{left}");
    }
}

#[test]
fn a_replay_says_first_what_it_would_do_and_then_moves_what_fits() {
    let (home, cloud) = home();
    let dry = home.run(cloud.endpoint(), &["quarantine", "replay", "orders"]).expect_code(0).stdout;
    assert!(dry.contains("0 of 3600 rows from 12 files would fit the table"), "{dry}");
    relax(&home);
    let dry = home.run(cloud.endpoint(), &["quarantine", "replay", "orders"]).expect_code(0).stdout;
    assert!(dry.contains("3600 of 3600 rows") && dry.contains("--yes"), "{dry}");
    assert_eq!(home.counts("orders").rows_quarantined, 3_600);
    let some = ["quarantine", "replay", "orders", "--file", "00.csv", "--yes"];
    let some = home.run(cloud.endpoint(), &some).expect_code(0).stdout;
    assert!(some.contains("100 of 100 rows from 1 file moved into the table"), "{some}");
    let done = home.run(cloud.endpoint(), &["quarantine", "replay", "orders", "--yes"]).expect_code(0).stdout;
    assert!(done.contains("3500 of 3500 rows from 11 files moved into the table"), "{done}");
    all_in_the_table(&home, "a_replay_says_first_what_it_would_do_and_then_moves_what_fits");
    audit(&home, &cloud, 0);
    let again = home.run(cloud.endpoint(), &["quarantine", "replay", "orders", "--yes"]).expect_code(0).stdout;
    assert!(again.contains("no such rows in quarantine"), "{again}");
    let history = home.run(cloud.endpoint(), &["history", "orders"]).expect_code(0).stdout;
    assert!(history.contains("replay"), "{history}");
}

#[test]
fn a_replay_that_is_killed_again_and_again_moves_each_row_once() {
    let (home, cloud) = home();
    relax(&home);
    let seed = std::env::var("REPLAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("seed {seed}; set REPLAY_SEED to try another one");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..12 {
        let mut command = home.command(cloud.endpoint(), &["quarantine", "replay", "orders", "--yes"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        // The moment itself is what is tried.
        std::thread::sleep(Duration::from_millis(random.u64(5..400)));
        let _ = child.kill();
        child.wait().expect("ends");
    }
    home.run(cloud.endpoint(), &["quarantine", "replay", "orders", "--yes"]).expect_code(0);
    all_in_the_table(&home, "a_replay_that_is_killed_again_and_again_moves_each_row_once");
    audit(&home, &cloud, 0);
    let counts = home.counts("orders");
    assert_eq!((counts.rows, counts.rows_quarantined), (FILES * ROWS, 0));
}

#[test]
fn the_running_program_replays_rolls_back_and_retries_for_whoever_asks_it() {
    let (home, cloud) = home();
    relax(&home);
    let daemon = Daemon::start(&home, cloud.endpoint(), "1s");
    let api = daemon.api.to_string();
    let run = |arguments: &[&str], code: i32| {
        let mut command = home.command(cloud.endpoint(), arguments);
        let output = command.env("S3_CONNECTOR_LISTEN_API", &api).output().expect("the program starts");
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        stdout
    };
    daemon.wait_for_state("orders", "Running");
    let moved = json_of(&run(&["quarantine", "replay", "orders", "--yes", "--json"], 0));
    assert_eq!((&moved["moved"], &moved["files"]), (&json!(3_600), &json!(12)), "{moved}");
    let first = home.history("orders")[0].id.clone();
    let dry = run(&["rollback", &first], 0);
    assert!(dry.contains("6000 rows of the table") && dry.contains("nothing was changed"), "{dry}");
    let gone = run(&["rollback", &first, "--yes"], 0);
    assert!(gone.contains(&format!("datasource retry orders --batch {first}")), "{gone}");
    assert_eq!(daemon.status("orders")["counts"]["rows"], 0);
    let refused = run(&["rollback", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 2);
    assert_eq!(refused, "");
    let retried = run(&["datasource", "retry", "orders", "--batch", &first], 0);
    assert!(retried.contains("12 files will be read"), "{retried}");
    daemon.wait_for_files("orders", "ingested", 12);
    let maintained = run(&["maintain", "orders", "--json"], 0);
    assert!(json_of(&maintained)["orders"]["steps"].as_u64() >= Some(2), "{maintained}");
    let healthy = run(&["ledger", "rebuild", "orders"], 2);
    assert_eq!(healthy, "", "nothing is to be mended");
    drop(daemon);
    all_in_the_table(&home, "the_running_program_replays_rolls_back_and_retries_for_whoever_asks_it");
    audit(&home, &cloud, 0);
}

#[test]
fn a_rollback_removes_exactly_the_rows_of_one_batch() {
    let Some(python) = python("a_rollback_removes_exactly_the_rows_of_one_batch") else { return };
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop", "@on-demand");
    for file in 0..3u64 {
        home.put("drop", &format!("{file}.csv"), body(file * 2));
        home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    }
    // Written together first: then the rows of the three batches share their data file.
    let batches: Vec<String> = home.history("orders").into_iter().map(|batch| batch.id).collect();
    let rows_by_batch = |engine: &str| {
        let groups = group_rows(&python, &home.table("orders"), engine, &["_batch_id"]);
        groups.into_iter().map(|group| group.to_string()).collect::<BTreeSet<_>>()
    };
    let before = rows_by_batch("polars");
    assert_eq!(before.len(), 3, "{before:?}");
    home.run(cloud.endpoint(), &["rollback", &batches[1], "--yes"]).expect_code(0);
    for engine in ENGINES {
        let after = rows_by_batch(engine);
        let expected: BTreeSet<String> = before.iter().filter(|group| !group.contains(&batches[1])).cloned().collect();
        assert_eq!(after, expected);
    }
    audit(&home, &cloud, 0);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 2 * ROWS, "its file waits to be asked for");
}

#[test]
fn small_files_are_written_together_and_no_row_changes() {
    let Some(python) = python("small_files_are_written_together_and_no_row_changes") else { return };
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop", "@on-demand");
    for file in 0..20u64 {
        home.put("drop", &format!("{file:02}.csv"), format!("id,text\n{file},a\n{},b\n", file + 100));
        home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    }
    let columns = ["id", "text", "_s3_key", "_s3_row", "_batch_id"];
    let before = group_rows(&python, &home.table("orders"), "deltalake", &columns);
    home.datasource("others", "s3://drop", "@on-demand");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let told = home.run(cloud.endpoint(), &["maintain"]).expect_code(0).stdout;
    assert!(told.contains("20 data files written together into 1") && told.contains("others: nothing"), "{told}");
    for engine in ENGINES {
        assert_eq!(group_rows(&python, &home.table("orders"), engine, &columns), before);
    }
    audit(&home, &cloud, 0);
    let again = home.run(cloud.endpoint(), &["maintain"]).expect_code(0).stdout;
    assert!(again.contains("orders: nothing to do"), "{again}");
    home.put("drop", "99.csv", "id,text\n99,z\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    audit(&home, &cloud, 0);
}

#[test]
fn rows_that_have_expired_leave_the_table_and_the_account_says_so() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let schema =
        "SCHEMA >\n    id Int64,\n    at DateTime\n\nENGINE \"MergeTree\"\nENGINE_TTL \"at + INTERVAL 30 DAY\"\n";
    home.datasource_text("orders", &format!("{schema}{SOURCE}"));
    home.put("drop", "old.csv", "id,at\n1,2020-01-01 00:00:00\n2,2020-02-01 00:00:00\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    home.put("drop", "new.csv", "id,at\n3,2999-01-01 00:00:00\n4,2020-01-01 00:00:00\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let told = home.run(cloud.endpoint(), &["maintain", "orders"]).expect_code(0).stdout;
    assert!(told.contains("2 rows expired"), "a file with one living row stays whole: {told}");
    assert_eq!(home.counts("orders").rows, 2);
    audit(&home, &cloud, 0);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 2, "what has expired is not read again");
}

#[test]
fn a_new_version_of_a_file_is_added_if_that_is_wanted_and_a_bucket_that_was_written_anew_is_not() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SOURCE}IMPORT_ON_OVERWRITE append\n"));
    let write = |file: u64, version: u64| {
        home.put("drop", &format!("{file:03}.csv"), format!("id,version\n{file},{version}\n"));
    };
    (0..150).for_each(|file| write(file, 0));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    (0..10).for_each(|file| write(file, 11));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 160);
    (0..150).for_each(|file| write(file, 222));
    let stopped = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    assert!(stopped.stderr.contains("150 of the 160 files that were ingested have new versions"), "{}", stopped.stderr);
    assert_eq!(home.counts("orders").rows, 160);
    let state = home.run(cloud.endpoint(), &["datasource", "scheduling", "state", "orders"]).expect_code(0).stdout;
    assert!(state.contains("Paused") && state.contains("IMPORT_ON_OVERWRITE"), "{state}");
    home.run(cloud.endpoint(), &["datasource", "scheduling", "resume", "orders"]).expect_code(0);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 310, "somebody has looked");
    audit(&home, &cloud, 0);
}
