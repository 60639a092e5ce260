//! What the tests share: oracles and shorthands.

use std::sync::Arc;

use bytes::Bytes;
use connector_core::binding::{Binding, bind};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock};
use connector_decode::parquet::{ParquetFile, ParquetSource};

/// All records, as the `csv` crate reads them. The line end in front is a blank line; it keeps the crate from taking
/// a byte order mark at the start of a block away.
pub fn records(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let input = [b"\n", bytes].concat();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input.as_slice());
    reader.byte_records().map(|record| record.expect("bytes in memory").iter().map(<[u8]>::to_vec).collect()).collect()
}

/// Whether the input ends inside a quoted field: whatever follows is swallowed. (No test input holds `~~`.)
pub fn ends_in_quotes(bytes: &[u8]) -> bool {
    let probe = [bytes, b"\n~~"].concat();
    records(&probe).last().is_none_or(|record| record != &[b"~~".to_vec()])
}

pub fn column(name: &str, ty: ColumnType, nullable: bool, default: Option<&str>) -> Column {
    Column { nullable, default: default.map(str::to_owned), ..Column::nullable(name, ty) }
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Decodes one block of records whose file has exactly the schema's columns.
pub fn decode(columns: Vec<Column>, text: &[u8]) -> Block {
    decode_with(columns, text, &CsvOptions::default())
}

pub fn decode_with(columns: Vec<Column>, text: &[u8], options: &CsvOptions) -> Block {
    let sources = (0..columns.len()).collect();
    let binding = Binding { sources, file_columns: columns.len() };
    let decoder = CsvDecoder::new(Arc::new(TableSchema::new(columns)), Arc::new(binding), options);
    decoder.decode(&RawBlock { bytes: Bytes::copy_from_slice(text), offset: 0 }).expect("decodes")
}

/// Opens a Parquet file, infers its schema and reads everything.
pub fn read_all(source: ParquetSource, batch_rows: usize) -> Result<(TableSchema, Vec<Block>), Failure> {
    let file = ParquetFile::open(source)?;
    let schema = file.infer()?;
    let blocks = read_as(&file, schema.clone(), batch_rows)?;
    Ok((schema, blocks))
}

/// Reads everything of an open Parquet file as this schema.
pub fn read_as(file: &ParquetFile, schema: TableSchema, batch_rows: usize) -> Result<Vec<Block>, Failure> {
    let binding = bind(&schema, &file.columns(), None)?;
    let blocks = file.blocks(Arc::new(schema), Arc::new(binding), batch_rows, usize::MAX)?;
    blocks.collect()
}

/// The messages of all rejected rows, with their ordinals.
pub fn messages(block: &Block) -> Vec<(u64, Vec<String>)> {
    let texts =
        |row: &connector_core::block::RejectedRow| row.errors.iter().map(|error| error.message.clone()).collect();
    block.rejected.iter().map(|row| (row.ordinal, texts(row))).collect()
}

/// What holds for every block.
pub fn check_block(block: &Block) {
    assert_eq!(block.rows.num_rows() as u64 + block.rejected.len() as u64, block.records);
    assert!(block.rejected.is_sorted_by(|a, b| a.ordinal < b.ordinal));
    assert!(block.rejected.iter().all(|row| row.ordinal < block.records && !row.errors.is_empty()));
    assert_eq!(block.row_ordinals(0).count(), block.rows.num_rows());
}
