//! Making files and directories durable, and looking at what was made.
//!
//! A new file is on disk only when the file and the directory that names it are both synced, in that order.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

/// What a Parquet file begins and ends with.
const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// The smallest Parquet file: magic, footer length, magic.
const SMALLEST_PARQUET: u64 = 12;

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a directory and those above it, each durably. Existing ones are left alone.
pub(crate) fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent();
    if let Some(parent) = parent {
        create_dirs(parent)?;
    }
    match fs::create_dir(dir) {
        // Somebody else made it meanwhile, or something that is no directory is in the way.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => other?,
    }
    sync_dir(dir)?;
    parent.map_or(Ok(()), sync_dir)
}

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
pub(crate) fn optional_columns(path: &Path) -> Result<HashSet<String>, ParquetError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let columns = reader.metadata().file_metadata().schema().get_fields();
    let optional = columns.iter().filter(|column| column.is_optional());
    Ok(optional.map(|column| column.name().to_owned()).collect())
}
