//! What can go wrong between bytes and blocks.

use connector_core::error::{ErrorClass, Failure};

/// Why a file cannot be decoded. All but [`DecodeError::Spool`] and [`DecodeError::Internal`] are the file's fault.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the file has neither header nor records: it holds nothing but line ends")]
    NoHeader,
    #[error("the file is not utf-8 text: {found}; convert it to utf-8 and upload it again")]
    Encoding { found: String },
    #[error(
        "the header '{header}' has no {expected:?} but {found:?}; write the file with {expected:?} between its cells and \
         upload it again, put the name in quotes if it is one, or set IMPORT_CSV_DELIMITER"
    )]
    OtherDelimiter { found: char, expected: char, header: String },
    #[error(
        "the first record, '{first}', has another number of fields than {count} of the {behind} records behind it, which \
         have {fields} (with {delimiter:?} between them); if the header is on line {line}, set IMPORT_CSV_SKIP_LINES to the \
         number of lines above it, and if the file has but one column, set IMPORT_CSV_DELIMITER"
    )]
    Preamble { first: String, delimiter: char, fields: usize, count: usize, behind: usize, line: usize },
    #[error("the file has {found} columns, more than the limit of {limit}")]
    TooManyColumns { found: usize, limit: usize },
    #[error("the record at byte {offset} (line {line}) is longer than the limit of {limit} bytes{hint}")]
    RecordTooLong { offset: u64, line: u64, limit: usize, hint: String },
    #[error(
        "the quote that opens at byte {offset} (line {line}) in the first record is never closed; everything after it \
         would be swallowed, close the quote and upload the file again"
    )]
    UnterminatedQuote { offset: u64, line: u64 },
    #[error(
        "column '{column}' cannot be told apart from another column of that name; rename it, or declare the columns in SCHEMA"
    )]
    DuplicateColumn { column: String },
    #[error("the file is not ndjson, one JSON object per line: {found}; write it so and upload it again")]
    NotNdjson { found: String },
    #[error(
        "no record of the file's sample has a value, so there is no column to infer; declare the columns in SCHEMA"
    )]
    NoRecords,
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
    #[error(
        "the file has no columns, so that no table can be made from it; declare them in SCHEMA, or write at least one"
    )]
    NoColumns,
    #[error(
        "a page of column '{column}' claims {bytes} bytes uncompressed, more than the limit of {limit}; write the file \
         with smaller pages and upload it again"
    )]
    PageTooLarge { column: String, bytes: i64, limit: i64 },
    #[error(
        "column '{column}' is compressed with {codec}, which cannot be read here; write the file with another codec"
    )]
    UnsupportedCodec { column: String, codec: String },
    #[error("the parquet file cannot be read: {reason}")]
    Corrupt { reason: String },
    #[error("the {format} data are bad at byte {offset} of the file: {reason}; upload the file again, whole")]
    CorruptCompression { format: &'static str, offset: u64, reason: String },
    #[error(
        "the {format} data exceed a limit at byte {offset} of the file: {reason}; upload the file uncompressed, or in parts"
    )]
    DecompressionLimit { format: &'static str, offset: u64, reason: String },
    #[error("the {outer} data of the file hold {inner} data once more; compress the file once and upload it again")]
    NestedCompression { outer: &'static str, inner: &'static str },
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
            Self::Preamble { .. } => "preamble",
            Self::TooManyColumns { .. } => "too_many_columns",
            Self::RecordTooLong { .. } => "record_too_long",
            Self::UnterminatedQuote { .. } => "unterminated_quote",
            Self::DuplicateColumn { .. } => "duplicate_column",
            Self::NotNdjson { .. } => "not_ndjson",
            Self::NoRecords => "no_records",
            Self::BadFooter { .. } => "bad_footer",
            Self::Encrypted => "encrypted",
            Self::IncompatibleType { .. } => "incompatible_type",
            Self::UnsupportedType { .. } => "unsupported_type",
            Self::RowCount { .. } => "row_count",
            Self::NoColumns => "no_columns",
            Self::PageTooLarge { .. } => "page_too_large",
            Self::UnsupportedCodec { .. } => "unsupported_codec",
            Self::Corrupt { .. } => "corrupt",
            Self::CorruptCompression { .. } => "corrupt_compression",
            Self::DecompressionLimit { .. } => "decompression_limit",
            Self::NestedCompression { .. } => "nested_compression",
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
