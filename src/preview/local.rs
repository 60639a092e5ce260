//! A file of this machine, read as if it were an object.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::error::Failure;
use connector_core::object::{ListedObject, ObjectRef};
use connector_core::ports::{ListPage, ObjectSource, PortResult};
use connector_core::spec::Format;
use connector_decode::compress::Compression;
use connector_decode::infer::{UNPACKED_BYTES, unpacked_sample};
use connector_decode::parquet::ParquetSource;
use jiff::Timestamp;

/// An opened file.
#[derive(Clone, Debug)]
pub struct LocalFile {
    path: PathBuf,
    file: Arc<File>,
    object: ListedObject,
}

/// First bytes that tell what a file is: more than any magic.
const HEAD: u64 = 4 << 10;

impl LocalFile {
    /// # Errors
    /// `Config` with code `local_file` if there is no such file, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::config("local_file", format!("cannot read {}: {why}", path.display()));
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
        if !metadata.is_file() {
            return Err(failed("it is no file".to_owned()));
        }
        let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let object = ListedObject {
            key: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            etag: String::new(),
            size: metadata.len(),
            last_modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
            storage_class: None,
        };
        Ok(Self { path: path.to_owned(), file: Arc::new(file), object })
    }

    /// The file as a listing would show it; its name is its key.
    pub fn object(&self) -> &ListedObject {
        &self.object
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format: what its name says, else what its first bytes show.
    ///
    /// # Errors
    /// `Config` with code `unknown_format` if neither tells.
    pub fn format(&self) -> Result<Format, Failure> {
        if let Some(format) = Format::of_key(&self.object.key) {
            return Ok(format);
        }
        let head = self.bytes(0..self.object.size.min(HEAD))?;
        if head.starts_with(b"PAR1") {
            return Ok(Format::Parquet);
        }
        let text = match Compression::of_magic(&head) {
            Some(compression) => {
                let packed = self.bytes(0..self.object.size.min(UNPACKED_BYTES as u64))?;
                unpacked_sample(compression, [packed, Bytes::new()], false)?.head
            }
            None => head,
        };
        if text.trim_ascii_start().starts_with(b"{") {
            return Ok(Format::Ndjson);
        }
        let message = format!("nothing tells the format of {}; say it with --format", self.path.display());
        Err(Failure::config("unknown_format", message))
    }

    /// Where a Parquet reader finds it.
    pub fn parquet(&self) -> ParquetSource {
        ParquetSource::File(Arc::clone(&self.file), self.object.size)
    }

    /// # Errors
    /// If these bytes cannot be read.
    pub fn bytes(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        read.map_err(|error| Failure::config("local_file", format!("cannot read {}: {error}", self.path.display())))?;
        Ok(bytes.into())
    }
}

#[async_trait]
impl ObjectSource for LocalFile {
    async fn list_page(&self, _prefix: &str, _continuation: Option<&str>) -> PortResult<ListPage> {
        Ok(ListPage { objects: vec![self.object.clone()], next: None })
    }

    async fn read_range(&self, _object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        self.bytes(range)
    }
}
