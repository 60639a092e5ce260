//! Where a table is: a local directory, or a prefix of an S3 bucket. Everything else of this crate is the same for both.
//!
//! Paths are relative to the table, as [`connector_core::ports::StagedFile::path`] has them. All calls block: they
//! belong on a blocking thread of the runtime or on the CPU pool.
//!
//! What "durable" means differs. On disk a file is there for good once it and its directory are synced. In a bucket an
//! object is there for good, whole, once the PUT is answered; until then it is not there at all. So a data file for a
//! bucket is written into a local spool folder and uploaded when it is finished.

mod disk;
mod files;
mod place;
mod probe;
mod ranged;
mod upload;
mod whole;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use tokio::runtime::Handle;
use url::Url;
use uuid::Uuid;

use crate::error::DeltaError;

pub(crate) use self::disk::{Disk, PROBE_PREFIX, RealDisk};
pub use self::place::{Location, S3Location, Tried};
#[cfg(test)]
pub(crate) use self::probe::probe as probe_conditional_put;
pub(crate) use self::ranged::TableFile;

/// The folder of the log.
pub(crate) const LOG_FOLDER: &str = "_delta_log";

/// A table's place. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    handle: Handle,
    /// The whole file system, or the whole bucket.
    store: Arc<dyn ObjectStore>,
    /// The table within `store`.
    prefix: StorePath,
    url: Url,
    /// The table's place as messages name it; for a local table also where it is.
    table: PathBuf,
}

#[derive(Debug)]
enum Place {
    Local { disk: Arc<dyn Disk> },
    S3 { location: S3Location },
}

/// A file of the table, or of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredFile {
    /// Relative to the table.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) modified: Timestamp,
}

/// A data file that is being written: a local file, which [`Storage::publish`] makes the table's.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Relative to the table.
    pub(crate) path: String,
    /// Where the bytes are meanwhile.
    local: PathBuf,
}

impl Draft {
    /// As messages name it.
    pub(crate) fn local(&self) -> &Path {
        &self.local
    }
}

impl Storage {
    pub(crate) fn new(location: Location, handle: Handle) -> Result<Self, DeltaError> {
        match location {
            Location::Local(root) => {
                Self::local(&root, handle, Arc::new(LocalFileSystem::new().with_fsync(true)), Arc::new(RealDisk))
            }
            Location::S3(location) => Self::s3(location, handle),
        }
    }

    /// A local table. `store` must be a view of the local file system; the log is written through it.
    pub(crate) fn local(
        root: &Path,
        handle: Handle,
        store: Arc<dyn ObjectStore>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, DeltaError> {
        let bad = |why| DeltaError::BadPath { path: root.to_owned(), why };
        let Some(text) = root.to_str() else { return Err(bad("it is not UTF-8")) };
        if text.contains('%') {
            return Err(bad("it contains '%'"));
        }
        let root = std::path::absolute(root).map_err(|_| bad("it is empty"))?;
        let url = Url::from_directory_path(&root).map_err(|()| bad("it is not absolute"))?;
        let prefix = StorePath::from_url_path(url.path()).map_err(|_| bad("it has parts like '.' or '..'"))?;
        let place = Place::Local { disk };
        Ok(Self { shared: Arc::new(Shared { place, handle, store, prefix, url, table: root }) })
    }

    fn s3(location: S3Location, handle: Handle) -> Result<Self, DeltaError> {
        let url = location.url()?;
        let prefix = location.store_path()?;
        let store = Arc::clone(&location.store);
        let table = PathBuf::from(location.text());
        Ok(Self { shared: Arc::new(Shared { place: Place::S3 { location }, handle, store, prefix, url, table }) })
    }

    /// The table's place as messages name it.
    pub(crate) fn table(&self) -> &Path {
        &self.shared.table
    }

    /// A file of the table as messages name it.
    pub(crate) fn named(&self, path: &str) -> PathBuf {
        self.shared.table.join(path)
    }

    /// Where the table is, for people.
    pub(crate) fn location(&self) -> String {
        self.shared.table.display().to_string()
    }

    /// Where a data file is, by its path in the log, which is a URI: relative to the table, or with a slash in front if
    /// another program has put it outside.
    pub(crate) fn resolve(&self, log_path: &str) -> Result<String, DeltaError> {
        let unreadable = |why: String| DeltaError::Unreadable { table: self.table().to_owned(), why };
        let url = self.url().join(log_path).map_err(|error| unreadable(format!("{log_path}: {error}")))?;
        if url.scheme() != self.url().scheme() || url.host() != self.url().host() {
            let place = if self.is_local() { "on this machine" } else { "in this bucket" };
            return Err(unreadable(format!("data file {url} is not {place}")));
        }
        let path = StorePath::from_url_path(url.path());
        let path = path.map_err(|error| unreadable(format!("data file {url}: {error}")))?;
        let within = path.as_ref().strip_prefix(self.shared.prefix.as_ref()).and_then(|rest| rest.strip_prefix('/'));
        Ok(within.map_or_else(|| format!("/{path}"), str::to_owned))
    }

    /// Ends with a slash.
    pub(crate) fn url(&self) -> &Url {
        &self.shared.url
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.shared.store
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.shared.handle
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self.shared.place, Place::Local { .. })
    }

    /// Where data files are until they are uploaded; `None` on disk, where they are in their place from the beginning.
    pub(crate) fn spool(&self) -> Option<&Path> {
        match &self.shared.place {
            Place::Local { .. } => None,
            Place::S3 { location } => Some(&location.spool),
        }
    }

    /// The folder of the log within [`Storage::store`].
    pub(crate) fn log_prefix(&self) -> StorePath {
        self.shared.prefix.clone().join(LOG_FOLDER)
    }

    /// Whether the place can be written to, told before anything is claimed: a local directory that is a symbolic link
    /// or read-only is refused, as is a bucket that lets two writers create the same object.
    ///
    /// Says what time it is by the clock that gives local files their times; it may be that of another machine.
    pub(crate) fn check_writable(&self) -> Result<Option<Timestamp>, DeltaError> {
        match &self.shared.place {
            Place::Local { disk } => disk::check(disk.as_ref(), &self.shared.table).map(Some),
            Place::S3 { .. } => self.check_store().map(|()| None),
        }
    }

    /// Tries whether a bucket refuses a second object of the same name, once.
    pub(crate) fn check_store(&self) -> Result<(), DeltaError> {
        match &self.shared.place {
            Place::Local { .. } => Ok(()),
            Place::S3 { location } => location.check_once(&self.shared.handle),
        }
    }

    /// Removes keys that interrupted trials of a bucket have left beside the table; says how many and of how many bytes.
    /// A role that may not look there leaves them.
    pub(crate) fn sweep_probes(&self, before: Timestamp) -> (u64, u64) {
        match &self.shared.place {
            Place::Local { .. } => (0, 0),
            Place::S3 { location } => self.shared.handle.block_on(probe::sweep(location, before)),
        }
    }

    /// Opens a data file for reading.
    pub(crate) fn open_data_file(&self, path: &str) -> Result<TableFile, DeltaError> {
        let named = self.named(path);
        match self.shared.place {
            Place::Local { .. } => {
                File::open(&named).map(TableFile::Local).map_err(|error| DeltaError::data_file(&named, &error))
            }
            Place::S3 { .. } => match self.facts(path)? {
                Some(facts) => Ok(TableFile::remote(self.clone(), self.key(path)?, facts.bytes)),
                None => Err(DeltaError::DamagedFile { path: named, why: "it is not there".to_owned() }),
            },
        }
    }

    /// A new data file to write into. Its path must be a fresh one.
    pub(crate) fn draft(&self, path: &str) -> Result<(Draft, File), DeltaError> {
        let local = match &self.shared.place {
            Place::Local { .. } => {
                let local = self.named(path);
                if let Some(parent) = local.parent().filter(|parent| *parent != self.shared.table) {
                    self.create_dirs(parent)?;
                }
                local
            }
            Place::S3 { location } => {
                std::fs::create_dir_all(&location.spool).map_err(|error| DeltaError::io(&location.spool, error))?;
                location.spool.join(format!("part-{}.parquet", Uuid::new_v4()))
            }
        };
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        if !self.is_local() {
            // Who may read the bucket is not told by who may look into this machine's folders.
            options.mode(0o600);
        }
        let opened = options.open(&local);
        let file = opened.map_err(|error| DeltaError::io(&local, error))?;
        Ok((Draft { path: path.to_owned(), local }, file))
    }

    /// Makes a finished draft the table's. In a bucket it is there for good then and the local file is gone; on disk it
    /// is so once [`Storage::sync_dirs`] has made its name durable too. A sync that fails is not tried again: the
    /// kernel may have dropped the bytes, and a second attempt would say that all is well.
    pub(crate) fn publish(&self, draft: &Draft, file: &File) -> Result<(), DeltaError> {
        match &self.shared.place {
            Place::Local { disk } => disk.sync_file(file).map_err(|error| DeltaError::io(&draft.local, error)),
            Place::S3 { .. } => {
                self.upload(draft, file)?;
                self.forget_draft(draft);
                Ok(())
            }
        }
    }

    /// Removes what a draft has left on disk.
    pub(crate) fn forget_draft(&self, draft: &Draft) {
        if let Err(error) = std::fs::remove_file(&draft.local) {
            tracing::warn!(path = %draft.local.display(), %error, "an unfinished data file could not be removed");
        }
    }

    /// Makes the names of published data files durable.
    pub(crate) fn sync_dirs<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<(), DeltaError> {
        let Place::Local { disk } = &self.shared.place else { return Ok(()) };
        let folders: BTreeSet<PathBuf> =
            paths.filter_map(|path| self.named(path).parent().map(Path::to_owned)).collect();
        for folder in folders {
            disk.sync_dir(&folder).map_err(|error| DeltaError::io(&folder, error))?;
        }
        Ok(())
    }

    /// Makes a directory of a local table and those above it, durably. A bucket has none.
    pub(crate) fn create_dirs(&self, dir: &Path) -> Result<(), DeltaError> {
        match &self.shared.place {
            Place::Local { disk } => disk::create_dirs(disk.as_ref(), dir).map_err(|error| DeltaError::io(dir, error)),
            Place::S3 { .. } => Ok(()),
        }
    }

    /// Makes the entries of the log's folder durable.
    pub(crate) fn sync_log(&self) -> Result<(), DeltaError> {
        let Place::Local { disk } = &self.shared.place else { return Ok(()) };
        let folder = self.named(LOG_FOLDER);
        disk.sync_dir(&folder).map_err(|error| DeltaError::io(&folder, error))
    }

    /// Writes a log entry anew, bytes and name, after the sync of its first writing has failed: to sync again what is
    /// there could succeed without anything having reached the disk.
    pub(crate) fn rewrite_log_entry(&self, name: &str, bytes: &[u8]) -> Result<(), DeltaError> {
        let Place::Local { disk } = &self.shared.place else { return Ok(()) };
        let path = self.named(LOG_FOLDER).join(name);
        disk::replace(disk.as_ref(), &path, bytes).map_err(|error| DeltaError::io(&path, error))
    }

    /// A file of the table within [`Storage::store`].
    fn key(&self, path: &str) -> Result<StorePath, DeltaError> {
        let whole = match path.strip_prefix('/') {
            Some(whole) => whole.to_owned(),
            None => format!("{}/{path}", self.shared.prefix),
        };
        StorePath::parse(whole)
            .map_err(|error| DeltaError::Unreadable { table: self.table().to_owned(), why: error.to_string() })
    }
}

/// Whether a part of a path hides what it names, by the rule of the Delta protocol.
fn is_hidden(part: &str) -> bool {
    part.starts_with(['_', '.']) && !part.contains('=')
}
