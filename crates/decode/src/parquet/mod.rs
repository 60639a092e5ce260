//! Parquet: footer checks, lossless casts, and blocks of a bounded number of rows.
//!
//! The row groups are read page by page through [`ParquetSource`], never as a whole. What the file says of itself is
//! checked before it is believed; a whole column of a wrong type fails the file, a single value that cannot be kept
//! exactly rejects its row. The reader underneath may panic on malformed files: run all of this on the
//! [`crate::Pool`].

mod blocks;
mod convert;
mod footer;
mod int96;
mod source;

use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::basic::{LogicalType, Type as PhysicalType};
use ::parquet::file::metadata::ColumnChunkMetaData;
use connector_core::binding::Binding;
use connector_core::error::Failure;
use connector_core::schema::TableSchema;

pub use blocks::ParquetBlocks;
pub use source::{ParquetSource, SourceReader};

use crate::error::DecodeError;
use crate::infer;

/// Bytes that a string takes beside its characters.
const STRING_OVERHEAD: usize = 8;
/// What a value of a dictionary-encoded string column is taken for if the file does not say.
const DICTIONARY_STRING: usize = 64;

/// An opened Parquet file: its footer, and where its bytes are.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    source: ParquetSource,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Reads and checks the footer.
    ///
    /// # Errors
    /// `Data` with code `bad_footer` or `encrypted`.
    pub fn open(source: ParquetSource) -> Result<Self, Failure> {
        let metadata = footer::read(&source)?;
        Ok(Self { source, metadata })
    }

    /// The names of the top-level columns, as the file spells them.
    pub fn columns(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// How many rows the footer promises. [`ParquetBlocks`] holds the file to it.
    pub fn num_rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The schema that keeps every column of the file as it is. All columns are nullable.
    ///
    /// # Errors
    /// `Data` with code `unsupported_type` for a nested column or a type that no column type stands for, and
    /// `duplicate_column` if two columns cannot be told apart by name.
    pub fn infer(&self) -> Result<TableSchema, Failure> {
        let fields = self.metadata.schema().fields();
        (0..fields.len()).try_for_each(|root| self.refuse_opaque(root))?;
        let types = fields.iter().map(|field| convert::column_type(field)).collect::<Result<Vec<_>, _>>()?;
        infer::schema_of(&self.columns(), &types)
    }

    /// The rows of the file as blocks of at most `batch_rows` rows and `block_bytes` measured bytes. Rows are decoded
    /// up to 1,024 at a time, fewer if they are estimated to be long; a block exceeds `block_bytes` only if that many
    /// rows alone do. Beyond 2 GiB of text in one column of them the file fails as `corrupt`. While a block is put
    /// together its memory is needed twice, and one decoded batch may wait for the next block.
    ///
    /// # Errors
    /// `Data` with code `incompatible_type` or `unsupported_type` if a bound column cannot be converted without loss.
    pub fn blocks(
        &self,
        schema: Arc<TableSchema>,
        binding: Arc<Binding>,
        batch_rows: usize,
        block_bytes: usize,
    ) -> Result<ParquetBlocks, Failure> {
        ParquetBlocks::open(self, schema, &binding, batch_rows.max(1), block_bytes.max(1))
    }

    /// Refuses bytes that stand for something of their own and would only be mistaken for text.
    fn refuse_opaque(&self, root: usize) -> Result<(), DecodeError> {
        let fields = self.metadata.parquet_schema().root_schema().get_fields();
        let found = match fields.get(root).and_then(|field| field.get_basic_info().logical_type_ref()) {
            Some(LogicalType::Bson) => "bson",
            Some(LogicalType::Geometry { .. }) => "geometry",
            Some(LogicalType::Geography { .. }) => "geography",
            _ => return Ok(()),
        };
        Err(DecodeError::UnsupportedType { column: fields[root].name().to_owned(), found: found.to_owned() })
    }

    /// About how many bytes one decoded row takes in memory, over all columns: at least 1. The average over the file;
    /// a file with a few very long strings exceeds it in places.
    pub fn estimated_row_bytes(&self) -> usize {
        let metadata = self.metadata.metadata();
        let rows = usize::try_from(self.num_rows()).unwrap_or(usize::MAX).max(1);
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
        let total = chunks.fold(0usize, |total, chunk| total.saturating_add(decoded_bytes(chunk)));
        total.div_ceil(rows).max(1)
    }
}

/// About how many bytes the values of a column chunk take once decoded.
fn decoded_bytes(chunk: &ColumnChunkMetaData) -> usize {
    let size = |bytes: i64| usize::try_from(bytes).unwrap_or(0);
    let values = size(chunk.num_values());
    let width = match chunk.column_type() {
        PhysicalType::BOOLEAN => 1,
        PhysicalType::INT32 | PhysicalType::FLOAT => 4,
        // A decimal in 128 bits takes twice its 64 bits on disk.
        PhysicalType::INT64 | PhysicalType::DOUBLE | PhysicalType::INT96 => 8,
        PhysicalType::FIXED_LEN_BYTE_ARRAY => 16,
        PhysicalType::BYTE_ARRAY => {
            let text = match chunk.unencoded_byte_array_data_bytes() {
                Some(bytes) => size(bytes),
                None if chunk.dictionary_page_offset().is_some() => {
                    size(chunk.uncompressed_size()).max(values.saturating_mul(DICTIONARY_STRING))
                }
                None => size(chunk.uncompressed_size()),
            };
            return text.saturating_add(values.saturating_mul(STRING_OVERHEAD));
        }
    };
    values.saturating_mul(width)
}

/// An error of the reader in the middle of the file.
fn corrupt(reason: impl ToString) -> Failure {
    DecodeError::Corrupt { reason: reason.to_string() }.into()
}
