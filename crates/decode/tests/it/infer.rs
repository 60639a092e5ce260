//! Inference, and that what it infers decodes.

use std::sync::Arc;

use bytes::Bytes;
use connector_core::binding::bind;
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock, read_header};
use connector_decode::infer;
use proptest::prelude::*;

use crate::support::{check_block, names};

const TIME: ColumnType = ColumnType::DateTime64 { precision: 6 };

fn types(text: &str) -> Vec<ColumnType> {
    let inferred = infer::csv(text.as_bytes(), true, &CsvOptions::default()).expect("infers");
    inferred.schema.columns.iter().map(|column| column.ty).collect()
}

fn type_of(values: &[&str]) -> ColumnType {
    types(&format!("a,b\n{}", values.iter().map(|value| format!("{value},\n")).collect::<String>()))[0]
}

#[test]
fn types_are_those_that_no_value_contradicts() {
    let cases: [(&[&str], ColumnType); 22] = [
        (&["1", "-2", ""], ColumnType::Int64),
        (&["0", "1"], ColumnType::Int64),
        (&["1", "2.5"], ColumnType::Float64),
        (&["1e5", ".5", "-0.25"], ColumnType::Float64),
        (&["true", "False"], ColumnType::Bool),
        (&["yes", "no"], ColumnType::String),
        (&["true", "1"], ColumnType::String),
        (&["2024-02-29"], ColumnType::Date),
        (&["2023-02-29"], ColumnType::String),
        (&["2024-02-29 10:00:00", "2024-02-29T10:00:00.5Z"], TIME),
        (&["2024-02-29", "2024-02-29 10:00:00"], ColumnType::String),
        (&["007", "8"], ColumnType::String),
        (&["-01"], ColumnType::String),
        (&["00.5"], ColumnType::String),
        (&["+49301234"], ColumnType::String),
        (&["9223372036854775807"], ColumnType::Int64),
        (&["9223372036854775808"], ColumnType::String),
        (&["9007199254740993", "0.5"], ColumnType::String),
        (&["0.1234567890123456789"], ColumnType::String),
        (&["1e400"], ColumnType::String),
        (&["", ""], ColumnType::String),
        (&["1", "NaN"], ColumnType::String),
    ];
    for (values, wanted) in cases {
        assert_eq!(type_of(values), wanted, "{values:?}");
    }
}

#[test]
fn all_columns_are_nullable_and_keep_the_names_of_the_file() {
    let inferred = infer::csv(b"first name,ID\n", true, &CsvOptions::default()).expect("infers");
    let columns: Vec<_> = inferred.schema.columns.iter().map(|c| (c.name.as_str(), c.source.as_str())).collect();
    assert_eq!(columns, [("first_name", "first name"), ("ID", "ID")]);
    assert!(inferred.schema.columns.iter().all(|column| column.nullable && column.ty == ColumnType::String));
    assert_eq!(inferred.file_columns, names(&["first name", "ID"]));
}

#[test]
fn repeated_names_bind_each_to_its_own_column_or_are_refused() {
    let inferred = infer::csv(b"a,a,A,a b,a-b,,\n1,2,3,4,5,6,7\n", true, &CsvOptions::default()).expect("infers");
    let binding = bind(&inferred.schema, &inferred.file_columns, None).expect("binds");
    assert_eq!(binding.sources, [0, 1, 2, 3, 4, 5, 6]);
    let error = infer::csv(b"a,a,a_2\n1,2,3\n", true, &CsvOptions::default()).expect_err("ambiguous");
    assert_eq!(error.code, "duplicate_column");
}

#[test]
fn a_record_that_the_sample_cuts_is_ignored_unless_it_is_the_whole_file() {
    let text = b"a,b\n1,2\n3,four";
    let of = |whole| infer::csv(text, whole, &CsvOptions::default()).expect("infers").schema.columns[1].ty;
    assert_eq!(of(false), ColumnType::Int64);
    assert_eq!(of(true), ColumnType::String);
    let error = infer::csv(b"a,b,c", false, &CsvOptions::default()).expect_err("no header yet");
    assert_eq!(error.code, "record_too_long");
}

proptest! {
    #[test]
    fn whatever_is_inferred_decodes_without_a_rejected_row(
        rows in prop::collection::vec(prop::collection::vec(
            prop_oneof![
                "-?[0-9]{0,20}", "[0-9]{1,3}\\.[0-9]{0,3}", "(true|false)", "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
                "2024-01-0[0-9] 1[0-9]:00:00(\\.[0-9]{1,7})?(Z|\\+01:00)?", "[ a-z0-9.eE+-]{0,6}",
            ], 3), 1..6),
        column in 0usize..3,
    ) {
        // One kind of value for most columns, so that something else than String comes out.
        let kind = rows[0][column].clone();
        let lines: String = rows.iter().map(|row| format!("{},{kind},{}\n", row[0], row[2])).collect();
        let text = format!("x,y,z\n{lines}");
        let options = CsvOptions { inferred: true, ..CsvOptions::default() };
        let inferred = infer::csv(text.as_bytes(), true, &options).expect("infers");
        let binding = bind(&inferred.schema, &inferred.file_columns, None).expect("binds");
        let header = read_header(text.as_bytes(), true, &options).expect("reads").expect("a header");
        let decoder = CsvDecoder::new(Arc::new(inferred.schema), Arc::new(binding), &options);
        let bytes = Bytes::copy_from_slice(&text.as_bytes()[header.body_offset..]);
        let block = decoder.decode(&RawBlock { bytes, offset: 0 }).expect("decodes");
        check_block(&block);
        prop_assert_eq!(block.rejected.len(), 0, "{:?}", block.rejected);
    }
}

#[test]
fn floats_whose_digits_do_not_survive_stay_strings() {
    for text in ["1.0000000000000001", "9007199254740993.0", "0.12345678901234567", "1.23456789012345e-320", "1e-400"] {
        assert_eq!(type_of(&[text]), ColumnType::String, "{text}");
    }
    for text in ["0.123456789012345", "0.30000000000000004", "9007199254740992.0", "1.50000000000000000000", "0e-400"] {
        assert_eq!(type_of(&[text]), ColumnType::Float64, "{text}");
    }
    assert_eq!(type_of(&["-0"]), ColumnType::Float64);
}

#[test]
fn a_header_with_another_delimiter_and_no_comma_is_refused_by_name() {
    for (head, delimiter) in [("id;name\n1;a\n", "';'"), ("id\tname\n1\ta\n", "'\\t'"), ("id|name\n1|a\n", "'|'")] {
        let failure = infer::csv(head.as_bytes(), true, &CsvOptions::default()).expect_err(head);
        assert_eq!(failure.code, "delimiter");
        assert!(failure.message.contains(delimiter), "{failure}");
    }
    assert!(infer::csv(b"id;x,name\n1,a\n", true, &CsvOptions::default()).is_ok(), "it has a comma");
}
