//! Bytes to blocks: CSV, NDJSON and Parquet files become typed rows, and rows that do not fit are set apart with every reason.
//!
//! Purpose: everything that turns the bytes of one file into [`connector_core::block::Block`]s, without network, clock
//! or actor. All calls are synchronous and use the CPU; [`Pool`] is where they run.
//!
//! | module | what it does |
//! |---|---|
//! | [`compress`] | gzip and zstd, in pieces and within limits |
//! | [`pool`] | OS threads for decoding and encoding, behind an async call; the one place that catches panics |
//! | [`csv`] | header, splitting at record boundaries, decoding of whole records into typed columns |
//! | [`parquet`] | footer checks, lossless casts, blocks of a bounded number of rows |
//! | [`ndjson`] | lines, decoding of JSON objects into typed columns, and their inference |
//! | [`path`] | source paths: where in nested values a column's values are |
//! | [`text`] | splitter and decoder of either text format |
//! | [`infer`] | dialect and schema of a CSV file from a sample, with evidence |
//! | [`spool`] | an unlinked temporary file for objects too large to hold in memory |
//! | [`error`] | what can go wrong, by class and code |
//!
//! A file is hostile until decoded: every limit is checked before memory is taken for it where the format allows, and
//! whatever is wrong with the bytes is a `Data` failure of that file and of no other.

mod columns;
mod defaults;
mod row_errors;
mod value;

pub mod compress;
pub mod csv;
pub mod error;
pub mod infer;
pub mod ndjson;
pub mod parquet;
pub mod path;
pub mod pool;
pub mod spool;
pub mod text;

pub use error::DecodeError;
pub use pool::{JobLost, Pool, StuckRules};
