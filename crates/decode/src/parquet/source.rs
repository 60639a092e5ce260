//! Where the bytes of a Parquet file are: in memory, or in a file that is read at positions.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::{Buf, Bytes};

/// Page headers are read through this many bytes; most are smaller.
const HEADER_BUFFER: usize = 1024;

/// The bytes of one Parquet file.
#[derive(Clone, Debug)]
pub enum ParquetSource {
    Bytes(Bytes),
    /// A file and how many of its bytes count.
    File(Arc<File>, u64),
}

impl ParquetSource {
    fn check(&self, start: u64, length: u64) -> Result<()> {
        let whole = self.len();
        match start.checked_add(length) {
            Some(end) if end <= whole => Ok(()),
            _ => Err(ParquetError::EOF(format!("{length} bytes at {start} lie beyond the file's {whole}"))),
        }
    }
}

impl Length for ParquetSource {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }
}

impl ChunkReader for ParquetSource {
    type T = SourceReader;

    fn get_read(&self, start: u64) -> Result<SourceReader> {
        self.check(start, 0)?;
        Ok(match self {
            Self::Bytes(bytes) => SourceReader::Bytes(bytes.slice(start as usize..).reader()),
            Self::File(file, length) => {
                let at = Positioned { file: Arc::clone(file), position: start, end: *length };
                SourceReader::File(BufReader::with_capacity(HEADER_BUFFER, at))
            }
        })
    }

    /// The length is checked before memory is taken for it.
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.check(start, length as u64)?;
        match self {
            Self::Bytes(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Self::File(file, _) => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)?;
                Ok(buffer.into())
            }
        }
    }
}

/// Reads on from one position, independently of all other readers.
#[derive(Debug)]
pub enum SourceReader {
    Bytes(bytes::buf::Reader<Bytes>),
    File(BufReader<Positioned>),
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::File(file) => file.read(buffer),
        }
    }
}

/// A position of its own in a shared file. (Clones of a [`File`] share theirs.)
#[derive(Debug)]
pub struct Positioned {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
