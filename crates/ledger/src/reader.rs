//! Reading a ledger for people, whether or not a process writes it.

use std::collections::BTreeMap;
use std::path::Path;

use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{BatchSeq, ImportName};
use connector_core::known::{KnownAccount, KnownVersion};
use connector_core::origin::Known;
use connector_core::ports::{ImportCounts, ImportRecord};
use jiff::Timestamp;
use rusqlite::Connection;

use crate::error::{LedgerError, Result};
use crate::import::{self, Import};
use crate::queue::Queue;
use crate::{backup, counts, history, known, open, origin, queue, schema};

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

    /// What each import that was ever opened or accepted reads.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn origins(&self) -> std::result::Result<Vec<Known>, LedgerError> {
        self.read("list what imports read", origin::all)
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

    /// All versions of a key with all that is known of them, in the order in which they were first seen. Empty if none is.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn versions_of(
        &self,
        import: &ImportName,
        key: &str,
    ) -> std::result::Result<Option<Vec<KnownVersion>>, LedgerError> {
        self.of("look up a key", import, |db, import| known::versions_of(db, import, key))
    }

    /// Object versions that are or were read, each with its position, at most `limit` of those behind `after`. Those that
    /// `datasource adopt` found in the table and no listing has shown yet are among them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn accounts(
        &self,
        import: &ImportName,
        after: Option<i64>,
        limit: u32,
    ) -> std::result::Result<Option<Vec<(i64, KnownAccount)>>, LedgerError> {
        self.of("read the accounts", import, |db, import| known::accounts(db, import, after, limit))
    }

    /// The known versions of the keys of a listing page; a key without any is left out.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn keys(
        &self,
        import: &ImportName,
        keys: &[String],
    ) -> std::result::Result<Option<BTreeMap<String, Vec<KnownAccount>>>, LedgerError> {
        self.of("look up keys", import, |db, import| known::keys(db, import, keys))
    }

    /// The place of a key in the backlog. Walks what is claimed before it.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn queue(
        &self,
        import: &ImportName,
        key: &str,
        now: Timestamp,
    ) -> std::result::Result<Option<Queue>, LedgerError> {
        self.of("look up the place of a key", import, |db, import| queue::of_key(db, import, key, now))
    }

    /// The last finalised batch, and the state of the open one, `claimed` or `staged`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn committed_seq(
        &self,
        import: &ImportName,
    ) -> std::result::Result<Option<(BatchSeq, Option<&'static str>)>, LedgerError> {
        self.of("read the last batch", import, known::committed_seq)
    }

    /// Writes a copy of the ledger as it is now, for its owner alone; see `s3-connector ledger import`. Blocks for as long
    /// as reading and writing all of it takes; nobody waits for it.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] if the ledger does not pass its own check, [`LedgerError::FileExists`] if there is such a
    /// file already; otherwise what file system or database say.
    pub fn export(&self, to: &Path) -> std::result::Result<(), LedgerError> {
        open::expect_known_version(&self.connection)?;
        backup::copy(&self.connection, to)
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
