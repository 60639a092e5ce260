//! Tests of the crate from outside: one binary.

#[cfg(test)]
mod corpora;
mod csv_decode;
mod header;
mod hostile_parquet;
mod infer;
mod parquet_files;
mod splitter;
mod support;
