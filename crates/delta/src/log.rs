//! Log entries as files: `_delta_log/<version>.json`, one action a line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use connector_core::ids::{BatchId, BatchSeq, BatchUuid};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt as _, PutMode};
use serde_json::Value;

use crate::error::DeltaError;
use crate::storage::{LOG_FOLDER, Storage};

/// Entries that are read at once, where there are many.
const READS_AT_ONCE: usize = 16;
/// The field of `commitInfo` that carries the batch uuid.
pub(crate) const BATCH_UUID_FIELD: &str = "batchUuid";
/// The field of `commitInfo` that carries the batch id.
pub(crate) const BATCH_ID_FIELD: &str = "batchId";

/// The log of one table. All calls block.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    storage: Storage,
    prefix: StorePath,
    dir: PathBuf,
    /// Versions of which a put has failed whose entry is there all the same: whether it is on disk is not known.
    doubtful: Arc<Mutex<BTreeSet<u64>>>,
}

impl Log {
    pub(crate) fn new(storage: Storage) -> Self {
        let (prefix, dir) = (storage.log_prefix(), storage.named(LOG_FOLDER));
        Self { storage, prefix, dir, doubtful: Arc::default() }
    }

    /// Whether there is any version. Left-overs of an interrupted creation do not count.
    pub(crate) fn exists(&self) -> Result<bool, DeltaError> {
        let found = self.storage.handle().block_on(async {
            let mut entries = self.storage.store().list(Some(&self.prefix));
            while let Some(entry) = entries.try_next().await? {
                if entry.location.filename().is_some_and(is_version_file) {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        found.map_err(|error| DeltaError::store(&self.dir, &error))
    }

    /// The entry of a version; `None` if it is not there.
    pub(crate) fn read(&self, version: u64) -> Result<Option<Bytes>, DeltaError> {
        let entry = self.entry(version);
        let read = self.storage.handle().block_on(async { self.storage.store().get(&entry).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(DeltaError::store(&self.file(version), &error)),
        }
    }

    /// Puts the entry of a version, if there is none. An error says nothing about whether it is there now.
    pub(crate) fn put_new(&self, version: u64, bytes: Bytes) -> Result<(), object_store::Error> {
        let entry = self.entry(version);
        let put = self.storage.store().put_opts(&entry, bytes.into(), PutMode::Create.into());
        self.storage.handle().block_on(put).map(drop)
    }

    /// Makes the entry of a version durable, whose bytes were read. Its put may have failed at the sync, and a sync that
    /// failed once is worth nothing the second time: then it is written anew.
    pub(crate) fn settle(&self, version: u64, bytes: &[u8]) -> Result<(), DeltaError> {
        self.doubtful().insert(version);
        self.storage.rewrite_log_entry(&name(version), bytes)?;
        self.doubtful().remove(&version);
        Ok(())
    }

    /// Makes entries durable that were read: their writer may have ended between the link and the sync of the folder.
    pub(crate) fn sync(&self) -> Result<(), DeltaError> {
        self.settle_doubts()?;
        self.storage.sync_log()
    }

    /// Makes the entries durable of which it is not known, before anything builds on them.
    pub(crate) fn settle_doubts(&self) -> Result<(), DeltaError> {
        let doubtful = self.doubtful().clone();
        for version in doubtful {
            match self.read(version)? {
                Some(bytes) => self.settle(version, &bytes)?,
                None => drop(self.doubtful().remove(&version)),
            }
        }
        Ok(())
    }

    fn doubtful(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest entry of a local table if it is torn: empty, or not JSON. In a bucket an object is there whole or not
    /// at all. An older entry that is torn is left alone: reading the table fails.
    pub(crate) fn torn_entry(&self) -> Result<Option<TornEntry>, DeltaError> {
        if !self.storage.is_local() {
            return Ok(None);
        }
        let files = self.storage.list_log()?;
        let version = |file: crate::storage::StoredFile| {
            let name = file.path.rsplit('/').next().filter(|name| is_version_file(name))?;
            let is_entry = name.ends_with(".json") && !name.contains("checkpoint");
            Some((name.get(..20)?.parse::<u64>().ok()?, is_entry, file.modified))
        };
        // At the same version the entry comes last, so that a checkpoint of it leaves the entry alone.
        let newest = files.into_iter().filter_map(version).max_by_key(|(version, is_entry, _)| (*version, !is_entry));
        let Some((version, true, modified)) = newest else { return Ok(None) };
        let Some(bytes) = self.read(version)? else { return Ok(None) };
        let is_whole = !bytes.trim_ascii().is_empty() && Entry::parse(&bytes).is_ok();
        Ok((!is_whole).then_some(TornEntry { version, modified }))
    }

    /// Moves a torn entry out of the way.
    pub(crate) fn move_aside(&self, version: u64) -> Result<(), DeltaError> {
        let from = self.file(version);
        let to = match version {
            // Any file in the folder of the log keeps a table from being created.
            0 => self.storage.named(&format!("{LOG_FOLDER}.{}.torn", name(0))),
            _ => self.dir.join(format!("{}.torn", name(version))),
        };
        std::fs::rename(&from, &to).map_err(|error| DeltaError::io(&from, error))?;
        tracing::warn!(
            entry = %from.display(), moved_to = %to.display(),
            "the newest log entry was torn, by a power cut or a full disk; it was moved aside and the table goes on without it"
        );
        self.storage.sync_log()
    }

    /// The batch uuid, and the batch id, of the commit that set `txn(app_id, seq)`, looking back from version `newest`. `None` if that
    /// entry is gone, or carries none.
    pub(crate) fn batch_of(
        &self,
        app_id: &str,
        seq: BatchSeq,
        newest: u64,
    ) -> Result<Option<(BatchUuid, Option<BatchId>)>, DeltaError> {
        let Some((_, entry)) = self.newest_txn(app_id, newest)? else { return Ok(None) };
        let is_it = entry.txn(app_id) == Some(seq);
        Ok(entry.batch.filter(|_| is_it).map(|uuid| (uuid, entry.batch_id)))
    }

    /// The newest entry that sets the `txn` of an app id, looking back from version `newest`, with its version. `None`
    /// if there is none, or it is gone.
    pub(crate) fn newest_txn(&self, app_id: &str, newest: u64) -> Result<Option<(u64, Entry)>, DeltaError> {
        for version in (0..=newest).rev() {
            let Some(bytes) = self.read(version)? else { return Ok(None) };
            let entry = self.parse(version, &bytes)?;
            if entry.txn(app_id).is_some() {
                return Ok(Some((version, entry)));
            }
        }
        Ok(None)
    }

    /// As [`Log::read`], of many, some at a time.
    pub(crate) fn read_all(&self, versions: &[u64]) -> Result<Vec<Option<Bytes>>, DeltaError> {
        let reads = versions.iter().map(|version| async move {
            let read = async { self.storage.store().get(&self.entry(*version)).await?.bytes().await };
            match read.await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(DeltaError::store(&self.file(*version), &error)),
            }
        });
        let reads: Vec<_> = reads.collect();
        self.storage.handle().block_on(futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect())
    }

    /// Reads the actions of an entry that this crate needs.
    pub(crate) fn parse(&self, version: u64, bytes: &[u8]) -> Result<Entry, DeltaError> {
        Entry::parse(bytes).map_err(|why| DeltaError::Unreadable {
            table: self.table().to_owned(),
            why: format!("log entry {:?} is damaged: {why}", self.file(version)),
        })
    }

    pub(crate) fn file(&self, version: u64) -> PathBuf {
        self.dir.join(name(version))
    }

    pub(crate) fn table(&self) -> &Path {
        self.storage.table()
    }

    fn entry(&self, version: u64) -> StorePath {
        self.prefix.clone().join(name(version))
    }
}

/// A log entry that is half there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TornEntry {
    pub(crate) version: u64,
    /// When it was last written to.
    pub(crate) modified: Timestamp,
}

/// What this crate reads of a log entry.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The batch uuid in `commitInfo`.
    pub(crate) batch: Option<BatchUuid>,
    /// And the batch id.
    pub(crate) batch_id: Option<BatchId>,
    txns: Vec<(String, BatchSeq)>,
    /// Data files that it removes, as it spells them.
    pub(crate) removed: Vec<String>,
}

impl Entry {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let action: Value = serde_json::from_slice(line)?;
            if let Some(id) = action["commitInfo"][BATCH_ID_FIELD].as_str() {
                entry.batch_id = Some(BatchId::from_stored(id));
            }
            if let Some(uuid) = action["commitInfo"][BATCH_UUID_FIELD].as_str() {
                entry.batch = BatchUuid::parse(uuid);
            }
            entry.removed.extend(action["remove"]["path"].as_str().map(str::to_owned));
            let txn = &action["txn"];
            if let (Some(app_id), Some(version)) = (txn["appId"].as_str(), txn["version"].as_i64()) {
                entry.txns.push((app_id.to_owned(), version));
            }
        }
        Ok(entry)
    }

    /// The `txn` version of an app id, if the entry sets it.
    pub(crate) fn txn(&self, app_id: &str) -> Option<BatchSeq> {
        self.txns.iter().find(|(name, _)| name == app_id).map(|(_, version)| *version)
    }
}

fn name(version: u64) -> String {
    format!("{version:020}.json")
}

fn is_version_file(name: &str) -> bool {
    name.get(..20).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        && (name.get(20..) == Some(".json") || name.get(20..).is_some_and(|rest| rest.starts_with(".checkpoint")))
}
