//! Decoding of CSV blocks: invariants against an independent reading of the same bytes, and the rules one by one.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int16Type, Int64Type, TimestampMicrosecondType};
use connector_core::block::{ERRORS_PER_ROW, MAX_RAW_BYTES};
use connector_core::evolve::{FileCause, FilePlan};
use connector_core::expr::Expr;
use connector_core::schema::{Column, ColumnDefault, Origin, TableSchema};
use connector_core::types::{ColumnType, EnumType};
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::support::{
    column, decode, decode_as, ends_in_quotes, messages, plain_plan, plan, raw, raw_block, records, texts,
};

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
        let all = records(text.as_bytes());
        prop_assert_eq!(block.records, all.len() as u64);

        let raw = raw(&block);
        let (mut row, mut rejected) = (0, block.rejected.ordinals.iter().zip(raw));
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
                let (found, raw) = rejected.next().expect("one more rejected row");
                prop_assert_eq!(*found, ordinal as u64);
                let raw = raw.expect("raw text").as_bytes();
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
    let block = decode(columns.clone(), b"1,2024-02-29,ok\nx,2023-02-29,\xFF\n\n1,2\n3,,\n");
    assert_eq!(
        messages(&block, &columns),
        [
            (
                1,
                vec![
                    "value 'x' on column 'id' is not Int64".to_owned(),
                    "value '2023-02-29' on column 'day' is not Date".to_owned(),
                    "value '\u{fffd}' on column 'name' is not UTF-8".to_owned(),
                ]
            ),
            (2, vec!["the record has 2 fields, the header has 3 fields".to_owned()]),
        ]
    );
    assert_eq!(raw(&block), [None, Some("1,2")], "no raw text of what is no text");
    assert_eq!(block.rejected.errors_of(1)[0].column, None);
    let shown = vec![Some("x"), Some("2023-02-29"), Some("\u{fffd}")];
    assert_eq!(texts(&block), [shown, vec![Some("1"), Some("2"), None]]);
    assert_eq!(block.row_ordinals(100).collect::<Vec<_>>(), [100, 103]);
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
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
    let plan = plan(vec![Some(2), Some(0)], 3);
    let block = decode_as(schema.columns, plan, &raw_block(b"x,ignored,5"), &CsvOptions::default());
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
    assert_eq!((block.records, block.rows.num_rows()), (0, 0));
    assert_eq!(block.rows.schema().field(0).data_type(), &DataType::Date32);
}

#[test]
fn the_raw_text_of_a_huge_record_is_not_kept_but_its_cells_are() {
    for (extra, kept) in [(0, true), (1, false)] {
        let text = "x".repeat(MAX_RAW_BYTES + extra);
        let columns = vec![Column::nullable("a", ColumnType::Int64)];
        let block = decode(columns.clone(), format!("{text}\r\n").as_bytes());
        assert_eq!(raw(&block)[0].is_some(), kept);
        assert_eq!(texts(&block), [[Some(text.as_str())]]);
        assert!(messages(&block, &columns)[0].1[0].len() < 200);
    }
}

#[test]
fn an_inferred_column_takes_only_what_inference_takes() {
    let cases: [(ColumnType, &[&str], &[&str]); 6] = [
        (ColumnType::Int64, &["10001", "-5", " 7", "0"], &["02134", "+5", "-0", "-01", "1.0"]),
        (ColumnType::Int8, &["127", "-128"], &["07", "+5", "-0", "128"]),
        (ColumnType::UInt64, &["0", "18446744073709551615"], &["00", "+5", "-0", "18446744073709551616"]),
        (
            ColumnType::Float64,
            &["0.5", "12", "-0.25", "1e5", "9007199254740992"],
            &["9007199254740993", "0012", "+1.5", "nan", "INF", "-inf", "1.0000000000000001"],
        ),
        (ColumnType::Int256, &["0", "-7"], &["-0", "+7", "07"]),
        (ColumnType::Bool, &["true", "False"], &["1", "0", "yes", "f"]),
    ];
    for origin in [Origin::Inferred, Origin::Evolved] {
        for (ty, good, bad) in &cases {
            let strict = Column { origin, ..Column::nullable("a", ty.clone()) };
            let columns = vec![strict, Column::nullable("b", ColumnType::String)];
            let text: String = good.iter().chain(*bad).map(|cell| format!("{cell},\n")).collect();
            let block = decode(columns.clone(), text.as_bytes());
            assert_eq!(block.rows.num_rows(), good.len(), "{ty}");
            let wanted: Vec<Vec<String>> =
                bad.iter().map(|cell| vec![format!("value '{cell}' on column 'a' is not {ty}")]).collect();
            let found: Vec<Vec<String>> = messages(&block, &columns).into_iter().map(|(_, texts)| texts).collect();
            assert_eq!(found, wanted);
        }
    }
    let declared = decode(vec![Column::nullable("a", ColumnType::Int64)], b"02134\n+5\n-0\n");
    assert_eq!(declared.rows.column(0).as_primitive::<Int64Type>().values(), &[2134, 5, 0]);
}

#[test]
fn every_rejected_row_keeps_its_details() {
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::Int64)];
    let text = "x,1\n1\n1,y\n".repeat(20_000);
    let block = decode(columns.clone(), text.as_bytes());
    assert_eq!((block.records, block.rejected.len()), (60_000, 60_000));
    assert!(raw(&block).chunks(3).all(|rows| rows == [Some("x,1"), Some("1"), Some("1,y")]));
    let last = messages(&block, &columns).split_off(59_999);
    assert_eq!(last, [(59_999, vec!["value 'y' on column 'b' is not Int64".to_owned()])]);
    assert!(block.memory_bytes() < 30 * text.len(), "{} bytes for {}", block.memory_bytes(), text.len());
}

#[test]
fn a_row_keeps_at_most_32_errors() {
    let columns: Vec<Column> = (0..40).map(|index| Column::nullable(format!("c{index}"), ColumnType::Int64)).collect();
    let block = decode(columns.clone(), format!("{}x\n", "x,".repeat(39)).as_bytes());
    assert_eq!(block.rejected.errors_of(0).len(), ERRORS_PER_ROW);
    assert_eq!(block.rejected.errors_of(0)[31].column_name(&TableSchema::new(columns)), "c31");
}

#[test]
fn a_column_that_the_file_lacks_is_absent_in_every_row() {
    let null = plan(vec![Some(0), None, None, None, None], 1);
    let columns = vec![
        Column::nullable("a", ColumnType::Int64),
        Column::nullable("n", ColumnType::Date),
        column("d", ColumnType::Int64, false, Some("7")),
        column("s", ColumnType::String, false, None),
        column("l", ColumnType::Array { element: Box::new(ColumnType::Int8), nullable: false }, false, None),
    ];
    let block = decode_as(columns, null.clone(), &raw_block(b"1\nx\n3\n"), &CsvOptions::default());
    assert_eq!(block.rows.column(1).null_count(), 2);
    assert_eq!(block.rows.column(2).as_primitive::<Int64Type>().values(), &[7, 7]);
    assert_eq!(block.rows.column(3).as_string::<i32>().value(1), "");
    assert_eq!(block.rows.column(4).as_list::<i32>().value_length(0), 0);
    assert_eq!(texts(&block), [[Some("x"), None, None, None, None]]);

    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::required("b", ColumnType::Date)];
    let short = plan(vec![Some(0), None], 1);
    let block = decode_as(columns.clone(), short, &raw_block(b"1\nx\n1,2\n"), &CsvOptions::default());
    let missing = "value NULL on column 'b' is not Date".to_owned();
    let wrong = "value 'x' on column 'a' is not Int64".to_owned();
    let ragged = "the record has 2 fields, the header has 1 field".to_owned();
    let wanted = [(0, vec![missing.clone()]), (1, vec![wrong, missing]), (2, vec![ragged])];
    assert_eq!(messages(&block, &columns), wanted);
}

#[test]
fn a_default_expression_is_asked_for_absent_values_of_the_rows_only() {
    let now =
        Column { default: Some(ColumnDefault::Expression(Expr::Now)), ..Column::required("t", ColumnType::DateTime) };
    let columns = vec![Column::nullable("a", ColumnType::Int64), now];
    let plan = plain_plan(2);
    let decoder = CsvDecoder::new(
        Arc::new(TableSchema::new(columns)),
        Arc::new(plan),
        &CsvOptions::default(),
        Timestamp::constant(5, 0),
    );
    let block = decoder.decode(&raw_block(b"1,\n2,1970-01-01 00:00:01\nx,\n3,never\n")).expect("decodes");
    let times = block.rows.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values(), &[5_000_000, 1_000_000]);
    assert_eq!(block.rejected.ordinals, [2, 3]);
}

#[test]
fn a_row_for_which_a_default_expression_gives_no_value_is_rejected() {
    let default = Some(ColumnDefault::Expression(Expr::Column("a".to_owned())));
    let columns =
        vec![Column::nullable("a", ColumnType::Int64), Column { default, ..Column::required("b", ColumnType::Int64) }];
    for (sources, text) in
        [(vec![Some(0), Some(1)], &b"5,\n,\n6,7\nx,\n"[..]), (vec![Some(0), None], b"5,q\n,q\n6,q\nx,q\n")]
    {
        let block = decode_as(columns.clone(), plan(sources, 2), &raw_block(text), &CsvOptions::default());
        assert_eq!(block.rows.num_rows(), 2);
        assert_eq!(block.rows.column(1).as_primitive::<Int64Type>().value(0), 5);
        let errors = |row: usize| block.rejected.errors_of(row).iter().map(|error| error.column).collect::<Vec<_>>();
        assert_eq!((block.rejected.ordinals.clone(), errors(0)), (vec![1, 3], vec![Some(1)]));
        assert_eq!(errors(1)[0], Some(0));
    }
}

#[test]
fn every_row_of_a_file_that_does_not_fit_is_rejected_with_its_causes() {
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::required("gone", ColumnType::Int64)];
    let cause = |column: &str, message: &str| FileCause {
        column: column.to_owned(),
        code: "missing_column",
        message: message.to_owned(),
    };
    let causes = vec![cause("gone", "the file lacks column 'gone'"), cause("z", "too many")];
    let plan = FilePlan { causes, ..plan(vec![Some(1), None], 2) };
    let text = b"x,1\ny,two\nonly\n";
    let block = decode_as(columns.clone(), plan.clone(), &raw_block(text), &CsvOptions::default());
    let both = vec!["the file lacks column 'gone'".to_owned(), "too many".to_owned()];
    assert_eq!(messages(&block, &columns), [(0, both.clone()), (1, both.clone()), (2, both)]);
    assert_eq!(block.rejected.errors_of(0)[0].column, Some(1));
    assert_eq!(block.rejected.errors_of(0)[1].column, None);
    assert_eq!(texts(&block), [[Some("1"), None], [Some("two"), None], [None, None]]);
    assert_eq!(raw(&block), [Some("x,1"), Some("y,two"), Some("only")]);
    assert_eq!(block.rows.num_rows(), 0);

    let many = "x,1\n".repeat(50_000);
    let block = decode_as(columns, plan, &raw_block(many.as_bytes()), &CsvOptions::default());
    assert!(block.memory_bytes() < 20 * many.len(), "{} bytes for {}", block.memory_bytes(), many.len());
}

#[test]
fn a_value_in_a_column_that_may_not_be_added_rejects_its_row_and_no_other() {
    let columns = vec![Column::nullable("a", ColumnType::Int64)];
    let frozen = FilePlan { unknown: vec![(1, "z".to_owned())], ..plan(vec![Some(0)], 2) };
    let options = CsvOptions::default();
    let block = decode_as(columns.clone(), frozen, &raw_block(b"1,\n2,q\n3,\"\"\nx,q\n"), &options);
    assert_eq!(block.row_ordinals(0).collect::<Vec<_>>(), [0, 2], "an empty text is no value, either");
    let frozen = "column 'z' is not in the table and may not be added (IMPORT_EVOLUTION freeze)".to_owned();
    let wrong = "value 'x' on column 'a' is not Int64".to_owned();
    let wanted = [(1, vec![frozen.clone()]), (3, vec![frozen, wrong])];
    assert_eq!(messages(&block, &columns), wanted);

    let many = (1..100).map(|index| (index, "z\u{1b}[31m".repeat(30))).collect();
    let plan = FilePlan { unknown: many, ..plan(vec![Some(0)], 100) };
    let block = decode_as(columns.clone(), plan, &raw_block((["q"; 100].join(",") + "\n").as_bytes()), &options);
    let errors = &messages(&block, &columns)[0].1;
    assert_eq!(errors.len(), ERRORS_PER_ROW);
    assert!(errors.iter().all(|text| text.len() < 400 && !text.contains('\u{1b}')), "{errors:?}");
}

#[test]
fn a_record_that_is_cut_by_an_open_quote_is_rejected_and_the_records_before_it_are_kept() {
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::String)];
    let block = RawBlock { unterminated: Some(3), line: 2, ..raw_block(b"1,x\n2,\"y\n3,z\n\n") };
    let block = decode_as(columns.clone(), plain_plan(2), &block, &CsvOptions::default());
    assert_eq!(block.row_ordinals(0).collect::<Vec<_>>(), [0]);
    let found = messages(&block, &columns);
    assert_eq!((found.len(), found[0].0, found[0].1.len()), (1, 1, 1));
    assert!(found[0].1[0].contains("the quote that opens on line 3"), "{found:?}");
    assert_eq!(raw(&block), [Some("2,\"y\n3,z\n\n")]);
    assert_eq!(texts(&block), [[Some("2"), Some("y\n3,z\n\n")]]);
}

#[test]
fn types_that_a_block_keeps_as_text_and_lists_arrive_in_their_one_spelling() {
    let labels = EnumType { wide: false, labels: Arc::new([("new".to_owned(), 1), ("old one".to_owned(), 2)]) };
    let list = ColumnType::Array { element: Box::new(ColumnType::Decimal { precision: 5, scale: 2 }), nullable: true };
    let cases: Vec<(ColumnType, &str, &str, &str)> = vec![
        (ColumnType::Int256, "+007", "7", "x"),
        (ColumnType::Decimal { precision: 40, scale: 2 }, "-.5", "-0.50", "1.234"),
        (ColumnType::FixedString(3), "é", "é", "éé"),
        (
            ColumnType::Uuid,
            "{0123456789ABCDEF0123456789abcdef}",
            "01234567-89ab-cdef-0123-456789abcdef",
            "0123456789ABCDEF0123456789abcde",
        ),
        (ColumnType::Ipv4, " 10.0.0.1", "10.0.0.1", "10.0.0.256"),
        (ColumnType::Ipv6, "2001:DB8:0:0:0:0:0:1", "2001:db8::1", "10.0.0.1"),
        (ColumnType::Enum(labels), "old one", "old one", "old"),
        (ColumnType::Json, "[1, {}]", "[1, {}]", "{a: 1}"),
    ];
    for (ty, good, kept, bad) in cases {
        let columns = vec![Column::required("a", ty.clone())];
        let quoted = |text: &str| format!("\"{}\"\n", text.replace('"', "\"\""));
        let block = decode(columns.clone(), (quoted(good) + &quoted(bad)).as_bytes());
        assert_eq!(block.rows.column(0).data_type(), &ty.arrow());
        assert_eq!(block.rows.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some(kept)], "{ty}");
        let wanted = format!("value '{bad}' on column 'a' is not {ty}");
        assert_eq!(messages(&block, &columns), [(1, vec![wanted])]);
    }
    let columns = vec![Column::required("a", list.clone())];
    let block = decode(columns.clone(), b"\"[1,2.50,null]\"\n[]\n\"[1,x]\"\n\"['3', NULL]\"\n");
    assert_eq!(block.rows.column(0).data_type(), &list.arrow());
    let lists = block.rows.column(0).as_list::<i32>();
    let elements = |row: usize| lists.value(row).as_primitive::<Decimal128Type>().iter().collect::<Vec<_>>();
    assert_eq!(elements(0), [Some(100), Some(250), None]);
    assert_eq!(elements(1), []);
    assert_eq!(elements(2), [Some(300), None]);
    let wanted =
        "value '[1,x]' on column 'a' is not Array(Nullable(Decimal(5, 2))): an element is not Decimal(5, 2)".to_owned();
    assert_eq!(messages(&block, &columns), [(2, vec![wanted])]);
}
