//! One value of each type, written to each format: the table holds the same, whichever file it came from.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, i256};
use connector_core::block::Block;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use serde_json::{Value, json};

use crate::ndjson::{decode_with, plan_of};
use crate::parquet_files::write;
use crate::parquet_values::value;
use crate::support::{decode, messages, read_as};

/// A column of this type that any value may be missing from, where the type allows it.
fn column(declared: &str) -> Column {
    let ty = ColumnType::parse_canonical(declared).unwrap_or_else(|| panic!("{declared} is no type"));
    Column { nullable: ty.takes_null(), ..Column::nullable("c", ty) }
}

/// The one value of a block, or what is said of it.
fn only(block: &Block, column: &Column) -> Result<Value, String> {
    match messages(block, std::slice::from_ref(column)).pop() {
        Some((_, messages)) => Err(messages.join("; ")),
        None => {
            assert_eq!(block.rows.column(0).data_type(), &column.ty.arrow());
            Ok(value(block.rows.column(0), 0))
        }
    }
}

fn from_csv(declared: &str, cell: &str) -> Result<Value, String> {
    let column = column(declared);
    let text = format!("\"{}\"\n", cell.replace('"', "\"\""));
    only(&decode(vec![column.clone()], text.as_bytes()), &column)
}

fn from_ndjson(declared: &str, json: &str) -> Result<Value, String> {
    let column = column(declared);
    let schema = TableSchema::new(vec![column.clone()]);
    only(&decode_with(&schema, plan_of(&schema), &[], format!("{{\"c\":{json}}}\n")), &column)
}

fn from_parquet(declared: &str, array: &ArrayRef) -> Result<Value, String> {
    let column = column(declared);
    let file = ParquetFile::open(ParquetSource::Bytes(write(vec![("c", Arc::clone(array))], 10))).expect("opens");
    let blocks = read_as(&file, TableSchema::new(vec![column.clone()]), 10).expect("reads");
    only(&blocks[0], &column)
}

fn list(elements: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("item", elements.data_type().clone(), true));
    let ends = OffsetBuffer::from_lengths([elements.len()]);
    Arc::new(ListArray::new(field, ends, elements, None))
}

fn fields(columns: &[(&str, ArrayRef)]) -> (Fields, Vec<ArrayRef>) {
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    (columns.iter().map(field).collect(), columns.iter().map(|(_, array)| Arc::clone(array)).collect())
}

fn group(columns: &[(&str, ArrayRef)]) -> ArrayRef {
    let (fields, arrays) = fields(columns);
    Arc::new(StructArray::new(fields, arrays, None))
}

fn map(keys: ArrayRef, values: ArrayRef) -> ArrayRef {
    let count = keys.len();
    let key = Field::new("key", keys.data_type().clone(), false);
    let value = Field::new("value", values.data_type().clone(), true);
    let entries = StructArray::new(Fields::from(vec![key, value]), vec![keys, values], None);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    Arc::new(MapArray::new(field, OffsetBuffer::from_lengths([count]), entries, None, false))
}

fn texts(texts: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn text(of: &str) -> ArrayRef {
    texts(&[Some(of)])
}

/// Type, CSV cell, JSON text, Parquet column, and what the table holds.
type Case = (&'static str, &'static str, &'static str, ArrayRef, Value);

fn numbers() -> Vec<Case> {
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).expect("a decimal"))
    };
    let wide = i256::from_string("123456789012345678901234567890123456789012345678901").expect("a number");
    let wide = Decimal256Array::from(vec![wide]).with_precision_and_scale(51, 3).expect("a decimal");
    vec![
        ("Int8", "-128", "-128", Arc::new(Int8Array::from(vec![-128])), json!("-128")),
        ("Int16", "32767", "32767", Arc::new(Int16Array::from(vec![32767])), json!("32767")),
        ("Int32", "-7", "\"-7\"", Arc::new(Int32Array::from(vec![-7])), json!("-7")),
        ("Int64", "007", "7", Arc::new(Int64Array::from(vec![7])), json!("7")),
        (
            "Int128",
            "-9223372036854775808",
            "-9223372036854775808",
            Arc::new(Int64Array::from(vec![i64::MIN])),
            json!("-9223372036854775808"),
        ),
        ("Int256", "+12", "12", Arc::new(Int16Array::from(vec![12])), json!("12")),
        ("UInt8", "255", "255", Arc::new(UInt8Array::from(vec![255])), json!("255")),
        ("UInt16", "65535", "65535", Arc::new(UInt16Array::from(vec![65535])), json!("65535")),
        ("UInt32", "4294967295", "4294967295", Arc::new(UInt32Array::from(vec![u32::MAX])), json!("4294967295")),
        (
            "UInt64",
            "18446744073709551615",
            "18446744073709551615",
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            json!("18446744073709551615"),
        ),
        (
            "UInt128",
            "18446744073709551615",
            "18446744073709551615",
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            json!("18446744073709551615"),
        ),
        ("UInt256", "0", "0", Arc::new(UInt8Array::from(vec![0])), json!("0")),
        ("Float32", "0.1", "0.1", Arc::new(Float32Array::from(vec![0.1])), json!("0.1")),
        ("Float64", "-1e300", "-1e300", Arc::new(Float64Array::from(vec![-1e300])), json!("-1e300")),
        ("Bool", "true", "true", Arc::new(BooleanArray::from(vec![true])), json!("true")),
        ("Decimal(9, 2)", "-1234567.5", "-1234567.50", decimal(-123_456_750, 9, 2), json!("-1234567.50")),
        ("Decimal(38, 10)", "1", "1.0", decimal(10_000_000_000, 38, 10), json!("1.0000000000")),
        (
            "Decimal(51, 3)",
            "123456789012345678901234567890123456789012345678.901",
            "123456789012345678901234567890123456789012345678.901",
            Arc::new(wide),
            json!("123456789012345678901234567890123456789012345678.901"),
        ),
    ]
}

fn texts_and_times() -> Vec<Case> {
    let uuid = FixedSizeBinaryArray::try_from_iter([[0xABu8; 16]].iter()).expect("sixteen bytes");
    let seconds = TimestampMillisecondArray::from(vec![1_704_067_200_000]);
    let fine = TimestampNanosecondArray::from(vec![1_704_067_200_123_456_000]).with_timezone("UTC");
    let at = "2024-01-01 00:00:00.123456";
    vec![
        ("Date", "2024-02-29", "\"2024-02-29\"", Arc::new(Date32Array::from(vec![19_782])), json!("19782")),
        (
            "DateTime",
            "2024-01-01T01:00:00+01:00",
            "\"2024-01-01T00:00:00Z\"",
            Arc::new(seconds.clone()),
            json!("1704067200000000"),
        ),
        (
            "DateTime64(3)",
            "2024-01-01 00:00:00.000",
            "\"2024-01-01 00:00:00\"",
            Arc::new(seconds),
            json!("1704067200000000"),
        ),
        ("DateTime64(9)", at, "\"2024-01-01T00:00:00.123456000Z\"", Arc::new(fine), json!("1704067200123456")),
        ("String", " é,\"", "\" \\u00e9,\\\"\"", text(" é,\""), json!(" é,\"")),
        ("FixedString(3)", "ab", "\"ab\"", text("ab"), json!("ab")),
        (
            "UUID",
            "ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB",
            "\"abababababababababababababababab\"",
            Arc::new(uuid),
            json!("abababab-abab-abab-abab-abababababab"),
        ),
        ("IPv4", "10.0.0.1", "\"10.0.0.1\"", text("10.0.0.1"), json!("10.0.0.1")),
        ("IPv6", "2001:DB8:0::1", "\"2001:db8::1\"", text("2001:0db8::0001"), json!("2001:db8::1")),
        ("Enum8('a' = 1, 'b' = 2)", "b", "\"b\"", text("b"), json!("b")),
        ("JSON", "{\"k\":[1.0]}", "{\"k\":[1.0]}", text("{\"k\":[1.0]}"), json!("{\"k\":[1.0]}")),
    ]
}

fn with_parts() -> Vec<Case> {
    let bytes = |values: Vec<Option<i8>>| -> ArrayRef { Arc::new(Int8Array::from(values)) };
    let both = |(left, right): (ArrayRef, ArrayRef)| -> ArrayRef {
        let inner = arrow::compute::concat(&[&left, &right]).expect("of one type");
        list(inner)
    };
    let counts: ArrayRef = Arc::new(UInt64Array::from(vec![1, u64::MAX]));
    let price = Decimal128Array::from(vec![150, -5]).with_precision_and_scale(6, 2).expect("decimals");
    let lines = group(&[("sku", texts(&[Some("a"), Some("it's")])), ("price", Arc::new(price))]);
    let at = TimestampMillisecondArray::from(vec![1_704_067_200_500]);
    vec![
        (
            "Array(Nullable(Int64))",
            "[1,NULL]",
            "[1,null]",
            list(Arc::new(Int64Array::from(vec![Some(1), None]))),
            json!(["1", null]),
        ),
        (
            "Array(Array(Nullable(Int8)))",
            "[[1,NULL],[]]",
            "[ [1, null], [] ]",
            both((list(bytes(vec![Some(1), None])), list(bytes(vec![])))),
            json!("[[1,null],[]]"),
        ),
        (
            "Map(String, UInt64)",
            "{'b':1,'a':18446744073709551615}",
            r#"{"b": 1, "a": "18446744073709551615"}"#,
            map(texts(&[Some("b"), Some("a")]), counts),
            json!(r#"{"b":1,"a":18446744073709551615}"#),
        ),
        (
            "Map(UInt8, Array(Nullable(String)))",
            "{7:['x',NULL]}",
            r#"{"7": ["x", null]}"#,
            map(Arc::new(UInt8Array::from(vec![7])), list(texts(&[Some("x"), None]))),
            json!(r#"{"7":["x",null]}"#),
        ),
        (
            "Tuple(at DateTime64(3), ok Nullable(Bool))",
            "('2024-01-01 00:00:00.5',NULL)",
            r#"{"ok": null, "at": "2024-01-01T01:00:00.500+01:00"}"#,
            group(&[("ok", Arc::new(BooleanArray::from(vec![None]))), ("at", Arc::new(at))]),
            json!(r#"{"at":"2024-01-01T00:00:00.500Z","ok":null}"#),
        ),
        (
            "Tuple(Int8, String)",
            "(-1,'x')",
            r#"[-1, "x"]"#,
            group(&[("first", bytes(vec![Some(-1)])), ("second", text("x"))]),
            json!(r#"[-1,"x"]"#),
        ),
        (
            "Array(Tuple(sku String, price Decimal(6, 2)))",
            "[('a',1.5),('it''s',-0.05)]",
            r#"[{"sku": "a", "price": 1.50}, {"price": "-0.05", "sku": "it's"}]"#,
            list(lines),
            json!(r#"[{"sku":"a","price":1.50},{"sku":"it's","price":-0.05}]"#),
        ),
    ]
}

#[test]
fn a_value_is_the_same_whichever_format_it_came_from() {
    let mut seen = std::collections::HashSet::new();
    for (declared, cell, json, array, wanted) in [numbers(), texts_and_times(), with_parts()].concat() {
        seen.insert(std::mem::discriminant(&column(declared).ty));
        assert_eq!(from_csv(declared, cell).as_ref(), Ok(&wanted), "{cell} of a CSV file as {declared}");
        assert_eq!(from_ndjson(declared, json).as_ref(), Ok(&wanted), "{json} of an NDJSON file as {declared}");
        assert_eq!(from_parquet(declared, &array).as_ref(), Ok(&wanted), "{:?} as {declared}", array.data_type());
        // What stands for NULL is NULL from every format, where there may be one.
        if column(declared).nullable {
            assert_eq!(from_ndjson(declared, "null"), Ok(Value::Null), "{declared}");
            let nothing = arrow::array::new_null_array(array.data_type(), 1);
            assert_eq!(from_parquet(declared, &nothing), Ok(Value::Null), "{declared}");
        }
    }
    assert_eq!(seen.len(), 29, "every kind of type");
}

#[test]
fn what_is_refused_is_refused_from_every_format_for_the_same_reason() {
    let bytes = |value: i8| -> ArrayRef { Arc::new(Int8Array::from(vec![value])) };
    let fine = TimestampNanosecondArray::from(vec![1_704_067_200_123_456_789]);
    let cases: Vec<(&str, &str, &str, ArrayRef, &str)> = vec![
        (
            "Map(String, Int8)",
            "{'k':NULL}",
            r#"{"k":null}"#,
            map(text("k"), Arc::new(Int8Array::from(vec![None]))),
            "is not Map(String, Int8): a value is NULL",
        ),
        (
            "Array(Array(Int8))",
            "[[1,NULL]]",
            "[[1,null]]",
            list(list(Arc::new(Int8Array::from(vec![Some(1), None])))),
            "is not Array(Array(Int8)): an element of an element is NULL",
        ),
        (
            "Map(String, Int8)",
            "{'k':1,'k':2}",
            r#"{"k":1,"k":2}"#,
            map(texts(&[Some("k"), Some("k")]), Arc::new(Int8Array::from(vec![1, 2]))),
            "is not Map(String, Int8): a key is there twice",
        ),
        (
            "Tuple(e Enum8('a' = 1))",
            "('b')",
            r#"{"e":"b"}"#,
            group(&[("e", text("b"))]),
            "is not Tuple(e Enum8('a' = 1)): 'e' is not Enum8('a' = 1)",
        ),
        (
            "Tuple(a Nullable(Int8), b Int8)",
            "(NULL,NULL)",
            r#"{"a":null}"#,
            group(&[("a", bytes(1)), ("b", Arc::new(Int8Array::from(vec![None])))]),
            "is not Tuple(a Nullable(Int8), b Int8): 'b' is ",
        ),
        (
            "DateTime64(9)",
            "2024-01-01 00:00:00.123456789",
            "\"2024-01-01T00:00:00.123456789Z\"",
            Arc::new(fine),
            "is not DateTime64(9) in whole microseconds, and a table holds no finer times",
        ),
    ];
    for (declared, cell, json, array, wanted) in cases {
        for found in [from_csv(declared, cell), from_ndjson(declared, json), from_parquet(declared, &array)] {
            let message = found.expect_err(declared);
            assert!(message.contains(" on column 'c' ") && message.contains(wanted), "{message}");
        }
    }
}

/// A type inside of a type is checked against the file's before any value is read.
#[test]
fn a_parquet_column_of_another_shape_is_refused_as_a_whole() {
    let refused = |declared: &str, array: ArrayRef| {
        let file = ParquetFile::open(ParquetSource::Bytes(write(vec![("c", array)], 10))).expect("opens");
        let found = read_as(&file, TableSchema::new(vec![column(declared)]), 10);
        found.map(|_| ()).expect_err(declared).code
    };
    let counts: ArrayRef = Arc::new(UInt64Array::from(vec![1]));
    assert_eq!(refused("Map(String, Int64)", map(text("k"), Arc::clone(&counts))), "incompatible_type");
    assert_eq!(refused("Tuple(a UInt64, b UInt64)", group(&[("a", Arc::clone(&counts))])), "incompatible_type");
    assert_eq!(refused("Array(Array(UInt64))", list(Arc::clone(&counts))), "incompatible_type");
    assert_eq!(refused("Map(String, UInt64)", counts), "incompatible_type");
    let nested = DataType::List(Arc::new(Field::new("item", DataType::Int8, true)));
    assert_eq!(refused("Array(Int8)", list(arrow::array::new_null_array(&nested, 1))), "incompatible_type");
}
