//! Looking at Parquet files.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::storage::TableFile;

/// What a Parquet file begins and ends with.
pub(crate) const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// The smallest Parquet file: magic, footer length, magic.
pub(crate) const SMALLEST_PARQUET: u64 = 12;

/// Whether `path` is a file of exactly `bytes` bytes that begins and ends as a Parquet file does.
///
/// # Errors
/// Only if the answer could not be found out; a file that is not there is `false`.
pub(crate) fn is_whole_parquet(path: &Path, bytes: u64) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != bytes || bytes < SMALLEST_PARQUET {
        return Ok(false);
    }
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    let head = magic == PARQUET_MAGIC;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut magic)?;
    Ok(head && magic == PARQUET_MAGIC)
}

/// The top-level columns of a Parquet file that may hold NULL.
pub(crate) fn optional_columns(file: TableFile) -> Result<HashSet<String>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let columns = reader.metadata().file_metadata().schema().get_fields();
    let optional = columns.iter().filter(|column| column.is_optional());
    Ok(optional.map(|column| column.name().to_owned()).collect())
}
