//! The ledger: a durable record of every object version and batch, in SQLite.
//!
//! Purpose: [`SqliteLedger`] implements [`connector_core::ports::Ledger`]. One thread owns the database; each call is
//! one transaction on it, and what a call has reported is on disk.
//!
//! | module | what is in it |
//! |---|---|
//! | `open`, `writer` | data directory, lock, settings, migrations; the thread |
//! | `import` | the record of an import, its pause and guard, its watermark |
//! | `origin` | which bucket each import reads, as far as it was ever accepted |
//! | `schema` | the table's schema, its reference file, its versions |
//! | `page`, `overwrite` | listing pages: new, known, archived; what becomes of overwritten keys |
//! | `claiming`, `reading` | the next batch, the throttle, the backlog; who is suspected of killing its reader |
//! | `revision` | batches that revise rows which are there |
//! | `batch`, `results`, `ending` | the open batch, what is staged for it, and its end |
//! | `account` | where the rows of an object version are |
//! | `retry`, `mend` | trying again by hand; making the ledger agree with the table |
//! | `counts`, `history`, `known` | what people ask |
//! | `queue` | the place of a key in the order of claims |
//! | `reader` | the same without the thread and the lock, for the command line |
//! | `backup` | snapshot, export, import |
//! | `version` | object versions as they are stored, and their ids |
//! | `codec`, `json`, `error` | stored forms; errors with their remedies |
//!
//! `migrations/` documents the tables. Everything asked often is answered from an index that holds nothing
//! but the backlog, or from counters that triggers keep, so the number of objects ever seen does not matter.

mod account;
mod backup;
mod batch;
mod claiming;
mod codec;
mod counts;
mod ending;
mod error;
mod forget;
mod history;
mod import;
mod json;
mod known;
mod mend;
mod open;
mod origin;
mod overwrite;
mod page;
mod queue;
mod reader;
mod reading;
mod results;
mod retry;
mod revision;
mod schema;
mod version;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use connector_core::claim::ClaimLimit;
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ImportName, ObjectVersionId};
use connector_core::origin::Known;
use connector_core::ports::{
    ClaimAnswer, FileResult, ImportCounts, ImportRecord, Ledger, PageOutcome, PortResult, ReferenceFile, Reread, Retry,
    RevisionBatch, SelectedObject, StagedBatch,
};
use connector_core::revision::Revision;
use connector_core::schema::TableSchema;
use connector_core::spec::OverwritePolicy;
use connector_core::uri::BucketUri;
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

pub use crate::backup::{Imported, import_ledger};
pub use crate::counts::OBJECT_STATES;
pub use crate::error::LedgerError;
pub use crate::history::{MAX_PAGE, MAX_PAGE_FILES};
pub use crate::mend::{Adopted, AdoptedVersion, Adoption, MissingRows};
pub use crate::open::{LEDGER_FILE, LOCK_FILE};
pub use crate::queue::Queue;
pub use crate::reader::LedgerReader;

use crate::error::Result;
use crate::import::Import;
use crate::writer::Writer;

/// The ledger of one data directory. Dropping it waits for the calls in flight, closes the database and frees the
/// data directory.
pub struct SqliteLedger {
    writer: Writer,
    /// The database; `None` in memory.
    path: Option<PathBuf>,
    /// Imports that were opened since: what was being read when the process before this one died is known by then.
    opened: Mutex<HashSet<ImportName>>,
}

impl SqliteLedger {
    /// Opens the ledger of a data directory for this process alone, creating directory and ledger if they are missing,
    /// and bringing the ledger of an older program up to date.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another process, or this one, has it open; [`LedgerError::Newer`] if a newer program
    /// wrote it; otherwise what file system or database say.
    pub fn open(data_dir: &Path) -> std::result::Result<Self, LedgerError> {
        let (connection, lock) = open::exclusive(data_dir)?;
        Ok(Self {
            writer: Writer::start(connection, Some(lock))?,
            path: Some(data_dir.join(LEDGER_FILE)),
            opened: Mutex::default(),
        })
    }

    /// A ledger that nobody else sees and that is gone when it is dropped.
    ///
    /// # Errors
    /// If there is no memory or no thread for it.
    pub fn in_memory() -> std::result::Result<Self, LedgerError> {
        Ok(Self { writer: Writer::start(open::in_memory()?, None)?, path: None, opened: Mutex::default() })
    }

    /// The names of all imports that were ever opened, sorted.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn imports(&self) -> PortResult<Vec<ImportName>> {
        let names = self.read("list the imports", counts::imports).await?;
        Ok(names.into_iter().map(ImportName::new).collect())
    }

    /// What each import that was ever opened or accepted reads.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn origins(&self) -> PortResult<Vec<Known>> {
        Ok(self.read("list what imports read", origin::all).await?)
    }

    /// From now on these imports are what they are configured to be: name, bucket and URI.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn accept(&self, imports: Vec<(ImportName, BucketUri)>) -> PortResult<()> {
        let job = move |db: &Connection| {
            imports.iter().try_for_each(|(name, uri)| origin::accept(db, name.as_str(), uri.bucket(), uri.as_str()))
        };
        Ok(self.transact("note what imports read", TransactionBehavior::Immediate, job).await?)
    }

    /// Forgets an import with all its files and batches, as if it had never been. Says whether it was known. Its table has
    /// to be gone before, or the next one of this name finds a table that is not its own.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn forget(&self, import: &ImportName) -> PortResult<bool> {
        let name = import.clone();
        let job = move |db: &Connection| forget::forget(db, name.as_str());
        let known = self.transact("forget the import", TransactionBehavior::Immediate, job).await?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(import);
        Ok(known)
    }

    /// One transaction that only reads, so that all of its queries see one state.
    async fn read<T, J>(&self, doing: &'static str, job: J) -> Result<T>
    where
        T: Send + 'static,
        J: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        self.transact(doing, TransactionBehavior::Deferred, job).await
    }

    /// One transaction that writes to an import. It is on disk when this returns; an error has changed nothing.
    async fn write<T, J>(&self, doing: &'static str, import: &ImportName, job: J) -> Result<T>
    where
        T: Send + 'static,
        J: FnOnce(&Connection, &Import) -> Result<T> + Send + 'static,
    {
        let name = import.clone();
        self.transact(doing, TransactionBehavior::Immediate, move |db| job(db, &load(db, &name)?)).await
    }

    async fn transact<T, J>(&self, doing: &'static str, behavior: TransactionBehavior, job: J) -> Result<T>
    where
        T: Send + 'static,
        J: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let run = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(behavior)?;
            let result = job(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        self.writer.run(run).await.map_err(|error| error.while_doing(doing))
    }
}

fn load(db: &Connection, name: &ImportName) -> Result<Import> {
    Import::load(db, name.as_str())?.ok_or_else(|| LedgerError::UnknownImport { import: name.to_string() })
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn open_import(
        &self,
        import: &ImportName,
        bucket: &str,
        overwrite: OverwritePolicy,
    ) -> PortResult<ImportRecord> {
        let (name, bucket) = (import.clone(), bucket.to_owned());
        let first = !self.opened.lock().unwrap_or_else(PoisonError::into_inner).contains(import);
        let open = move |db: &Connection| import::open(db, name.as_str(), &bucket, overwrite, first);
        let record = self.transact("open the import", TransactionBehavior::Immediate, open).await?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(import.clone());
        Ok(record)
    }

    async fn table_created(&self, import: &ImportName, schema: &TableSchema, now: Timestamp) -> PortResult<()> {
        let schema = schema.clone();
        let job = move |db: &Connection, import: &Import| schema::table_created(db, import, &schema, now);
        Ok(self.write("note that the table exists", import, job).await?)
    }

    async fn decide_schema(
        &self,
        import: &ImportName,
        schema: &TableSchema,
        reference: Option<&ReferenceFile>,
    ) -> PortResult<()> {
        let (schema, reference) = (schema.clone(), reference.cloned());
        let job = move |db: &Connection, import: &Import| schema::decide(db, import, &schema, reference.as_ref());
        Ok(self.write("store the schema", import, job).await?)
    }

    async fn record_page(
        &self,
        import: &ImportName,
        page: Vec<SelectedObject>,
        now: Timestamp,
    ) -> PortResult<PageOutcome> {
        let job = move |db: &Connection, import: &Import| page::record(db, import, &page, now);
        Ok(self.write("record a listing page", import, job).await?)
    }

    async fn finish_scan(&self, import: &ImportName, now: Timestamp) -> PortResult<Option<Reread>> {
        let job = move |db: &Connection, import: &Import| import::finish_scan(db, import, now);
        Ok(self.write("note a complete scan", import, job).await?)
    }

    async fn claim(
        &self,
        import: &ImportName,
        limit: ClaimLimit,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<ClaimAnswer> {
        let job = move |db: &Connection, import: &Import| claiming::claim(db, import, limit, (uuid, id), now);
        Ok(self.write("claim a batch", import, job).await?)
    }

    async fn claim_revision(
        &self,
        import: &ImportName,
        revision: &Revision,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<Option<RevisionBatch>> {
        let revision = revision.clone();
        let job = move |db: &Connection, import: &Import| revision::claim(db, import, &revision, (uuid, id), now);
        Ok(self.write("claim a revising batch", import, job).await?)
    }

    async fn mark_reading(
        &self,
        import: &ImportName,
        started: &[ObjectVersionId],
        finished: &[ObjectVersionId],
    ) -> PortResult<()> {
        let (started, finished) = (started.to_vec(), finished.to_vec());
        let job = move |db: &Connection, import: &Import| reading::mark(db, import, &started, &finished);
        Ok(self.write("mark what is read", import, job).await?)
    }

    async fn retry(&self, import: &ImportName, retry: &Retry, _now: Timestamp) -> PortResult<u64> {
        let retry = retry.clone();
        let job = move |db: &Connection, import: &Import| retry::retry(db, import, &retry);
        Ok(self.write("let files be tried again", import, job).await?)
    }

    async fn stage(&self, import: &ImportName, seq: BatchSeq, uuid: BatchUuid, staged: &StagedBatch) -> PortResult<()> {
        let staged = staged.clone();
        let job = move |db: &Connection, import: &Import| batch::stage(db, import, seq, uuid, &staged);
        Ok(self.write("stage a batch", import, job).await?)
    }

    async fn finalise(&self, import: &ImportName, seq: BatchSeq, table_version: u64, now: Timestamp) -> PortResult<()> {
        let job = move |db: &Connection, import: &Import| ending::finalise(db, import, seq, table_version, now);
        Ok(self.write("finalise a batch", import, job).await?)
    }

    async fn abandon(&self, import: &ImportName, seq: BatchSeq) -> PortResult<()> {
        let job = move |db: &Connection, import: &Import| ending::abandon(db, import, seq);
        Ok(self.write("abandon a batch", import, job).await?)
    }

    async fn settle(
        &self,
        import: &ImportName,
        seq: BatchSeq,
        results: &[FileResult],
        now: Timestamp,
    ) -> PortResult<()> {
        let results = results.to_vec();
        let job = move |db: &Connection, import: &Import| ending::settle(db, import, seq, &results, now);
        Ok(self.write("settle a batch", import, job).await?)
    }

    async fn set_paused(&self, import: &ImportName, paused: bool) -> PortResult<()> {
        let job = move |db: &Connection, import: &Import| import::set_paused(db, import, paused);
        Ok(self.write("pause or resume", import, job).await?)
    }

    async fn trip_guard(&self, import: &ImportName, seq: BatchSeq, reason: &str) -> PortResult<()> {
        let reason = reason.to_owned();
        let job = move |db: &Connection, import: &Import| ending::trip_guard(db, import, seq, &reason);
        Ok(self.write("pause for the guard", import, job).await?)
    }

    async fn history(&self, import: &ImportName, query: HistoryQuery) -> PortResult<HistoryPage> {
        let name = import.clone();
        let job = move |db: &Connection| history::page(db, &load(db, &name)?, &query);
        Ok(self.read("read the history", job).await?)
    }

    async fn schema_history(&self, import: &ImportName) -> PortResult<Vec<SchemaVersion>> {
        let name = import.clone();
        let job = move |db: &Connection| schema::history(db, &load(db, &name)?);
        Ok(self.read("read the history of the schema", job).await?)
    }

    async fn counts(&self, import: &ImportName, now: Timestamp) -> PortResult<ImportCounts> {
        let name = import.clone();
        let job = move |db: &Connection| counts::counts(db, &load(db, &name)?, now);
        Ok(self.read("count", job).await?)
    }
}
