//! What people see of rows that do not fit: groups with a remedy, single rows, exports, and what the tracker says.

use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, ENGINES, Home, python, script, until};

const SCHEMA: &str = "SCHEMA >\n    id Int64,\n    amount Decimal(9,2),\n    note String\n\n";
const SOURCE: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n";

/// Two files: one with five bad rows of three kinds, one that lacks a column.
fn damaged() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}"));
    let text = "id,amount,note\n1,1.50,fine\nx,2.00,=cmd()\n,3.00,empty id\n4,n/a,odd\n5,5.00\ny,z,both\n";
    home.put("drop", "a.csv", text).touch("drop", "a.csv", 1_700_000_000);
    home.put("drop", "b.csv", "id,note\n7,lacks amount\n8,too\n").touch("drop", "b.csv", 1_700_000_001);
    (home, cloud)
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn groups_count_name_a_sample_and_say_what_to_do() {
    let (home, cloud) = damaged();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let found = json_of(&home.run(cloud.endpoint(), &["quarantine", "ls", "--json"]).expect_code(0).stdout);
    assert_eq!((&found[0]["datasource"], &found[0]["rows"]), (&json!("orders"), &json!(7)));
    let groups = found[0]["groups"].as_array().expect("groups");
    let group = |column: &str, part: &str| {
        let matches = |group: &&Value| {
            group["column"] == column && group["error"].as_str().is_some_and(|error| error.contains(part))
        };
        groups.iter().find(matches).unwrap_or_else(|| panic!("no group of {column} and {part} in {found}"))
    };
    assert_eq!(group("id", "is not Int64")["rows"], 3);
    assert_eq!(group("amount", "is not Decimal(9, 2)")["rows"], 2);
    let lacking = group("amount", "the file lacks column 'amount'");
    assert_eq!((&lacking["rows"], &lacking["first_files"][0]), (&json!(2), &json!("b.csv")));
    assert!(lacking["suggestion"].as_str().is_some_and(|text| text.contains("IMPORT_ON_MISSING_COLUMN null")));
    assert_eq!(group("", "fields")["rows"], 1);

    let shown = home.run(cloud.endpoint(), &["quarantine", "ls", "orders"]).expect_code(0).stdout;
    assert!(shown.contains("3 x  id: is not Int64") && shown.contains("try: "), "{shown}");
    let rows = home.run(cloud.endpoint(), &["quarantine", "show", "orders", "--column", "id"]).expect_code(0).stdout;
    assert!(rows.contains("row 2 of a.csv") && rows.contains("value 'x' on column 'id' is not Int64"), "{rows}");
    assert!(rows.contains("raw: x,2.00,=cmd()"), "{rows}");
    let one = home.run(cloud.endpoint(), &["quarantine", "show", "orders", "--limit", "1", "--json"]).expect_code(0);
    assert_eq!(one.stdout.lines().count(), 1);
    let status = home.run(cloud.endpoint(), &["status"]).expect_code(0).stdout;
    assert!(status.contains("7 rows in quarantine") && status.contains("missing_column"), "{status}");
}

#[test]
fn an_export_has_every_row_and_no_formula_for_a_spreadsheet() {
    let (home, cloud) = damaged();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let csv = home.run(cloud.endpoint(), &["quarantine", "export", "orders"]).expect_code(0).stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let note = header.iter().position(|name| name == "note").expect("a column");
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("reads")).collect();
    assert_eq!(records.len(), 7);
    assert!(records.iter().any(|record| &record[note] == "'=cmd()"), "{csv}");
    let path = home.path("bad.ndjson");
    let arguments = ["quarantine", "export", "orders", "--format", "ndjson", "--output"];
    home.run(cloud.endpoint(), &[&arguments[..], &[path.to_str().expect("UTF-8")]].concat()).expect_code(0);
    let text = std::fs::read_to_string(path).expect("the export");
    assert!(text.lines().map(json_of).any(|row| row["note"] == "=cmd()"), "verbatim: {text}");
    let some = home.run(cloud.endpoint(), &["quarantine", "export", "orders", "--file", "b.csv"]).expect_code(0);
    assert_eq!(csv::Reader::from_reader(some.stdout.as_bytes()).records().count(), 2);
}

#[test]
fn other_engines_read_the_quarantine_table_with_its_lists_and_texts() {
    let Some(python) = python("other_engines_read_the_quarantine_table_with_its_lists_and_texts") else { return };
    let (home, cloud) = damaged();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    for engine in ENGINES {
        let table = home.table("orders_quarantine");
        let rows =
            script(&python, "rows.py", &[table.to_str().expect("UTF-8"), "--engine", engine, "_s3_key", "_s3_row"]);
        let last = &rows[4];
        assert_eq!(last["c__error_column"], json!(["id", "amount"]), "{rows}");
        let messages = ["value 'y' on column 'id' is not Int64", "value 'z' on column 'amount' is not Decimal(9, 2)"];
        assert_eq!(last["c__error"], json!(messages));
        assert_eq!((&last["id"], &last["amount"], &last["note"]), (&json!("y"), &json!("z"), &json!("both")));
        assert_eq!(last["_s3_raw"], "y,z,both");
        assert_eq!(last["c__import_id"].as_str().map(str::len), Some(26), "the batch id: {last}");
        assert!(last["insertion_date"].as_str().is_some_and(|time| time.starts_with("20")), "{last}");
    }
}

#[test]
fn a_preview_shows_what_would_land_and_what_would_not_and_imports_nothing() {
    let (home, cloud) = damaged();
    let shown = home.run(cloud.endpoint(), &["datasource", "preview", "orders"]).expect_code(0).stdout;
    assert!(shown.contains("a.csv") && shown.contains("1.50"), "{shown}");
    assert!(shown.contains("value 'x' on column 'id' is not Int64"), "{shown}");
    let lacking = home.run(cloud.endpoint(), &["datasource", "preview", "orders", "--file", "b.csv", "--json"]);
    let lacking = json_of(&lacking.expect_code(0).stdout);
    assert_eq!(lacking["causes"][0]["code"], "missing_column", "{lacking}");
    home.datasource_text("free", SOURCE);
    let evidence = home.run(cloud.endpoint(), &["datasource", "preview", "free", "--evidence"]).expect_code(0).stdout;
    assert!(evidence.contains("BECAUSE") && evidence.contains("amount"), "{evidence}");
    let unknown = home.run(cloud.endpoint(), &["datasource", "preview", "order"]).expect_code(2);
    assert!(unknown.stderr.contains("did you mean orders?"), "{}", unknown.stderr);
    assert!(!home.path("data/tables").exists(), "nothing was imported");
}

#[test]
fn an_explosion_of_bad_rows_pauses_the_import_before_it_fills_the_disk() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}"));
    let bad: String = (0..12_000).fold("id,amount,note\n".to_owned(), |text, row| text + &format!("x{row},1.0,n\n"));
    home.put("drop", "a.csv", bad);
    let stopped = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    assert!(stopped.stderr.contains("12000 of the batch's 12000 rows do not fit"), "{}", stopped.stderr);
    let none = home.run(cloud.endpoint(), &["quarantine", "ls", "orders"]).expect_code(0);
    assert!(none.stdout.contains("no rows in quarantine"), "{}", none.stdout);
    let none = home.run(cloud.endpoint(), &["quarantine", "show", "orders", "--column", "id"]).expect_code(0);
    assert!(none.stderr.contains("no rows in quarantine"), "{}", none.stderr);
    let again = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    assert!(again.stderr.contains("datasource scheduling resume"), "{}", again.stderr);

    // Everybody says that it is paused and what goes on from here, and that leads out of it.
    let status = home.run(cloud.endpoint(), &["status"]).expect_code(0).stdout;
    assert!(status.contains("Paused (too_many_bad_rows): 12000 of the batch's"), "{status}");
    let scheduling =
        |verb| home.run(cloud.endpoint(), &["datasource", "scheduling", verb, "orders"]).expect_code(0).stdout;
    let state = scheduling("state");
    assert!(state.starts_with("orders: Paused: 12000 of") && state.contains("scheduling resume"), "{state}");
    assert!(scheduling("resume").contains("its next batch is taken as it is"));
    assert!(scheduling("state").starts_with("orders: Stopped"));
    home.run(cloud.endpoint(), &["run", "--once"]);
    let counts = home.counts("orders");
    assert_eq!((counts.rows, counts.rows_quarantined), (0, 12_000));
    let listed = home.run(cloud.endpoint(), &["quarantine", "ls", "orders"]).expect_code(0).stdout;
    assert!(listed.contains("orders: 12000 rows in quarantine") && listed.contains("quarantine replay"), "{listed}");
}

#[test]
fn a_pause_holds_with_and_without_a_running_program_until_it_is_resumed() {
    let (home, cloud) = damaged();
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}IMPORT_SCHEDULE @auto\n"));
    let early = home.run(cloud.endpoint(), &["datasource", "scheduling", "pause", "orders"]).expect_code(2);
    assert!(early.stderr.contains("never ran"), "{}", early.stderr);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let offline =
        |verb| home.run(cloud.endpoint(), &["datasource", "scheduling", verb, "orders"]).expect_code(0).stdout;
    assert!(offline("pause").contains("orders: paused"));
    assert!(offline("state").starts_with("orders: Paused: by hand"));
    home.put("drop", "c.csv", "id,amount,note\n9,9.00,late\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);

    let daemon = Daemon::start(&home, cloud.endpoint(), "1s");
    daemon.wait_for_state("orders", "Paused");
    let told = |verb| {
        let mut command = home.command(cloud.endpoint(), &["datasource", "scheduling", verb, "orders"]);
        let output = command.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string()).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(told("state").starts_with("orders: Paused"));
    assert!(told("resume").contains("orders: resumed"));
    until("c.csv to be imported", || (home.counts("orders").rows == 2).then_some(()));
    assert!(told("pause").contains("orders: paused"));
    daemon.wait_for_state("orders", "Paused");
    // Who cannot reach the program cannot go behind its back either.
    let behind = home.run(cloud.endpoint(), &["datasource", "scheduling", "resume", "orders"]);
    assert_ne!(behind.code, 0, "{}", behind.stdout);
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(offline("state").starts_with("orders: Paused: by hand"), "it survives");
}

#[test]
fn a_preview_of_a_large_file_shows_its_rows_and_the_types_that_the_import_finds() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("wide", SOURCE);
    // Only the middle and the tail tell that two of the columns are not what the head says.
    let row = |row: u32| match row {
        115_000.. if row < 115_100 => format!("{row},x{row},1\n"),
        199_900.. => format!("{row},1,y{row}\n"),
        _ => format!("{row},1,1\n"),
    };
    let text = (0..200_000).fold("id,a,b\n".to_owned(), |text, number| text + &row(number));
    assert!(text.len() > 3 << 19, "larger than a sample");
    home.put("drop", "a.csv", text);
    let preview =
        || json_of(&home.run(cloud.endpoint(), &["datasource", "preview", "wide", "--json"]).expect_code(0).stdout);
    let found = preview();
    assert_eq!(found["rows"].as_array().map(Vec::len), Some(10), "{found}");
    assert_eq!(found["rows"][0], json!(["0", "1", "1"]));
    let types = |found: &Value| {
        let columns = found["columns"].as_array().expect("columns").iter();
        columns.map(|column| column["type"].as_str().expect("a type").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types(&found), ["Nullable(Int64)", "String", "String"]);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let diff = json_of(&home.run(cloud.endpoint(), &["datasource", "diff", "wide", "--json"]).expect_code(0).stdout);
    let inferred = diff["inferred"].as_array().expect("columns").iter().map(|column| column["type"].clone());
    assert_eq!(inferred.collect::<Vec<_>>(), types(&found));
    let shown = home.run(cloud.endpoint(), &["datasource", "preview", "wide"]).expect_code(0).stdout;
    assert!(shown.contains("quote '\"'"), "{shown}");
}

#[test]
fn verbs_that_find_nothing_say_so_and_say_what_there_is() {
    let (home, cloud) = damaged();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let run = |arguments: &[&str]| home.run(cloud.endpoint(), arguments).expect_code(0);
    let none = run(&["history", "orders", "--outcome", "deferred"]).stdout;
    assert_eq!(none, "orders: no batches with a file that is deferred\n");
    home.datasource_text("idle", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/none/\n");
    assert_eq!(run(&["history", "idle"]).stdout, "idle: no batches\n");
    let show = run(&["quarantine", "show", "orders", "--column", "note"]).stderr;
    assert!(show.contains("columns amount, id") && show.contains("files a.csv, b.csv"), "{show}");
    let listed = run(&["quarantine", "ls", "orders"]).stdout;
    assert!(!listed.contains("for example NULL, row 5") && listed.contains("for example row 5 of a.csv"), "{listed}");
    // One file and two rows of it are in quarantine as a whole.
    let status = run(&["status"]).stdout;
    let orders: Vec<&str> = status.lines().nth(1).expect("a row").split_whitespace().collect();
    let other: Vec<&str> = status.lines().nth(2).expect("a row").split_whitespace().collect();
    let row = if orders[0] == "orders" { orders } else { other };
    assert_eq!((row[3], row[6]), ("1", "7"), "{status}");
}
