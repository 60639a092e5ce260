//! Types with parts and wide types, end to end: the same value from each format, read back by others, and what is told
//! of values that do not fit.

use serde_json::{Value, json};

use crate::harness::{Cloud, ENGINES, Home, python, script};

const SCHEMA: &str = "SCHEMA >
    id UInt32,
    big Int256,
    wide Decimal(50, 2),
    fine DateTime64(9),
    uid UUID,
    address IPv6,
    kind LowCardinality(Nullable(String)),
    label Enum8('a' = 1, 'b' = 2),
    code FixedString(3),
    doc JSON,
    tags Array(Nullable(Int64)),
    matrix Array(Array(Nullable(Int8))),
    counts Map(String, UInt64),
    place Tuple(at DateTime64(3), ok Nullable(Bool)),
    pair Tuple(Int8, String),
    lines Nested(sku String, price Decimal(6, 2))

IMPORT_CONNECTION_NAME shop
IMPORT_BUCKET_URI s3://drop/
";

/// The record as a CSV file has it, in ClickHouse's spelling.
fn cells(id: u32, counts: &str) -> String {
    let cells = [
        &id.to_string(),
        "18446744073709551615",
        "123456789012345678901234567890123456789012345678.90",
        "2024-01-01 00:00:00.123456000",
        "{ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB}",
        "2001:DB8:0:0:0:0:0:1",
        "",
        "b",
        "ab",
        r#"{"k":[1.0]}"#,
        "[1,NULL]",
        "[[1,NULL],[]]",
        counts,
        "('2024-01-01 00:00:00.5',NULL)",
        "(-1,'x')",
        "[('a',1.5),('it''s',-0.05)]",
    ];
    let quoted = |cell: &&str| {
        if cell.is_empty() { String::new() } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// The record as an NDJSON file has it.
fn line(id: u32, counts: &str) -> String {
    format!(r#"{{"id":{id},"big":18446744073709551615,"wide":123456789012345678901234567890123456789012345678.9,"#)
        + r#""fine":"2024-01-01T01:00:00.123456+01:00","uid":"abababababababababababababababab","#
        + r#""address":"2001:db8::1","kind":null,"label":"b","code":"ab","doc":{"k":[1.0]},"tags":[1,null],"#
        + r#""matrix":[ [1, null], [] ],"place":{"ok":null,"at":"2024-01-01 00:00:00.500"},"pair":[-1,"x"],"#
        + r#""lines":[{"sku":"a","price":"1.5"},{"price":-0.05,"sku":"it's"}],"counts":"#
        + counts
        + "}\n"
}

fn header() -> String {
    let columns = SCHEMA.lines().filter_map(|line| line.strip_prefix("    "));
    let names: Vec<&str> = columns.filter_map(|column| column.split(' ').next()).collect();
    names.join(",") + "\n"
}

fn home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("typed", SCHEMA);
    (home, cloud)
}

#[test]
fn values_with_parts_are_the_same_from_every_format_and_to_every_reader() {
    let Some(python) = python("values_with_parts_are_the_same_from_every_format_and_to_every_reader") else { return };
    let (home, cloud) = home();
    home.put("drop", "1.csv", header() + &cells(1, "{'b':1,'a':18446744073709551615}"));
    home.put("drop", "2.ndjson", line(2, r#"{"b": 1, "a": 18446744073709551615}"#));
    let file = home.path("s3/drop/3.parquet");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(script(&python, "typed_file.py", &[file]), json!({"rows": 1}));
    home.run(cloud.endpoint(), &["check"]).expect_code(0);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let table = home.table("typed");
    let table = table.to_str().expect("UTF-8");
    let found = script(&python, "typed_values.py", &[table, file]);
    assert_eq!(found, json!({"rows": [1, 2, 3], "problems": []}));
    // One spelling, not only one meaning.
    for engine in ENGINES {
        let rows = script(&python, "rows.py", &[table, "--engine", engine, "id"]);
        let rows = rows.as_array().expect("rows");
        let texts = |row: &Value| {
            let names = ["big", "wide", "uid", "address", "matrix", "counts", "place", "pair", "lines"];
            names.map(|name| row[name].as_str().map(str::to_owned))
        };
        assert!(rows.iter().all(|row| texts(row) == texts(&rows[0])), "{engine}: {rows:?}");
        assert_eq!(rows[0]["counts"], r#"{"b":1,"a":18446744073709551615}"#, "{engine}");
        assert_eq!(rows[0]["place"], r#"{"at":"2024-01-01T00:00:00.500Z","ok":null}"#, "{engine}");
        assert_eq!(rows[0]["lines"], r#"[{"sku":"a","price":1.50},{"sku":"it's","price":-0.05}]"#, "{engine}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_told_by_row_column_value_and_part() {
    let (home, cloud) = home();
    home.put("drop", "1.csv", header() + &cells(1, "{'a':1}") + &cells(2, "{'a':-1}"));
    home.put("drop", "2.ndjson", line(3, r#"{"a":2}"#) + &line(4, r#"{"a":2,"b":-7}"#));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let told = home.run(cloud.endpoint(), &["quarantine", "ls", "typed", "--json"]).expect_code(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let groups = told[0]["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 1, "one kind of error, whatever the keys: {told}");
    assert_eq!(groups[0]["error"], "is not Map(String, UInt64): a value is not UInt64");
    assert_eq!((&groups[0]["column"], &groups[0]["rows"]), (&json!("counts"), &json!(2)));
    assert!(groups[0]["suggestion"].as_str().is_some_and(|text| text.contains("declare 'counts' as String")), "{told}");
    let shown = home.run(cloud.endpoint(), &["quarantine", "show", "typed"]).expect_code(0).stdout;
    for part in [
        "row 2 of 1.csv",
        "value '{'a':-1}' on column 'counts' is not Map(String, UInt64): a value is not UInt64",
        "row 2 of 2.ndjson",
        r#"value '{"a":2,"b":-7}' on column 'counts' is not Map(String, UInt64): a value is not UInt64"#,
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
}

#[test]
fn aggregate_states_are_refused_before_anything_is_read() {
    let (home, cloud) = home();
    home.datasource_text("typed", &SCHEMA.replace("    big Int256", "    big AggregateFunction(sum, UInt64)"));
    let refused = home.run(cloud.endpoint(), &["check"]);
    let told = format!("{}{}", refused.stdout, refused.stderr);
    assert_eq!(refused.code, 2, "{told}");
    for part in ["typed.datasource", "3", "AggregateFunction is not supported", "files hold values, not states"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
