//! What the ledger knows of object versions, for people and for the audit.

use jiff::Timestamp;
use serde::Serialize;

use crate::history::FileRecord;
use crate::ids::ObjectVersionId;
use crate::revision::{Account, BatchKind};

/// An object version with all that the ledger knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownVersion {
    pub id: ObjectVersionId,
    pub key: String,
    pub bucket: String,
    /// Empty if only the table was asked so far: `datasource adopt` found rows of it there, and no listing has shown it
    /// since.
    pub etag: String,
    /// Bytes; 0 while `etag` is empty.
    pub size: u64,
    /// The epoch while `etag` is empty.
    pub last_modified: Timestamp,
    /// One of `pending`, `claimed`, `ingested`, `quarantined`, `failed`, `skipped`, `deferred`, `gone`.
    pub state: String,
    /// Why, where no result of a batch says it: a code of [`crate::object::SkipReason`], `archived`, `superseded`,
    /// `replaced`, `bucket_changed`.
    pub reason: Option<String>,
    /// Not to be read again before this.
    pub not_before: Option<Timestamp>,
    /// Reads that were put off.
    pub attempts: u32,
    /// It was being read when the process died.
    pub suspect: bool,
    /// How often a child process died over it.
    pub strikes: u32,
    pub first_seen: Timestamp,
    pub account: Account,
    /// How it ended in each batch that had it, oldest first.
    pub results: Vec<KnownResult>,
}

/// How an object version ended in one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownResult {
    /// The batch id that people see.
    pub batch: String,
    pub kind: BatchKind,
    /// The state of the batch: `committed`, `settled`, `staged` or `lost`.
    pub state: String,
    pub ended_at: Option<Timestamp>,
    pub file: FileRecord,
}

/// Where the rows of an object version are by the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    pub id: ObjectVersionId,
    pub key: String,
    /// Empty as in [`KnownVersion::etag`].
    pub etag: String,
    /// Bytes; 0 while `etag` is empty.
    pub size: u64,
    pub state: String,
    pub reason: Option<String>,
    /// Of the rows as they were read last: an object version that is read again after a rollback begins anew.
    pub account: Account,
}
