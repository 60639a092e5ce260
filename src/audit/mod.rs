//! `audit`: a fresh listing, the ledger and both tables of an import, compared. The decisions are in
//! [`connector_core::audit`]; here they are fed.
//!
//! | file | what it does |
//! |---|---|
//! | `rest` | waits for a moment at which ledger and tables tell of the same batches |
//! | `rows` | the rows of both tables against the ledger's accounts, in two passes |
//! | `bucket` | the listing against the ledger |
//!
//! Works beside a running program: nothing is locked and nothing is written.

mod bucket;
mod rest;
mod rows;

pub use self::rest::without_ledger;

use connector_core::audit::{Defect, KeyFinding, Ordinals, Sums};
use connector_core::ids::BatchSeq;
use connector_core::spec::ImportSpec;
use connector_delta::DeltaTable;
use connector_ledger::LedgerReader;
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;

/// Audits one import.
pub struct Auditor<'a> {
    pub spec: &'a ImportSpec,
    pub ledger: &'a LedgerReader,
    pub table: DeltaTable,
    pub quarantine: DeltaTable,
    pub io: Handle,
    pub now: Timestamp,
}

/// What the tables hold, against the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowReport {
    /// The last batch that is in both.
    pub committed_seq: BatchSeq,
    pub sums: Sums,
    /// Rows without provenance, which another program wrote.
    pub nameless: u64,
    pub findings: Vec<VersionFinding>,
    /// Object versions with something wrong beside those in `findings`.
    pub versions_beside: u64,
}

/// Something wrong with rows of an object version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionFinding {
    pub kind: Defect,
    /// As its rows name it, or the ledger.
    pub key: Option<String>,
    /// `_s3_version` of its rows.
    pub version: String,
    /// Its state in the ledger; `None` if the ledger does not know it.
    pub state: Option<String>,
    /// The batch that brought it.
    pub batch: Option<String>,
    pub rows: u64,
    /// Which rows, from 0: pairs of first and last.
    pub ordinals: Ordinals,
    /// False if they are some of `ordinals`.
    pub exact: bool,
    pub meaning: &'static str,
    /// Commands that mend it.
    pub remedy: Vec<String>,
}

/// What the bucket has, against the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketReport {
    /// Objects that the configuration lets in.
    pub objects: u64,
    pub unseen: u64,
    /// Of these the ones that two scans should have shown.
    pub overdue: u64,
    pub changed: u64,
    pub vanished: u64,
    /// The first of each kind.
    pub findings: Vec<KeyFinding>,
}

impl RowReport {
    /// Whether every row is there once, where the ledger says.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.nameless == 0 && self.versions_beside == 0 && self.sums.unbalanced == 0
    }
}
