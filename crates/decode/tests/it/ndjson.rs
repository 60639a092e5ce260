//! NDJSON: cells, rows that do not fit, keys that nobody knows, inference.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use bytes::Bytes;
use connector_core::binding::bind;
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::evolve::{EvolutionRules, FileCause, FilePlan, Planner};
use connector_core::ports::ReferenceFile;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::RawBlock;
use connector_decode::infer::{Inferred, Sample};
use connector_decode::ndjson::{self, NdjsonDecoder};
use jiff::Timestamp;

pub fn block_of(bytes: impl Into<Bytes>) -> RawBlock {
    RawBlock { bytes: bytes.into(), offset: 0, line: 1, unterminated: None }
}

/// A plan in which nothing is known of the file but that it fits.
pub fn plan_of(schema: &TableSchema) -> FilePlan {
    let names: Vec<String> = schema.columns.iter().map(|column| column.source.clone()).collect();
    FilePlan { bound: bind(schema, &names), unknown: Vec::new(), causes: Vec::new(), context: String::new() }
}

pub fn decode_with(schema: &TableSchema, plan: FilePlan, reference: &[&str], text: impl Into<Bytes>) -> Block {
    let reference: Arc<[String]> = reference.iter().map(|name| (*name).to_owned()).collect();
    let decoder = NdjsonDecoder::new(Arc::new(schema.clone()), Arc::new(plan), reference, Timestamp::UNIX_EPOCH);
    let block = decoder.decode(&block_of(text)).expect("decodes");
    assert_eq!(block.rows.num_rows() as u64 + block.rejected.len() as u64, block.records);
    assert!(block.rejected.ordinals.is_sorted_by(|a, b| a < b));
    assert_eq!(block.row_ordinals(0).count(), block.rows.num_rows());
    block
}

fn decode(schema: &TableSchema, text: impl Into<Bytes>) -> Block {
    decode_with(schema, plan_of(schema), &[], text)
}

/// Nullable columns of these sources; their names are `c0`, `c1` and so on.
pub fn sources(columns: &[(&str, ColumnType)]) -> TableSchema {
    let column = |(index, (source, ty)): (usize, &(&str, ColumnType))| Column {
        source: (*source).to_owned(),
        nullable: !matches!(ty, ColumnType::Array { .. }),
        ..Column::nullable(format!("c{index}"), ty.clone())
    };
    TableSchema::new(columns.iter().enumerate().map(column).collect())
}

fn named(columns: &[(&str, ColumnType)]) -> TableSchema {
    TableSchema::new(columns.iter().map(|(name, ty)| Column::nullable(*name, ty.clone())).collect())
}

pub fn texts(block: &Block, column: usize) -> Vec<Option<String>> {
    block.rows.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// All messages of each rejected row.
pub fn messages(block: &Block, schema: &TableSchema) -> Vec<(u64, Vec<String>)> {
    let rejected = &block.rejected;
    let of = |row: usize| {
        rejected.errors_of(row).iter().map(|error| rejected.message(row, error, schema)).collect::<Vec<_>>()
    };
    (0..rejected.len()).map(|row| (rejected.ordinals[row], of(row))).collect()
}

fn only_message(schema: &TableSchema, reference: &[&str], text: &str) -> String {
    let block = decode_with(schema, plan_of(schema), reference, text.to_owned());
    match messages(&block, schema).as_slice() {
        [] => String::new(),
        [(0, messages)] if messages.len() == 1 => messages[0].clone(),
        other => panic!("{text}: {other:?}"),
    }
}

fn strings() -> ColumnType {
    ColumnType::Array { element: Box::new(ColumnType::String), nullable: true }
}

fn lists(block: &Block, column: usize) -> Vec<Vec<Option<String>>> {
    let list = block.rows.column(column).as_list::<i32>();
    let texts = |row: usize| {
        let values = list.value(row);
        values.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    (0..list.len()).map(texts).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn the_cell_of_a_value_is_its_text() {
    let schema = sources(&[("v", ColumnType::String)]);
    let cases = [
        (r#""a\"b\\\/\b\f\n\r\t""#, "a\"b\\/\u{8}\u{c}\n\r\t"),
        (r#""""#, ""),
        (r#""\u0000\u001f""#, "\u{0}\u{1f}"),
        (r#""\u00e9\ud83d\ude00é😀""#, "é😀é😀"),
        ("1.0", "1.0"),
        ("-0", "-0"),
        ("1E+2", "1E+2"),
        ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ("true", "true"),
        (r#"{"a": [1 , null], "b":"\u00e9"}"#, r#"{"a": [1 , null], "b":"\u00e9"}"#),
        ("[ ]", "[ ]"),
        (r#""null""#, "null"),
    ];
    for (json, wanted) in cases {
        let block = decode(&schema, format!("{{\"v\": {json} }}\n"));
        assert_eq!(texts(&block, 0), some(&[wanted]), "{json}");
    }
    assert_eq!(texts(&decode(&schema, "{\"v\":null}\n{}\n{\"v\":\"\"}"), 0), [None, None, Some(String::new())]);
}

#[test]
fn numbers_keep_every_digit() {
    let schema = sources(&[
        ("i", ColumnType::Int64),
        ("u", ColumnType::UInt64),
        ("d", ColumnType::Decimal { precision: 38, scale: 10 }),
        ("w", ColumnType::Int128),
        ("f", ColumnType::Float64),
    ]);
    let text = concat!(
        r#"{"i":9007199254740993,"u":18446744073709551615,"d":1234567890123456789012345678.0123456789,"#,
        r#""w":170141183460469231731687303715884105727,"f":0.1}"#
    );
    let block = decode(&schema, text);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &schema));
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().value(0), 9_007_199_254_740_993);
    assert_eq!(block.rows.column(1).as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));
    let decimal = 12_345_678_901_234_567_890_123_456_780_123_456_789_i128;
    assert_eq!(block.rows.column(2).as_primitive::<Decimal128Type>().value(0), decimal);
    assert_eq!(texts(&block, 3), some(&["170141183460469231731687303715884105727"]));
    assert_eq!(block.rows.column(4).as_primitive::<Float64Type>().value(0).to_bits(), 0.1f64.to_bits());
    for bad in ["9223372036854775808", "1.5", "1e2", "{}", "[1]", "true", "\"x\""] {
        let message = only_message(&schema, &[], &format!("{{\"i\":{bad}}}"));
        let shown = bad.trim_matches('"');
        assert_eq!(message, format!("value '{shown}' on column 'c0' is not Int64"));
    }
}

#[test]
fn json_columns_keep_the_text_as_it_is_written() {
    let schema = sources(&[("v", ColumnType::Json), ("$", ColumnType::Json)]);
    for json in ["\"text\"", "12", "{\"a\" :1}", "[null]", "\"\\ud83d\\ude00\""] {
        let line = format!("{{\"v\":{json}}}");
        let block = decode(&schema, format!(" {line}\t\r\n"));
        assert_eq!((texts(&block, 0), texts(&block, 1)), (some(&[json]), some(&[&line])));
    }
}

#[test]
fn paths_lead_to_nested_values() {
    let schema = sources(&[
        ("a.b", ColumnType::String),
        ("a.c.d", ColumnType::Int64),
        ("['odd.key']", ColumnType::String),
        ("tags[:]", strings()),
        ("lines[:].sku", strings()),
        ("m[:].n[:]", strings()),
        ("plain", strings()),
    ]);
    let text = concat!(
        r#"{"a":{"b":"x","c":{"d":7}},"odd.key":"o","tags":["t",null,1],"lines":[{"sku":"p","qty":1},{},null,{"sku":null}],"#,
        r#""m":[{"n":[1,2]},{},{"n":null},{"n":[]},{"n":["3"]}],"plain":["\u00e9"]}"#,
        "\n{}\n{\"a\":null,\"lines\":null,\"tags\":[]}\n"
    );
    let block = decode(&schema, text);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &schema));
    assert_eq!(texts(&block, 0), [Some("x".to_owned()), None, None]);
    assert_eq!(block.rows.column(1).as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(texts(&block, 2)[0].as_deref(), Some("o"));
    let text = |text: &str| Some(text.to_owned());
    let nothing: Vec<Option<String>> = Vec::new();
    assert_eq!(lists(&block, 3), [vec![text("t"), None, text("1")], nothing.clone(), nothing.clone()]);
    assert_eq!(lists(&block, 4), [vec![text("p"), None, None, None], nothing.clone(), nothing.clone()]);
    assert_eq!(lists(&block, 5), [vec![text("1"), text("2"), text("3")], nothing.clone(), nothing.clone()]);
    assert_eq!(lists(&block, 6), [vec![text("é")], nothing.clone(), nothing]);
}

#[test]
fn a_list_is_refused_where_its_path_leads_to_something_else() {
    let schema = sources(&[("lines[:].sku", strings())]);
    for (json, wanted) in [("5", "an array"), ("[5]", "an object"), ("{\"sku\":1}", "an array")] {
        let message = only_message(&schema, &[], &format!("{{\"lines\":{json}}}"));
        assert!(message.contains(&format!("where {wanted} should be")), "{message}");
    }
    let message = only_message(&schema, &[], r#"{"lines":[{"sku":1,"sku":2}]}"#);
    assert!(message.contains("the key 'sku' more than once"), "{message}");
}

#[test]
fn a_key_that_is_spelled_like_the_source_wins() {
    let schema = sources(&[("a.b", ColumnType::String), ("first name", ColumnType::String)]);
    let block = decode(&schema, "{\"a.b\":1,\"first name\":\"x\"}\n{\"a\":{\"b\":2}}\n{\"a.b\":3,\"a\":{\"b\":null}}");
    assert_eq!(texts(&block, 0), some(&["1", "2", "3"]));
    assert_eq!(texts(&block, 1)[0].as_deref(), Some("x"));
    let both = only_message(&schema, &[], r#"{"a.b":1,"a":{"b":2}}"#);
    assert!(both.contains("more than one value"), "never one of two values in silence: {both}");
    let apart = sources(&[("a.b", ColumnType::String), ("['a.b']", ColumnType::String)]);
    let block = decode(&apart, r#"{"a.b":1,"a":{"b":2}}"#);
    assert_eq!((texts(&block, 0), texts(&block, 1)), (some(&["2"]), some(&["1"])));
}

#[test]
fn a_key_in_another_spelling_is_found_as_in_other_formats() {
    let schema =
        named(&[("id", ColumnType::Int64), ("first_name", ColumnType::String), ("user_id", ColumnType::Int64)]);
    let block = decode(&schema, r#"{"ID":1,"First-Name":"x","User":{"Id":5}}"#);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &schema));
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(block.rows.column(2).as_primitive::<Int64Type>().value(0), 5);
    let mut record = schema.clone();
    record.columns.push(Column { source: "$".into(), ..Column::nullable("record", ColumnType::Json) });
    let block = decode(&record, "{\"ID\":1,\"x\":2}\n{\"id\":1,\"ID\":2}\n{\"ID\":null}");
    let ids: Vec<Option<i64>> = block.rows.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(ids, [Some(1), Some(1), None], "beside a column that takes the whole record, too");
    for order in [r#"{"ID":1,"id":2}"#, r#"{"id":2,"ID":1}"#] {
        let message = only_message(&schema, &[], order);
        assert_eq!(message, "column 'ID' is not in the table: it was not in the sample of the file");
    }
}

#[test]
fn keys_that_nobody_knows_reject_their_row_by_name() {
    let schema = sources(&[("a.b", ColumnType::String), ("whole", ColumnType::String), ("lines[:].sku", strings())]);
    let unknown = |name: &str| format!("column '{name}' is not in the table: it was not in the sample of the file");
    let cases = [
        (r#"{"z":1}"#, unknown("z")),
        (r#"{"z":null}"#, String::new()),
        (r#"{"z":{}}"#, String::new()),
        (r#"{"z":{"y":[]}}"#, unknown("z.y")),
        (r#"{"a":{"b":"x","c":false}}"#, unknown("a.c")),
        (r#"{"a":{"odd key":0}}"#, unknown("a['odd key']")),
        (r#"{"a":7}"#, unknown("a")),
        (r#"{"whole":{"q":1}}"#, String::new()),
        (r#"{"lines":[{"sku":"x","q":1}]}"#, String::new()),
        (r#"{"ignored":1,"IGNORED":2,"known":{"x":1},"deep":{"k":1}}"#, String::new()),
        (r#"{"deep":{"other":1}}"#, unknown("deep.other")),
    ];
    for (text, wanted) in cases {
        assert_eq!(only_message(&schema, &["ignored", "known", "deep.k", "a.b"], text), wanted, "{text}");
    }
    let record = sources(&[("$", ColumnType::String), ("a", ColumnType::Int64)]);
    assert_eq!(only_message(&record, &[], r#"{"z":1,"a":2}"#), "", "a column takes the whole record");
}

#[test]
fn a_frozen_table_rejects_rows_with_values_in_unknown_columns() {
    let schema = sources(&[("a", ColumnType::String)]);
    let unknown = vec![(0, "z".into()), (1, "n.x".into())];
    let plan = FilePlan { unknown, ..plan_of(&schema) };
    let text = "{\"a\":1}\n{\"z\":1}\n{\"z\":null,\"n\":{\"x\":null}}\n{\"n\":{\"x\":{\"y\":1}}}\n{\"late\":1}\n";
    let block = decode_with(&schema, plan, &[], text);
    let messages = messages(&block, &schema);
    assert_eq!(messages.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(messages[0].1[0].starts_with("column 'z' is not in the table and may not be added"), "{messages:?}");
    assert!(messages[1].1[0].starts_with("column 'n.x' is not in the table and may not be added"), "{messages:?}");
    assert_eq!(messages[2].1, ["column 'late' is not in the table: it was not in the sample of the file"]);
    let nested = sources(&[("a.b", ColumnType::String)]);
    let plan = FilePlan { unknown: vec![(0, "a".into())], ..plan_of(&nested) };
    let block = decode_with(&nested, plan, &[], "{\"a\":{\"b\":1}}\n{\"a\":5}\n{\"a\":null}\n");
    assert_eq!(block.rejected.ordinals, [1], "an object whose keys are columns has its place");
}

#[test]
fn a_file_that_does_not_fit_goes_to_quarantine_row_by_row() {
    let schema = sources(&[("a", ColumnType::Int64), ("b", ColumnType::String)]);
    let cause = FileCause { column: "c0".into(), code: "incompatible_type", message: "no".into() };
    let plan = FilePlan { causes: vec![cause], ..plan_of(&schema) };
    let block = decode_with(&schema, plan, &[], "{\"a\":1,\"b\":\"x\"}\n\nno json\n");
    assert_eq!((block.records, block.rows.num_rows()), (2, 0));
    assert_eq!(messages(&block, &schema), [(0, vec!["no".to_owned()]), (1, vec!["no".to_owned()])]);
    assert_eq!(block.rejected.errors_of(0)[0].column, Some(0));
    assert_eq!((block.rejected.texts[0].value(0), block.rejected.texts[1].value(0)), ("1", "x"));
    assert_eq!((block.rejected.raw.value(0), block.rejected.raw.value(1)), ("{\"a\":1,\"b\":\"x\"}", "no json"));
}

#[test]
fn rejected_rows_say_everything_that_is_wrong_and_keep_their_texts() {
    let schema = TableSchema::new(vec![
        Column::required("id", ColumnType::Int64),
        Column::nullable("at", ColumnType::Date),
        Column::nullable("name", ColumnType::String),
    ]);
    let text = "{\"id\":1}\r\n{\"at\":\"soon\",\"name\":\"\\u00e9\",\"z\":1}\r\n\r\n{\"id\":2}";
    let block = decode(&schema, text);
    let wanted = [
        "column 'z' is not in the table: it was not in the sample of the file",
        "value NULL on column 'id' is not Int64",
        "value 'soon' on column 'at' is not Date",
    ];
    assert_eq!(messages(&block, &schema), [(1, wanted.map(str::to_owned).to_vec())]);
    assert_eq!(block.row_ordinals(10).collect::<Vec<_>>(), [10, 12], "blank lines do not count");
    let texts = &block.rejected.texts;
    assert!(texts[0].is_null(0));
    assert_eq!((texts[1].value(0), texts[2].value(0)), ("soon", "é"));
    assert_eq!(block.rejected.raw.value(0), "{\"at\":\"soon\",\"name\":\"\\u00e9\",\"z\":1}");
}

pub fn sample(text: &str) -> Sample {
    Sample { head: Bytes::copy_from_slice(text.as_bytes()), whole_file: true, pieces: Vec::new() }
}

fn columns(inferred: &Inferred) -> Vec<(String, String, String)> {
    let column = |column: &Column| (column.name.clone(), column.source.clone(), column.ty.to_string());
    inferred.schema.columns.iter().map(column).collect()
}

#[test]
fn columns_are_the_leaf_paths_in_order_of_appearance() {
    let text = concat!(
        r#"{"id":1,"user":{"name":"x","born":"2000-01-31"},"tags":["a",null],"at":"2024-01-01T00:00:00Z","big":18446744073709551615}"#,
        "\n",
        r#"{"id":2,"user":{"name":null,"geo":{"lat":1.5}},"nested":[{"a":1}],"mix":{"a":1},"code":"02134","ok":true,"none":null}"#,
        "\n",
        r#"{"id":3,"mix":"text","odd key":1,"odd.key":2,"nums":[1,2],"fl":[1,2.5],"mixed":[1,"x"],"empty":[],"obj":{}}"#,
        "\n"
    );
    let inferred = ndjson::infer(&sample(text)).expect("infers");
    let wanted = [
        ("id", "id", "Int64"),
        ("user_name", "user.name", "String"),
        ("user_born", "user.born", "Date"),
        ("tags", "tags", "Array(Nullable(String))"),
        ("at", "at", "DateTime64(6)"),
        ("big", "big", "UInt64"),
        ("user_geo_lat", "user.geo.lat", "Float64"),
        ("nested", "nested", "String"),
        ("mix", "mix", "String"),
        ("code", "code", "String"),
        ("ok", "ok", "Bool"),
        ("none", "none", "String"),
        ("odd_key", "odd key", "Int64"),
        ("odd_key_2", "odd.key", "Int64"),
        ("nums", "nums", "Array(Nullable(Int64))"),
        ("fl", "fl", "Array(Nullable(Float64))"),
        ("mixed", "mixed", "String"),
        ("empty", "empty", "String"),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect();
    assert_eq!(columns(&inferred), wanted);
    let array = |column: &Column| matches!(column.ty, ColumnType::Array { .. });
    assert!(inferred.schema.columns.iter().all(|column| column.nullable != array(column)));
    assert!(inferred.schema.columns.iter().all(|column| column.origin == Origin::Inferred));
    assert_eq!(inferred.dialect, None);
    let evidence = &inferred.evidence[0];
    assert_eq!((evidence.values, evidence.nulls, evidence.because.as_str()), (3, 0, "all 3 values are whole numbers"));
    assert_eq!(evidence.examples, ["1", "2", "3"]);
    assert_eq!((inferred.evidence[1].values, inferred.evidence[1].nulls), (1, 2));
    // Whoever infers a schema from a file can read that file with it.
    let block = decode(&inferred.schema, text);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &inferred.schema));
    let shape = ndjson::shape(&sample(text)).expect("a shape");
    assert_eq!((shape.names(), shape.has_header), (inferred.file_columns.clone(), false));
    assert!(bind(&inferred.schema, &shape.names()).sources.iter().enumerate().all(|(at, found)| *found == Some(at)));
}

#[test]
fn two_keys_that_are_spelled_the_same_stay_apart() {
    let text = "{\"a.b\":1,\"a\":{\"b\":\"x\"},\"$\":3,\"\":4}\n";
    let inferred = ndjson::infer(&sample(text)).expect("infers");
    let sources: Vec<&str> = inferred.schema.columns.iter().map(|column| column.source.as_str()).collect();
    assert_eq!(sources, ["['a.b']", "a.b", "['$']", "['']"]);
    let block = decode(&inferred.schema, text);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &inferred.schema));
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(texts(&block, 1), some(&["x"]));
    assert_eq!(block.rows.column(3).as_primitive::<Int64Type>().value(0), 4);
}

fn code(result: Result<Inferred, Failure>) -> &'static str {
    result.expect_err("refused").code
}

#[test]
fn what_is_no_ndjson_is_refused_by_name() {
    let pretty = "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}\n";
    let rows = "{ \"rows\": [\n{\"a\":1},\n{\"a\":2},\n{\"a\":3}\n] }\n";
    let marked = format!("\u{feff}{pretty}");
    for text in [&marked, "[{\"a\":1},\n{\"a\":2}]", " \n\t[1]", "\u{feff}[", pretty, rows] {
        assert_eq!(code(ndjson::infer(&sample(text))), "not_ndjson", "{text}");
        assert_eq!(ndjson::shape(&sample(text)).expect_err("refused").code, "not_ndjson", "{text}");
    }
    assert_eq!(code(ndjson::infer(&sample("id,name\n1,x\n"))), "not_ndjson");
    assert_eq!(ndjson::shape(&sample("id,name\n1,x\n")).expect("row by row").columns, []);
    assert_eq!(code(ndjson::infer(&sample("\n \n"))), "no_records");
    assert_eq!(code(ndjson::infer(&sample("{}\n{}\n"))), "no_columns");
    assert_eq!(ndjson::shape(&sample("\n")).expect("nothing").columns, []);
    let utf16: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [[b"\xFF\xFE".as_slice(), &utf16].concat(), utf16, b"\x1F\x8B\x08".to_vec()] {
        let sample = Sample { head: bytes.into(), whole_file: true, pieces: Vec::new() };
        assert_eq!(code(ndjson::infer(&sample)), "encoding");
    }
    let keys: Vec<String> = (0..2_001).map(|key| format!("\"k{key}\":{key}")).collect();
    let wide = format!("{{{}}}", keys.join(","));
    assert_eq!(code(ndjson::infer(&sample(&wide))), "too_many_columns");
    let table =
        TableSchema::new(vec![Column::nullable("id", ColumnType::Int64), Column::nullable("all", ColumnType::Json)]);
    let shape = |text: &str| ndjson::shape_for(&sample(text), &table).map(|shape| shape.columns.len());
    assert_eq!(shape(&wide).expect_err("refused").code, "too_many_columns");
    assert_eq!(shape(&wide.replace("\"k2000\":2000", "\"k1\":1")).map_err(|error| error.code), Ok(0), "no record");
    assert_eq!(shape(&format!("{{\"id\":1,\"all\":{wide}}}")).map_err(|error| error.code), Ok(1), "one value");
    assert_eq!(
        shape(&format!("{{\"id\":1,\"All\":{wide}}}")).map_err(|error| error.code),
        Ok(1),
        "in another spelling"
    );
}

#[test]
fn a_value_in_another_spelling_is_what_it_is_in_the_right_one() {
    let schema = TableSchema::new(vec![
        Column::nullable("payload", ColumnType::Json),
        Column::nullable("n", ColumnType::Int64),
        Column { source: "user.name".into(), ..Column::nullable("user", ColumnType::String) },
        Column { source: "deep.part".into(), ..Column::nullable("deep_part", ColumnType::Json) },
    ]);
    for value in ["\"123\"", "123", "{\"a\":{\"b\":1}}", "[1,{\"a\":2}]", "\"x\"", "{}", "true"] {
        for key in ["payload", "Payload", "PAYLOAD"] {
            let block = decode(&schema, format!("{{\"{key}\":{value},\"N\":1}}"));
            assert_eq!(block.rejected.len(), 0, "{key} {value}: {:?}", messages(&block, &schema));
            assert_eq!(texts(&block, 0), some(&[value]), "{key}");
        }
        let block = decode(&schema, format!("{{\"Deep\":{{\"Part\":{value}}}}}"));
        assert_eq!(texts(&block, 3), some(&[value]), "{:?}", messages(&block, &schema));
    }
    let block = decode(&schema, "{\"payload\":{\"a\":1},\"Payload\":{\"a\":2}}\n{\"User\":{\"name\":\"x\"}}");
    let wanted = ["column 'Payload' is not", "column 'User.name' is not"];
    for ((_, found), wanted) in messages(&block, &schema).iter().zip(wanted) {
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{found:?}");
    }
    assert_eq!(block.rejected.len(), 2, "one value too many; an object that is no value of the column");
    let shape = ndjson::uncovered(
        ndjson::shape(&sample("{\"Payload\":{\"a\":{\"b\":1}},\"User\":{\"x\":1}}")).expect("a shape"),
        &schema,
    );
    assert_eq!(shape.names(), ["User.x"]);
}

#[test]
fn one_broken_record_never_refuses_a_file() {
    let text = "{\"a\":1\n{\"a\":2}\n{\"a\":3}\n";
    assert_eq!(columns(&ndjson::infer(&sample(text)).expect("infers")).len(), 1);
    let two = "{\"a\":1\n{\"a\":2}\n";
    assert_eq!(columns(&ndjson::infer(&sample(two)).expect("infers")).len(), 1);
    let cut = "{\"a\":\"x\ny\"}\n{\"a\":\"z\"}\n{\"a\":\"z\"}\n";
    assert_eq!(columns(&ndjson::infer(&sample(cut)).expect("infers")).len(), 1);
}

#[test]
fn samples_end_anywhere() {
    let cut =
        |head: &str| Sample { head: Bytes::copy_from_slice(head.as_bytes()), whole_file: false, pieces: Vec::new() };
    assert_eq!(columns(&ndjson::infer(&cut("{\"a\":1}\n{\"a\":\"x")).expect("infers"))[0].2, "Int64");
    let error = ndjson::infer(&cut("{\"a\":1")).expect_err("nothing is known of it");
    assert_eq!(error.code, "record_too_long");
    assert!(error.message.contains("declare them in SCHEMA"), "{error}");
    let shape = ndjson::shape(&cut("{\"a\":1")).expect("it may be read all the same");
    assert_eq!((shape.columns.len(), shape.has_header), (0, false));
    let mut late = cut("{\"a\":1");
    late.pieces.push(Bytes::from_static(b"2}\n{\"b\":1}\n"));
    assert_eq!(ndjson::shape(&late).expect("a shape").names(), ["b"]);
    assert_eq!(code(ndjson::infer(&late)), "record_too_long");
    assert_eq!(ndjson::shape(&cut("[{\"a\":1")).expect_err("no ndjson").code, "not_ndjson");
    assert_eq!(code(ndjson::infer(&cut("[{\"a\":1"))), "not_ndjson");
    let mut pieces = cut("{\"a\":1}\n");
    pieces.pieces.push(Bytes::from_static(b":\"x\"}\n{\"a\":1.5,\"b\":1}\n{\"a\":\"x"));
    pieces.pieces.push(Bytes::from_static(b"no line end"));
    let inferred = ndjson::infer(&pieces).expect("infers");
    assert_eq!(columns(&inferred)[0].2, "Float64", "{:?}", inferred.evidence);
    assert_eq!(columns(&inferred).len(), 2);
}

#[test]
fn values_behind_the_sample_are_judged_as_if_they_had_been_in_it() {
    let inferred = ndjson::infer(&sample("{\"a\":1,\"l\":[1]}\n")).expect("infers");
    for bad in ["{\"a\":\"007\"}", "{\"a\":1.0}", "{\"a\":-0}", "{\"l\":[\"x\"]}", "{\"l\":5}", "{\"l\":[1.5]}"] {
        let block = decode(&inferred.schema, bad);
        assert_eq!(block.rejected.len(), 1, "{bad}");
    }
    assert_eq!(decode(&inferred.schema, "{\"l\":[null,2]}\n{\"a\":null}\n{}\n{\"l\":null}").rejected.len(), 0);
}

#[test]
fn evolution_sees_only_what_the_table_does_not_take_already() {
    let schema = sources(&[("a", ColumnType::String), ("lines[:].sku", strings()), ("x.y", ColumnType::Int64)]);
    let text = "{\"a\":{\"b\":1},\"lines\":[{\"sku\":\"s\"}],\"x\":{\"y\":1,\"new\":2},\"x.y\":3}\n";
    let shape = ndjson::uncovered(ndjson::shape(&sample(text)).expect("a shape"), &schema);
    assert_eq!(shape.names(), ["x.y", "x.new"]);
    let mut planner = Planner::new(schema, Vec::new(), None::<&ReferenceFile>, EvolutionRules::default());
    let plan = planner.plan("k", &shape);
    assert!(!plan.is_rejected(), "{:?}", plan.causes);
    let (wider, added) = planner.finish();
    assert_eq!((added.len(), wider.columns[3].name.as_str(), wider.columns[3].source.as_str()), (1, "x_new", "x.new"));
}
