//! Quarantined rows for people: read from the quarantine table, grouped, shown and exported.

mod export;
mod groups;
mod rows;

pub use export::{ExportFormat, Exporter};
pub use groups::{Group, Groups};
pub use rows::{Filter, QuarantinedRow, rows_of};
