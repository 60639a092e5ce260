//! The destination port on one table, and what it keeps between commits.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{
    CommitAnswer, DataFileWriter, Destination, PortResult, StagedFile, TableCommit, TableFacts,
};
use connector_core::schema::TableSchema;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::runtime::Handle;

use crate::error::DeltaError;
use crate::files;
use crate::kernel::{Appended, Base, Kernel};
use crate::scan::{self, TableScan};
use crate::writer::TableWriter;

/// A Delta table in a local directory: an import's, or its quarantine's, which is a table like any other.
///
/// Cheap to make: nothing is read before the first call. One per table and process; a second one, here or elsewhere,
/// is safe but makes the other's commits conflict.
#[derive(Clone)]
pub struct DeltaTable {
    inner: Arc<Inner>,
    handle: Handle,
}

struct Inner {
    root: PathBuf,
    kernel: Kernel,
    kept: Mutex<Option<Kept>>,
}

/// The table as our own last commit left it, so that the next one need not read the log.
struct Kept {
    base: Base,
    seq: BatchSeq,
    /// The bytes of that commit's log entry: while they are in place, the state is that of this table.
    entry: Bytes,
}

impl DeltaTable {
    /// The table in directory `root`, which need not exist yet. `handle`: a multi-threaded runtime, on whose blocking
    /// threads all work is done.
    ///
    /// # Errors
    /// `BadPath` for a path that the libraries below cannot address: one with `%` (it is decoded twice) or one that is
    /// not UTF-8. `Internal` for a runtime with a single thread.
    pub fn new(root: &Path, handle: Handle) -> Result<Self, DeltaError> {
        Self::on_store(root, handle, Arc::new(LocalFileSystem::new().with_fsync(true)))
    }

    /// As [`DeltaTable::new`], with another store for the log. The store must be a view of the local file system.
    pub(crate) fn on_store(root: &Path, handle: Handle, store: Arc<dyn ObjectStore>) -> Result<Self, DeltaError> {
        let bad = |why| DeltaError::BadPath { path: root.to_owned(), why };
        let Some(text) = root.to_str() else { return Err(bad("it is not UTF-8")) };
        if text.contains('%') {
            return Err(bad("it contains '%'"));
        }
        let root = std::path::absolute(root).map_err(|_| bad("it is empty"))?;
        let kernel = Kernel::new(&root, &handle, store)?;
        Ok(Self { inner: Arc::new(Inner { root, kernel, kept: Mutex::new(None) }), handle })
    }

    /// Reads the rows that the table has now; `None` if there is no table. `columns`: which ones, in which order; data
    /// columns and provenance columns alike, all of them if not given.
    ///
    /// # Errors
    /// `Config` with code `no_such_column`; those of [`Destination::read`].
    pub async fn scan(&self, columns: Option<&[String]>) -> PortResult<Option<TableScan>> {
        let columns = columns.map(<[String]>::to_vec);
        self.blocking(move |inner| inner.scan(columns.as_deref())).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, DeltaError> + Send + 'static,
    ) -> PortResult<T> {
        let inner = Arc::clone(&self.inner);
        let done = self.handle.spawn_blocking(move || work(&inner)).await;
        let result = done.unwrap_or_else(|error| Err(DeltaError::Internal(format!("work on a table ended: {error}"))));
        Ok(result?)
    }
}

impl fmt::Debug for DeltaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeltaTable").field("root", &self.inner.root).finish_non_exhaustive()
    }
}

#[async_trait]
impl Destination for DeltaTable {
    async fn read(&self) -> PortResult<Option<TableFacts>> {
        self.blocking(Inner::read).await
    }

    async fn create(&self, import: ImportUuid, schema: &TableSchema) -> PortResult<TableFacts> {
        let schema = schema.clone();
        self.blocking(move |inner| inner.create(import, &schema)).await
    }

    fn open_writer(&self, schema: &TableSchema) -> PortResult<Box<dyn DataFileWriter>> {
        Ok(Box::new(TableWriter::new(&self.inner.root, schema)?))
    }

    async fn discard(&self, files: &[StagedFile]) {
        let paths: Vec<PathBuf> = files.iter().map(|file| self.inner.root.join(&file.path)).collect();
        let remove = move || {
            for path in paths {
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "an unreferenced data file is left behind");
                }
            }
        };
        // A panic or a stopping runtime leaves unreferenced files behind, which is harmless.
        let _ = self.handle.spawn_blocking(remove).await;
    }

    async fn staged_files_intact(&self, files: &[StagedFile]) -> PortResult<bool> {
        let files = files.to_vec();
        self.blocking(move |inner| inner.staged_files_intact(&files)).await
    }

    async fn commit(&self, commit: &TableCommit) -> PortResult<CommitAnswer> {
        let commit = commit.clone();
        self.blocking(move |inner| inner.commit(&commit)).await
    }

    fn location(&self) -> String {
        self.inner.root.display().to_string()
    }
}

impl Inner {
    fn read(&self) -> Result<Option<TableFacts>, DeltaError> {
        // Whoever reads has a doubt; the next commit shall not build on anything older than this.
        self.keep(None);
        let Some(base) = self.kernel.open()? else { return Ok(None) };
        let version = base.snapshot.version();
        let committed_seq = match base.import {
            Some(import) => self.kernel.committed_seq(&base, import)?,
            None => 0,
        };
        let committed_uuid = match base.import {
            Some(import) if committed_seq > 0 => {
                // The process may have ended between the link and the sync of its directory. What is told from here
                // on is final, so it has to be durable first.
                self.kernel.log.sync()?;
                self.kernel.log.batch_of(&import.app_id(), committed_seq, version)?
            }
            _ => None,
        };
        let schema = base.schema();
        Ok(Some(TableFacts { version, import: base.import, committed_seq, committed_uuid, schema }))
    }

    fn scan(&self, columns: Option<&[String]>) -> Result<Option<TableScan>, DeltaError> {
        self.kernel.open()?.map(|base| scan::plan(&self.kernel, &base, columns)).transpose()
    }

    fn create(&self, import: ImportUuid, schema: &TableSchema) -> Result<TableFacts, DeltaError> {
        files::create_dirs(&self.root).map_err(|error| DeltaError::io(&self.root, error))?;
        self.kernel.create(import, schema)?;
        self.read()?.ok_or_else(|| DeltaError::Internal("a table was created and is gone".to_owned()))
    }

    fn staged_files_intact(&self, staged: &[StagedFile]) -> Result<bool, DeltaError> {
        for file in staged {
            let path = self.root.join(&file.path);
            if !files::is_whole_parquet(&path, file.bytes).map_err(|error| DeltaError::io(&path, error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn commit(&self, commit: &TableCommit) -> Result<CommitAnswer, DeltaError> {
        let Some((base, seq)) = self.newest(commit.import)? else { return Ok(CommitAnswer::Conflict) };
        // A quarantine table takes part in some batches only, so its sequence has gaps.
        if base.import != Some(commit.import) || seq >= commit.seq || commit.after.is_some_and(|after| seq != after) {
            return Ok(CommitAnswer::Conflict);
        }
        let import = base.import;
        match self.kernel.append(base, commit)? {
            Appended::Conflict => Ok(CommitAnswer::Conflict),
            Appended::Landed { version, entry, snapshot } => {
                self.keep(snapshot.map(|snapshot| Kept { base: Base { snapshot, import }, seq: commit.seq, entry }));
                Ok(CommitAnswer::Landed { version })
            }
        }
    }

    /// The state to build on and its `txn`: what our last commit left if its log entry is still in place, else what
    /// storage says. A newer commit by somebody else is not noticed here: it makes ours conflict.
    fn newest(&self, import: ImportUuid) -> Result<Option<(Base, BatchSeq)>, DeltaError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kept) = kept {
            let entry = self.kernel.log.read(kept.base.snapshot.version())?;
            if entry.as_ref() == Some(&kept.entry) {
                return Ok(Some((kept.base, kept.seq)));
            }
        }
        let Some(base) = self.kernel.open()? else { return Ok(None) };
        let seq = self.kernel.committed_seq(&base, import)?;
        Ok(Some((base, seq)))
    }

    fn keep(&self, kept: Option<Kept>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}
