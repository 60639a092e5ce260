//! The port to processes that decode a suspect file first, so that only they can die of it.

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;

/// What a process is told of the file that it is to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeJob {
    /// Bytes of the file.
    pub size: u64,
    pub format: Format,
    pub csv: CsvSettings,
    /// `None`: it is inferred from the file.
    pub schema: Option<Arc<TableSchema>>,
    /// Bytes of memory that decoding one file may take; the process itself comes on top.
    pub memory: u64,
}

/// What became of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It came to an end, whatever it found in the file: decoding it harms nobody.
    Survived,
    /// It died over the file, or did not end in time. In words, such as `it was killed by SIGABRT`.
    Died { how: String },
}

/// Starts processes that decode a file.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// Has a process of its own decode the whole file, and waits for its end. If the future is dropped, the process is
    /// ended.
    ///
    /// # Errors
    /// `Transient` if no process could be started, or somebody ended it: neither tells anything of the file.
    async fn vet(&self, job: &ProbeJob, file: Arc<File>) -> Result<Verdict, Failure>;
}

/// Settings that leave nothing to be found out.
pub(super) fn settings_of(dialect: &CsvDialect) -> CsvSettings {
    CsvSettings {
        delimiter: Some(dialect.delimiter),
        quote: Some(dialect.quote),
        header: Some(dialect.header),
        nulls: Some(dialect.nulls.clone()),
        skip_lines: Some(dialect.skip_lines),
    }
}
