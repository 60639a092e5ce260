//! A plan as people and programs get it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Amount, Cost};

/// What the next sync of one import would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ImportPlan {
    pub import: String,
    pub uri: String,
    /// What the listing asks for.
    pub prefix: String,
    pub schedule: String,
    /// The next time of a cron schedule.
    pub next_time: Option<Timestamp>,
    pub paused: bool,
    /// Objects that the listing showed.
    pub listed: u64,
    /// What would be read.
    pub files: u64,
    pub bytes: u64,
    pub by_format: BTreeMap<&'static str, Amount>,
    /// Objects that would not be read, by reason: `not_matched`, `excluded`, `too_old`, a reason to skip, `archived`, or the
    /// state of what is known already (`ingested`, `quarantined`, `failed`).
    pub left_out: BTreeMap<&'static str, u64>,
    /// Whether there is a table; otherwise the sync would create it.
    pub table_exists: bool,
    /// Columns of the table after the sync, as far as the sample tells. Empty if no file shows any.
    pub columns: Vec<NewColumn>,
    /// Those that the sync would add to a table that is there, or beyond what was declared or inferred for a new one.
    pub columns_added: Vec<NewColumn>,
    pub sample: SampleReport,
    /// By ticks, if the schedule has them.
    pub at_cap: Option<Cost>,
    pub on_demand: Cost,
}

/// A column, and the file that would bring it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    /// `None` if SCHEMA has it.
    pub file: Option<String>,
}

/// What the files that were looked at say. Others may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SampleReport {
    /// The first in the order of claims.
    pub files: u64,
    /// Whether these are all that would be read.
    pub is_all: bool,
    /// Whether every row of every file that would be read was looked at.
    pub every_row: bool,
    /// GET requests that looking took, and bytes.
    pub get_requests: u64,
    pub bytes: u64,
    /// Rows of their first blocks that were decoded.
    pub rows: u64,
    /// Of these, rows that would go to quarantine. Files that are not read because their columns do not fit are not among
    /// them.
    pub rows_quarantined: u64,
    /// Why, most frequent first.
    pub errors: Vec<ErrorLine>,
    /// Files of which all rows would go to quarantine.
    pub files_quarantined: Vec<FilePreview>,
    /// Files that cannot be read.
    pub files_failed: Vec<FilePreview>,
}

/// A file that would not come into the table, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilePreview {
    pub key: String,
    pub code: &'static str,
    pub message: String,
}

/// One kind of bad value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorLine {
    /// Empty if the record as a whole is wrong.
    pub column: String,
    pub message: String,
    pub rows: u64,
    /// The first file that has it.
    pub file: String,
}
