//! Tests of the crate from outside: one binary.

mod cases_compress;
mod cases_csv;
mod cases_infer;
mod cases_ndjson;
mod cases_parquet;
mod compress;
#[cfg(test)]
mod corpora;
mod csv_absent;
mod csv_decode;
mod csv_memory;
mod csv_partition;
mod csv_properties;
mod csv_tails;
mod header;
mod hostile_parquet;
mod infer;
mod ndjson;
mod parquet_files;
mod parquet_types;
mod parquet_values;
mod path;
mod reference;
mod same_value;
mod splitter;
mod support;
