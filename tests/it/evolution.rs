//! Schemas that evolve, from the files in the bucket to what other engines read.

use serde_json::{Value, json};

use crate::harness::{Cloud, ENGINES, Home, group_rows, python, read_table, script};

const FIRST_SECOND: u64 = 1_700_000_000;

fn home_with(datasource: &str) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("days", datasource);
    (home, cloud)
}

const DAYS: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n";

/// Fourteen days of files of ten rows; from the eighth on the header has six more columns.
fn put_days(home: &Home, order: &[u64]) {
    for (place, day) in order.iter().enumerate() {
        let grown = *day >= 7;
        let mut text = format!("id,day{}\n", if grown { ",a,b,c,d,e,f" } else { "" });
        for row in 0..10 {
            let id = day * 10 + row;
            text += &format!(
                "{id},{day}{}\n",
                if grown { format!(",{id},x{id},1.5,true,2024-01-01,") } else { String::new() }
            );
        }
        let key = format!("{day:02}.csv");
        home.put("drop", &key, text).touch("drop", &key, FIRST_SECOND + place as u64);
    }
}

/// Rows by file, of table and quarantine together, and how many of them are in the table.
fn rows_by_file(home: &Home, python: &std::path::Path, engine: &str) -> (Vec<(String, u64)>, u64) {
    let mut all = std::collections::BTreeMap::new();
    let mut in_table = 0;
    for table in ["days", "days_quarantine"] {
        for group in group_rows(python, &home.table(table), engine, &["_s3_key"]) {
            let rows = group["rows"].as_u64().expect("a count");
            *all.entry(group["_s3_key"].as_str().expect("a key").to_owned()).or_insert(0) += rows;
            in_table += if table == "days" { rows } else { 0 };
        }
    }
    (all.into_iter().collect(), in_table)
}

#[test]
fn a_daily_series_whose_header_grows_is_read_in_any_order_without_losing_a_row() {
    let test = "a_daily_series_whose_header_grows_is_read_in_any_order_without_losing_a_row";
    let Some(python) = python(test) else { return };
    let in_order: Vec<u64> = (0..14).collect();
    let backwards: Vec<u64> = (0..14).rev().collect();
    let mut shuffled = in_order.clone();
    fastrand::Rng::with_seed(7).shuffle(&mut shuffled);
    let everything: Vec<(String, u64)> = (0..14).map(|day| (format!("{day:02}.csv"), 10)).collect();
    for (order, relaxed) in
        [(&in_order, false), (&backwards, false), (&shuffled, false), (&backwards, true), (&shuffled, true)]
    {
        let relax = if relaxed { "IMPORT_ON_MISSING_COLUMN null\n" } else { "" };
        let (home, cloud) = home_with(&format!("{DAYS}{relax}"));
        put_days(&home, order);
        home.run(cloud.endpoint(), &["run", "--once"]);
        for engine in ENGINES {
            let (rows, in_table) = rows_by_file(&home, &python, engine);
            assert_eq!(rows, everything, "{order:?} {relaxed} {engine}");
            if order == &in_order || relaxed {
                assert_eq!(in_table, 140, "{order:?} {relaxed}: nothing is quarantined");
            }
            let table = read_table(&python, &home.table("days"), engine, Some("id"));
            assert_eq!(table["ids"]["distinct"], table["rows"], "{table}");
        }
    }
}

#[test]
fn each_file_of_a_batch_adds_its_columns_and_older_rows_read_as_null() {
    let Some(python) = python("each_file_of_a_batch_adds_its_columns_and_older_rows_read_as_null") else { return };
    let (home, cloud) = home_with(DAYS);
    let files = ["id\n1\n", "id,x\n2,5\n", "id,y\n3,text\n", "id,x,ID\n4,not a number,9\n", "y,x,id\nq,8,5\n"];
    for (number, file) in files.iter().enumerate() {
        let key = format!("{number}.csv");
        home.put("drop", &key, file).touch("drop", &key, FIRST_SECOND + number as u64);
    }
    // No row of the fourth file fits.
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let expected = json!([
        {"id": 1, "x": null, "y": null, "ID_2": null},
        {"id": 2, "x": 5, "y": null, "ID_2": null},
        {"id": 3, "x": null, "y": "text", "ID_2": null},
        {"id": 5, "x": 8, "y": "q", "ID_2": null},
    ]);
    for engine in ENGINES {
        let rows = script(&python, "rows.py", &[home.table("days").to_str().expect("UTF-8"), "--engine", engine, "id"]);
        assert_eq!(rows, expected, "{engine}");
    }
    let bad = group_rows(&python, &home.table("days_quarantine"), "polars", &["_s3_key", "id", "x", "ID_2"]);
    assert_eq!(
        Value::Array(bad),
        json!([{"_s3_key": "3.csv", "id": "4", "x": "not a number", "ID_2": "9", "rows": 1}])
    );

    // What the tracker tells of it.
    let history = home.run(cloud.endpoint(), &["history", "days", "--schema", "--json"]).expect_code(0);
    let versions: Value = serde_json::from_str(&history.stdout).expect("JSON");
    assert_eq!((&versions[0]["version"], &versions[0]["batch"]), (&json!(1), &json!(null)));
    assert_eq!(versions[0]["evidence"][0]["column"], "id");
    let brought: Vec<(&str, &str)> = versions[1]["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| (change["column"].as_str().expect("a name"), change["key"].as_str().expect("a key")))
        .collect();
    assert_eq!(brought, [("x", "1.csv"), ("y", "2.csv"), ("ID_2", "3.csv")]);
    let diff = home.run(cloud.endpoint(), &["datasource", "diff", "days"]).expect_code(0);
    let declared = "    `x` Nullable(Int64),\n    `y` Nullable(String),\n    `ID_2` Nullable(Int64) `json:$.ID`\n";
    assert!(diff.stdout.contains(declared) && diff.stdout.contains("    x     1.csv\n"), "{}", diff.stdout);
    // It can be pasted as it is: then nothing is left to declare.
    home.datasource_text("days", &format!("SCHEMA >\n    `id` Nullable(Int64),\n{declared}\n{DAYS}"));
    let none = home.run(cloud.endpoint(), &["datasource", "diff", "days"]).expect_code(0);
    assert!(none.stdout.contains("exactly the columns of its file"), "{}", none.stdout);
    let files = home.run(cloud.endpoint(), &["history", "days", "--files"]).expect_code(0);
    assert!(files.stdout.contains("0.csv") && files.stdout.contains("schema reference"), "{}", files.stdout);
}

#[test]
fn a_table_that_declares_five_of_twelve_columns_never_grows_the_other_seven() {
    let Some(python) = python("a_table_that_declares_five_of_twelve_columns_never_grows_the_other_seven") else {
        return;
    };
    let schema = "SCHEMA >\n    a Int64,\n    c String,\n    e Nullable(Int64),\n    g Int64,\n    l Float64\n\n";
    let (home, cloud) = home_with(&format!("{schema}{DAYS}"));
    let text = std::fs::read_to_string(home.path("config/datasources/days.datasource")).expect("a file");
    for day in 0..3 {
        let header = "a,b,c,d,e,f,g,h,i,j,k,l";
        home.put("drop", &format!("{day}.csv"), format!("{header}\n{day},2,3,4,5,6,7,8,9,10,11,12.5\n"));
        home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    }
    let table = read_table(&python, &home.table("days"), "deltalake", None);
    let columns: Vec<&String> = table["columns"].as_object().expect("names").keys().collect();
    let expected = ["_batch_id", "_s3_key", "_s3_row", "_s3_version", "a", "c", "e", "g", "l"];
    assert_eq!((columns.as_slice(), &table["rows"]), (&expected.map(str::to_owned).each_ref()[..], &json!(3)));
    let after = std::fs::read_to_string(home.path("config/datasources/days.datasource")).expect("a file");
    assert_eq!(text, after, "the file on disk is never rewritten");
    let diff = home.run(cloud.endpoint(), &["datasource", "diff", "days"]).expect_code(0);
    assert!(diff.stdout.contains("exactly the columns of its file"), "{}", diff.stdout);
}

#[test]
fn more_columns_than_the_limit_are_refused_with_the_reason() {
    let (home, cloud) = home_with(DAYS);
    home.put("drop", "1.csv", "id\n1\n").touch("drop", "1.csv", FIRST_SECOND);
    home.put("drop", "2.csv", "id,a,b,c\n2,x,y,z\n");
    let mut command = home.command(cloud.endpoint(), &["run", "--once"]);
    let output = command.env("S3_CONNECTOR_LIMITS_MAX_COLUMNS", "3").output().expect("runs");
    assert_eq!(output.status.code(), Some(3));
    let status = home.run(cloud.endpoint(), &["status"]).expect_code(0);
    assert!(
        status.stdout.contains("too_many_columns") && status.stdout.contains("the limit of 3"),
        "{}",
        status.stdout
    );
    let groups = home.run(cloud.endpoint(), &["quarantine", "ls", "days", "--json"]).expect_code(0);
    let groups: Value = serde_json::from_str(&groups.stdout).expect("JSON");
    assert_eq!(groups[0]["rows"], 1);
}

#[test]
fn a_schema_that_gains_a_column_or_relaxes_one_takes_effect_without_a_new_table() {
    let Some(python) = python("a_schema_that_gains_a_column_or_relaxes_one_takes_effect_without_a_new_table") else {
        return;
    };
    let (home, cloud) = home_with(&format!("SCHEMA >\n    id Int64,\n    n Int64\n\n{DAYS}"));
    home.put("drop", "1.csv", "id,n,m\n1,1,1\n2,,2\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    home.datasource_text(
        "days",
        &format!("SCHEMA >\n    id Int64,\n    n Nullable(Int64),\n    m Int64 DEFAULT 7\n\n{DAYS}"),
    );
    let diff = home.run(cloud.endpoint(), &["datasource", "diff", "days"]).expect_code(0);
    assert!(diff.stdout.contains("the next commit adds") && diff.stdout.contains("`m` Int64"), "{}", diff.stdout);
    home.put("drop", "2.csv", "id,n,m\n3,,\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let table = home.table("days");
    let rows = script(&python, "rows.py", &[table.to_str().expect("UTF-8"), "--engine", "polars", "id"]);
    assert_eq!(rows, json!([{"id": 1, "n": 1, "m": null}, {"id": 3, "n": null, "m": 7}]));
    home.datasource_text("days", &format!("SCHEMA >\n    id String,\n    n Nullable(Int64)\n\n{DAYS}"));
    let refused = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(refused.stderr.contains("disagree: column 'id' is Int64 in the table and String"), "{}", refused.stderr);
}
