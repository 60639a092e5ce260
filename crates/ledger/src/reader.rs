//! Reading a ledger for people, whether or not a process writes it.

use std::path::Path;

use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::ImportName;
use connector_core::ports::{ImportCounts, ImportRecord};
use jiff::Timestamp;
use rusqlite::Connection;

use crate::error::{LedgerError, Result};
use crate::import::{self, Import};
use crate::{counts, history, open, schema};

/// A ledger that is only read, by this thread: each call waits for the disk. What it answers is `None` if the import
/// was never started. Every call sees one state of the ledger and holds nothing back from the process that writes.
#[derive(Debug)]
pub struct LedgerReader {
    connection: Connection,
}

impl LedgerReader {
    /// Opens the ledger of a data directory; `None` if there is none, because nothing ran with it yet.
    ///
    /// # Errors
    /// [`LedgerError::Older`] or [`LedgerError::Newer`] if another version of this program wrote it; otherwise what
    /// file system or database say.
    pub fn open(data_dir: &Path) -> std::result::Result<Option<Self>, LedgerError> {
        Ok(open::shared(data_dir)?.map(|connection| Self { connection }))
    }

    /// The names of all imports that were ever started, sorted.
    ///
    /// # Errors
    /// If the database cannot be read; so with all other calls.
    pub fn imports(&self) -> std::result::Result<Vec<ImportName>, LedgerError> {
        self.read("list the imports", |db| Ok(counts::imports(db)?.into_iter().map(ImportName::new).collect()))
    }

    /// What [`connector_core::ports::Ledger::open_import`] would say: schema, reference file with its evidence, pause,
    /// guard, open batch.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn record(&self, import: &ImportName) -> std::result::Result<Option<ImportRecord>, LedgerError> {
        self.of("read the import", import, |db, import| import::record(db, import, false))
    }

    /// # Errors
    /// If the database cannot be read.
    pub fn counts(
        &self,
        import: &ImportName,
        now: Timestamp,
    ) -> std::result::Result<Option<ImportCounts>, LedgerError> {
        self.of("count", import, |db, import| counts::counts(db, import, now))
    }

    /// At most [`crate::MAX_PAGE`] batches, newest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn history(
        &self,
        import: &ImportName,
        query: &HistoryQuery,
    ) -> std::result::Result<Option<HistoryPage>, LedgerError> {
        self.of("read the history", import, |db, import| history::page(db, import, query))
    }

    /// The versions of the table's schema, oldest first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn schema_history(&self, import: &ImportName) -> std::result::Result<Option<Vec<SchemaVersion>>, LedgerError> {
        self.of("read the history of the schema", import, schema::history)
    }

    fn of<T>(
        &self,
        doing: &str,
        name: &ImportName,
        job: impl FnOnce(&Connection, &Import) -> Result<T>,
    ) -> Result<Option<T>> {
        self.read(doing, |db| Import::load(db, name.as_str())?.map(|import| job(db, &import)).transpose())
    }

    /// In one transaction, so that all queries of a call see one state. A program that brings the ledger up to its own
    /// version may have started since the last call.
    fn read<T>(&self, doing: &str, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let run = || {
            let transaction = self.connection.unchecked_transaction()?;
            open::expect_known_version(&transaction)?;
            job(&transaction)
        };
        run().map_err(|error| error.while_doing(doing))
    }
}
