//! New data sources, from nothing to rows: what `datasource generate` and `create` write is accepted by `check` and
//! imported by `run --once` without a row lost, what `preview` shows is what lands, and `ls` and `data` show it.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::harness::{Cloud, ENGINES, Finished, Home, python, script};

fn home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    (home, cloud)
}

fn run(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Finished {
    home.run(cloud.endpoint(), arguments)
}

/// The one document that a verb prints with `--json`.
#[track_caller]
fn json_of(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let finished = run(home, cloud, &arguments).expect_code(0);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}

/// Commands that a verb says come next, each as its arguments.
fn next_of(document: &Value) -> Vec<Vec<String>> {
    let commands = document["next"].as_array().expect("next").iter();
    let words = |command: &Value| {
        let mut words = command.as_str().expect("a command").split(' ').map(|word| word.trim_matches('\'').to_owned());
        assert_eq!(words.next().as_deref(), Some("s3-connector"), "{command}");
        words.collect()
    };
    commands.map(words).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).expect("compresses");
    encoder.finish().expect("compresses")
}

const CSV: &str = "id,Ship To,zip,price,when,gone\n\
                   1,\"Ä, B\",02134,1.50,2025-01-01,\n\
                   2,C,10115,,2025-01-02,\n\
                   3,,00000,3.25,,\n";
const SEMICOLONS: &str = "1;a;1,5\n2;b;2,5\n3;c;3,5\n";
const NDJSON: &str = "{\"id\": 1, \"user\": {\"name\": \"a\"}, \"tags\": [\"x\", \"y\"], \"odd key\": 18446744073709551615}\n\
                      {\"id\": 2, \"user\": {\"name\": \"b\"}, \"tags\": [], \"at\": \"2025-01-01T00:00:00Z\"}\n";

fn parquet() -> Vec<u8> {
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from(vec![Some(1), Some(2)]))),
        ("Ship To", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC"))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("columns");
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("writes");
    writer.into_inner().expect("a file")
}

/// A file of each kind, by key, with the rows that its table must have.
fn files() -> Vec<(&'static str, Vec<u8>, Value)> {
    let of_csv = json!([
        {"id": 1, "Ship_To": "Ä, B", "zip": "02134", "price": 1.5, "when": "2025-01-01", "gone": ""},
        {"id": 2, "Ship_To": "C", "zip": "10115", "price": null, "when": "2025-01-02", "gone": ""},
        {"id": 3, "Ship_To": "", "zip": "00000", "price": 3.25, "when": null, "gone": ""},
    ]);
    let of_ndjson = json!([
        {"id": 1, "user_name": "a", "tags": ["x", "y"], "odd_key": 18_446_744_073_709_551_615_u64, "at": null},
        {"id": 2, "user_name": "b", "tags": [], "odd_key": null, "at": "2025-01-01T00:00:00Z"},
    ]);
    let of_parquet = json!([
        {"id": 1, "Ship_To": "a", "flag": true, "at": "1970-01-01T00:00:01.500Z"},
        {"id": 2, "Ship_To": null, "flag": null, "at": null},
    ]);
    let headerless = json!([
        {"column_1": 1, "column_2": "a", "column_3": "1,5"},
        {"column_1": 2, "column_2": "b", "column_3": "2,5"},
        {"column_1": 3, "column_2": "c", "column_3": "3,5"},
    ]);
    vec![
        ("plain/1.csv", CSV.into(), of_csv.clone()),
        ("packed/1.csv.gz", gzip(CSV), of_csv),
        ("bare/1.csv", SEMICOLONS.into(), headerless),
        ("events/1.ndjson", NDJSON.into(), of_ndjson.clone()),
        ("zipped/1.jsonl.gz", gzip(NDJSON), of_ndjson.clone()),
        ("zst/1.ndjson", zstd::encode_all(NDJSON.as_bytes(), 3).expect("compresses"), of_ndjson),
        ("columns/1.parquet", parquet(), of_parquet),
    ]
}

#[track_caller]
fn sorted_rows(home: &Home, cloud: &Cloud, name: &str) -> Value {
    sorted_rows_of(home, cloud, name, "1000")
}

#[track_caller]
fn sorted_rows_of(home: &Home, cloud: &Cloud, name: &str, limit: &str) -> Value {
    let mut rows = json_of(home, cloud, &["datasource", "data", name, "--limit", limit])["rows"].take();
    let rows = rows.as_array_mut().expect("rows");
    rows.sort_by_key(|row| row.get("id").or(row.get("column_1")).and_then(Value::as_i64));
    Value::Array(rows.clone())
}

#[test]
fn a_bucket_of_every_kind_of_file_becomes_tables_with_every_row() {
    let (home, cloud) = home();
    for (key, bytes, _) in files() {
        home.put("drop", key, bytes);
        let folder = key.split('/').next().expect("a folder");
        let uri = format!("s3://drop/{folder}/*");
        // There is one connection, so nobody has to name it.
        let made = json_of(&home, &cloud, &["datasource", "generate", &uri, "--evidence"]);
        assert_eq!((&made["name"], &made["rows_quarantined"]), (&json!(folder), &json!(0)), "{made}");
        assert!(home.path(made["file"].as_str().expect("a file")).is_file(), "{made}");
        let shown = json_of(&home, &cloud, &["datasource", "preview", folder]);
        assert_eq!((&shown["causes"], &shown["quarantined"]), (&json!([]), &json!([])), "{shown}");
    }
    run(&home, &cloud, &["check"]).expect_code(0);
    let ran = run(&home, &cloud, &["run", "--once"]).expect_code(0);
    assert!(!ran.stderr.contains("are in quarantine"), "{}", ran.stderr);
    for (key, _, expected) in files() {
        let folder = key.split('/').next().expect("a folder");
        assert_eq!(sorted_rows(&home, &cloud, folder), expected, "{folder}");
        // The columns that were written are those that the table got, and nothing came or was lost on the way.
        let diff = json_of(&home, &cloud, &["datasource", "diff", folder]);
        assert_eq!((&diff["evolved"], &diff["waiting"]), (&json!([]), &json!([])), "{diff}");
    }
    let Some(python) = python("a_bucket_of_every_kind_of_file_becomes_tables_with_every_row") else { return };
    for engine in ENGINES {
        let table = home.table("plain");
        let rows = script(&python, "rows.py", &[table.to_str().expect("UTF-8"), "--engine", engine, "id"]);
        assert_eq!(rows[0]["Ship_To"], "Ä, B", "{rows}");
        assert_eq!((&rows[1]["price"], &rows[2]["price"]), (&Value::Null, &json!(3.25)), "{rows}");
    }
}

#[test]
fn what_is_generated_has_the_types_that_an_import_without_schema_has() {
    let (home, cloud) = home();
    for (key, bytes, _) in files() {
        home.put("drop", key, bytes);
        let folder = key.split('/').next().expect("a folder");
        home.datasource(&format!("free_{folder}"), &format!("s3://drop/{key}"), "@auto");
        json_of(&home, &cloud, &["datasource", "generate", &format!("s3://drop/{key}"), "--name", folder]);
        let columns = |name: &str| {
            let shown = json_of(&home, &cloud, &["datasource", "preview", name]);
            let columns = shown["columns"].as_array().expect("columns").iter();
            columns.map(|one| (one["name"].clone(), one["type"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(columns(folder), columns(&format!("free_{folder}")), "{key}");
    }
}

#[test]
fn whoever_does_what_is_printed_ends_with_rows() {
    let (home, cloud) = home();
    home.put("drop", "orders/1.csv", CSV);
    let listed = run(&home, &cloud, &["datasource", "ls"]).expect_code(0);
    assert!(listed.stderr.contains("s3-connector datasource generate 's3://my-bucket/*.csv' --connection shop"));
    let made = json_of(&home, &cloud, &["datasource", "generate", "s3://drop/orders/*.csv", "--connection", "shop"]);
    let next = next_of(&made);
    assert_eq!(next.last().map(|words| words.join(" ")).as_deref(), Some("run --once"), "{made}");
    for words in &next {
        run(&home, &cloud, &words.iter().map(String::as_str).collect::<Vec<_>>()).expect_code(0);
    }
    assert_eq!(json_of(&home, &cloud, &["datasource", "ls"])[0]["rows"], 3);

    // A folder of another name is named in what comes next.
    fs::rename(home.path("config"), home.path("my config")).expect("renamed");
    let made = ["datasource", "create", "more", "--config", "my config", "--uri", "s3://drop/more/*.csv"];
    let made = json_of(&home, &cloud, &made);
    let last = made["next"].as_array().and_then(|next| next.last()).expect("next");
    assert_eq!(last, "s3-connector run --once --config 'my config'");
}

#[test]
fn every_row_of_a_local_file_is_tried_and_what_does_not_fit_its_type_becomes_a_string() {
    let (home, cloud) = home();
    let mut text = "id,n\n".to_owned();
    (0..200_000).for_each(|row| text += &format!("{row},{row}\n"));
    // Between the pieces that a sample takes.
    let at = text.find("\n60000,").expect("a row") + 1;
    text.insert_str(at, "60000,oops\n");
    fs::write(home.path("big.csv"), &text).expect("file");
    let made = json_of(&home, &cloud, &["datasource", "generate", "big.csv", "--evidence", "--uri", "s3://drop/*.csv"]);
    assert_eq!((&made["rows"], &made["rows_quarantined"]), (&json!(200_001), &json!(0)), "{}", made["notes"]);
    assert_eq!(made["columns"][1]["type"], "String", "{}", made["columns"]);
    let written = made["text"].as_str().expect("text");
    assert!(written.contains("value 'oops' on column 'n' is not Int64"), "{written}");
    assert!(written.contains("in the file from 0 to 199999"), "{written}");
    home.put("drop", "big.csv", &text);
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    let listed = json_of(&home, &cloud, &["datasource", "ls"]);
    assert_eq!((&listed[0]["name"], &listed[0]["rows"]), (&json!("big"), &json!(200_001)), "{listed}");
}

#[test]
fn a_number_that_would_change_behind_the_sample_makes_its_column_a_string() {
    let (home, cloud) = home();
    let mut text = "id,zip,given\n".to_owned();
    (0..200_000).for_each(|row| text += &format!("{row},{row},{row}\n"));
    let at = text.find("\n60000,").expect("a row") + 1;
    text.insert_str(at, "-1,02134,02134\n");
    fs::write(home.path("codes.csv"), &text).expect("file");
    let arguments = ["datasource", "generate", "codes.csv", "--uri", "s3://drop/*.csv", "--type", "given=Int64"];
    let made = json_of(&home, &cloud, &arguments);
    assert_eq!(made["rows_quarantined"], 0, "{}", made["notes"]);
    let types: Vec<_> = made["columns"].as_array().expect("columns").iter().map(|one| &one["type"]).collect();
    assert_eq!(types, ["Nullable(Int64)", "String", "Int64"]);
    home.put("drop", "codes.csv", &text);
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    assert_eq!(sorted_rows_of(&home, &cloud, "codes", "300000")[0], json!({"id": -1, "zip": "02134", "given": 2134}));
}

/// Nobody is told that the value of a key without a name is NULL, and nobody wants all rows in quarantine for one.
#[test]
fn an_empty_key_lands_and_a_column_of_a_file_with_types_keeps_its_type() {
    let (home, cloud) = home();
    home.put("drop", "keys/1.ndjson", "{\"id\": 1, \"\": \"x\", \"a\": {\"\": 2}, \"l[:]\": 3}\n");
    json_of(&home, &cloud, &["datasource", "generate", "s3://drop/keys/*.ndjson"]);
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 1]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("columns");
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("writes");
    home.put("drop", "fine/1.parquet", writer.into_inner().expect("a file"));
    let made = json_of(&home, &cloud, &["datasource", "generate", "s3://drop/fine/*.parquet"]);
    assert_eq!(
        (&made["columns"][1]["type"], &made["rows_quarantined"]),
        (&json!("Nullable(DateTime64(6))"), &json!(1))
    );
    assert!(made["notes"][0].as_str().is_some_and(|note| note.starts_with("1 of 2 rows")), "{made}");
    run(&home, &cloud, &["run", "--once"]);
    let rows = sorted_rows(&home, &cloud, "keys");
    assert_eq!(rows, json!([{"id": 1, "column": "x", "a_": 2, "l_": 3}]));
    assert_eq!(sorted_rows(&home, &cloud, "fine"), json!([{"id": 1, "at": "1970-01-01T00:00:00.000001Z"}]));
}

#[test]
fn columns_are_renamed_retyped_and_dropped_and_land_so() {
    let (home, cloud) = home();
    home.put("drop", "orders/1.csv", CSV);
    let edits = ["--rename", "Ship To=receiver", "--type", "id=UInt32", "--type", "price=Nullable(Decimal(10, 2))"];
    let arguments = ["datasource", "generate", "s3://drop/orders/*.csv", "--drop", "gone", "--drop", "zip"];
    let made = json_of(&home, &cloud, &[&arguments[..], &edits[..]].concat());
    let columns: Vec<_> = made["columns"].as_array().expect("columns").iter().map(|one| &one["name"]).collect();
    assert_eq!(columns, ["id", "receiver", "price", "when"], "{made}");
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    let expected = json!({"id": 1, "receiver": "Ä, B", "price": "1.50", "when": "2025-01-01"});
    assert_eq!(sorted_rows(&home, &cloud, "orders")[0], expected);

    for (edit, said) in [
        (["--type", "id=Int3"], "Int3"),
        (["--rename", "idd=x"], "did you mean id?"),
        (["--type", "id=Int8, x Int8"], "columns"),
    ] {
        let name = ["datasource", "generate", "s3://drop/orders/*.csv", "--name", "bad"];
        let refused = run(&home, &cloud, &[&name[..], &edit[..]].concat()).expect_code(2);
        assert!(refused.stderr.contains(said), "{edit:?}: {}", refused.stderr);
        assert!(!home.path("config/datasources/bad.datasource").exists(), "{edit:?}");
    }
}

#[test]
fn a_file_that_is_there_is_never_overwritten_unless_forced() {
    let (home, cloud) = home();
    home.put("drop", "orders/1.csv", CSV);
    let mine = "# mine\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/orders/\n";
    home.datasource_text("orders", mine);
    let path = home.path("config/datasources/orders.datasource");
    let generate = ["datasource", "generate", "s3://drop/orders/*.csv"];
    let create = ["datasource", "create", "orders"];
    for verb in [&generate[..], &create[..]] {
        let refused = run(&home, &cloud, verb).expect_code(2);
        assert!(refused.stderr.contains("--force replaces it"), "{}", refused.stderr);
        let other_case = run(&home, &cloud, &["datasource", "create", "Orders", "--force"]).expect_code(2);
        assert!(other_case.stderr.contains("choose another name"), "{}", other_case.stderr);
        assert_eq!(fs::read_to_string(&path).expect("file"), mine);
        let printed = run(&home, &cloud, &[verb, &["--stdout"]].concat()).expect_code(0);
        assert_eq!(fs::read_to_string(&path).expect("file"), mine, "--stdout writes nothing");
        run(&home, &cloud, &[verb, &["--force"]].concat()).expect_code(0);
        assert_eq!(fs::read_to_string(&path).expect("file"), printed.stdout);
        fs::write(&path, mine).expect("file");
    }
    let left: Vec<_> = fs::read_dir(home.path("config/datasources"))
        .expect("folder")
        .map(|it| it.expect("file").file_name())
        .collect();
    assert_eq!(left, ["orders.datasource"], "no draft is left behind");
}

#[test]
fn what_cannot_be_sampled_says_what_to_do() {
    let (home, cloud) = home();
    home.put("drop", "plain/1.csv", CSV).put("drop", "plain/2.ndjson", NDJSON).put("drop", "plain/README", "x");
    home.put("drop", "spark/part-0000", CSV).put("drop", "empty/0.csv", "");
    let refused = |arguments: &[&str], code: i32| {
        run(&home, &cloud, &[&["datasource", "generate"], arguments].concat()).expect_code(code).stderr
    };
    assert!(refused(&["s3://drop/none/*.csv"], 2).contains("no file matches s3://drop/none/*.csv"));
    assert!(refused(&["s3://drop/spark/"], 2).contains("--format"));
    assert!(refused(&["s3://drop/empty/"], 2).contains("no file matches"));
    assert!(refused(&["s3://drop/*.csv", "--key", "nix.csv"], 2).contains("no object 'nix.csv'"));
    assert!(refused(&["s3://drop/*.csv", "--connection", "shopp"], 2).contains("shop"));
    assert!(refused(&["nowhere.csv"], 2).contains("nowhere.csv"));
    assert!(refused(&["s3://Drop!/*.csv"], 2).contains("not a bucket URI"));
    assert!(refused(&["s3://drop/*.csv", "--schedule", "@sometimes"], 2).contains("@sometimes"));
    assert_eq!(fs::read_dir(home.path("config/datasources")).expect("folder").count(), 0);

    let spark = json_of(&home, &cloud, &["datasource", "generate", "s3://drop/spark/", "--format", "csv"]);
    assert!(spark["text"].as_str().is_some_and(|text| text.contains("IMPORT_FORMAT \"csv\"")), "{spark}");
    home.touch("drop", "plain/1.csv", 1_700_000_000);
    let mixed = json_of(&home, &cloud, &["datasource", "generate", "s3://drop/plain/"]);
    assert!(mixed["notes"][0].as_str().is_some_and(|note| note.contains("2 of the 3 objects")), "{mixed}");
}

#[test]
fn a_created_data_source_imports_and_one_to_fill_in_waits() {
    let (home, cloud) = home();
    home.put("drop", "orders/1.csv", "id,amount,placed_at\n1,1.5,2025-01-01 00:00:00\n2,x,2025-01-02 00:00:00\n");
    let columns =
        ["--column", "id UInt64", "--column", "amount Nullable(Decimal(10, 2))", "--column", "placed_at DateTime"];
    let made =
        ["datasource", "create", "orders", "--uri", "s3://drop/orders/*.csv", "--description", "What was ordered"];
    let made = json_of(&home, &cloud, &[&made[..], &columns[..], &["--sorting-key", "id"]].concat());
    assert_eq!(made["file"], "config/datasources/orders.datasource", "{made}");
    run(&home, &cloud, &["datasource", "create", "later"]).expect_code(0);
    run(&home, &cloud, &["check"]).expect_code(0);
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    assert_eq!(
        sorted_rows(&home, &cloud, "orders"),
        json!([{"id": 1, "amount": "1.50", "placed_at": "2025-01-01T00:00:00Z"}])
    );
    let listed = json_of(&home, &cloud, &["datasource", "ls", "--match", "or*"]);
    let entry = &listed.as_array().expect("a list")[..];
    assert_eq!(entry.len(), 1, "{listed}");
    assert_eq!((&entry[0]["rows"], &entry[0]["rows_quarantined"]), (&json!(1), &json!(1)), "{listed}");
    assert_eq!((&entry[0]["description"], &entry[0]["connection"]), (&json!("What was ordered"), &json!("shop")));
    assert!(entry[0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0) && entry[0]["updated"].is_string(), "{listed}");

    for (flag, value, said) in [
        ("--column", "id Int3", "Int3"),
        ("--ttl", "nonsense(", "ENGINE_TTL"),
        ("--engine", "Oops", "Oops"),
        ("--column", "id Int8\nTOKEN x READ", "SCHEMA cannot hold"),
    ] {
        let refused = run(&home, &cloud, &["datasource", "create", "bad", flag, value]).expect_code(2);
        assert!(refused.stderr.contains(said), "{flag} {value}: {}", refused.stderr);
    }
    assert!(!home.path("config/datasources/bad.datasource").exists());
    // A broken file keeps nothing from being listed.
    home.datasource_text("broken", "NONSENSE 1\n");
    let listed = run(&home, &cloud, &["datasource", "ls"]).expect_code(2);
    assert!(listed.stdout.contains("orders") && listed.stdout.contains("broken"), "{}", listed.stdout);
}

#[test]
fn rows_are_shown_by_column_file_and_batch() {
    let (home, cloud) = home();
    home.datasource("orders", "s3://drop/*.csv", "@auto");
    let empty = json_of(&home, &cloud, &["datasource", "data", "orders"]);
    assert_eq!((&empty["columns"], &empty["rows"]), (&json!([]), &json!([])));
    let told = run(&home, &cloud, &["datasource", "data", "orders"]).expect_code(0);
    assert!(told.stdout.contains("no table yet"), "{}", told.stdout);
    for file in 0..3 {
        let rows: String = (0..40).map(|row| format!("{},a{row}\n", file * 100 + row)).collect();
        home.put("drop", &format!("{file}.csv"), format!("id,name\n{rows}"));
    }
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    let data = |more: &[&str]| json_of(&home, &cloud, &[&["datasource", "data", "orders"], more].concat());
    assert_eq!(data(&[])["rows"].as_array().map(Vec::len), Some(10));
    assert_eq!(data(&["--limit", "1000"])["rows"].as_array().map(Vec::len), Some(120));
    assert_eq!(data(&["--limit", "0"])["rows"], json!([]));
    let of_file = data(&["--file", "1.csv", "--columns", "name,id", "--limit", "1000"]);
    assert_eq!(of_file["rows"].as_array().map(Vec::len), Some(40));
    let is_of_file = |row: &Value| row["id"].as_i64().is_some_and(|id| (100..140).contains(&id));
    assert!(of_file["rows"].as_array().expect("rows").iter().all(is_of_file), "{of_file}");
    assert_eq!(of_file["columns"], json!(["name", "id"]));
    assert_eq!(of_file["rows"][0].as_object().map(serde_json::Map::len), Some(2), "{of_file}");
    let traced = data(&["--provenance", "--limit", "1"]);
    let batch = traced["rows"][0]["_batch_id"].as_str().expect("a batch").to_owned();
    assert_eq!(data(&["--batch", &batch, "--limit", "1000"])["rows"].as_array().map(Vec::len), Some(120));
    assert_eq!(data(&["--batch", "01J"])["rows"], json!([]));
    let unknown = run(&home, &cloud, &["datasource", "data", "orders", "--columns", "nmae"]).expect_code(2);
    assert!(unknown.stderr.contains("nmae") && unknown.stderr.contains("name"), "{}", unknown.stderr);
    let shown = run(&home, &cloud, &["datasource", "data", "orders"]).expect_code(0);
    assert!(shown.stdout.starts_with("id") && shown.stderr.contains("--limit 100"), "{shown:?}");
}

#[test]
fn a_preview_is_of_local_files_of_uris_and_of_the_newest_files_in_the_table_as_it_is() {
    let (home, cloud) = home();
    home.datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", "id,price\n1,1.5\n").touch("drop", "1.csv", 1_700_000_000);
    home.put("drop", "2.csv", "id,price,coupon\n2,2.5,A\n").touch("drop", "2.csv", 1_700_000_001);
    home.put("drop", "3.csv", "id,price,coupon\nx,3.5,B\n3,3.5,C\n").touch("drop", "3.csv", 1_700_000_002);
    let preview = |arguments: &[&str]| json_of(&home, &cloud, &[&["datasource", "preview"], arguments].concat());
    let newest = || preview(&["orders", "--newest", "2"])["files"].take();
    let before = newest();
    assert_eq!((&before[0]["key"], &before[0]["rows"]), (&json!("2.csv"), &json!([["2", "2.5", "A"]])), "{before}");
    assert!(before[1]["quarantined"][0].as_str().is_some_and(|it| it.contains("value 'x' on column 'id'")), "{before}");
    run(&home, &cloud, &["run", "--once"]).expect_code(0);
    assert_eq!(newest()[0]["rows"], before[0]["rows"], "as it has landed");

    // Now the table has a coupon, which a file of this machine may lack, and its price is no text.
    fs::write(home.path("next.csv"), "id,price\n4,4.5\n5,free\n").expect("file");
    let local = preview(&["orders", "--local", "next.csv"]);
    assert_eq!(local["rows"], json!([["4", "4.5", "NULL"]]), "{local}");
    assert!(local["quarantined"][0].as_str().is_some_and(|it| it.contains("'free' on column 'price'")), "{local}");
    fs::write(home.path("lacking.csv"), "id\n4\n").expect("file");
    assert_eq!(preview(&["orders", "--local", "lacking.csv"])["causes"][0]["code"], "missing_column");
    // By itself it would be another table.
    let alone = preview(&["next.csv"]);
    assert_eq!((&alone["columns"][1]["type"], &alone["quarantined"]), (&json!("String"), &json!([])), "{alone}");
    let shown = run(&home, &cloud, &["datasource", "preview", "s3://drop/*.csv", "--evidence"]).expect_code(0);
    assert!(shown.stdout.contains("1.csv") && shown.stdout.contains("BECAUSE"), "{}", shown.stdout);
    assert!(shown.stderr.contains("datasource generate 's3://drop/*.csv' --connection shop"), "{}", shown.stderr);
    let misused = run(&home, &cloud, &["datasource", "preview", "next.csv", "--newest", "2"]).expect_code(2);
    assert!(misused.stderr.contains("--newest"), "{}", misused.stderr);
    assert_eq!(json_of(&home, &cloud, &["datasource", "ls"])[0]["rows"], 3, "previews import nothing");
}

/// The session that `docs/datasources.md` shows: what stands behind a command is what it prints.
#[test]
fn the_documentation_shows_what_happens() {
    let (home, cloud) = home();
    home.put("shop-drop", "orders/1.csv", "id,Ship To,zip,amount\n1,Berlin,10115,1.5\n2,\"Boston\",02134,\n");
    home.touch("shop-drop", "orders/1.csv", 1_738_281_600);
    let page = include_str!("../../docs/datasources.md");
    let session = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a session");
    let mut commands = 0;
    for step in session.split("$ ").skip(1) {
        let (command, shown) = step.split_once('\n').expect("a line");
        let words: Vec<&str> = command.split(' ').map(|word| word.trim_matches('\'')).collect();
        let printed = match words[0] {
            "cat" => fs::read_to_string(home.path(words[1])).expect("file"),
            _ => {
                let finished = run(&home, &cloud, &words[1..]).expect_code(0);
                let notes = finished.stderr.lines().filter(|line| !line.starts_with('{'));
                finished.stdout.clone() + &notes.map(|line| format!("{line}\n")).collect::<String>()
            }
        };
        commands += 1;
        if !shown.trim().is_empty() {
            assert_eq!(printed.trim_end(), shown.trim_end(), "$ {command}");
        }
    }
    assert_eq!(commands, 5);
}
