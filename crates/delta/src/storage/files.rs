//! What is there: files of the table and of its log are looked at, listed and removed.

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::path::Path as StorePath;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::{LOG_FOLDER, Storage, StoredFile, disk, is_hidden};
use crate::error::DeltaError;
use crate::files;

/// Requests about single objects that are under way at once.
const REQUESTS_AT_ONCE: usize = 16;

impl Storage {
    /// Size and time of a file of the table; `None` if it is not there.
    pub(crate) fn facts(&self, path: &str) -> Result<Option<StoredFile>, DeltaError> {
        Ok(self.facts_of(&[path])?.pop().flatten())
    }

    /// Bytes of a file of the table; `None` if it is not there.
    pub(crate) fn size(&self, path: &str) -> Result<Option<u64>, DeltaError> {
        Ok(self.facts(path)?.map(|facts| facts.bytes))
    }

    /// As [`Storage::facts`], of many files.
    pub(crate) fn facts_of(&self, paths: &[&str]) -> Result<Vec<Option<StoredFile>>, DeltaError> {
        if self.is_local() {
            return paths.iter().map(|path| disk::facts(&self.shared.table, path)).collect();
        }
        let keys = paths.iter().map(|path| self.key(path)).collect::<Result<Vec<_>, _>>()?;
        let heads = keys.iter().zip(paths).map(|(key, path)| async move {
            match self.shared.store.head(key).await {
                Ok(meta) => Ok(Some(stored((*path).to_owned(), &meta))),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(DeltaError::store(&self.named(path), &error)),
            }
        });
        let heads: Vec<_> = heads.collect();
        self.shared.handle.block_on(futures::stream::iter(heads).buffered(REQUESTS_AT_ONCE).try_collect())
    }

    /// As [`Storage::are_whole_parquet`], of one.
    pub(crate) fn is_whole_parquet(&self, path: &str, bytes: u64) -> Result<bool, DeltaError> {
        self.are_whole_parquet(&[(path, bytes)])
    }

    /// Whether each of these is a file of exactly so many bytes that ends as a Parquet file does.
    ///
    /// # Errors
    /// Only if the answer could not be found out; a file that is not there is `false`.
    pub(crate) fn are_whole_parquet(&self, files: &[(&str, u64)]) -> Result<bool, DeltaError> {
        if self.is_local() {
            for (path, bytes) in files {
                let path = self.named(path);
                if !files::is_whole_parquet(&path, *bytes).map_err(|error| DeltaError::io(&path, error))? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let keys = files.iter().map(|(path, bytes)| Ok((self.key(path)?, *path, *bytes)));
        let keys = keys.collect::<Result<Vec<_>, DeltaError>>()?;
        let looks: Vec<_> = keys.iter().map(|(key, path, bytes)| self.is_whole(key, path, *bytes)).collect();
        self.shared.handle.block_on(
            futures::stream::iter(looks).buffered(REQUESTS_AT_ONCE).try_all(|is_whole| async move { is_whole }),
        )
    }

    async fn is_whole(&self, key: &StorePath, path: &str, bytes: u64) -> Result<bool, DeltaError> {
        let look = async {
            if bytes < files::SMALLEST_PARQUET || self.shared.store.head(key).await?.size != bytes {
                return Ok(false);
            }
            let tail = self.shared.store.get_range(key, bytes - 4..bytes).await?;
            Ok(tail.as_ref() == files::PARQUET_MAGIC.as_slice())
        };
        match look.await {
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            other => other.map_err(|error| DeltaError::store(&self.named(path), &error)),
        }
    }

    /// Removes a file of the table; one that is not there is no error.
    pub(crate) fn remove(&self, path: &str) -> Result<(), DeltaError> {
        if self.is_local() {
            let path = self.named(path);
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DeltaError::io(&path, error)),
                _ => Ok(()),
            };
        }
        match self.shared.handle.block_on(self.shared.store.delete(&self.key(path)?)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(DeltaError::store(&self.named(path), &error)),
        }
    }

    /// As [`Storage::remove`], without waiting for a bucket and without an answer: what stays is left to vacuum.
    pub(crate) fn remove_soon(&self, path: &str) {
        let left_behind = |named: &std::path::Path, error: &DeltaError| {
            tracing::warn!(path = %named.display(), %error, "an unreferenced data file is left behind");
        };
        if self.is_local() {
            if let Err(error) = self.remove(path) {
                left_behind(&self.named(path), &error);
            }
            return;
        }
        let (store, named) = (std::sync::Arc::clone(&self.shared.store), self.named(path));
        match self.key(path) {
            Err(error) => left_behind(&named, &error),
            Ok(key) => drop(self.shared.handle.spawn(async move {
                match store.delete(&key).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => left_behind(&named, &DeltaError::store(&named, &error)),
                }
            })),
        }
    }

    /// All files of the table outside its log, in no promised order: data files, whether the table refers to them or
    /// not. Whatever lies in a folder, or has a name, that begins with `_` or `.` is none; a partition folder is not
    /// hidden by a column whose name begins so.
    pub(crate) fn list_data_files(&self) -> Result<Vec<StoredFile>, DeltaError> {
        if self.is_local() {
            return disk::list_data_files(&self.shared.table);
        }
        let prefix = &self.shared.prefix;
        let listed = self.shared.handle.block_on(async {
            let top = self.shared.store.list_with_delimiter(Some(prefix)).await?;
            let mut found = top.objects;
            // Not one listing of everything: the log alone may have a hundred thousand entries.
            for folder in top.common_prefixes.iter().filter(|folder| !folder.filename().is_some_and(is_hidden)) {
                let below: Vec<ObjectMeta> = self.shared.store.list(Some(folder)).try_collect().await?;
                found.extend(below);
            }
            Ok(found)
        });
        let listed = listed.map_err(|error: object_store::Error| DeltaError::store(self.table(), &error))?;
        let files = listed.iter().filter_map(|meta| {
            let path = meta.location.as_ref().strip_prefix(prefix.as_ref())?.trim_start_matches('/');
            (!path.split('/').any(is_hidden)).then(|| stored(path.to_owned(), meta))
        });
        Ok(files.collect())
    }

    /// All files directly in the folder of the log; their paths begin with `_delta_log/`.
    pub(crate) fn list_log(&self) -> Result<Vec<StoredFile>, DeltaError> {
        let prefix = self.log_prefix();
        let listed = self.shared.handle.block_on(self.shared.store.list_with_delimiter(Some(&prefix)));
        let listed = listed.map_err(|error| DeltaError::store(&self.named(LOG_FOLDER), &error))?;
        let files = listed.objects.iter().filter_map(|meta| {
            let name = meta.location.filename()?;
            Some(stored(format!("{LOG_FOLDER}/{name}"), meta))
        });
        Ok(files.collect())
    }

    /// Removes a file of the log, by its name or its path as [`Storage::list_log`] gives it.
    pub(crate) fn remove_log_entry(&self, name: &str) -> Result<(), DeltaError> {
        let name = name.strip_prefix(LOG_FOLDER).map_or(name, |rest| rest.trim_start_matches('/'));
        self.remove(&format!("{LOG_FOLDER}/{name}"))
    }
}

fn stored(path: String, meta: &ObjectMeta) -> StoredFile {
    let modified = Timestamp::from_millisecond(meta.last_modified.timestamp_millis()).unwrap_or_default();
    StoredFile { path, bytes: meta.size, modified }
}
