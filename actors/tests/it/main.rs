//! The actors against doubles of S3 and of the table, and against the real ledger in memory.

mod compressed;
mod doubles;
mod evolving;
mod pins;
mod pipeline;
mod trouble;
