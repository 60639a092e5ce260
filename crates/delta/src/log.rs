//! Log entries as files: `_delta_log/<version>.json`, one action a line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use connector_core::ids::{BatchSeq, BatchUuid};
use futures::TryStreamExt as _;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::error::DeltaError;
use crate::files;

/// The field of `commitInfo` that carries the batch uuid.
pub(crate) const BATCH_UUID_FIELD: &str = "batchUuid";

/// The log of one table. All calls block.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    handle: Handle,
    prefix: StorePath,
    dir: PathBuf,
}

impl Log {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, handle: Handle, prefix: StorePath, dir: PathBuf) -> Self {
        Self { store, handle, prefix, dir }
    }

    /// Whether there is any version. Left-overs of an interrupted creation do not count.
    pub(crate) fn exists(&self) -> Result<bool, DeltaError> {
        let found = self.handle.block_on(async {
            let mut entries = self.store.list(Some(&self.prefix));
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
        let read = self.handle.block_on(async { self.store.get(&entry).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(DeltaError::store(&self.file(version), &error)),
        }
    }

    /// Puts the entry of a version, if there is none. An error says nothing about whether it is there now.
    pub(crate) fn put_new(&self, version: u64, bytes: Bytes) -> Result<(), object_store::Error> {
        let entry = self.entry(version);
        let put = self.store.put_opts(&entry, bytes.into(), PutMode::Create.into());
        self.handle.block_on(put).map(drop)
    }

    /// Makes an entry that somebody has put durable.
    pub(crate) fn sync(&self) -> Result<(), DeltaError> {
        files::sync_dir(&self.dir).map_err(|error| DeltaError::io(&self.dir, error))
    }

    /// The batch uuid of the commit that set `txn(app_id, seq)`, looking back from version `newest`. `None` if that
    /// entry is gone, or carries none.
    pub(crate) fn batch_of(&self, app_id: &str, seq: BatchSeq, newest: u64) -> Result<Option<BatchUuid>, DeltaError> {
        for version in (0..=newest).rev() {
            let Some(bytes) = self.read(version)? else { return Ok(None) };
            let entry = self.parse(version, &bytes)?;
            if let Some(found) = entry.txn(app_id) {
                return Ok(entry.batch.filter(|_| found == seq));
            }
        }
        Ok(None)
    }

    /// Reads the actions of an entry that this crate needs.
    pub(crate) fn parse(&self, version: u64, bytes: &[u8]) -> Result<Entry, DeltaError> {
        Entry::parse(bytes).map_err(|why| DeltaError::Unreadable {
            table: self.table().to_owned(),
            why: format!("log entry {:?} is damaged: {why}", self.file(version)),
        })
    }

    pub(crate) fn file(&self, version: u64) -> PathBuf {
        self.dir.join(format!("{version:020}.json"))
    }

    pub(crate) fn table(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    fn entry(&self, version: u64) -> StorePath {
        self.prefix.clone().join(format!("{version:020}.json"))
    }
}

/// What this crate reads of a log entry.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The batch uuid in `commitInfo`.
    pub(crate) batch: Option<BatchUuid>,
    txns: Vec<(String, BatchSeq)>,
}

impl Entry {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let action: Value = serde_json::from_slice(line)?;
            if let Some(uuid) = action["commitInfo"][BATCH_UUID_FIELD].as_str() {
                entry.batch = BatchUuid::parse(uuid);
            }
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

fn is_version_file(name: &str) -> bool {
    name.get(..20).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        && (name.get(20..) == Some(".json") || name.get(20..).is_some_and(|rest| rest.starts_with(".checkpoint")))
}
