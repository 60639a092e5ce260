//! Decoding of CSV blocks: invariants against an independent reading of the same bytes, and the rules one by one.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int16Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use connector_core::binding::Binding;
use connector_core::block::MAX_RAW_BYTES;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock};
use proptest::prelude::*;

use crate::support::{check_block, column, decode, decode_with, ends_in_quotes, messages, records};

fn cell() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "-?[0-9]{1,3}", 1 => Just(String::new()), 1 => Just("x".to_owned()), 1 => Just("1e400".to_owned()),
        1 => Just("\"a\"\"b\n\"".to_owned()), 1 => Just("\"7\"".to_owned()), 1 => Just("1.5".to_owned()),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let line = prop::collection::vec(cell(), 0..5).prop_map(|cells| cells.join(","));
    let end = prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n"]);
    prop::collection::vec((line, end), 0..30)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn every_record_is_a_row_or_a_rejected_row_and_says_what_it_holds(text in body()) {
        let columns = vec![
            Column::nullable("a", ColumnType::Int64),
            column("b", ColumnType::String, false, None),
            column("c", ColumnType::Float64, false, None),
        ];
        let block = decode(columns, text.as_bytes());
        check_block(&block);
        let all = records(text.as_bytes());
        prop_assert_eq!(block.records, all.len() as u64);

        let (mut row, mut rejected) = (0, block.rejected.iter());
        for (ordinal, record) in all.iter().enumerate() {
            let texts: Vec<&str> = record.iter().map(|cell| std::str::from_utf8(cell).expect("text")).collect();
            let wanted = match texts.as_slice() {
                [a, b, c] => {
                    let a = if a.is_empty() { Some(None) } else { a.parse::<i64>().ok().map(Some) };
                    let c = c.parse::<f64>().ok().filter(|value| value.is_finite());
                    a.zip(c).map(|(a, c)| (a, *b, c))
                }
                _ => None,
            };
            let Some((a, b, c)) = wanted else {
                let bad = rejected.next().expect("one more rejected row");
                prop_assert_eq!(bad.ordinal, ordinal as u64);
                let raw = bad.raw.as_deref().expect("raw text");
                prop_assert_eq!(records(raw), vec![record.clone()], "the raw text is the record");
                continue;
            };
            let ints = block.rows.column(0).as_primitive::<Int64Type>();
            prop_assert_eq!(ints.is_valid(row).then(|| ints.value(row)), a);
            prop_assert_eq!(block.rows.column(1).as_string::<i32>().value(row), b);
            prop_assert_eq!(block.rows.column(2).as_primitive::<Float64Type>().value(row), c);
            row += 1;
        }
        prop_assert_eq!(row, block.rows.num_rows());
        prop_assert!(rejected.next().is_none());
    }

    #[test]
    fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(!ends_in_quotes(&bytes));
        let block = decode(vec![Column::nullable("a", ColumnType::String)], &bytes);
        check_block(&block);
        prop_assert_eq!(block.records, records(&bytes).len() as u64);
    }
}

#[test]
fn a_bad_row_has_one_error_for_each_bad_column_and_the_others_stay() {
    let columns = vec![
        Column::nullable("id", ColumnType::Int64),
        Column::nullable("day", ColumnType::Date),
        Column::nullable("name", ColumnType::String),
    ];
    let block = decode(columns, b"1,2024-02-29,ok\nx,2023-02-29,\xFF\n\n1,2\n3,,\n");
    check_block(&block);
    assert_eq!(
        messages(&block),
        [
            (
                1,
                vec![
                    "value 'x' on column 'id' is not Int64".to_owned(),
                    "value '2023-02-29' on column 'day' is not Date".to_owned(),
                    "value '\u{fffd}' on column 'name' is not String".to_owned(),
                ]
            ),
            (2, vec!["the record has 2 fields, the header has 3 fields".to_owned()]),
        ]
    );
    let raw: Vec<&[u8]> = block.rejected.iter().filter_map(|row| row.raw.as_deref()).collect();
    assert_eq!(raw, [&b"x,2023-02-29,\xFF"[..], b"1,2"]);
    assert_eq!(block.rejected[1].errors[0].column, "");
    assert_eq!(block.row_ordinals(100).collect::<Vec<_>>(), [100, 103]);
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
}

#[test]
fn empty_cells_are_null_then_the_default_then_the_empty_string_then_an_error() {
    let columns = vec![
        column("a", ColumnType::Int64, true, Some("7")),
        column("b", ColumnType::Int64, false, Some("7")),
        column("c", ColumnType::String, false, None),
        column("d", ColumnType::String, false, Some("none")),
        column("e", ColumnType::String, true, None),
    ];
    let block = decode(columns, b",,,,\n1,2,x,y,z\n");
    check_block(&block);
    assert!(block.rejected.is_empty());
    assert!(block.rows.column(0).is_null(0) && block.rows.column(4).is_null(0));
    assert_eq!(block.rows.column(1).as_primitive::<Int64Type>().values(), &[7, 2]);
    assert_eq!(block.rows.column(2).as_string::<i32>().value(0), "");
    assert_eq!(block.rows.column(3).as_string::<i32>().value(0), "none");

    let required = || column("a", ColumnType::Date, false, None);
    let block = decode(vec![required(), Column::nullable("b", ColumnType::String)], b",x\n");
    assert_eq!(messages(&block), [(0, vec!["value '' on column 'a' is not Date".to_owned()])]);
    let bad_default = column("a", ColumnType::Int64, false, Some("seven"));
    let block = decode(vec![bad_default, Column::nullable("b", ColumnType::String)], b",x\n");
    assert_eq!(messages(&block), [(0, vec!["value 'seven' on column 'a' is not Int64".to_owned()])]);
}

#[test]
fn every_column_type_has_its_arrow_type_and_its_limits() {
    let decimal = ColumnType::Decimal { precision: 5, scale: 2 };
    let cases: [(ColumnType, &str, &str); 16] = [
        (ColumnType::Int8, "-128", "128"),
        (ColumnType::Int16, "32767", "-32769"),
        (ColumnType::Int32, "+5", "2147483648"),
        (ColumnType::Int64, " 9223372036854775807 ", "9223372036854775808"),
        (ColumnType::UInt8, "255", "256"),
        (ColumnType::UInt16, "65535", "-1"),
        (ColumnType::UInt32, "4294967295", "4294967296"),
        (ColumnType::UInt64, "18446744073709551615", "18446744073709551616"),
        (ColumnType::Float32, "3.4e38", "3.5e38"),
        (ColumnType::Float64, "1e308", "1e400"),
        (ColumnType::Bool, "YES", "maybe"),
        (ColumnType::Date, "9999-12-31", "10000-01-01"),
        (ColumnType::DateTime, "2024-01-01 10:00:00", "2024-01-01 10:00:00.5"),
        (ColumnType::DateTime64 { precision: 3 }, "2024-01-01T10:00:00.123+01:00", "2024-01-01T10:00:00.1234"),
        (decimal, "-123.45", "1234.5"),
        (ColumnType::String, "anything", "\u{0}"),
    ];
    for (ty, good, bad) in cases {
        for nullable in [true, false] {
            let columns = vec![column("c", ty, nullable, None), Column::nullable("d", ColumnType::String)];
            let block = decode(columns, format!("{good},\n{bad},\n{good},\n").as_bytes());
            check_block(&block);
            assert_eq!(block.rows.column(0).data_type(), &ty.arrow());
            assert_eq!(block.rejected.len(), usize::from(ty != ColumnType::String), "{ty}");
            assert_eq!(block.rows.column(0).null_count(), 0, "{ty}");
        }
    }
}

#[test]
fn values_arrive_unchanged() {
    let columns = vec![
        column("u", ColumnType::UInt64, false, None),
        column("s", ColumnType::UInt8, false, None),
        column("t", ColumnType::DateTime64 { precision: 6 }, false, None),
        column("d", ColumnType::Decimal { precision: 38, scale: 2 }, false, None),
        column("b", ColumnType::Bool, true, None),
    ];
    let block = decode(columns, b"18446744073709551615,255,1970-01-01 00:00:00.000001,-1.5,n\n");
    assert_eq!(block.rows.column(0).as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));
    assert_eq!(block.rows.column(1).as_primitive::<Int16Type>().value(0), 255);
    assert_eq!(block.rows.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1);
    assert_eq!(block.rows.column(3).as_primitive::<Decimal128Type>().value(0), -150);
    assert!(!block.rows.column(4).as_boolean().value(0));
}

#[test]
fn columns_come_from_where_the_binding_says() {
    let schema =
        TableSchema::new(vec![Column::nullable("b", ColumnType::Int64), Column::nullable("a", ColumnType::String)]);
    let binding = Binding { sources: vec![2, 0], file_columns: 3 };
    let decoder = CsvDecoder::new(Arc::new(schema), Arc::new(binding), &CsvOptions::default());
    let block = decoder.decode(&RawBlock { bytes: Bytes::from_static(b"x,ignored,5"), offset: 9 }).expect("decodes");
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().value(0), 5);
    assert_eq!(block.rows.column(1).as_string::<i32>().value(0), "x");
}

#[test]
fn a_byte_order_mark_in_the_middle_of_a_file_is_text() {
    let block = decode(vec![Column::nullable("a", ColumnType::String)], b"\xEF\xBB\xBFx\n");
    assert_eq!(block.rows.column(0).as_string::<i32>().value(0), "\u{feff}x");
}

#[test]
fn a_block_without_records_has_no_rows_and_the_right_columns() {
    let block = decode(vec![Column::nullable("a", ColumnType::Date)], b"\n\r\n");
    check_block(&block);
    assert_eq!((block.records, block.rows.num_rows()), (0, 0));
    assert_eq!(block.rows.schema().field(0).data_type(), &DataType::Date32);
}

#[test]
fn the_raw_text_of_a_huge_record_is_cut() {
    let text = format!("{}\n", "x".repeat(MAX_RAW_BYTES + 10));
    let block = decode(vec![Column::nullable("a", ColumnType::Int64)], text.as_bytes());
    assert_eq!(block.rejected[0].raw.as_ref().map(Vec::len), Some(MAX_RAW_BYTES));
    assert!(block.rejected[0].errors[0].message.len() < 200);
}

#[test]
fn an_inferred_column_takes_only_what_inference_takes() {
    let inferred = CsvOptions { inferred: true, ..CsvOptions::default() };
    let cases: [(ColumnType, &[&str], &[&str]); 3] = [
        (ColumnType::Int64, &["10001", "-5", " 7", "0"], &["02134", "+5", "-0", "-01", "1.0"]),
        (
            ColumnType::Float64,
            &["0.5", "12", "-0.25", "1e5", "9007199254740992"],
            &["9007199254740993", "0012", "+1.5", "nan", "INF", "-inf", "1.0000000000000001"],
        ),
        (ColumnType::Bool, &["true", "False"], &["1", "0", "yes", "f"]),
    ];
    for (ty, good, bad) in cases {
        let wide = || vec![Column::nullable("a", ty), Column::nullable("b", ColumnType::String)];
        let text: String = good.iter().chain(bad).map(|cell| format!("{cell},\n")).collect();
        let block = decode_with(wide(), text.as_bytes(), &inferred);
        check_block(&block);
        assert_eq!(block.rows.num_rows(), good.len(), "{ty}");
        let wanted: Vec<Vec<String>> =
            bad.iter().map(|cell| vec![format!("value '{cell}' on column 'a' is not {ty}")]).collect();
        let found: Vec<Vec<String>> = messages(&block).into_iter().map(|(_, texts)| texts).collect();
        assert_eq!(found, wanted);
    }
    let declared = decode(vec![Column::nullable("a", ColumnType::Int64)], b"02134\n+5\n-0\n");
    assert_eq!(declared.rows.column(0).as_primitive::<Int64Type>().values(), &[2134, 5, 0]);
}

#[test]
fn only_the_first_rejected_rows_keep_their_details() {
    let options = CsvOptions { rejected_details: 3, ..CsvOptions::default() };
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::Int64)];
    // The first bad rows of column b come before those of column a.
    let text = b"1,x\n1,1\n1\n1,x\nx,x\nx,1\n1\nx,1\n";
    let block = decode_with(columns, text, &options);
    assert_eq!((block.records, block.rows.num_rows()), (8, 1));
    let found: Vec<_> = block.rejected.iter().map(|row| (row.ordinal, row.errors.len(), row.raw.is_some())).collect();
    let kept = |ordinal| (ordinal, 1, true);
    let bare = |ordinal| (ordinal, 0, false);
    assert_eq!(found, [kept(0), kept(2), kept(3), bare(4), bare(5), bare(6), bare(7)]);
}

#[test]
fn a_row_keeps_at_most_32_errors() {
    let columns = (0..40).map(|index| Column::nullable(format!("c{index}"), ColumnType::Int64)).collect();
    let block = decode(columns, format!("{}x\n", "x,".repeat(39)).as_bytes());
    assert_eq!(block.rejected[0].errors.len(), 32);
    assert_eq!(block.rejected[0].errors[31].column, "c31");
}
