//! What can go wrong in the ledger, each with its remedy.

use std::io;
use std::path::PathBuf;

use connector_core::error::{ErrorClass, Failure};
use rusqlite::ErrorCode;

pub type Result<T> = std::result::Result<T, LedgerError>;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "another s3-connector is using this data directory, {}: stop it, or give this one a data directory of its own",
        dir.display()
    )]
    InUse { dir: PathBuf },

    #[error(
        "the ledger at {} has schema version {found} and this program knows versions up to {known}: run the newer \
         s3-connector that wrote it, or restore a ledger of this version",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },

    #[error(
        "the ledger at {} has schema version {found} and this program reads version {known}: start `run` of this \
         version once, which brings it up to date",
        path.display()
    )]
    Older { path: PathBuf, found: i64, known: i64 },

    #[error(
        "the ledger at {} cannot use a write-ahead log (journal mode is {mode}): put the data directory on a local disk",
        path.display()
    )]
    NoWal { path: PathBuf, mode: String },

    #[error("ledger: cannot {doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("ledger: cannot {doing}: {source}{}", advice(source))]
    Sqlite { doing: String, source: rusqlite::Error },

    #[error("ledger: import '{import}' is unknown; it has to be opened first")]
    UnknownImport { import: String },

    /// A call that does not fit the state of the import: the caller's mistake, nothing was changed.
    #[error("ledger: import '{import}': {what}")]
    Protocol { import: String, what: String },

    #[error(
        "the ledger holds {what}, which no version of this program writes: put the newest snapshot or export back with \
         `s3-connector ledger import FILE --replace`"
    )]
    Corrupt { what: String },

    /// The database does not pass its own check.
    #[error(
        "the ledger at {} is damaged ({what}): put the newest snapshot or export back with `s3-connector ledger import \
         FILE --replace`, or, without one, move it away and run `s3-connector datasource adopt NAME`, which builds it anew \
         from the table",
        path.display()
    )]
    Damaged { path: PathBuf, what: String },

    #[error("{} is no ledger of s3-connector ({what}): name a file that `s3-connector ledger export` has made", path.display())]
    NotALedger { path: PathBuf, what: String },

    #[error(
        "there is a ledger at {} already: `--replace` puts the other one in its place and keeps it beside it",
        path.display()
    )]
    LedgerExists { path: PathBuf },

    #[error("there is a file at {} already: choose another name, nothing is overwritten", path.display())]
    FileExists { path: PathBuf },

    #[error(
        "import '{import}' cannot adopt the table: it belongs to import '{other}' of this ledger; choose another name or \
         another place in [destination]"
    )]
    TableOfAnother { import: String, other: String },

    #[error(
        "import '{import}': there is no committed batch '{batch}'{}: `s3-connector history {import}` shows the batches",
        state.as_ref().map(|state| format!(", it was {state}")).unwrap_or_default()
    )]
    NoSuchBatch { import: String, batch: String, state: Option<String> },

    #[error(
        "import '{import}': batch '{batch}' brought no files, it revised rows that were there, so it cannot be rolled \
         back: name the batch that brought them; `s3-connector history {import}` shows the batches"
    )]
    NotAnIngestBatch { import: String, batch: String },

    #[error("ledger: its thread has ended")]
    Stopped,
}

impl From<rusqlite::Error> for LedgerError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite { doing: "use the database".to_owned(), source }
    }
}

impl LedgerError {
    /// Says what the database was used for, where the error came without that.
    pub(crate) fn while_doing(self, doing: &str) -> Self {
        match self {
            Self::Sqlite { source, .. } => Self::Sqlite { doing: doing.to_owned(), source },
            other => other,
        }
    }

    /// Which remedy helps.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::NoWal { .. }
            | Self::Damaged { .. }
            | Self::NotALedger { .. }
            | Self::LedgerExists { .. }
            | Self::FileExists { .. }
            | Self::TableOfAnother { .. }
            | Self::NoSuchBatch { .. }
            | Self::NotAnIngestBatch { .. }
            | Self::Corrupt { .. } => ErrorClass::Config,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => ErrorClass::Transient,
            Self::File { .. } => ErrorClass::Config,
            Self::Sqlite { source, .. } => sqlite_kind(source).0,
            Self::UnknownImport { .. } | Self::Protocol { .. } | Self::Stopped => ErrorClass::Bug,
        }
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "data_dir_in_use",
            Self::Newer { .. } => "ledger_newer",
            Self::Older { .. } => "ledger_older",
            Self::NoWal { .. } => "ledger_no_wal",
            Self::File { .. } => "ledger_file",
            Self::Sqlite { source, .. } => sqlite_kind(source).1,
            Self::UnknownImport { .. } => "ledger_unknown_import",
            Self::Protocol { .. } => "ledger_protocol",
            Self::Corrupt { .. } | Self::Damaged { .. } => "ledger_corrupt",
            Self::NotALedger { .. } => "not_a_ledger",
            Self::LedgerExists { .. } => "ledger_exists",
            Self::FileExists { .. } => "file_exists",
            Self::TableOfAnother { .. } => "table_of_another_import",
            Self::NoSuchBatch { .. } => "no_such_batch",
            Self::NotAnIngestBatch { .. } => "not_an_ingest_batch",
            Self::Stopped => "ledger_stopped",
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}

fn sqlite_kind(error: &rusqlite::Error) -> (ErrorClass, &'static str) {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (ErrorClass::Transient, "ledger_disk_full"),
        Some(ErrorCode::SystemIoFailure) => (ErrorClass::Transient, "ledger_io"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (ErrorClass::Transient, "ledger_busy"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (ErrorClass::Config, "ledger_corrupt"),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (ErrorClass::Config, "ledger_access")
        }
        _ => (ErrorClass::Bug, "ledger_sqlite"),
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match sqlite_kind(error).1 {
        "ledger_disk_full" => "; free space on the disk of the data directory",
        "ledger_io" => "; look at the disk of the data directory",
        "ledger_busy" => "; another program holds the database locked",
        "ledger_corrupt" => {
            "; put the newest snapshot or export back with `s3-connector ledger import FILE --replace`, or, without one, \
             move it away and run `s3-connector datasource adopt NAME`, which builds it anew from the table"
        }
        "ledger_access" => "; let the user that runs s3-connector read and write the data directory",
        _ => "",
    }
}
