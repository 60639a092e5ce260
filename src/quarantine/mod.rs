//! What lies in quarantine, for people: grouped by what is wrong with it, and exported.

mod export;
mod groups;

pub use export::{ExportFormat, Exporter, row_json};
pub use groups::{Group, Groups};
