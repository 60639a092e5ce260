//! The Delta Lake destination: [`DeltaTable`] implements [`connector_core::ports::Destination`] on a local directory.
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
//! | `scan` | [`TableScan`]: the rows of a table, for people |
//! | `schema_map` | column types to Delta types and back |
//! | `files` | making files and directories durable |
//! | `error` | [`DeltaError`] |
//!
//! Blocking work runs on the runtime that [`DeltaTable::new`] is given, never on the caller's thread.

mod committer;
mod data_file;
mod error;
mod files;
mod kernel;
mod log;
mod partition;
mod scan;
mod schema_map;
mod stats;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use error::DeltaError;
pub use scan::TableScan;
pub use table::DeltaTable;
