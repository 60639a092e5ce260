//! Formats, dialects, encodings and compression, end to end: each file ends as documented, and nothing is swallowed.

use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{Cloud, Home, python, script};

fn home_with(datasource: &str) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("drop", &format!("{datasource}IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n"));
    (home, cloud)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("compresses");
    encoder.finish().expect("compresses")
}

fn rows(python: &std::path::Path, home: &Home, table: &str, sort: &str) -> Value {
    script(python, "rows.py", &[home.table(table).to_str().expect("UTF-8"), sort])
}

fn outcome(home: &Home, cloud: &Cloud, key: &str) -> (String, String) {
    let page = home.run(cloud.endpoint(), &["history", "drop", "--files", "--json"]).expect_code(0).stdout;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let batches = page["batches"].as_array().expect("batches").iter();
    let mut files = batches.flat_map(|batch| batch["results"].as_array().into_iter().flatten());
    let file = files.find(|file| file["key"] == key).unwrap_or_else(|| panic!("no {key} in {page}"));
    (file["outcome"].as_str().unwrap_or_default().to_owned(), file["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn compression_is_known_by_its_bytes_and_a_broken_one_commits_nothing() {
    let Some(python) = python("compression_is_known_by_its_bytes_and_a_broken_one_commits_nothing") else { return };
    let (home, cloud) = home_with("");
    let body = |from: u32| (from..from + 3).fold("id\n".to_owned(), |text, id| text + &format!("{id}\n"));
    let mut members = gzip(b"id\n10\n");
    members.extend(gzip(b""));
    members.extend(gzip(b"11\n12\n"));
    home.put("drop", "0.csv", body(0)).touch("drop", "0.csv", 1_700_000_000);
    home.put("drop", "members.csv.gz", members);
    home.put("drop", "plain.csv.gz", body(20));
    home.put("drop", "packed.csv", gzip(body(30).as_bytes()));
    home.put("drop", "z.csv.zst", zstd::encode_all(body(40).as_bytes(), 3).expect("compresses"));
    home.put("drop", "cut.csv.gz", {
        let mut whole = gzip(body(50).repeat(1_000).as_bytes());
        whole.truncate(whole.len() / 2);
        whole
    });
    let mut flipped = gzip(body(60).as_bytes());
    let at = flipped.len() - 6;
    flipped[at] ^= 0xFF;
    home.put("drop", "flipped.csv.gz", flipped);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let ids: Vec<i64> = rows(&python, &home, "drop", "id")
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["id"].as_i64())
        .collect();
    assert_eq!(ids, [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42]);
    for key in ["cut.csv.gz", "flipped.csv.gz"] {
        assert_eq!(outcome(&home, &cloud, key), ("failed".to_owned(), "corrupt_compression".to_owned()), "{key}");
    }
}

#[test]
fn what_is_not_what_it_is_called_ends_as_documented_and_nothing_is_swallowed() {
    let Some(python) = python("what_is_not_what_it_is_called_ends_as_documented_and_nothing_is_swallowed") else {
        return;
    };
    let (home, cloud) = home_with("SCHEMA >\n    id Int64,\n    name String\n\n");
    home.put("drop", "open.csv", "id,name\n1,a\n2,\"never closed\n3,c\n4,d\n");
    let wide: Vec<u8> = "id,name\n5,e\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    home.put("drop", "wide.csv", [&[0xFF, 0xFE][..], &wide].concat());
    home.put("drop", "text.parquet", "id,name\n6,f\n");
    home.put("drop", "squeezed.csv", gzip(b"id,name\n7,g\n"));
    home.put("drop", "latin.csv", b"id,name\n8,Z\xFCrich\n9,fine\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let expected = json!([{"id": 1, "name": "a"}, {"id": 7, "name": "g"}, {"id": 9, "name": "fine"}]);
    assert_eq!(rows(&python, &home, "drop", "id"), expected);
    let bad = rows(&python, &home, "drop_quarantine", "id");
    let bad = bad.as_array().expect("rows");
    assert_eq!(bad.len(), 2, "{bad:?}");
    let cut = bad.iter().find(|row| row["id"] == "2").expect("the record that swallows the rest");
    assert!(cut["c__error"][0].as_str().is_some_and(|text| text.contains("line 3") && text.contains("quote")), "{cut}");
    assert_eq!(cut["_s3_raw"], "2,\"never closed\n3,c\n4,d\n", "nothing of it is lost");
    assert_eq!(outcome(&home, &cloud, "wide.csv"), ("failed".to_owned(), "encoding".to_owned()));
    assert_eq!(outcome(&home, &cloud, "text.parquet"), ("failed".to_owned(), "bad_footer".to_owned()));
    assert_eq!(outcome(&home, &cloud, "open.csv").0, "ingested");
}

#[test]
fn a_dialect_is_found_out_once_recorded_and_kept() {
    let Some(python) = python("a_dialect_is_found_out_once_recorded_and_kept") else { return };
    let (home, cloud) = home_with("");
    home.put("drop", "1.csv", "id;price;when\n1;1,5;NA\n2;2,5;2024-01-01\n3;3,5;2024-01-02\n").touch(
        "drop",
        "1.csv",
        1_700_000_000,
    );
    home.put("drop", "2.csv", "id;price;when\n4;a,b;NA\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let expected = json!([
        {"id": 1, "price": "1,5", "when": null},
        {"id": 2, "price": "2,5", "when": "2024-01-01"},
        {"id": 3, "price": "3,5", "when": "2024-01-02"},
        {"id": 4, "price": "a,b", "when": null},
    ]);
    assert_eq!(rows(&python, &home, "drop", "id"), expected);
    let shown = home.run(cloud.endpoint(), &["datasource", "preview", "drop", "--evidence"]).expect_code(0).stdout;
    assert!(shown.contains("delimiter ';'") && shown.contains("NULL: NA"), "{shown}");
}

#[test]
fn options_of_the_data_source_win() {
    let Some(python) = python("options_of_the_data_source_win") else { return };
    let options = "SCHEMA >\n    a Nullable(Int64),\n    b Nullable(String)\n\n\
                   IMPORT_CSV_HEADER false\nIMPORT_CSV_DELIMITER pipe\nIMPORT_CSV_QUOTE \"'\"\n\
                   IMPORT_CSV_NULL \"-\"\nIMPORT_CSV_SKIP_LINES 1\n";
    let (home, cloud) = home_with(options);
    home.put("drop", "1.csv", "exported yesterday\n1|'x|y'\n-|-\n3|'-'\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let found = rows(&python, &home, "drop", "a");
    let found = found.as_array().expect("rows");
    for row in [json!({"a": 1, "b": "x|y"}), json!({"a": null, "b": null}), json!({"a": 3, "b": "-"})] {
        assert!(found.contains(&row), "{row} is not in {found:?}");
    }
}

#[test]
fn ndjson_with_jsonpaths_lists_and_numbers_beyond_floats() {
    let Some(python) = python("ndjson_with_jsonpaths_lists_and_numbers_beyond_floats") else { return };
    let schema = "SCHEMA >\n    id UInt64 `json:$.id`,\n    city Nullable(String) `json:$.at.city`,\n    \
                  skus Array(String) `json:$.lines[:].sku`,\n    whole String `json:$`\n\nIMPORT_FORMAT ndjson\n";
    let (home, cloud) = home_with(schema);
    let first = r#"{"id":18446744073709551615,"at":{"city":"Köln"},"lines":[{"sku":"a"},{"sku":"b"}]}"#;
    home.put("drop", "1.json", format!("{first}\n{{\"id\":1,\"lines\":[]}}\n{{\"id\":-1,\"lines\":[]}}\nnot json\n"));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let found = rows(&python, &home, "drop", "id");
    assert_eq!((&found[1]["id"], &found[1]["city"]), (&json!("18446744073709551615"), &json!("Köln")));
    assert_eq!((&found[1]["skus"], &found[1]["whole"]), (&json!(["a", "b"]), &json!(first)));
    assert_eq!((&found[0]["id"], &found[0]["city"], &found[0]["skus"]), (&json!("1"), &Value::Null, &json!([])));
    let bad = rows(&python, &home, "drop_quarantine", "_s3_row");
    assert_eq!(bad[0]["c__error"], json!(["value '-1' on column 'id' is not UInt64"]), "{bad}");
    assert_eq!(bad[1]["_s3_raw"], "not json");
}

#[test]
fn ndjson_without_a_schema_evolves_by_its_keys() {
    let Some(python) = python("ndjson_without_a_schema_evolves_by_its_keys") else { return };
    let (home, cloud) = home_with("");
    home.put("drop", "1.ndjson", "{\"id\":1,\"at\":{\"x\":1.5}}\n").touch("drop", "1.ndjson", 1_700_000_000);
    home.put("drop", "2.jsonl", "{\"id\":2,\"tags\":[\"a\",null],\"at\":{\"x\":2.5,\"y\":true}}\n{\"id\":3}\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let found = rows(&python, &home, "drop", "id");
    assert_eq!(found[0]["at_x"], 1.5, "{found}");
    assert_eq!((&found[1]["tags"], &found[1]["at_y"]), (&json!(["a", null]), &json!(true)), "{found}");
    assert_eq!(found[2]["at_y"], Value::Null);
}

#[test]
fn defaults_are_expressions_too_and_a_partition_column_keeps_files_apart() {
    let Some(python) = python("defaults_are_expressions_too_and_a_partition_column_keeps_files_apart") else { return };
    let schema = "SCHEMA >\n    placed_at DateTime,\n    day Date DEFAULT toDate(placed_at),\n    \
                  due DateTime DEFAULT placed_at + toIntervalDay(14),\n    kind String DEFAULT 'web'\n\n\
                  ENGINE MergeTree\nENGINE_PARTITION_KEY kind\nIMPORT_ON_MISSING_COLUMN null\n";
    let (home, cloud) = home_with(schema);
    home.put("drop", "1.csv", "placed_at,kind\n2024-01-31 10:00:00,\n2024-02-01 00:00:00,shop\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let found = rows(&python, &home, "drop", "placed_at");
    assert_eq!((&found[0]["day"], &found[0]["kind"]), (&json!("2024-01-31"), &json!("web")), "{found}");
    assert!(found[0]["due"].as_str().is_some_and(|due| due.starts_with("2024-02-14T10:00:00")), "{found}");
    assert_eq!(found[1]["kind"], "shop");
    let values = script(&python, "partitions.py", &[home.table("drop").to_str().expect("UTF-8")]);
    assert_eq!(values, json!({"columns": ["kind"], "values": ["shop", "web"]}));
}
