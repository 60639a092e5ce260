//! Opening: the checks that come before, and right after, the footer is decoded.

use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, Length};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::source::ParquetSource;
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

/// Checks the frame of the file, decodes its footer, and checks that what it says can be.
pub(super) fn read(source: &ParquetSource) -> Result<ArrowReaderMetadata, DecodeError> {
    check_frame(source)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::load(source, options).map_err(footer_error)?;
    check_metadata(plain.metadata(), source.len())?;
    check_columns(&plain)?;
    with_seconds(plain)
}

fn footer_error(error: ParquetError) -> DecodeError {
    bad_footer(error)
}

fn check_frame(source: &ParquetSource) -> Result<(), DecodeError> {
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
    Ok(())
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

/// Parquet cannot say "timestamp in seconds": writers that have one store a plain integer and note the real type in
/// the embedded Arrow schema. That note is the only one that is believed; all others only say how a program likes to
/// hold the values in memory.
fn with_seconds(plain: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, DecodeError> {
    let metadata = Arc::clone(plain.metadata());
    let Ok(noted) = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()) else {
        return Ok(plain);
    };
    let overrides = |plain: &DataType, noted: &DataType| {
        plain == &DataType::Int64 && matches!(noted, DataType::Timestamp(TimeUnit::Second, _) | DataType::Date64)
    };
    let fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .zip(noted.schema().fields())
        .map(|(plain, noted)| match overrides(plain.data_type(), noted.data_type()) {
            true => plain.as_ref().clone().with_data_type(noted.data_type().clone()),
            false => plain.as_ref().clone(),
        })
        .collect();
    let schema = Schema::new(fields);
    if schema.fields() == plain.schema().fields() {
        return Ok(plain);
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(metadata, options).map_err(footer_error)
}
