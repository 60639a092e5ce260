//! The actors against doubles of S3 and of the table, and against the real ledger in memory.

mod clock;
mod compressed;
mod cron;
mod doubles;
mod evolving;
mod marks;
mod pins;
mod pipeline;
mod poison;
mod reconfigure;
mod revisions;
mod table;
mod trouble;
