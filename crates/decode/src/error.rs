//! What can go wrong between bytes and blocks.

use connector_core::error::{ErrorClass, Failure};

/// Why a file cannot be decoded. All but [`DecodeError::Spool`] and [`DecodeError::Internal`] are the file's fault.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the file has no header: it holds nothing but line ends")]
    NoHeader,
    #[error("the file is not utf-8 text: {found}; convert it to utf-8 and upload it again")]
    Encoding { found: String },
    #[error(
        "the header '{header}' has no comma but {delimiter:?}, and only commas are read yet; write the file with commas \
         and upload it again"
    )]
    OtherDelimiter { delimiter: char, header: String },
    #[error("the header has {found} columns, more than the limit of {limit}")]
    TooManyColumns { found: usize, limit: usize },
    #[error("the record at byte {offset} (line {line}) is longer than the limit of {limit} bytes{hint}")]
    RecordTooLong { offset: u64, line: u64, limit: usize, hint: String },
    #[error(
        "the quoted field that opens at byte {offset} (line {line}) is never closed; everything after it would be \
         swallowed, close the quote and upload the file again"
    )]
    UnterminatedQuote { offset: u64, line: u64 },
    #[error(
        "column '{column}' cannot be told apart from another column of that name; rename it, or declare the columns in SCHEMA"
    )]
    DuplicateColumn { column: String },
    #[error("the file's parquet footer is bad: {reason}; upload the file again, whole")]
    BadFooter { reason: String },
    #[error("the parquet file is encrypted, and there is no key for it here; upload it unencrypted")]
    Encrypted,
    #[error(
        "column '{column}' is {found} in the file, which does not go into {wanted} without loss; change its type in SCHEMA, or the file"
    )]
    IncompatibleType { column: String, found: String, wanted: String },
    #[error(
        "column '{column}' is {found} in the file, which is not supported; leave it out of SCHEMA, or change the file"
    )]
    UnsupportedType { column: String, found: String },
    #[error("the parquet file promises {promised} rows and holds {found}")]
    RowCount { promised: u64, found: u64 },
    #[error("the parquet file cannot be read: {reason}")]
    Corrupt { reason: String },
    #[error("the spool file in {dir} cannot be {what}: {source}")]
    Spool { dir: String, what: &'static str, source: std::io::Error },
    #[error("decoding broke its own rules: {reason}")]
    Internal { reason: String },
}

impl DecodeError {
    /// The remedy.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Spool { .. } => ErrorClass::Transient,
            Self::Internal { .. } => ErrorClass::Bug,
            _ => ErrorClass::Data,
        }
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoHeader => "no_header",
            Self::Encoding { .. } => "encoding",
            Self::OtherDelimiter { .. } => "delimiter",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::RecordTooLong { .. } => "record_too_long",
            Self::UnterminatedQuote { .. } => "unterminated_quote",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::BadFooter { .. } => "bad_footer",
            Self::Encrypted => "encrypted",
            Self::IncompatibleType { .. } => "incompatible_type",
            Self::UnsupportedType { .. } => "unsupported_type",
            Self::RowCount { .. } => "row_count",
            Self::Corrupt { .. } => "corrupt",
            Self::Spool { .. } => "spool_failed",
            Self::Internal { .. } => "decode_bug",
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}
