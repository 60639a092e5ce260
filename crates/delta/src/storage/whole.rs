//! A whole table is removed.

use std::fs;
use std::io;
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as StorePath;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use uuid::Uuid;

use super::{Disk, LOG_FOLDER, Place, Storage, disk};
use crate::error::DeltaError;

/// Requests about single objects that are under way at once.
const REQUESTS_AT_ONCE: usize = 16;

impl Storage {
    /// Removes everything that lies below the table.
    pub(crate) fn remove_everything(&self) -> Result<(), DeltaError> {
        match &self.shared.place {
            Place::Local { disk } => {
                // The link would go, and what it points to would stay.
                disk::refuse_link(self.table())?;
                remove_folder(disk.as_ref(), self.table()).map_err(|error| DeltaError::io(self.table(), error))
            }
            Place::S3 { .. } => self
                .shared
                .handle
                .block_on(self.remove_objects())
                .map_err(|error| DeltaError::store(self.table(), &error)),
        }
    }

    /// Removes what an interrupted [`Storage::remove_everything`] has left that is no table any more.
    pub(crate) fn remove_remains(&self) -> Result<(), DeltaError> {
        match &self.shared.place {
            Place::Local { .. } => sweep(self.table()).map_err(|error| DeltaError::io(self.table(), error)),
            Place::S3 { .. } => Ok(()),
        }
    }

    /// Data files first, then the log from its end: what is left of it is the log of an older version.
    async fn remove_objects(&self) -> Result<(), object_store::Error> {
        let (store, prefix) = (&self.shared.store, &self.shared.prefix);
        let listed: Vec<ObjectMeta> = store.list(Some(prefix)).try_collect().await?;
        let log = prefix.clone().join(LOG_FOLDER);
        let of_log = |path: &StorePath| path.prefix_match(&log).is_some();
        let (mut entries, files): (Vec<StorePath>, Vec<StorePath>) =
            listed.into_iter().map(|meta| meta.location).partition(of_log);
        entries.sort_by(|one, other| other.cmp(one));
        for paths in [files, entries] {
            let removals = paths.iter().map(|path| async move {
                match store.delete(path).await {
                    Err(object_store::Error::NotFound { .. }) => Ok(()),
                    done => done,
                }
            });
            let removals: Vec<_> = removals.collect();
            futures::stream::iter(removals).buffered(REQUESTS_AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }
}

/// The folder is gone for readers at once: it is removed under another name, beside its place.
fn remove_folder(disk: &dyn Disk, table: &Path) -> io::Result<()> {
    let (parent, mark) = beside(table)?;
    fs::rename(table, parent.join(format!("{mark}{}", Uuid::new_v4())))?;
    disk.sync_dir(parent)?;
    sweep(table)
}

/// Removes what an interrupted removal of the table has left beside its place.
fn sweep(table: &Path) -> io::Result<()> {
    let (parent, mark) = beside(table)?;
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&mark) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The folder of the tables, and how the name of a table that is being removed begins there.
fn beside(table: &Path) -> io::Result<(&Path, String)> {
    let (parent, name) = (table.parent(), table.file_name().and_then(|name| name.to_str()));
    let named = parent.zip(name).map(|(parent, name)| (parent, format!(".{name}.removed-")));
    named.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
