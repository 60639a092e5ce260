//! S3 and STS: the adapter behind [`connector_core::ports::ObjectSource`].
//!
//! Purpose: to list and read buckets so that nothing is lost, mixed up or mistaken, and to turn every refusal into an
//! error that says what to change and where.
//!
//! | module | what it does |
//! |---|---|
//! | [`connection`](S3Connection) | SDK clients, time-outs and credentials of one `.connection` |
//! | `credentials`, `sources` | credentials that renew themselves; `sts:AssumeRole` and the default AWS chain |
//! | [`caller`](caller_identity) | who calls `sts:AssumeRole`, as AWS sees it |
//! | `bucket`, `listing`, `reading` | the port: pages of keys, ranges of bytes |
//! | `integrity` | checksums of whole objects |
//! | `retry` | the one retry loop |
//! | `reply`, `verdict`, [`error`](S3Error) | from an SDK error to an error with a remedy |
//! | `keys`, `text` | key encoding and ETags; server text made fit for messages |

mod bucket;
mod caller;
mod connection;
mod credentials;
mod error;
mod integrity;
mod keys;
mod listing;
mod reading;
mod reply;
mod retry;
mod sources;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

pub use bucket::S3Bucket;
pub use caller::{Identity, caller_identity};
pub use connection::{S3Connection, S3Settings};
pub use error::S3Error;
