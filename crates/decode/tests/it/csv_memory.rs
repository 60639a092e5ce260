//! What a block takes once it is decoded, of files that make much of few bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayData;
use arrow::array::{Array, AsArray};
use arrow::buffer::Buffer;
use bytes::Bytes;
use connector_core::block::Block;
use connector_core::evolve::FilePlan;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use jiff::Timestamp;

use crate::support::{check_block, column, plan};

/// What a block may take, in good and bad rows, however much of it several columns share.
const BYTES_PER_BLOCK: usize = 96 << 20;

/// Decodes a whole file, block by block.
fn blocks(text: &[u8], columns: &[Column], plan: FilePlan, mut each: impl FnMut(Block)) {
    let options = CsvOptions::default();
    let header = read_header(text, true, &options).expect("reads").expect("a header");
    let mut splitter = Splitter::after_header(&options, &header).for_columns(columns.len());
    let schema = Arc::new(TableSchema::new(columns.to_vec()));
    let decoder = CsvDecoder::new(schema, Arc::new(plan), &options, Timestamp::UNIX_EPOCH);
    splitter.push(Bytes::copy_from_slice(&text[header.body_offset..]));
    let mut decode = |raw| {
        let block = decoder.decode(&raw).expect("decodes");
        check_block(&block);
        each(block);
    };
    while let Some(raw) = splitter.next_block(4 << 20).expect("splits") {
        decode(raw);
    }
    splitter.finish().expect("splits").into_iter().for_each(decode);
}

/// What the buffers of a block take, each counted once.
fn allocated(block: &Block) -> usize {
    fn note(data: &ArrayData, found: &mut HashMap<usize, usize>) {
        let nulls = data.nulls().map(|nulls| nulls.buffer());
        let known = |buffer: &Buffer| (buffer.data_ptr().addr().get(), buffer.capacity());
        found.extend(data.buffers().iter().chain(nulls).map(known));
        data.child_data().iter().for_each(|child| note(child, found));
    }
    let mut found = HashMap::new();
    block.rows.columns().iter().for_each(|array| note(&array.to_data(), &mut found));
    let rejected = block.rejected.texts.iter().chain([&block.rejected.raw]);
    rejected.for_each(|texts| note(&texts.to_data(), &mut found));
    found.values().sum()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("c{index}")).collect()
}

#[test]
fn short_records_of_a_wide_file_take_memory_for_the_cells_that_they_have() {
    let columns: Vec<Column> = names(2_000).into_iter().map(|name| Column::nullable(name, ColumnType::Int64)).collect();
    let text = names(2_000).join(",") + "\n" + &"a\n".repeat(500_000);
    let mut records = 0;
    blocks(text.as_bytes(), &columns, plan((0..2_000).map(Some).collect(), 2_000), |block| {
        assert!(block.records <= 2_097, "{} records", block.records);
        assert!(block.memory_bytes() < BYTES_PER_BLOCK, "{}", block.memory_bytes());
        assert!(allocated(&block) < 1 << 20, "{}", allocated(&block));
        records += block.rejected.len();
    });
    assert_eq!(records, 500_000);
}

#[test]
fn columns_that_a_file_lacks_take_memory_once_for_each_type_and_default() {
    for (bad, cell) in [(0, "7"), (1, "x")] {
        let mut columns = vec![Column::nullable("a", ColumnType::Int64)];
        columns.extend(names(500).into_iter().map(|name| column(&name, ColumnType::String, false, None)));
        columns.push(column("d", ColumnType::String, false, Some("x")));
        columns.push(column("n", ColumnType::Int64, false, Some("7")));
        let sources = std::iter::once(Some(0)).chain(std::iter::repeat_n(None, 502)).collect();
        let text = format!("a\n{}", format!("{cell}\n{}", "1\n".repeat(999)).repeat(100));
        let mut rows = 0;
        blocks(text.as_bytes(), &columns, plan(sources, 1), |block| {
            assert!(block.records <= 8_338, "{} records", block.records);
            assert!(block.memory_bytes() < BYTES_PER_BLOCK, "{}", block.memory_bytes());
            assert!(allocated(&block) < 1 << 20, "{}", allocated(&block));
            for (index, wanted) in [(1, ""), (500, ""), (501, "x")] {
                assert!(block.rows.column(index).as_string::<i32>().iter().all(|value| value == Some(wanted)));
            }
            rows += block.rows.num_rows();
        });
        assert_eq!(rows, 100_000 - 100 * bad);
    }
}

#[test]
fn a_default_that_is_no_value_rejects_every_row_with_as_many_errors_as_a_row_keeps() {
    let columns: Vec<Column> =
        names(500).into_iter().map(|name| column(&name, ColumnType::Int64, false, Some("seven"))).collect();
    blocks(b"a\n1\n1,2\n3\n", &columns, plan(vec![None; 500], 1), |block| {
        let errors = |row: usize| block.rejected.errors_of(row).len();
        assert_eq!((block.rows.num_rows(), errors(0), errors(1), errors(2)), (0, 32, 1, 32));
    });
}

#[test]
fn good_rows_between_ragged_ones_are_in_their_places() {
    let columns = vec![
        Column::nullable("a", ColumnType::Int64),
        column("b", ColumnType::String, false, Some("none")),
        column("c", ColumnType::String, false, Some("gone")),
    ];
    let text = b"a,b\n1\n2,x\n3,y,\nz,\n5,\n6\n";
    let mut seen = 0;
    blocks(text, &columns, plan(vec![Some(0), Some(1), None], 2), |block| {
        let ints = block.rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(ints.values(), &[2, 5]);
        assert_eq!(block.rows.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), Some("none")]);
        assert_eq!(block.rows.column(2).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("gone"); 2]);
        assert_eq!(block.row_ordinals(0).collect::<Vec<_>>(), [1, 4]);
        let texts: Vec<Option<&str>> = block.rejected.texts[1].iter().collect();
        assert_eq!(texts, [None, Some("y"), Some(""), None]);
        assert_eq!(block.rejected.errors_of(2)[0].column, Some(0));
        seen += 1;
    });
    assert_eq!(seen, 1);
}
