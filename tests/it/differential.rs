//! Our values held against those of other implementations, on the same files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Cloud, Home, python, script};

/// A value of each type that everybody understands alike.
fn record(id: u32, rng: &mut fastrand::Rng) -> String {
    let day = format!("{:04}-{:02}-{:02}", rng.u32(1900..2200), rng.u32(1..13), rng.u32(1..29));
    let clock = format!("{:02}:{:02}:{:02}", rng.u32(..24), rng.u32(..60), rng.u32(..60));
    let time = format!(
        "{:04}-{:02}-{:02} {clock}.{:06}",
        rng.u32(1950..2100),
        rng.u32(1..13),
        rng.u32(1..29),
        rng.u32(..1_000_000)
    );
    let texts = [
        "plain",
        "\"quoted, with comma\"",
        "\"a \"\"quote\"\"\"",
        "\"two\nlines\"",
        "Zürich",
        "  blanks  ",
        "'single'",
        "\"\"",
    ];
    let text = texts[rng.usize(..texts.len())];
    let float = rng.f64() * 10f64.powi(rng.i32(-12..12)) * if rng.bool() { -1.0 } else { 1.0 };
    let small = rng.i16(..);
    let decimal = format!("{}{}.{:02}", if rng.bool() { "-" } else { "" }, rng.u32(..10_000_000), rng.u32(..100));
    let maybe = if rng.u32(..4) == 0 { String::new() } else { rng.i64(..).to_string() };
    format!("{id},{small},{},{maybe},{float},{},{decimal},{day},{time},{text}\n", rng.u64(..), rng.bool())
}

#[test]
fn csv_values_are_those_of_duckdb_and_polars() {
    let Some(python) = python("csv_values_are_those_of_duckdb_and_polars") else { return };
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let schema = "SCHEMA >\n    id UInt32,\n    small Int16,\n    large UInt64,\n    maybe Nullable(Int64),\n    \
                  float Float64,\n    flag Bool,\n    amount Decimal(18, 2),\n    day Date,\n    time DateTime64(6),\n    \
                  text String\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n";
    home.datasource_text("values", schema);
    let mut rng = fastrand::Rng::with_seed(11);
    let mut text = "id,small,large,maybe,float,flag,amount,day,time,text\n".to_owned();
    (0..5_000).for_each(|id| text += &record(id, &mut rng));
    home.put("drop", "values.csv", &text);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let file = home.path("s3/drop/values.csv");
    let table = home.table("values");
    let found = script(&python, "csv_values.py", &[file.to_str().expect("UTF-8"), table.to_str().expect("UTF-8")]);
    assert_eq!(found["problems"], json!([]));
    assert_eq!(found["compared"], json!({"duckdb": 5_000, "polars": 5_000}));
}

/// The corpora that others wrote; without them the test says loudly that it did not run.
fn corpora(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("CORPORA_DIR").map(PathBuf::from);
    if found.is_none() {
        let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: corpora (CORPORA_DIR is not set)");
    }
    found
}

#[test]
fn parquet_values_are_those_of_pyarrow_on_every_readable_file() {
    let test = "parquet_values_are_those_of_pyarrow_on_every_readable_file";
    let (Some(python), Some(corpora)) = (python(test), corpora(test)) else { return };
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    // An import for each file: every one of them has columns of its own.
    let mut list = serde_json::Map::new();
    let folder = corpora.join("parquet-testing/data");
    let mut paths: Vec<PathBuf> = walk(&folder);
    paths.sort();
    for (number, path) in paths.iter().enumerate() {
        let name = format!("file_{number}");
        let key = format!("{name}/x.parquet");
        home.put("drop", &key, std::fs::read(path).expect("a file"));
        let text = format!("IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/{name}/*.parquet\n");
        home.datasource_text(&name, &text);
        list.insert(name, json!(path));
    }
    assert!(list.len() > 60, "{} files in {}", list.len(), folder.display());
    let output = home.run(cloud.endpoint(), &["run", "--once"]);
    assert_eq!(output.code, 3, "some of them are broken on purpose: {}", output.stderr);
    let mut outcomes = String::new();
    for name in list.keys() {
        let page = home.run(cloud.endpoint(), &["history", name, "--files", "--json"]).expect_code(0);
        let page: Value = serde_json::from_str(&page.stdout).expect("JSON");
        let file = &page["batches"][0]["results"][0];
        let _ = writeln!(outcomes, "{}", json!({ "import": name, "file": file }));
    }
    let (wanted, told) = (home.path("files.json"), home.path("outcomes.ndjson"));
    std::fs::write(&wanted, Value::Object(list).to_string()).expect("the list is written");
    std::fs::write(&told, outcomes).expect("the outcomes are written");
    let arguments = [&wanted, &told, &home.table("")].map(|path| path.to_str().expect("UTF-8").to_owned());
    let found = script(&python, "parquet_values.py", &arguments.each_ref().map(String::as_str));
    assert_eq!(found["problems"], json!([]), "{found}");
    assert!(found["compared"].as_u64() > Some(40), "{found}");
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect()
}
