//! Random schemas, random damage: each row of each file is in the table or in its quarantine, once, and no value changed.
//!
//! The judge is a program of its own, in another language: `check_accounting.py` is told what the files hold and which
//! types are declared, decides for itself which rows are good, and reads both tables with another implementation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::{Cloud, Home, python, script};

/// Imports with a schema each.
const IMPORTS: usize = 6;
/// Files of each import.
const FILES: usize = 5;

const TYPES: [&str; 14] = [
    "Int8",
    "UInt16",
    "Int64",
    "UInt64",
    "Int128",
    "Float64",
    "Decimal(9, 2)",
    "Date",
    "DateTime64(3)",
    "Bool",
    "String",
    "UUID",
    "Enum8('red' = 1, 'green' = 2)",
    "FixedString(4)",
];

/// Values of a type: some fit, some do not, some are at the edge.
fn values(ty: &str) -> &'static [&'static str] {
    match ty {
        "Int8" => &["0", "-128", "127", "128", "-129", "5", "1.0", "x", "0x1F", "1_000", " 7 "],
        "UInt16" => &["0", "65535", "65536", "-1", "12", "1e3", "twelve"],
        "Int64" => {
            &["9223372036854775807", "-9223372036854775808", "9223372036854775808", "42", "4,2", "9007199254740993"]
        }
        "UInt64" => &["18446744073709551615", "18446744073709551616", "0", "-0", "-5", "7"],
        "Int128" => {
            &["170141183460469231731687303715884105727", "170141183460469231731687303715884105728", "-1", "n/a"]
        }
        "Float64" => &["0.1", "-1.5e10", "1e400", "abc", "3", "1,5", "123456789.125"],
        "Decimal(9, 2)" => &["1.25", "1234567.89", "12345678.90", "1.255", "-0.5", "1.2e3", "7"],
        "Date" => &["2024-02-29", "2023-02-29", "1/2/3", "0001-01-01", "9999-12-31", "2024-13-01", "20240101"],
        "DateTime64(3)" => &[
            "2024-01-02 03:04:05.678",
            "2024-01-02T03:04:05Z",
            "2024-01-02 25:00:00",
            "2024-01-02",
            "yesterday",
            "2024-01-02 03:04:05.6789",
        ],
        "Bool" => &["true", "FALSE", "1", "0", "maybe", "2"],
        "UUID" => &[
            "123e4567-e89b-12d3-a456-426614174000",
            "123E4567-E89B-12D3-A456-426614174000",
            "123e4567",
            "g23e4567-e89b-12d3-a456-426614174000",
        ],
        "FixedString(4)" => &["abcd", "ab", "abcde", "äö", "äöü"],
        "Enum8('red' = 1, 'green' = 2)" => &["red", "green", "blue", "Red", "1"],
        _ => &[
            "plain",
            "with, comma",
            "with \"quotes\"",
            "two\nlines",
            " blanks ",
            "=cmd()",
            "NULL",
            "Zürich",
            "\u{202E}evil",
        ],
    }
}

struct Column {
    name: String,
    ty: &'static str,
    nullable: bool,
}

struct Written {
    header: Vec<String>,
    /// `null`: nothing between the delimiters.
    records: Vec<Vec<Option<String>>>,
}

fn columns(rng: &mut fastrand::Rng) -> Vec<Column> {
    let count = rng.usize(2..8);
    (0..count)
        .map(|index| {
            let ty = TYPES[rng.usize(..TYPES.len())];
            Column { name: format!("c{index}"), ty, nullable: rng.bool() }
        })
        .collect()
}

fn file(rng: &mut fastrand::Rng, columns: &[Column]) -> Written {
    let mut header: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let mut types: Vec<&str> = columns.iter().map(|column| column.ty).collect();
    match rng.u32(..6) {
        0 => {
            let lost = rng.usize(..header.len());
            header.remove(lost);
            types.remove(lost);
        }
        1 => {
            let at = rng.usize(..=header.len());
            header.insert(at, format!("new_{}", rng.u32(..3)));
            types.insert(at, "String");
        }
        2 => {
            header.reverse();
            types.reverse();
        }
        _ => {}
    }
    let damage = [0.0, 0.02, 0.3][rng.usize(..3)];
    let records = (0..rng.usize(..200)).map(|_| record(rng, &types, damage)).collect();
    Written { header, records }
}

fn record(rng: &mut fastrand::Rng, types: &[&str], damage: f64) -> Vec<Option<String>> {
    let mut cells: Vec<Option<String>> = types
        .iter()
        .map(|ty| {
            let all = values(ty);
            match rng.f64() {
                share if share < 0.1 => None,
                // The first value of each type is a good one.
                share if share < 1.0 - damage => Some(all[0].to_owned()),
                _ => Some(all[rng.usize(..all.len())].to_owned()),
            }
        })
        .collect();
    if rng.f64() < damage / 4.0 {
        if rng.bool() { cells.push(Some("one too many".to_owned())) } else { drop(cells.pop()) }
    }
    // A record of nothing at all would be a blank line, which is no record.
    if cells.iter().all(Option::is_none) {
        cells = vec![Some("x".to_owned()); types.len().max(1)];
    }
    cells
}

fn csv(written: &Written, rng: &mut fastrand::Rng) -> String {
    let line_end = if rng.bool() { "\n" } else { "\r\n" };
    let mut text = written.header.join(",") + line_end;
    for record in &written.records {
        let cells: Vec<String> =
            record.iter().map(|cell| cell.as_deref().map_or(String::new(), |c| quoted(c, rng))).collect();
        let _ = write!(text, "{}{line_end}", cells.join(","));
    }
    text
}

fn quoted(cell: &str, rng: &mut fastrand::Rng) -> String {
    let needed = cell.contains([',', '"', '\n', '\r']) || cell.is_empty();
    if needed || rng.u32(..5) == 0 { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

fn schema_text(columns: &[Column]) -> String {
    let types = columns.iter().map(|column| {
        let ty = if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_owned() };
        format!("    `{}` {ty}", column.name)
    });
    format!("SCHEMA >\n{}\n", types.collect::<Vec<_>>().join(",\n"))
}

#[test]
fn every_row_is_in_table_or_quarantine_once_and_no_value_changes() {
    let test = "every_row_is_in_table_or_quarantine_once_and_no_value_changes";
    let Some(python) = python(test) else { return };
    let seed: u64 = std::env::var("ACCOUNTING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_251_122);
    let mut rng = fastrand::Rng::with_seed(seed);
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let mut expected = serde_json::Map::new();
    for import in 0..IMPORTS {
        let (name, columns) = (format!("import_{import}"), columns(&mut rng));
        let uri = format!("IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/{name}/*.csv\n");
        home.datasource_text(&name, &format!("{}\n{uri}", schema_text(&columns)));
        let mut files = serde_json::Map::new();
        for number in 0..FILES {
            let (key, written) = (format!("{name}/{number}.csv"), file(&mut rng, &columns));
            home.put("drop", &key, csv(&written, &mut rng));
            files.insert(key, json!({ "header": written.header, "records": written.records }));
        }
        let types: Vec<Value> = columns.iter().map(|c| json!([c.name, c.ty, c.nullable])).collect();
        expected.insert(name, json!({ "columns": types, "files": files }));
    }
    let expected = Value::Object(expected);
    // Rows that do not fit are no failure of the run; files that do not fit at all are bad files.
    let output = home.run(cloud.endpoint(), &["run", "--once"]);
    assert!([0, 3].contains(&output.code), "seed {seed}: {}{}", output.stdout, output.stderr);
    let judged = |expected: &Value| judge(&python, &home, expected);
    let found = judged(&expected);
    assert_eq!(found["problems"], json!([]), "seed {seed}");
    assert!(found["in_table"].as_u64() > Some(500), "seed {seed}: {found}");
    assert!(found["in_quarantine"].as_u64() > Some(100), "seed {seed}: {found}");
    // The judge sees what is lost, made up or changed: told otherwise of one record, it objects to the same tables.
    for (defect, told) in told_otherwise(&expected) {
        let problems = judged(&told)["problems"].to_string();
        assert!(problems.contains(defect), "seed {seed}: {defect} is not among {problems}");
    }
}

fn judge(python: &std::path::Path, home: &Home, expected: &Value) -> Value {
    let list = home.path("expected.json");
    std::fs::write(&list, expected.to_string()).expect("the list is written");
    let tables = home.table("");
    script(python, "check_accounting.py", &[list.to_str().expect("UTF-8"), tables.to_str().expect("UTF-8")])
}

/// The expectation with one record more, one less, and one of another value; and what the judge has to say of each.
fn told_otherwise(expected: &Value) -> [(&'static str, Value); 3] {
    let (import, key) = expected
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(import, told)| told["files"].as_object().into_iter().flatten().map(move |file| (import, file)))
        .find(|(_, (_, file))| file["records"].as_array().is_some_and(|records| records.len() > 1))
        .map(|(import, (key, _))| (import.clone(), key.clone()))
        .expect("a file with records");
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut told = expected.clone();
        change(told[&import]["files"][&key]["records"].as_array_mut().expect("records"));
        told
    };
    let more = |records: &mut Vec<Value>| records.push(records[0].clone());
    let less = |records: &mut Vec<Value>| drop(records.pop());
    let other = |records: &mut Vec<Value>| records[0][0] = json!("another value");
    [
        ("table: False, quarantine: False", with(&more)),
        ("was never written", with(&less)),
        ("another value", with(&other)),
    ]
}
