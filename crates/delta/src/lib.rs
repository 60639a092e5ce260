//! The Delta Lake destination: [`DeltaTable`] implements [`connector_core::ports::Destination`] in a local
//! directory or in an S3 bucket.
//!
//! Purpose: rows land exactly once. Data files are written and synced first, referred to by nobody; then one commit
//! adds them together with `txn(app id, seq)` and the batch uuid. What a commit's outcome was is never guessed: the
//! log entry itself says it.
//!
//! | module | what it holds |
//! |---|---|
//! | `table` | [`DeltaTable`]: the port, and what is kept between commits |
//! | `kernel` | every call into `delta_kernel`: snapshot, create, append, checkpoint |
//! | `committer` | the one write that matters: a log entry, put once, with a lost answer settled by reading it back |
//! | `log` | log entries as files: read, put, find the batch that a `txn` came with |
//! | `writer`, `data_file` | data files in Parquet, one for each partition value |
//! | `stats`, `partition` | what the log says of a data file: the statistics that readers prune by, the partition value |
//! | `active` | the data files that the newest version refers to |
//! | `identity` | which rows a data file holds, by their provenance |
//! | `removal`, `rewrite` | rows that leave with a commit: which data files hold them, and what is left of those |
//! | `rearrange` | the commit that moves rows and changes none |
//! | `fit` | whether staged data files still fit a table that others may have altered |
//! | `upkeep` | compaction, log retention, vacuum, and finding what has expired |
//! | `scan` | [`TableScan`]: the rows of a table, for people |
//! | `schema_map` | column types to Delta types and back |
//! | `storage` | where all of that is: a directory or a bucket; durable files, ranged reads, uploads, conditional puts |
//! | `files` | looking at Parquet files |
//! | `error` | [`DeltaError`] |
//!
//! Blocking work runs on the runtime that [`DeltaTable::open`] is given, never on the caller's thread.

mod active;
mod committer;
mod data_file;
mod error;
mod files;
mod fit;
mod identity;
mod kernel;
mod log;
mod partition;
mod rearrange;
mod removal;
mod rewrite;
mod scan;
mod schema_map;
mod stats;
mod storage;
mod table;
mod upkeep;
mod writer;

#[cfg(test)]
mod tests;

pub use error::DeltaError;
pub use scan::TableScan;
pub use storage::{Location, S3Location, Tried};
pub use table::DeltaTable;
