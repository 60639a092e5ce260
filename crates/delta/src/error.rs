//! What can go wrong with a Delta table, and what helps.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use connector_core::error::{ErrorClass, Failure};
use delta_kernel::KernelError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    #[error("table path {path:?} cannot be used: {why}; choose another place in [destination]")]
    BadPath { path: PathBuf, why: &'static str },
    #[error("the table at {table:?} is not that of this import, so it is not removed; remove it by hand")]
    NotOurs { table: PathBuf },
    #[error("there is a table at {table:?} already; choose another place in [destination] or move the table away")]
    TableExists { table: PathBuf },
    #[error(
        "the Delta log of {table:?} cannot be read: {why}; restore the table's `_delta_log` from a backup, or move the \
         table away to import everything again into a new one"
    )]
    Unreadable { table: PathBuf, why: String },
    #[error(
        "table {table:?} has the property delta.setTransactionRetentionDuration, by which it forgets what was \
         imported; remove that property from the table"
    )]
    ForgetsTransactions { table: PathBuf },
    #[error(
        "table {table:?} {what}, which another program has set and by which rows of this one would be misread; undo \
         that, or move the table away to import everything again into a new one"
    )]
    ForeignLayout { table: PathBuf, what: String },
    #[error("table {table:?} cannot have these columns: {why}; change the schema of the data source")]
    BadSchema { table: PathBuf, why: String },
    #[error(
        "access to {path:?} is refused by the operating system: {source}; give the user who runs s3-connector the \
         right to read and write there"
    )]
    Denied { path: PathBuf, source: io::Error },
    #[error(
        "access to {path:?} is refused by S3: {why}; the role of the connection in [destination] needs s3:ListBucket on \
         the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject there"
    )]
    S3Denied { path: PathBuf, why: String },
    #[error("there is no bucket for {path:?}: {why}; create it, or correct uri in [destination]")]
    NoBucket { path: PathBuf, why: String },
    #[error(
        "bucket {bucket:?} cannot hold a table: {why}, so two writers could both commit and one would lose its rows; use \
         a store that honours If-None-Match, or a local folder in [destination]"
    )]
    NoConditionalPut { bucket: String, why: &'static str },
    #[error(transparent)]
    Credentials(#[from] Failure),
    #[error("cannot write or read {path:?}: {why}; it is tried again, so free some disk space or mend the disk")]
    Storage { path: PathBuf, why: String },
    #[error("data file {path:?} was written but is gone now; its batch is read again")]
    StagedFileMissing { path: PathBuf },
    #[error(
        "commit {version} of {table:?} has an unknown outcome: {why}; the table is read again before anything else is \
         committed"
    )]
    CommitUnknown { table: PathBuf, version: u64, why: String },
    #[error(
        "table {table:?} has no column '{column}' any more, but data file {file} of the batch has: another program has \
         renamed or dropped it; give the table that column back, and the batch is committed"
    )]
    ColumnGone { table: PathBuf, column: String, file: String },
    #[error(
        "table {table:?} has a column '{column}' of type {present} already, and the batch brings '{wanted}' of type \
         {brought}; another program added it, so remove it from the table, and the batch is committed"
    )]
    ColumnTaken { table: PathBuf, column: String, present: String, wanted: String, brought: String },
    #[error(
        "a value of partition column '{column}' cannot be written into the log of table {table:?}: {why}; correct the \
         value in the file, or choose another ENGINE_PARTITION_KEY for a new table"
    )]
    BadPartition { table: PathBuf, column: String, why: String },
    #[error("table {table:?} has no column '{column}'; its columns are {present}")]
    NoSuchColumn { table: PathBuf, column: String, present: String },
    #[error(
        "data file {path:?} of the table cannot be read: {why}; was the table vacuumed, or the disk damaged? put the \
         file back from a backup"
    )]
    DamagedFile { path: PathBuf, why: String },
    #[error("a block of rows does not fit {table:?}: {why}; please report this with the file that was read")]
    BadBlock { table: PathBuf, why: String },
    #[error("delta: {0}; please report this")]
    Internal(String),
}

impl DeltaError {
    /// The remedy.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::BadPath { .. }
            | Self::NotOurs { .. }
            | Self::TableExists { .. }
            | Self::Unreadable { .. }
            | Self::ForgetsTransactions { .. }
            | Self::ForeignLayout { .. }
            | Self::BadSchema { .. }
            | Self::ColumnGone { .. }
            | Self::ColumnTaken { .. }
            | Self::NoSuchColumn { .. }
            | Self::DamagedFile { .. }
            | Self::S3Denied { .. }
            | Self::NoBucket { .. }
            | Self::NoConditionalPut { .. }
            | Self::Denied { .. } => ErrorClass::Config,
            Self::Credentials(failure) => failure.class,
            Self::BadPartition { .. } => ErrorClass::Data,
            Self::Storage { .. } | Self::StagedFileMissing { .. } | Self::CommitUnknown { .. } => ErrorClass::Transient,
            Self::BadBlock { .. } | Self::Internal(_) => ErrorClass::Bug,
        }
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadPath { .. } => "bad_table_path",
            Self::NotOurs { .. } => "foreign_table",
            Self::TableExists { .. } => "table_exists",
            Self::Unreadable { .. } => "table_unreadable",
            Self::ForgetsTransactions { .. } => "txn_retention",
            Self::ForeignLayout { .. } => "table_layout",
            Self::BadSchema { .. } => "bad_schema",
            Self::Denied { .. } | Self::S3Denied { .. } => "storage_denied",
            Self::NoBucket { .. } => "no_bucket",
            Self::NoConditionalPut { .. } => "no_conditional_put",
            Self::Credentials(failure) => failure.code,
            Self::Storage { .. } => "storage",
            Self::StagedFileMissing { .. } => "staged_file_missing",
            Self::CommitUnknown { .. } => "commit_unknown",
            Self::ColumnGone { .. } => "column_gone",
            Self::ColumnTaken { .. } => "column_taken",
            Self::BadPartition { .. } => "bad_partition",
            Self::NoSuchColumn { .. } => "no_such_column",
            Self::DamagedFile { .. } => "data_file_unreadable",
            Self::BadBlock { .. } => "bad_block",
            Self::Internal(_) => "delta_internal",
        }
    }

    /// An error of the file system at `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
                Self::Denied { path: path.to_owned(), source }
            }
            _ => Self::Storage { path: path.to_owned(), why: source.to_string() },
        }
    }

    /// An error of the object store at `path`: of the file system, of S3, or of getting credentials for it.
    pub(crate) fn store(path: &Path, error: &object_store::Error) -> Self {
        if let Some(failure) = find::<Failure>(error) {
            return Self::Credentials(failure.clone());
        }
        if let Some(cause) = io_cause(error).filter(|cause| cause.kind() != io::ErrorKind::Other) {
            return Self::io(path, cause);
        }
        let (path, why) = (path.to_owned(), error.to_string().replace('\n', " "));
        match error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::S3Denied { path, why }
            }
            object_store::Error::NotFound { .. } if why.contains("NoSuchBucket") => Self::NoBucket { path, why },
            _ => Self::Storage { path, why },
        }
    }

    /// What the disk or the bucket has to do with an error of the kernel, if it has.
    pub(crate) fn outside(table: &Path, error: &KernelError) -> Option<Self> {
        let store = match unwrapped(error) {
            KernelError::ObjectStore(inner) => Some(inner),
            other => find::<object_store::Error>(other),
        };
        match store {
            Some(object_store::Error::NotFound { .. }) => None,
            Some(error) => Some(Self::store(table, error)),
            None => kernel_io_cause(error).map(|cause| Self::io(table, cause)),
        }
    }

    /// An error of the kernel while it read the table: the disk's or the bucket's fault if one is behind it, else the
    /// log's.
    pub(crate) fn kernel(table: &Path, error: &KernelError) -> Self {
        let unreadable = || Self::Unreadable { table: table.to_owned(), why: one_line(error) };
        Self::outside(table, error).unwrap_or_else(unreadable)
    }

    /// An error of the Parquet writer: the disk's fault if one is behind it, else ours.
    pub(crate) fn parquet(path: &Path, error: &parquet::errors::ParquetError) -> Self {
        match io_cause(error) {
            Some(cause) => Self::io(path, cause),
            None => Self::BadBlock { table: path.to_owned(), why: error.to_string() },
        }
    }

    /// An error of reading a data file: the disk's fault if one is behind it, else the file's.
    pub(crate) fn data_file(path: &Path, error: &(dyn StdError + 'static)) -> Self {
        match find::<object_store::Error>(error) {
            Some(object_store::Error::NotFound { .. }) => {
                return Self::DamagedFile { path: path.to_owned(), why: "it is not there any more".to_owned() };
            }
            Some(error) => return Self::store(path, error),
            None => {}
        }
        match io_cause(error).filter(|cause| cause.kind() != io::ErrorKind::NotFound) {
            Some(cause) => Self::io(path, cause),
            None => Self::DamagedFile { path: path.to_owned(), why: error.to_string() },
        }
    }
}

impl From<DeltaError> for Failure {
    fn from(error: DeltaError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}

/// The kernel's message without the backtrace that some of its errors carry.
pub(crate) fn one_line(error: &KernelError) -> String {
    unwrapped(error).to_string().replace('\n', " ")
}

/// Whether a file of the log was gone when the kernel came to read it.
pub(crate) fn is_not_found(error: &KernelError) -> bool {
    match unwrapped(error) {
        KernelError::FileNotFound(_) => true,
        KernelError::ObjectStore(inner) => matches!(inner, object_store::Error::NotFound { .. }),
        other => matches!(find::<object_store::Error>(other), Some(object_store::Error::NotFound { .. })),
    }
}

fn unwrapped(error: &KernelError) -> &KernelError {
    match error {
        KernelError::Backtraced { source, .. } => unwrapped(source),
        other => other,
    }
}

/// The disk error behind a kernel error, if there is one. The kernel keeps some causes out of `source()`.
pub(crate) fn kernel_io_cause(error: &KernelError) -> Option<io::Error> {
    match error {
        KernelError::Backtraced { source, .. } => kernel_io_cause(source),
        KernelError::ObjectStore(inner) => io_cause(inner),
        KernelError::IOError(inner) => io_cause(inner),
        KernelError::Arrow(inner) => io_cause(inner),
        other => io_cause(other),
    }
}

/// Copies the first disk error in the chain of causes. What a damaged file gives (unexpected end, invalid data) is not
/// the disk's fault and is left out.
fn io_cause(error: &(dyn StdError + 'static)) -> Option<io::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<io::Error>() {
            if let Some(inner) = found.get_ref().and_then(|inner| io_cause(inner)) {
                return Some(inner);
            }
            let damaged = matches!(found.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
            return (!damaged).then(|| io::Error::new(found.kind(), found.to_string()));
        }
        next = behind(cause);
    }
    None
}

/// The first error of type `T` in the chain of causes.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<T>() {
            return Some(found);
        }
        next = behind(cause);
    }
    None
}

/// The next cause. Some errors keep theirs out of `source()`.
fn behind<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(parquet::errors::ParquetError::External(inner)) = cause.downcast_ref() {
        return Some(inner.as_ref());
    }
    if let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return Some(inner);
    }
    cause.source()
}
