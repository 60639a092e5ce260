//! Opening: the checks that come before, and right after, the footer is decoded.

use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use ::parquet::file::reader::{ChunkReader, Length};
use ::parquet::schema::types::SchemaDescriptor;

use super::precheck;
use super::source::ParquetSource;
use super::tree::{self, Node};
use crate::error::DecodeError;

/// No honest footer is larger; decoding one takes a multiple of its size.
const MAX_FOOTER_BYTES: u64 = 16 << 20;
const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// Magic in front; length of the footer and magic at the end.
const FRAME_BYTES: u64 = 12;

pub(super) fn bad_footer(reason: impl ToString) -> DecodeError {
    DecodeError::BadFooter { reason: reason.to_string() }
}

/// What is known of a file before its rows are read.
pub(super) struct Footer {
    /// By the schema that is read, see [`tree::raw`].
    pub(super) metadata: ArrowReaderMetadata,
    /// What the file states, by top-level column.
    pub(super) nodes: Vec<Node>,
    /// How Parquet calls the types of these columns, for people.
    pub(super) names: Vec<String>,
}

/// Checks the frame of the file, decodes its footer, and checks that what it says can be.
pub(super) fn read(source: &ParquetSource) -> Result<Footer, DecodeError> {
    let length = check_frame(source)?;
    let encoded = source.get_bytes(source.len() - 8 - length, length as usize).map_err(footer_error)?;
    precheck::check_footer(&encoded)?;
    let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::load(source, options()).map_err(footer_error)?;
    check_metadata(plain.metadata(), source.len())?;
    check_columns(&plain)?;
    let whole = Arc::clone(plain.metadata());
    // What a writer noted for itself may be nonsense; then it says nothing.
    let noted = ArrowReaderMetadata::try_new(Arc::clone(&whole), ArrowReaderOptions::new()).ok();
    let roots = whole.file_metadata().schema_descr().root_schema().get_fields();
    let nodes = tree::nodes(roots, plain.schema(), noted.as_ref().map(|noted| noted.schema().as_ref()));
    let names = roots.iter().map(|root| tree::parquet_name(root)).collect();
    let raw = Arc::new(with_raw_schema(&whole).map_err(footer_error)?);
    let metadata = ArrowReaderMetadata::try_new(raw, options()).map_err(footer_error)?;
    Ok(Footer { metadata, nodes, names })
}

fn with_raw_schema(metadata: &ParquetMetaData) -> Result<ParquetMetaData, ParquetError> {
    let file = metadata.file_metadata();
    let root = tree::raw(&file.schema_descr().root_schema_ptr())?;
    let created_by = file.created_by().map(str::to_owned);
    let schema = Arc::new(SchemaDescriptor::new(root));
    let file = FileMetaData::new(file.version(), file.num_rows(), created_by, None, schema, None);
    Ok(ParquetMetaDataBuilder::new(file).set_row_groups(metadata.row_groups().to_vec()).build())
}

fn footer_error(error: ParquetError) -> DecodeError {
    bad_footer(error)
}

/// Answers the length of the encoded footer.
fn check_frame(source: &ParquetSource) -> Result<u64, DecodeError> {
    let length = source.len();
    if length < FRAME_BYTES {
        return Err(bad_footer(format!("{length} bytes are too few for a parquet file")));
    }
    let head = source.get_bytes(0, 4).map_err(footer_error)?;
    let tail = source.get_bytes(length - 8, 8).map_err(footer_error)?;
    if &tail[4..] == MAGIC_ENCRYPTED || &head[..] == MAGIC_ENCRYPTED {
        return Err(DecodeError::Encrypted);
    }
    if &head[..] != MAGIC || &tail[4..] != MAGIC {
        return Err(bad_footer("it does not begin and end with 'PAR1': no parquet file, or not a whole one"));
    }
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if footer > length - FRAME_BYTES {
        return Err(bad_footer(format!("it claims {footer} bytes in a file of {length}")));
    }
    if footer > MAX_FOOTER_BYTES {
        return Err(bad_footer(format!("it has {footer} bytes, more than the limit of {MAX_FOOTER_BYTES}")));
    }
    Ok(footer)
}

/// Numbers that the reader would trust: counts that are not negative and add up, column chunks within the file.
fn check_metadata(metadata: &ParquetMetaData, length: u64) -> Result<(), DecodeError> {
    let rows = metadata.file_metadata().num_rows();
    let mut in_groups = 0i64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let count = group.num_rows();
        in_groups = (count >= 0)
            .then(|| in_groups.checked_add(count))
            .flatten()
            .ok_or_else(|| bad_footer(format!("row group {index} claims {count} rows")))?;
        for chunk in group.columns() {
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let sizes = [start, chunk.data_page_offset(), chunk.compressed_size(), chunk.uncompressed_size()];
            let end = start.checked_add(chunk.compressed_size()).and_then(|end| u64::try_from(end).ok());
            if sizes.iter().any(|size| *size < 0) || end.is_none_or(|end| end > length) {
                let name = chunk.column_path().string();
                return Err(bad_footer(format!("column '{name}' of row group {index} lies outside the file")));
            }
        }
    }
    if in_groups != rows {
        return Err(bad_footer(format!("it claims {rows} rows, and its row groups claim {in_groups}")));
    }
    Ok(())
}

/// Columns are addressed by their place among the top-level ones, which only works if none went missing.
fn check_columns(plain: &ArrowReaderMetadata) -> Result<(), DecodeError> {
    let roots = plain.parquet_schema().root_schema().get_fields();
    let fields = plain.schema().fields();
    let same = roots.len() == fields.len() && roots.iter().zip(fields).all(|(root, field)| root.name() == field.name());
    if same { Ok(()) } else { Err(bad_footer("its schema has a group without columns")) }
}
