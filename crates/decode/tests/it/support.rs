//! What the tests share: oracles and shorthands.

use std::sync::Arc;

use arrow::array::Array;
use bytes::Bytes;
use connector_core::binding::{Bound, bind};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::evolve::FilePlan;
use connector_core::schema::{Column, ColumnDefault, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock};
use connector_decode::parquet::{ParquetFile, ParquetSource};
use jiff::Timestamp;

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
    let default = default.map(|text| ColumnDefault::Literal(text.to_owned()));
    Column { nullable, default, ..Column::nullable(name, ty) }
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The plan of a file that fits, with these columns as sources.
pub fn plan(sources: Vec<Option<usize>>, file_columns: usize) -> FilePlan {
    FilePlan { bound: Bound { sources, file_columns }, unknown: Vec::new(), causes: Vec::new(), context: String::new() }
}

/// The plan of a file with exactly this many columns, those of the table.
pub fn plain_plan(columns: usize) -> FilePlan {
    plan((0..columns).map(Some).collect(), columns)
}

pub fn raw_block(text: &[u8]) -> RawBlock {
    RawBlock { bytes: Bytes::copy_from_slice(text), offset: 0, line: 1, unterminated: None }
}

/// Decodes one block of records whose file has exactly the schema's columns.
pub fn decode(columns: Vec<Column>, text: &[u8]) -> Block {
    decode_with(columns, text, &CsvOptions::default())
}

pub fn decode_with(columns: Vec<Column>, text: &[u8], options: &CsvOptions) -> Block {
    let plan = plain_plan(columns.len());
    decode_as(columns, plan, &raw_block(text), options)
}

pub fn decode_as(columns: Vec<Column>, plan: FilePlan, block: &RawBlock, options: &CsvOptions) -> Block {
    let decoder = CsvDecoder::new(Arc::new(TableSchema::new(columns)), Arc::new(plan), options, Timestamp::UNIX_EPOCH);
    let block = decoder.decode(block).expect("decodes");
    check_block(&block);
    block
}

/// Opens a Parquet file, infers its schema and reads everything.
pub fn read_all(source: ParquetSource, batch_rows: usize) -> Result<(TableSchema, Vec<Block>), Failure> {
    let file = ParquetFile::open(source)?;
    let schema = file.infer()?.schema;
    let blocks = read_as(&file, schema.clone(), batch_rows)?;
    Ok((schema, blocks))
}

/// Reads everything of an open Parquet file as this schema.
pub fn read_as(file: &ParquetFile, schema: TableSchema, batch_rows: usize) -> Result<Vec<Block>, Failure> {
    let bound = bind(&schema, &file.columns());
    let plan = FilePlan { bound, unknown: Vec::new(), causes: Vec::new(), context: String::new() };
    let blocks = file.blocks(Arc::new(schema), Arc::new(plan), Timestamp::UNIX_EPOCH, batch_rows, usize::MAX)?;
    blocks.collect()
}

/// The messages of all rejected rows of a block of this table, with their ordinals.
pub fn messages(block: &Block, columns: &[Column]) -> Vec<(u64, Vec<String>)> {
    let table = TableSchema::new(columns.to_vec());
    let rejected = &block.rejected;
    let texts = |row: usize| {
        rejected.errors_of(row).iter().map(|error| rejected.message(row, error, &table)).collect::<Vec<String>>()
    };
    rejected.ordinals.iter().enumerate().map(|(row, ordinal)| (*ordinal, texts(row))).collect()
}

/// The raw records of all rejected rows.
pub fn raw(block: &Block) -> Vec<Option<&str>> {
    block.rejected.raw.iter().collect()
}

/// The texts of all rejected rows, row by row.
pub fn texts(block: &Block) -> Vec<Vec<Option<&str>>> {
    let rejected = &block.rejected;
    (0..rejected.len())
        .map(|row| rejected.texts.iter().map(|texts| texts.iter().nth(row).flatten()).collect())
        .collect()
}

/// What holds for every block.
pub fn check_block(block: &Block) {
    let rejected = &block.rejected;
    assert_eq!(block.rows.num_rows() as u64 + rejected.len() as u64, block.records);
    assert!(rejected.ordinals.is_sorted_by(|a, b| a < b));
    assert!(rejected.ordinals.iter().all(|ordinal| *ordinal < block.records));
    assert!((0..rejected.len()).all(|row| !rejected.errors_of(row).is_empty()));
    assert!(rejected.texts.iter().chain([&rejected.raw]).all(|texts| texts.len() == rejected.len()));
    assert_eq!(rejected.texts.len(), block.rows.num_columns());
    assert_eq!(block.row_ordinals(0).count(), block.rows.num_rows());
}
