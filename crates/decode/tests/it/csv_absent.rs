//! What an empty cell, a quoted empty cell and a null spelling become, by type and by what the column says.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use connector_core::csv::CsvDialect;
use connector_core::schema::Column;
use connector_core::types::{ColumnType, EnumType};
use connector_decode::csv::CsvOptions;
use proptest::prelude::*;

use crate::reference;
use crate::support::{column, decode, decode_with, messages, texts};

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
    assert!(block.rejected.is_empty());
    assert!(block.rows.column(0).is_null(0) && block.rows.column(4).is_null(0));
    assert_eq!(block.rows.column(1).as_primitive::<Int64Type>().values(), &[7, 2]);
    assert_eq!(block.rows.column(2).as_string::<i32>().value(0), "");
    assert_eq!(block.rows.column(3).as_string::<i32>().value(0), "none");

    let columns = vec![column("a", ColumnType::Date, false, None), Column::nullable("b", ColumnType::String)];
    let block = decode(columns.clone(), b",x\n");
    assert_eq!(messages(&block, &columns), [(0, vec!["value '' on column 'a' is not Date".to_owned()])]);
    assert_eq!(texts(&block), [[Some(""), Some("x")]]);
    let bad_default = column("a", ColumnType::Int64, false, Some("seven"));
    let columns = vec![bad_default, Column::nullable("b", ColumnType::String)];
    let block = decode(columns.clone(), b",x\n");
    assert_eq!(messages(&block, &columns), [(0, vec!["value '' on column 'a' is not Int64".to_owned()])]);
}

#[test]
fn an_empty_cell_in_quotes_is_the_empty_text_where_there_is_one() {
    let labels = |labels: &[&str]| {
        let labels = labels.iter().zip(0i16..).map(|(label, number)| ((*label).to_owned(), number));
        ColumnType::Enum(EnumType { wide: false, labels: labels.collect::<Vec<_>>().into() })
    };
    // What `""` becomes in a nullable column: None is NULL.
    let cases = [
        (ColumnType::String, Some(Some(""))),
        (ColumnType::FixedString(2), Some(Some(""))),
        (labels(&["", "a"]), Some(Some(""))),
        (labels(&["a"]), Some(None)),
        (ColumnType::Uuid, Some(None)),
        (ColumnType::Json, None),
    ];
    for (ty, wanted) in cases {
        let columns = vec![Column::nullable("a", ty.clone()), Column::nullable("b", ColumnType::Int64)];
        let block = decode(columns.clone(), b"\"\",1\n,2\n");
        let found = block.rows.column(0).as_string::<i32>();
        match wanted {
            Some(wanted) => assert_eq!(found.iter().collect::<Vec<_>>(), [wanted, None], "{ty}"),
            None => assert_eq!(messages(&block, &columns), [(0, vec![format!("value '' on column 'a' is not {ty}")])]),
        }
    }
    let columns = vec![Column::required("a", ColumnType::Int64), Column::nullable("b", ColumnType::Int64)];
    let block = decode(columns.clone(), b"\"\",1\n");
    assert_eq!(messages(&block, &columns), [(0, vec!["value '' on column 'a' is not Int64".to_owned()])]);
}

fn nulls(spellings: &[&str], configured: bool) -> CsvOptions {
    let nulls = spellings.iter().map(|text| (*text).to_owned()).collect();
    CsvOptions::new(CsvDialect { nulls, nulls_configured: configured, ..CsvDialect::default() })
}

#[test]
fn null_spellings_hold_outside_of_quotes_and_in_texts_only_if_they_are_configured() {
    let codes = EnumType { wide: false, labels: Arc::new([("NA".to_owned(), 1), ("BW".to_owned(), 2)]) };
    let columns = vec![
        Column::nullable("i", ColumnType::Int64),
        Column::nullable("s", ColumnType::String),
        Column::nullable("f", ColumnType::FixedString(2)),
        Column::nullable("e", ColumnType::Enum(codes)),
        Column::nullable("u", ColumnType::Uuid),
    ];
    let text = b"NA,NA,NA,NA,NA\n\\N,\"NA\",\"NA\",BW,\\N\n\"NA\",,,,\nna,,,,\n";
    for configured in [true, false] {
        let block = decode_with(columns.clone(), text, &nulls(&["NA", "\\N"], configured));
        let strings = |index: usize| block.rows.column(index).as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(block.rows.column(0).null_count(), 2);
        let first = if configured { None } else { Some("NA") };
        assert_eq!(strings(1), [first, Some("NA")]);
        assert_eq!(strings(2), [first, Some("NA")]);
        assert_eq!(strings(3), [first, Some("BW")]);
        assert_eq!(strings(4), [None, None]);
        let wanted = ["value 'NA' on column 'i' is not Int64", "value 'na' on column 'i' is not Int64"];
        let found: Vec<(u64, Vec<String>)> = messages(&block, &columns);
        assert_eq!(found, [(2, vec![wanted[0].to_owned()]), (3, vec![wanted[1].to_owned()])]);
    }
}

#[test]
fn the_text_of_a_null_spelling_is_kept_where_its_row_is_rejected() {
    let columns = vec![Column::required("a", ColumnType::Int64), Column::nullable("b", ColumnType::Int64)];
    let block = decode_with(columns.clone(), b"NA,\n", &nulls(&["NA"], true));
    assert_eq!(texts(&block), [[Some("NA"), Some("")]]);
    assert_eq!(messages(&block, &columns), [(0, vec!["value 'NA' on column 'a' is not Int64".to_owned()])]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3_000) })]

    #[test]
    fn which_cells_are_quoted_is_what_a_byte_by_byte_reader_says(
        bytes in prop::collection::vec(prop::sample::select(b"\"\"\"\"',,,;;\n\rNA x".to_vec()), 0..80),
        (delimiter, quote) in prop::sample::select(vec![(b',', Some(b'"')), (b';', Some(b'\'')), (b',', None)]),
    ) {
        let dialect = CsvDialect {
            delimiter,
            quote,
            nulls: vec!["NA".to_owned(), "x".to_owned()],
            nulls_configured: true,
            ..CsvDialect::default()
        };
        let reference = reference::read(&bytes, delimiter, quote);
        // All records in one block, once for each width that one of them has.
        let widths: std::collections::BTreeSet<usize> = reference.records.iter().map(|r| r.cells.len()).collect();
        for width in widths {
            let columns = (0..width).map(|index| Column::nullable(format!("c{index}"), ColumnType::String)).collect();
            let block = decode_with(columns, &bytes, &CsvOptions::new(dialect.clone()));
            let good = reference.records.iter().filter(|record| record.cells.len() == width && !record.has_tail);
            for (row, record) in good.enumerate() {
                for (column, (text, quoted)) in record.cells.iter().enumerate() {
                    let absent = !quoted && matches!(text.as_slice(), b"" | b"NA" | b"x");
                    let found = block.rows.column(column).as_string::<i32>();
                    prop_assert_eq!(found.is_null(row), absent, "{:?}", record);
                    prop_assert!(absent || found.value(row).as_bytes() == text);
                }
            }
        }
    }
}
