//! `audit`: what another implementation does to the tables is found, row by row; what the bucket lost or changed is told;
//! and beside a program that works hard nothing is found that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use s3_connector::demo::generator::Generator;
use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, Finished, Home, python, script, until};

const SCHEMA: &str = "SCHEMA >\n    id Int64,\n    note String\n\n";
const SOURCE: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/orders/\n";

/// Rows `0..rows`, each with its own id; every tenth one is bad.
fn csv(rows: usize) -> String {
    let id = |row: usize| if row % 10 == 9 { format!("x{row}") } else { row.to_string() };
    (0..rows).fold("id,note\n".to_owned(), |text, row| text + &format!("{},n{row}\n", id(row)))
}

/// Two imports: `orders` with good, bad and unfit CSV files, `views` with a Parquet file.
fn filled() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}"));
    home.datasource("views", "s3://drop/views/*.parquet", "@on-demand");
    home.put("drop", "orders/a.csv", csv(100)).put("drop", "orders/b.csv", csv(25));
    home.put("drop", "orders/unfit.csv", "note\nlacks the id\ntoo\n");
    home.put("drop", "orders/header only.csv", "id,note\n");
    let parquet = Generator::new(7).page_views_parquet(1, 500, jiff::Timestamp::UNIX_EPOCH).expect("encodes");
    home.put("drop", "views/1.parquet", parquet);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    (home, cloud)
}

fn audit(home: &Home, cloud: &Cloud, more: &[&str]) -> Finished {
    home.run(cloud.endpoint(), &[&["audit"], more].concat())
}

/// The report on `orders`, and the exit code that it came with.
fn report(home: &Home, cloud: &Cloud, code: i32, more: &[&str]) -> Value {
    let finished = audit(home, cloud, &[&["orders", "--json"], more].concat()).expect_code(code);
    let all: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    all[0].clone()
}

/// Kind, key, rows and ordinals of each finding.
fn findings(report: &Value) -> Vec<(String, Value, u64, Value)> {
    let of = |finding: &Value| {
        let kind = finding["kind"].as_str().expect("a kind").to_owned();
        let rows = finding["rows"].as_u64().expect("a count");
        assert!(finding["meaning"].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        assert!(finding["remedy"].as_array().is_some_and(|commands| !commands.is_empty()), "{finding}");
        (kind, finding["key"].clone(), rows, finding["ordinals"].clone())
    };
    report["rows"]["findings"].as_array().expect("findings").iter().map(of).collect()
}

fn spoil(python: &std::path::Path, home: &Home, table: &str, what: &str, condition: &str) -> u64 {
    let table = home.table(table);
    let rows = script(python, "spoil_table.py", &[table.to_str().expect("UTF-8"), what, condition]);
    rows.as_u64().expect("a number")
}

#[test]
fn an_import_of_good_bad_and_unfit_files_is_clean_and_the_equation_holds() {
    let (home, cloud) = filled();
    let shown = audit(&home, &cloud, &[]).expect_code(0).stdout;
    assert!(shown.contains("orders: clean") && shown.contains("views: clean"), "{shown}");
    assert!(
        shown.contains(
            "127 rows read from 3 object versions = 113 in the table + 14 in quarantine + 0 removed on purpose"
        ),
        "{shown}"
    );
    let report = report(&home, &cloud, 0, &[]);
    assert_eq!((&report["clean"], findings(&report).len()), (&json!(true), 0));
    let sums = &report["rows"]["sums"];
    assert_eq!((&sums["found_in_table"], &sums["found_in_quarantine"]), (&json!(113), &json!(14)), "{sums}");
    assert_eq!(report["bucket"]["objects"], 4, "{report}");
    let without = report_of(&audit(&home, &cloud, &["--json", "--no-listing"]).expect_code(0));
    assert_eq!(without[1]["bucket"], Value::Null);
}

fn report_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[test]
fn before_the_first_run_there_is_nothing_to_find() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}"));
    let finished = audit(&home, &cloud, &[]).expect_code(0);
    assert!(finished.stderr.contains("there is no ledger"), "{}", finished.stderr);
    assert!(finished.stdout.contains("orders: nothing ever ran"), "{}", finished.stdout);
    let listed = report(&home, &cloud, 0, &[]);
    assert_eq!((&listed["import"], &listed["never_ran"]), (&json!("orders"), &json!(true)), "{listed}");
}

#[test]
fn a_table_whose_import_no_ledger_knows_is_never_called_clean() {
    let (home, cloud) = filled();
    let lost = |how: &str| {
        let shown = audit(&home, &cloud, &["orders"]).expect_code(2).stdout;
        assert!(shown.contains("orders: not clean") && shown.contains("ledger_lost"), "{how}: {shown}");
        assert!(shown.contains("`s3-connector datasource adopt orders`"), "{how}: {shown}");
        let all = report_of(&audit(&home, &cloud, &["--json"]).expect_code(2));
        let codes: Vec<_> = [0, 1].map(|n| (all[n]["clean"].clone(), all[n]["failures"][0]["code"].clone())).into();
        assert_eq!(codes, vec![(json!(false), json!("ledger_lost")); 2], "{how}: {all}");
    };
    let ledger =
        ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm"].map(|name| home.path(&format!("data/{name}")));
    ledger.iter().for_each(|file| drop(fs::remove_file(file)));
    lost("there is no ledger");
    // Another ledger, which has never heard of these imports.
    let (sources, aside) = (home.path("config/datasources"), home.path("aside"));
    fs::rename(&sources, &aside).expect("moves");
    fs::create_dir(&sources).expect("a folder");
    home.datasource("others", "s3://drop/views/*.parquet", "@on-demand");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    fs::remove_dir_all(&sources).expect("removes");
    fs::rename(&aside, &sources).expect("moves");
    assert!(ledger[0].exists());
    lost("a ledger that knows other imports");
}

#[test]
fn rows_that_another_program_removes_doubles_or_adds_are_found_by_their_ordinals() {
    let Some(python) = python("rows_that_another_program_removes_doubles_or_adds_are_found_by_their_ordinals") else {
        return;
    };
    let (home, cloud) = filled();
    let a = json!("orders/a.csv");
    assert_eq!(spoil(&python, &home, "orders", "delete", "_s3_key = 'orders/a.csv' and _s3_row in (5, 6, 50)"), 3);
    let found = report(&home, &cloud, 3, &[]);
    assert_eq!(findings(&found), [("missing".to_owned(), a.clone(), 3, json!([[5, 6], [50, 50]]))]);
    assert_eq!(found["clean"], false);
    let shown = audit(&home, &cloud, &["orders"]).expect_code(3).stdout;
    assert!(shown.contains("missing: 3 rows of orders/a.csv (row 6-7, 51)"), "{shown}");
    assert!(shown.contains("s3-connector rollback 0"), "{shown}");

    assert_eq!(spoil(&python, &home, "orders", "double", "_s3_key = 'orders/b.csv' and _s3_row < 3"), 3);
    assert_eq!(spoil(&python, &home, "orders_quarantine", "double", "_s3_key = 'orders/unfit.csv'"), 2);
    spoil(&python, &home, "orders", "stranger", "_s3_key = 'orders/b.csv' and _s3_row = 4");
    spoil(&python, &home, "orders", "nameless", "_s3_key = 'orders/b.csv' and _s3_row = 7");
    let found = report(&home, &cloud, 3, &["--no-listing"]);
    let doubled = |key: &str, rows, ordinals| ("doubled".to_owned(), json!(key), rows, ordinals);
    assert_eq!(
        findings(&found),
        [
            ("missing".to_owned(), a, 3, json!([[5, 6], [50, 50]])),
            doubled("orders/b.csv", 3, json!([[0, 2]])),
            doubled("orders/unfit.csv", 2, json!([[0, 1]])),
            ("foreign".to_owned(), json!("orders/b.csv"), 1, json!([[4, 4]])),
        ],
        "{found}"
    );
    assert_eq!(found["rows"]["nameless"], 1);
    // The other import is as clean as before.
    assert!(audit(&home, &cloud, &["views"]).expect_code(0).stdout.contains("views: clean"));
}

#[test]
fn a_row_in_both_tables_is_doubled_and_one_in_the_wrong_table_is_misplaced() {
    let Some(python) = python("a_row_in_both_tables_is_doubled_and_one_in_the_wrong_table_is_misplaced") else {
        return;
    };
    let (home, cloud) = filled();
    let explained = home.run(cloud.endpoint(), &["explain", "s3://drop/orders/a.csv", "--json"]).expect_code(0);
    let explained: Value = serde_json::from_str(&explained.stdout).expect("JSON");
    let version = explained[0]["versions"][0]["version"].as_str().expect("a version").to_owned();
    let quarantine = home.table("orders_quarantine");
    let bad = "_s3_key = 'orders/b.csv' and _s3_row = 9";
    let pose = [quarantine.to_str().expect("UTF-8"), "pose", bad, "orders/a.csv", &version, "8"];
    script(&python, "spoil_table.py", &pose);
    let a = json!("orders/a.csv");
    let found = report(&home, &cloud, 3, &["--no-listing"]);
    assert_eq!(findings(&found), [("doubled".to_owned(), a.clone(), 1, json!([[8, 8]]))]);
    spoil(&python, &home, "orders", "delete", "_s3_key = 'orders/a.csv' and _s3_row = 8");
    let found = report(&home, &cloud, 3, &["--no-listing"]);
    assert_eq!(findings(&found), [("misplaced".to_owned(), a, 1, json!([]))]);
}

#[test]
fn maintenance_of_all_goes_on_behind_one_that_fails_and_ends_with_its_code() {
    let (home, cloud) = filled();
    fs::rename(home.table("orders"), home.path("gone")).expect("moves");
    let finished = home.run(cloud.endpoint(), &["maintain"]).expect_code(2);
    assert!(finished.stderr.contains("error: orders: "), "{}", finished.stderr);
    assert!(finished.stdout.contains("views: "), "{}{}", finished.stdout, finished.stderr);
    let all = report_of(&home.run(cloud.endpoint(), &["maintain", "--json"]).expect_code(2));
    assert!(all["orders"]["failure"]["code"].is_string() && all["views"]["failure"].is_null(), "{all}");
}

/// Runs the commands that the findings name, each once, and then a sync.
fn mend(home: &Home, cloud: &Cloud, found: &Value) {
    let all = found["rows"]["findings"].as_array().expect("findings").iter();
    let commands = all.flat_map(|finding| finding["remedy"].as_array().expect("commands"));
    let commands: BTreeSet<&str> = commands.map(|command| command.as_str().expect("a command")).collect();
    // Rollbacks come before retries of what they have set aside.
    for command in commands.into_iter().rev() {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        home.run(cloud.endpoint(), &words).expect_code(0);
    }
    home.run(cloud.endpoint(), &["run", "--once"]);
}

#[test]
fn the_commands_that_a_finding_names_mend_it() {
    let Some(python) = python("the_commands_that_a_finding_names_mend_it") else { return };
    let (home, cloud) = filled();
    for (table, what) in [("orders", "delete"), ("orders", "double"), ("orders_quarantine", "double")] {
        spoil(&python, &home, table, what, "_s3_key = 'orders/a.csv' and _s3_row in (5, 6, 9)");
        let found = report(&home, &cloud, 3, &["--no-listing"]);
        assert!(!findings(&found).is_empty(), "{found}");
        mend(&home, &cloud, &found);
        let mended = report(&home, &cloud, 0, &["--no-listing"]);
        let sums = &mended["rows"]["sums"];
        assert_eq!(
            (&sums["found_in_table"], &sums["found_in_quarantine"]),
            (&json!(113), &json!(14)),
            "{what}: {mended}"
        );
    }
}

#[test]
fn a_ledger_that_was_exported_comes_back_and_nothing_is_read_twice() {
    let (home, cloud) = filled();
    let copy = home.path("copy.db");
    let copy = copy.to_str().expect("UTF-8");
    home.run(cloud.endpoint(), &["ledger", "export", copy]).expect_code(0);
    let again = home.run(cloud.endpoint(), &["ledger", "export", copy]).expect_code(2);
    assert!(again.stderr.contains(copy), "{}", again.stderr);
    let refused = home.run(cloud.endpoint(), &["ledger", "import", copy]).expect_code(2);
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);
    let imported = home.run(cloud.endpoint(), &["ledger", "import", copy, "--replace"]).expect_code(0);
    assert!(imported.stdout.contains("orders, views"), "{}", imported.stdout);
    home.run(cloud.endpoint(), &["run", "--once"]);
    let found = report(&home, &cloud, 0, &[]);
    assert_eq!(found["rows"]["sums"]["found_in_table"], 113, "{found}");
    home.run(cloud.endpoint(), &["ledger", "import", "no such file", "--replace"]).expect_code(2);
}

#[test]
fn what_the_bucket_lost_or_changed_is_told_and_only_strict_minds() {
    let (home, cloud) = filled();
    home.put("drop", "orders/b.csv", csv(3)).put("drop", "orders/new.csv", csv(2));
    fs::remove_file(home.path("s3/drop/orders/a.csv")).expect("an object");
    let found = report(&home, &cloud, 0, &[]);
    let bucket = &found["bucket"];
    let kinds: Vec<_> = bucket["findings"].as_array().expect("findings").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds.len(), 3, "{bucket}");
    let key = |kind: &str| {
        let all = bucket["findings"].as_array().expect("findings");
        all.iter().find(|one| one["kind"] == kind).expect("a finding")["key"].clone()
    };
    assert_eq!(key("changed"), "orders/b.csv");
    assert_eq!(key("unseen"), "orders/new.csv");
    assert_eq!(key("vanished"), "orders/a.csv");
    assert!(report(&home, &cloud, 3, &["--strict"])["clean"] == false);
    assert!(report(&home, &cloud, 0, &["--strict", "--no-listing"])["clean"] == true);

    // Seen now, and still not read: IMPORT_ON_OVERWRITE is ignore.
    home.run(cloud.endpoint(), &["run", "--once"]);
    let found = report(&home, &cloud, 0, &[]);
    assert_eq!((&found["bucket"]["unseen"], &found["bucket"]["changed"]), (&json!(0), &json!(1)), "{found}");
    let note = found["bucket"]["findings"].to_string();
    assert!(note.contains("IMPORT_ON_OVERWRITE is ignore"), "{note}");
}

#[test]
fn an_object_that_the_scans_should_have_shown_ends_with_an_error() {
    let (home, cloud) = filled();
    // An hour old, says the bucket, and the scan of a moment ago has not seen it.
    let hour_ago = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() - 3_600;
    home.put("drop", "orders/late.csv", csv(2)).touch("drop", "orders/late.csv", hour_ago);
    let found = report(&home, &cloud, 3, &[]);
    assert_eq!((&found["bucket"]["overdue"], &found["bucket"]["findings"][0]["overdue"]), (&json!(1), &json!(true)));
    let shown = audit(&home, &cloud, &["orders"]).expect_code(3).stdout;
    assert!(shown.contains("unseen: orders/late.csv"), "{shown}");
}

#[test]
fn a_bucket_that_cannot_be_listed_leaves_the_tables_audited_and_ends_with_4_or_2() {
    let (home, cloud) = filled();
    let endpoint = cloud.endpoint().to_owned();
    drop(cloud);
    let finished = home.run(&endpoint, &["audit", "orders", "--json"]);
    assert!([2, 4].contains(&finished.code), "{finished:?}");
    let found = &report_of(&finished)[0];
    assert_eq!((&found["clean"], &found["rows"]["sums"]["read"]), (&json!(false), &json!(127)));
    assert_eq!(found["failures"].as_array().map(Vec::len), Some(1), "{found}");
    home.run(&endpoint, &["audit", "orders", "--no-listing"]).expect_code(0);
}

#[test]
fn beside_a_program_that_works_hard_it_never_cries_wolf() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let auto = "IMPORT_SCHEDULE @auto\nIMPORT_MAX_FILES 3\n";
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}{auto}"));
    let mut command = home.command(cloud.endpoint(), &["run"]);
    let daemon = Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "200ms"));
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut round, mut audits, mut seqs) = (0, 0, BTreeSet::new());
    while Instant::now() < deadline || audits < 5 {
        for _ in 0..6 {
            home.put("drop", &format!("orders/{round}.csv"), csv(40 + round));
            round += 1;
        }
        let finished = audit(&home, &cloud, &["orders", "--json"]).expect_code(0);
        let found = &report_of(&finished)[0];
        assert_eq!(found["clean"], true, "{found}");
        seqs.insert(found["rows"]["committed_seq"].as_i64());
        audits += 1;
    }
    assert!(seqs.len() > 2, "nothing was committed meanwhile, so this proves nothing: {seqs:?}");
    daemon.wait_for_files("orders", "ingested", round as u64);
    drop(daemon);
    let found = report(&home, &cloud, 0, &[]);
    assert_eq!(found["rows"]["sums"]["versions"], round);
}

/// The most that the audit of a table may hold, in MiB, whatever its size.
const AUDIT_MIB: u64 = 128;

#[test]
fn a_table_of_five_million_rows_is_audited_in_bounded_memory() {
    const FILES: usize = 20;
    const ROWS: usize = 250_000;
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}"));
    let source = home.path("rows.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&source).expect("file"));
    writeln!(file, "id,note").expect("writes");
    (0..ROWS).for_each(|row| writeln!(file, "{row},n").expect("writes"));
    file.into_inner().expect("flushes");
    fs::create_dir_all(home.path("s3/drop/orders")).expect("folder");
    for number in 0..FILES {
        fs::hard_link(&source, home.path(&format!("s3/drop/orders/{number}.csv"))).expect("link");
    }
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let mut command = home.command(cloud.endpoint(), &["audit", "orders", "--json"]);
    let out = home.path("audit.json");
    let mut child = command
        .stdout(fs::File::create(&out).expect("file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak_kib = 0;
    let status = until("the audit to end", || {
        peak_kib = peak_kib.max(crate::memory::high_water_kib(child.id()).unwrap_or(0));
        child.try_wait().expect("waits")
    });
    let found: Value = serde_json::from_str(&fs::read_to_string(out).expect("output")).expect("JSON");
    assert!(status.success(), "{found}");
    assert_eq!(found[0]["rows"]["sums"]["found_in_table"], FILES * ROWS);
    println!("audit of {} rows: peak {} MiB", FILES * ROWS, peak_kib / 1024);
    assert!(peak_kib / 1024 < AUDIT_MIB, "the audit held {} MiB", peak_kib / 1024);
}
