//! A data file while it is read: from disk, or from a bucket by ranges.
//!
//! A Parquet reader asks for a page's header, then for its body, column by column in turns. Each column chunk therefore
//! has a window of its own: a request fetches from where the reader is to the end of the chunk, at most so many bytes,
//! and what follows is taken from there.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as StorePath;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::Storage;

/// A window is as large.
const WINDOW_BYTES: u64 = 1 << 20;
/// The footer's, which is asked for before anything is known.
const TAIL_BYTES: u64 = 64 << 10;
/// Windows that are kept: more columns than that share them.
const WINDOWS: usize = 32;

/// A data file. Clones read the same file.
#[derive(Debug)]
pub(crate) enum TableFile {
    Local(File),
    Remote(Remote),
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    storage: Storage,
    key: StorePath,
    bytes: u64,
    read_ahead: Mutex<ReadAhead>,
}

#[derive(Debug, Default)]
struct ReadAhead {
    /// Where column chunks are, ascending.
    chunks: Vec<Range<u64>>,
    /// The one that was used last is at the end.
    windows: Vec<(u64, Bytes)>,
}

impl TableFile {
    pub(super) fn remote(storage: Storage, key: StorePath, bytes: u64) -> Self {
        let read_ahead = Mutex::default();
        Self::Remote(Remote { shared: Arc::new(Shared { storage, key, bytes, read_ahead }) })
    }

    /// Another handle to the same file.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Local(file) => Self::Local(file.try_clone()?),
            Self::Remote(remote) => Self::Remote(remote.clone()),
        })
    }

    /// Tells where column chunks end, so that no window reaches into the next one.
    pub(crate) fn plan(&self, metadata: &ParquetMetaData) {
        let Self::Remote(remote) = self else { return };
        let groups = metadata.row_groups().iter();
        let ranges = groups.flat_map(|group| group.columns().iter().map(|column| column.byte_range()));
        let mut chunks: Vec<Range<u64>> = ranges.map(|(start, length)| start..start.saturating_add(length)).collect();
        chunks.sort_unstable_by_key(|chunk| chunk.start);
        remote.read_ahead().chunks = chunks;
    }
}

impl Length for TableFile {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Remote(remote) => remote.shared.bytes,
        }
    }
}

impl ChunkReader for TableFile {
    type T = TableFileRead;

    fn get_read(&self, start: u64) -> Result<TableFileRead> {
        match self {
            Self::Local(file) => file.get_read(start).map(TableFileRead::Local),
            Self::Remote(remote) => Ok(TableFileRead::Remote { remote: remote.clone(), at: start }),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote(remote) => {
                let end = start.checked_add(length as u64).filter(|end| *end <= remote.shared.bytes);
                let Some(end) = end else {
                    let why = format!("{length} bytes from byte {start} on are beyond its end");
                    return Err(ParquetError::EOF(why));
                };
                remote.bytes(start..end)
            }
        }
    }
}

/// Reads on from some byte.
#[derive(Debug)]
pub(crate) enum TableFileRead {
    Local(BufReader<File>),
    Remote { remote: Remote, at: u64 },
}

impl Read for TableFileRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (remote, at) = match self {
            Self::Local(file) => return file.read(buffer),
            Self::Remote { remote, at } => (remote, at),
        };
        let end = remote.shared.bytes.min(at.saturating_add(buffer.len() as u64));
        if *at >= end {
            return Ok(0);
        }
        let bytes = remote.window(*at).map_err(io::Error::other)?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        *at += count as u64;
        Ok(count)
    }
}

impl Remote {
    fn read_ahead(&self) -> MutexGuard<'_, ReadAhead> {
        self.shared.read_ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exactly these bytes.
    fn bytes(&self, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let window = self.window(range.start)?;
        let length = usize::try_from(range.end - range.start).map_err(|_| ParquetError::EOF(String::new()))?;
        if window.len() >= length {
            return Ok(window.slice(..length));
        }
        // More than a window holds: asked for as it is, and not kept.
        self.fetch(range)
    }

    /// The bytes from `start` on that are at hand, or at least one that is fetched.
    fn window(&self, start: u64) -> Result<Bytes> {
        let wanted = {
            let mut read_ahead = self.read_ahead();
            if let Some(found) = read_ahead.take(start) {
                return Ok(found);
            }
            read_ahead.wanted(start, self.shared.bytes)
        };
        let fetched = self.fetch(wanted.clone())?;
        self.read_ahead().keep(wanted.start, fetched.clone());
        let skipped = usize::try_from(start - wanted.start).unwrap_or(fetched.len());
        Ok(fetched.slice(skipped.min(fetched.len())..))
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let Shared { storage, key, .. } = self.shared.as_ref();
        let length = range.end - range.start;
        let fetched = storage.handle().block_on(storage.store().get_range(key, range));
        let fetched = fetched.map_err(|error| ParquetError::External(Box::new(error)))?;
        if fetched.len() as u64 != length {
            return Err(ParquetError::EOF(format!("{} of {length} bytes came", fetched.len())));
        }
        Ok(fetched)
    }
}

impl ReadAhead {
    /// What is at hand from `start` on.
    fn take(&mut self, start: u64) -> Option<Bytes> {
        let holds = |(first, bytes): &(u64, Bytes)| (*first..*first + bytes.len() as u64).contains(&start);
        let index = self.windows.iter().position(holds)?;
        let window = self.windows.remove(index);
        let found = window.1.slice(usize::try_from(start - window.0).ok()?..);
        self.windows.push(window);
        Some(found)
    }

    fn keep(&mut self, start: u64, bytes: Bytes) {
        if self.windows.len() >= WINDOWS {
            self.windows.remove(0);
        }
        self.windows.push((start, bytes));
    }

    /// What to fetch if `start` is not at hand. `bytes`: of the whole file.
    fn wanted(&self, start: u64, bytes: u64) -> Range<u64> {
        if bytes <= WINDOW_BYTES {
            return 0..bytes;
        }
        let tail = bytes - TAIL_BYTES;
        if start >= tail {
            return tail..bytes;
        }
        let behind = self.chunks.partition_point(|chunk| chunk.start <= start);
        let end = match behind.checked_sub(1).and_then(|index| self.chunks.get(index)) {
            Some(chunk) if chunk.contains(&start) => chunk.end,
            _ => bytes,
        };
        start..end.min(start + WINDOW_BYTES)
    }
}
