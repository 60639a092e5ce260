//! Text behind a closing quote: whatever it has swallowed goes to quarantine, whole.

use connector_core::csv::CsvDialect;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvOptions, RawBlock};

use crate::support::{decode, decode_as, decode_with, messages, plain_plan, raw, raw_block};

fn columns() -> Vec<Column> {
    vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::String)]
}

#[test]
fn a_record_that_has_swallowed_lines_is_rejected_and_says_where_and_how_many() {
    let block = RawBlock { line: 2, ..raw_block(b"1,x\r\n\r\n2,\"b, c\n3,d\r\n4,\"e\"\n5,y\n6,\"f\"g\n7,\"h\"\n") };
    let block = decode_as(columns(), plain_plan(2), &block, &CsvOptions::default());
    assert_eq!(block.row_ordinals(0).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(raw(&block), [Some("2,\"b, c\n3,d\r\n4,\"e\""), Some("6,\"f\"g")]);
    let found = messages(&block, &columns());
    let remedy = "; double each quote within a quoted cell and upload the file again";
    let swallowed = "text stands behind the closing quote of a cell whose quote opens on line 4 of the file: the record \
                     has 2 line ends in it and may have swallowed the lines behind it";
    assert_eq!(found[0], (1, vec![format!("{swallowed}{remedy}")]));
    assert_eq!(found[1], (3, vec![format!("text stands behind the closing quote of a cell{remedy}")]));
    assert_eq!(block.rejected.errors_of(0)[0].column_name(&TableSchema::new(columns())), "");
}

#[test]
fn the_line_is_that_of_the_quote_behind_which_text_stands() {
    // The first cell holds a line of its own.
    let block = decode(columns(), b"1,\"x\ny\"\n\"2\n\",\"p\nq\"r\n");
    assert_eq!(messages(&block, &columns())[0].0, 1);
    let message = &messages(&block, &columns())[0].1[0];
    assert!(message.contains("opens on line 4 ") && message.contains("has 2 line ends"), "{message}");
}

#[test]
fn only_a_delimiter_a_line_end_or_the_end_may_follow_a_closing_quote() {
    let good = [
        "\"1\",\"x\"\n",
        "\"1\",\"x\"\r\n",
        "\"1\",\"x\"\r",
        "\"1\",\"x\"",
        "1,\"\"\"\"\n",
        "1,x\"y\"z\n",
        "1, \"x\"y\n",
    ];
    for text in good {
        assert_eq!(decode(columns(), text.as_bytes()).rejected.len(), 0, "{text:?}");
    }
    for text in ["\"1\" ,x\n", "1,\"x\" \n", "1,\"x\"\0\n", "1,\"\"\"x\"y", "1,\"x\"y\"\n", "\"1\"\",x\n,\"y\"\n"] {
        let block = decode(columns(), text.as_bytes());
        assert_eq!((block.rejected.len(), block.rejected.errors_of(0).len()), (1, 1), "{text:?}");
    }
    let dialect = CsvDialect { delimiter: b';', quote: Some(b'\''), ..CsvDialect::default() };
    let block = decode_with(columns(), b"1;'x'\n2;'x',\n3;\"x\"y\n", &CsvOptions::new(dialect));
    assert_eq!(block.rejected.ordinals, [1]);
    let unquoted = CsvOptions::new(CsvDialect { quote: None, ..CsvDialect::default() });
    assert!(decode_with(columns(), b"1,\"x\"y\n", &unquoted).rejected.is_empty());
}

#[test]
fn a_record_that_is_cut_as_well_says_both() {
    let block = RawBlock { unterminated: Some(2), ..raw_block(b"1,x\n\"2\n\"y,\"z\n3,w\n") };
    let block = decode_as(columns(), plain_plan(2), &block, &CsvOptions::default());
    let found = messages(&block, &columns());
    assert_eq!((block.rows.num_rows(), found.len(), found[0].1.len()), (1, 1, 2));
    assert!(found[0].1[0].starts_with("text stands") && found[0].1[1].contains("is never closed"), "{found:?}");
}

#[test]
fn messages_take_no_more_memory_than_their_records() {
    let text = "\"\n\"x,y\n".repeat(100_000);
    let block = decode(columns(), text.as_bytes());
    assert_eq!(block.rejected.len(), 100_000);
    let found = messages(&block, &columns());
    let distinct: std::collections::HashSet<&String> = found.iter().map(|(_, texts)| &texts[0]).collect();
    assert!(distinct.len() < 1_000, "{}", distinct.len());
    assert!(found.iter().all(|(_, texts)| texts[0].contains("1 line end in it")));
}
