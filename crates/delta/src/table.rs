//! The destination port on one table, and what it keeps between commits.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{
    CommitAnswer, DataFileWriter, Destination, ExpiredFile, ExpiryRule, Maintained, MaintenanceRules, PortResult,
    Removal, RowBatches, RowIds, StagedFile, TableCommit, TableFacts,
};
use connector_core::schema::TableSchema;
use jiff::Timestamp;
use tokio::runtime::Handle;

use crate::error::DeltaError;
use crate::identity;
use crate::kernel::{Appended, Base, Kernel};
use crate::removal;
use crate::rewrite;
use crate::scan::{self, TableScan};
use crate::storage::{Location, Storage};
use crate::upkeep::{self, vacuum::Departed};
use crate::writer::TableWriter;

/// A Delta table in a local directory or in a bucket: an import's, or its quarantine's, which is a table like any other.
///
/// Cheap to make: nothing is read before the first call. One per table and process; a second one, here or elsewhere,
/// is safe but makes the other's commits conflict.
#[derive(Clone)]
pub struct DeltaTable {
    inner: Arc<Inner>,
    handle: Handle,
}

struct Inner {
    kernel: Kernel,
    kept: Mutex<Option<Kept>>,
    /// What maintenance has read of the log.
    departed: Mutex<Departed>,
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
        Self::open(Location::Local(root.to_owned()), handle)
    }

    /// The table at a place, which need not exist yet. A bucket is tried for conditional puts before the table is first
    /// read, made or committed to.
    ///
    /// # Errors
    /// As [`DeltaTable::new`]; `BadPath` also for a prefix of a bucket that has no plain URL.
    pub fn open(location: Location, handle: Handle) -> Result<Self, DeltaError> {
        Self::on(Storage::new(location, handle)?)
    }

    pub(crate) fn on(storage: Storage) -> Result<Self, DeltaError> {
        let handle = storage.handle().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                kernel: Kernel::new(storage)?,
                kept: Mutex::new(None),
                departed: Mutex::default(),
            }),
            handle,
        })
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

    /// As [`Destination::read`], for somebody who only looks: needs no right to write, mends nothing and makes nothing
    /// durable, so that nothing may be decided by the answer.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn facts(&self) -> PortResult<Option<TableFacts>> {
        self.blocking(Inner::facts).await
    }

    /// Removes the table with all its files, for good. Says whether there was one. Nobody else may use it meanwhile.
    ///
    /// # Errors
    /// `Config` with code `foreign_table` if it is not the table of that import: then nothing is removed. Those of
    /// reading and removing; the rest goes with the next call.
    pub async fn remove(&self, import: ImportUuid) -> PortResult<bool> {
        self.blocking(move |inner| inner.remove(import)).await
    }

    /// The paths of all data files that lie below the table.
    #[cfg(test)]
    pub(crate) fn stored_data_files(&self) -> Vec<String> {
        let files = self.inner.kernel.storage.list_data_files().expect("listed");
        files.into_iter().map(|file| file.path).collect()
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
        f.debug_struct("DeltaTable").field("at", &self.inner.kernel.root).finish_non_exhaustive()
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
        let kernel = &self.inner.kernel;
        Ok(Box::new(TableWriter::new(&kernel.storage, &kernel.written, schema)?))
    }

    async fn discard(&self, files: &[StagedFile]) {
        let (inner, files) = (Arc::clone(&self.inner), files.to_vec());
        // A panic or a stopping runtime leaves unreferenced files behind, which is harmless.
        let work = move || {
            inner.kernel.written.forget(&files);
            rewrite::discard(&inner.kernel, &files);
        };
        let _ = self.handle.spawn_blocking(work).await;
    }

    async fn staged_files_intact(&self, files: &[StagedFile]) -> PortResult<bool> {
        let files = files.to_vec();
        self.blocking(move |inner| inner.staged_files_intact(&files)).await
    }

    async fn commit(&self, commit: &TableCommit) -> PortResult<CommitAnswer> {
        let commit = commit.clone();
        self.blocking(move |inner| inner.commit(&commit)).await
    }

    async fn row_ids(&self, files: &[StagedFile]) -> PortResult<RowIds> {
        let files = files.to_vec();
        self.blocking(move |inner| identity::row_ids(&inner.kernel, &files)).await
    }

    async fn rows(&self, columns: Option<&[String]>) -> PortResult<Option<RowBatches>> {
        Ok(self.scan(columns).await?.map(|rows| Box::new(rows) as RowBatches))
    }

    async fn expired(&self, rule: &ExpiryRule) -> PortResult<Vec<ExpiredFile>> {
        let rule = rule.clone();
        self.blocking(move |inner| upkeep::expired(&inner.kernel, &rule)).await
    }

    async fn maintain(&self, rules: &MaintenanceRules, now: Timestamp) -> PortResult<Maintained> {
        let rules = *rules;
        self.blocking(move |inner| inner.maintain(&rules, now)).await
    }

    fn location(&self) -> String {
        self.inner.kernel.storage.location()
    }
}

impl Inner {
    fn read(&self) -> Result<Option<TableFacts>, DeltaError> {
        // Whoever reads has a doubt; the next commit shall not build on anything older than this.
        self.keep(None);
        if let Some(now) = self.kernel.storage.check_writable()? {
            self.kernel.mend_torn_entry(now)?;
        }
        self.kernel.log.settle_doubts()?;
        let facts = self.facts()?;
        if facts.as_ref().is_some_and(|facts| facts.committed_seq > 0) {
            // The process may have ended between the link and the sync of its directory. What is told from here on is
            // final, so it has to be durable first.
            self.kernel.log.sync()?;
        }
        Ok(facts)
    }

    fn facts(&self) -> Result<Option<TableFacts>, DeltaError> {
        let Some(base) = self.kernel.open()? else { return Ok(None) };
        let version = base.snapshot.version();
        let committed_seq = match base.import {
            Some(import) => self.kernel.committed_seq(&base, import)?,
            None => 0,
        };
        let committed = match base.import {
            Some(import) if committed_seq > 0 => self.kernel.log.batch_of(&import.app_id(), committed_seq, version)?,
            _ => None,
        };
        let schema = base.schema();
        let (committed_uuid, committed_batch) = committed.map_or((None, None), |(uuid, id)| (Some(uuid), id));
        Ok(Some(TableFacts { version, import: base.import, committed_seq, committed_uuid, committed_batch, schema }))
    }

    fn remove(&self, import: ImportUuid) -> Result<bool, DeltaError> {
        self.keep(None);
        let storage = &self.kernel.storage;
        let Some(base) = self.kernel.open()? else { return storage.remove_remains().map(|()| false) };
        if base.import != Some(import) {
            return Err(DeltaError::NotOurs { table: storage.table().to_owned() });
        }
        storage.remove_everything().map(|()| true)
    }

    fn maintain(&self, rules: &MaintenanceRules, now: Timestamp) -> Result<Maintained, DeltaError> {
        // What the next commit built on would be older than what a step commits.
        self.keep(None);
        let Some(base) = self.kernel.open()? else { return Ok(Maintained { done: true, ..Maintained::default() }) };
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        upkeep::maintain(&self.kernel, &base, rules, now, &mut departed)
    }

    fn scan(&self, columns: Option<&[String]>) -> Result<Option<TableScan>, DeltaError> {
        self.kernel.open()?.map(|base| scan::plan(&self.kernel, &base, columns)).transpose()
    }

    fn create(&self, import: ImportUuid, schema: &TableSchema) -> Result<TableFacts, DeltaError> {
        self.kernel.storage.check_writable()?;
        self.kernel.storage.create_dirs(&self.kernel.root)?;
        self.kernel.create(import, schema)?;
        self.read()?.ok_or_else(|| DeltaError::Internal("a table was created and is gone".to_owned()))
    }

    fn staged_files_intact(&self, staged: &[StagedFile]) -> Result<bool, DeltaError> {
        let files: Vec<(&str, u64)> = staged.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        self.kernel.storage.are_whole_parquet(&files)
    }

    fn commit(&self, commit: &TableCommit) -> Result<CommitAnswer, DeltaError> {
        let revises = commit.remove != Removal::Nothing;
        if revises {
            // Which data files hold the rows is found out on what storage says, not on what we remember.
            self.keep(None);
        }
        self.kernel.storage.check_store()?;
        self.kernel.log.settle_doubts()?;
        let Some((base, seq)) = self.newest(commit.import)? else { return Ok(CommitAnswer::Conflict) };
        // A quarantine table takes part in some batches only, so its sequence has gaps.
        if base.import != Some(commit.import) || seq >= commit.seq || commit.after.is_some_and(|after| seq != after) {
            return Ok(CommitAnswer::Conflict);
        }
        let Some(revision) = removal::prepare(&self.kernel, &base, &commit.remove)? else {
            return Ok(CommitAnswer::Conflict);
        };
        let import = base.import;
        match self.kernel.append(base, commit, &revision) {
            Ok(Appended::Landed { version, entry, snapshot }) => {
                self.kernel.written.forget(&commit.files);
                // An earlier attempt may be what has landed, and its data files are others than those of this one.
                let kept = snapshot.filter(|_| !revises);
                self.keep(kept.map(|snapshot| Kept { base: Base { snapshot, import }, seq: commit.seq, entry }));
                Ok(CommitAnswer::Landed { version })
            }
            Ok(Appended::Conflict) => {
                rewrite::discard(&self.kernel, &revision.files);
                Ok(CommitAnswer::Conflict)
            }
            // The files that were written anew may be the table's.
            Ok(Appended::Unknown(error)) => Err(error),
            Err(error) => {
                rewrite::discard(&self.kernel, &revision.files);
                Err(error)
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
