//! The states of an import, by the names used everywhere, and the status shown to people.

use std::fmt;

use serde::Serialize;

use crate::error::Failure;
use crate::ids::{Generation, ImportName};
use crate::ports::ImportCounts;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ImportState {
    Starting,
    Running,
    /// Working, but not wholly: the last scan failed, or files wait for a retry.
    Degraded,
    BackingOff,
    Paused,
    Failed,
    Stopped,
}

impl ImportState {
    pub const ALL: [Self; 7] =
        [Self::Starting, Self::Running, Self::Degraded, Self::BackingOff, Self::Paused, Self::Failed, Self::Stopped];
}

impl fmt::Display for ImportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Why an import is in its state, when that is not plain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateReason {
    pub code: String,
    pub message: String,
}

impl From<&Failure> for StateReason {
    fn from(failure: &Failure) -> Self {
        Self { code: failure.code.to_owned(), message: failure.message.clone() }
    }
}

/// One import as `status`, the API and the metrics show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportStatus {
    pub import: ImportName,
    pub connection: String,
    pub uri: String,
    /// `@auto`, `@on-demand`, or a cron expression.
    pub schedule: String,
    pub state: ImportState,
    pub reason: Option<StateReason>,
    pub generation: Generation,
    pub table: String,
    pub counts: ImportCounts,
}
