//! Values that readers of Delta Lake cannot tell from NULL in a partition column, in any format of text.

use std::sync::Arc;

use arrow::array::AsArray;
use connector_core::block::Block;
use connector_core::expr::Expr;
use connector_core::schema::{Column, ColumnDefault, TableSchema};
use connector_core::types::{ColumnType, EnumType};
use connector_decode::csv::{CsvDecoder, CsvOptions};
use connector_decode::ndjson::NdjsonDecoder;
use jiff::Timestamp;

use crate::support::{check_block, column, messages, plain_plan, plan, raw_block};

fn table(p: Column) -> TableSchema {
    let columns = vec![Column::nullable("a", ColumnType::Int64), p];
    TableSchema { partition: Some("p".to_owned()), ..TableSchema::new(columns) }
}

fn csv(table: &TableSchema, text: &[u8]) -> Block {
    let (schema, plan) = (Arc::new(table.clone()), Arc::new(plain_plan(2)));
    let decoder = CsvDecoder::new(schema, plan, &CsvOptions::default(), Timestamp::UNIX_EPOCH);
    let block = decoder.decode(&raw_block(text)).expect("decodes");
    check_block(&block);
    block
}

const EMPTY: &str = "an empty text cannot be the value of the partition column 'p'";
const RESERVED: &str = "the text '__HIVE_DEFAULT_PARTITION__' cannot be the value of the partition column 'p'";

fn reasons(block: &Block, table: &TableSchema) -> Vec<(u64, Vec<String>)> {
    let first = |text: String| text.split(": ").next().unwrap_or_default().to_owned();
    let found = messages(block, &table.columns).into_iter();
    found.map(|(ordinal, texts)| (ordinal, texts.into_iter().map(first).collect())).collect()
}

#[test]
fn a_row_whose_partition_would_come_back_as_null_is_rejected() {
    let table = table(Column::nullable("p", ColumnType::String));
    let text = b"1,x\n2,\"\"\n3\n4,\n5,__HIVE_DEFAULT_PARTITION__\nsix,\"\"\n7,__hive_default_partition__\n";
    let block = csv(&table, text);
    let values = block.rows.column(1).as_string::<i32>();
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some("x"), None, Some("__hive_default_partition__")]);
    let wrong = "value 'six' on column 'a' is not Int64".to_owned();
    let ragged = "the record has 1 field, the header has 2 fields".to_owned();
    let wanted = [
        (1, vec![EMPTY.to_owned()]),
        (2, vec![ragged]),
        (4, vec![RESERVED.to_owned()]),
        (5, vec![EMPTY.to_owned(), wrong]),
    ];
    assert_eq!(reasons(&block, &table), wanted);
    assert_eq!(block.rejected.errors_of(0)[0].column, Some(1));

    let lines = b"{\"a\":1,\"p\":\"x\"}\n{\"a\":2,\"p\":\"\"}\nno\n{\"a\":4}\n{\"p\":\"__HIVE_DEFAULT_PARTITION__\"}\n";
    let schema = Arc::new(table.clone());
    let reference: Arc<[String]> = Arc::new([]);
    let decoder = NdjsonDecoder::new(schema, Arc::new(plain_plan(2)), reference, Timestamp::UNIX_EPOCH);
    let block = decoder.decode(&raw_block(lines)).expect("decodes");
    check_block(&block);
    assert_eq!(block.rejected.ordinals, [1, 2, 4]);
    assert_eq!(reasons(&block, &table)[0].1, [EMPTY]);
    assert_eq!(reasons(&block, &table)[2].1, [RESERVED]);
}

#[test]
fn it_does_not_matter_where_the_empty_text_comes_from_or_how_it_is_kept() {
    let labels = EnumType { wide: false, labels: Arc::new([(String::new(), 1), ("b".to_owned(), 2)]) };
    let copy = ColumnDefault::Expression(Expr::Column("s".to_owned()));
    for p in [
        Column::required("p", ColumnType::String),
        column("p", ColumnType::String, false, Some("__HIVE_DEFAULT_PARTITION__")),
        column("p", ColumnType::FixedString(3), false, Some("")),
        column("p", ColumnType::Enum(labels), false, Some("")),
        Column { default: Some(copy), ..Column::required("p", ColumnType::String) },
    ] {
        let mut table = table(p);
        table.columns.push(Column::required("s", ColumnType::String));
        // The file has the column, or lacks it.
        for source in [Some(1), None] {
            let plan = Arc::new(plan(vec![Some(0), source, Some(2)], 3));
            let schema = Arc::new(table.clone());
            let decoder = CsvDecoder::new(schema, plan, &CsvOptions::default(), Timestamp::UNIX_EPOCH);
            let block = decoder.decode(&raw_block(b"1,,\n2\n3,,\n")).expect("decodes");
            check_block(&block);
            assert_eq!(block.rows.num_rows(), 0, "{:?}", table.columns[1]);
            let found = reasons(&block, &table);
            assert!(found[0].1 == [EMPTY] || found[0].1 == [RESERVED], "{found:?}");
            assert_eq!(found[2].1, found[0].1);
        }
    }
}

#[test]
fn other_columns_and_tables_without_partitions_take_empty_texts() {
    let mut plain = table(Column::nullable("p", ColumnType::String));
    plain.partition = None;
    assert!(csv(&plain, b"1,\"\"\n").rejected.is_empty());
    plain.partition = Some("a".to_owned());
    assert!(csv(&plain, b"1,\"\"\n,__HIVE_DEFAULT_PARTITION__\n").rejected.is_empty());
}
