//! Parquet: footer checks, lossless casts, and blocks of a bounded number of rows.
//!
//! The row groups are read page by page through [`ParquetSource`], never as a whole. What the file says of itself is
//! checked before it is believed; a column of a type that does not fit is known from the footer alone, a single value
//! that cannot be kept exactly rejects its row. The reader underneath may panic on malformed files: run all of this on
//! the [`crate::Pool`].
//!
//! | module | what it does |
//! |---|---|
//! | `precheck`, `thrift` | claims of footers and pages that would take memory or stack, before anyone believes them |
//! | `footer` | the frame of the file, and its metadata |
//! | `tree` | the table of types |
//! | `values`, `int96` | the values of a column as they were read |
//! | `spell` | values as text |
//! | `convert` | values as those of a table column |
//! | `feed`, `blocks` | which column goes where, batch by batch |
//! | `evidence` | what the footer says for a schema |

mod blocks;
mod convert;
mod evidence;
mod feed;
mod footer;
mod int96;
mod pieces;
mod precheck;
mod source;
mod spell;
mod thrift;
mod tree;
mod values;

use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::basic::Type as PhysicalType;
use ::parquet::file::metadata::ColumnChunkMetaData;
use connector_core::error::Failure;
use connector_core::evolve::{DEFAULT_MAX_COLUMNS, FileColumn, FilePlan, FileShape};
use connector_core::schema::TableSchema;
use jiff::Timestamp;

pub use blocks::ParquetBlocks;
pub use source::{ParquetSource, SourceReader};

use crate::error::DecodeError;
use crate::infer::{self, Inferred};
use feed::Place;
use tree::Node;

/// Bytes that a string takes beside its characters.
const STRING_OVERHEAD: usize = 8;
/// What a value of a dictionary-encoded string column is taken for if the file does not say.
const DICTIONARY_STRING: usize = 64;

/// An opened Parquet file: its footer, and where its bytes are.
#[derive(Clone, Debug)]
pub struct ParquetFile {
    source: ParquetSource,
    metadata: ArrowReaderMetadata,
    /// What the file states, by top-level column.
    nodes: Arc<[Node]>,
    /// How Parquet calls the types of these columns.
    types: Arc<[String]>,
}

impl ParquetFile {
    /// Reads and checks the footer.
    ///
    /// # Errors
    /// `Data` with code `bad_footer` or `encrypted`, or `too_many_columns` if there are more than
    /// [`DEFAULT_MAX_COLUMNS`] at the top.
    pub fn open(source: ParquetSource) -> Result<Self, Failure> {
        let footer = footer::read(&source)?;
        let (found, limit) = (footer.nodes.len(), DEFAULT_MAX_COLUMNS);
        if found > limit {
            return Err(DecodeError::TooManyColumns { found, limit }.into());
        }
        let (nodes, types) = (footer.nodes.into(), footer.names.into());
        Ok(Self { source, metadata: footer.metadata, nodes, types })
    }

    /// The names of the top-level columns, as the file spells them.
    pub fn columns(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// How many rows the footer promises. [`ParquetBlocks`] holds the file to it.
    pub fn num_rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The top-level columns with what the footer states of them. A column for whose values there is no column type has
    /// none here, and is stated as [`connector_core::compat::opaque`].
    pub fn shape(&self) -> FileShape {
        let column = |node: &Node| FileColumn {
            name: node.name.clone(),
            ty: node.column_type(),
            stated: Some(node.stated.clone()),
        };
        FileShape { columns: self.nodes.iter().map(column).collect(), has_header: true }
    }

    /// As [`ParquetFile::shape`], with one more column for each source of `schema` that leads into a struct of this
    /// file or into the elements of a list, such as `a.b` or `lines[:].sku`. A top-level column of that very name comes first.
    pub fn shape_for(&self, schema: &TableSchema) -> FileShape {
        let mut shape = self.shape();
        for column in &schema.columns {
            let source = &column.source;
            let place = match shape.columns.iter().any(|known| known.name == *source) {
                true => None,
                false => Place::of_source(&self.nodes, source),
            };
            if let Some(node) = place.and_then(|place| place.node(&self.nodes)) {
                let (ty, stated) = (node.column_type(), Some(node.stated));
                shape.columns.push(FileColumn { name: source.clone(), ty, stated });
            }
        }
        shape
    }

    /// The schema that keeps every column of the file as it is, and what the footer says for it. All columns are
    /// nullable, but for those that are an Array.
    ///
    /// # Errors
    /// `Data` with code `unsupported_type` for a type that no column type stands for, `no_columns` if there is none, and
    /// `duplicate_column` if two columns cannot be told apart by name.
    pub fn infer(&self) -> Result<Inferred, Failure> {
        if self.nodes.is_empty() {
            return Err(DecodeError::NoColumns.into());
        }
        let ty = |node: &Node| {
            let found = || connector_core::evolve::type_name(&node.stated);
            let unsupported = || DecodeError::UnsupportedType { column: node.name.clone(), found: found() };
            node.column_type().ok_or_else(unsupported)
        };
        let types = self.nodes.iter().map(ty).collect::<Result<Vec<_>, _>>()?;
        let file_columns = self.columns();
        let mut schema = infer::schema_of(&file_columns, &types)?;
        schema.columns.iter_mut().for_each(|column| column.nullable = column.ty.takes_null());
        let evidence = evidence::of(&self.metadata, &self.nodes, &self.types, &types);
        Ok(Inferred { schema, file_columns, dialect: None, evidence })
    }

    /// The rows of the file as blocks of at most `batch_rows` rows and `block_bytes` measured bytes. Rows are decoded
    /// up to 1,024 at a time, fewer if they are estimated to be long; a block exceeds `block_bytes` only if that many
    /// rows alone do. Beyond 2 GiB of text in one column of them the file fails as `corrupt`. While a block is put
    /// together its memory is needed twice, and one decoded batch may wait for the next block.
    ///
    /// `now` is what default expressions take for the time. If the plan has causes, every row is rejected with them,
    /// with the texts of all columns that are bound and have a text. Sources are those of [`ParquetFile::shape`] or
    /// [`ParquetFile::shape_for`] with this schema.
    ///
    /// # Errors
    /// `Data` with code `incompatible_type` or `unsupported_type` if the plan overlooks that a bound column cannot be
    /// converted without loss; `unsupported_codec`; `page_too_large` or `corrupt` for pages that claim too much.
    pub fn blocks(
        &self,
        schema: Arc<TableSchema>,
        plan: Arc<FilePlan>,
        now: Timestamp,
        batch_rows: usize,
        block_bytes: usize,
    ) -> Result<ParquetBlocks, Failure> {
        ParquetBlocks::open(self, schema, &plan, now, (batch_rows.max(1), block_bytes.max(1)))
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
