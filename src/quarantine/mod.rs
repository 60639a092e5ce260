//! What lies in quarantine, for people: grouped by what is wrong with it, and exported.

mod export;
mod groups;

pub use export::{ExportFormat, Exporter};
pub use groups::{Group, Groups};
