//! What the listeners may ask of the running program.

use async_trait::async_trait;
use connector_core::error::Failure;
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::status::ImportStatus;
use serde_json::Value;

use crate::operations::Operation;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("there is no import '{import}'; GET /api/v1/status lists them")]
    UnknownImport { import: String },
    /// The import's state does not allow the command. `message` says what would.
    #[error("{message}")]
    Refused { code: &'static str, message: String },
    /// The program is starting or going away.
    #[error("the program takes no commands now: {reason}")]
    Unavailable { reason: String },
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// The running program, as the listeners see it. Answers come in well under a second; a command is accepted when it
/// returns, not done.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// All imports, in a stable order.
    async fn status(&self) -> Vec<ImportStatus>;

    /// Batches of an import, newest first.
    async fn history(&self, import: &str, query: HistoryQuery) -> Result<HistoryPage, ControlError>;

    /// The versions of the schema of an import's table, oldest first.
    async fn schema_history(&self, import: &str) -> Result<Vec<SchemaVersion>, ControlError>;

    /// Claims no more files until resumed; survives a restart.
    async fn pause(&self, import: &str) -> Result<(), ControlError>;

    /// Takes up a paused import; tries a failed one again.
    async fn resume(&self, import: &str) -> Result<(), ControlError>;

    /// Carries an operation out and answers with its summary. Takes as long as that takes.
    async fn operate(&self, import: &str, operation: Operation) -> Result<Value, ControlError>;

    /// Scans now and ingests everything new, without the throttle. Answers with the id of the sync, for
    /// [`Control::sync_state`].
    async fn sync(&self, import: &str) -> Result<String, ControlError>;

    /// How far a sync is that was asked for: `{"id", "import", "state": "running" | "done" | "failed", "summary", "error"}`;
    /// `None` if this process was not asked for it.
    async fn sync_state(&self, import: &str, id: &str) -> Result<Option<Value>, ControlError>;

    /// Reads the configuration anew and goes over to it, or says with `dry_run` what that would change. `accept` names
    /// data sources that are meant to be what they are now. Answers once it is taken; imports start after that.
    async fn reload(&self, accept: &[String], dry_run: bool) -> Result<Value, ControlError>;

    /// Removes the tables of an import whose data source is gone, and forgets it. Answers once it is done.
    async fn purge(&self, import: &str) -> Result<Value, ControlError>;

    /// How it stands with the configuration.
    fn config(&self) -> Result<Value, ControlError>;
}
