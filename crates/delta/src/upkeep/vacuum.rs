//! Removing data files that nobody refers to.
//!
//! A data file goes if all of this holds: the newest version of the table does not refer to it; it was written before the
//! retention; no commit since then has removed it, so that a reader of an older version still finds it. Only `.parquet`
//! files below the table's place are looked at, by their real place: no link is followed, nothing hidden is entered.
//!
//! Staged data files are referred to by nobody yet. They are younger than the retention, and the caller does not call
//! while a batch is staged.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::MOST_REMOVED;
use super::left_overs;
use super::retention::{Kind, LogFile};
use crate::active;
use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};
use crate::storage::{LOG_FOLDER, StoredFile};

/// Data files that commits of late have removed, by the commit: kept from one step to the next, so that an entry is read
/// once. Empty to begin with.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    /// By version and time of the entry, since a restored table may have another one in its place.
    entries: BTreeMap<(u64, Timestamp), Vec<String>>,
}

impl Departed {
    /// Reads what entries since `before` have removed.
    fn read(&mut self, kernel: &Kernel, log: &[LogFile], before: Timestamp) -> Result<HashSet<String>, DeltaError> {
        let young = log.iter().filter(|file| file.kind == Kind::Entry && file.file.modified >= before);
        let mut entries = BTreeMap::new();
        for file in young {
            let key = (file.version, file.file.modified);
            let removed = match self.entries.remove(&key) {
                Some(removed) => removed,
                None => removed_by(kernel, file.version)?,
            };
            entries.insert(key, removed);
        }
        self.entries = entries;
        Ok(self.entries.values().flatten().cloned().collect())
    }
}

/// The data files that a commit has removed, by their places.
fn removed_by(kernel: &Kernel, version: u64) -> Result<Vec<String>, DeltaError> {
    let Some(bytes) = kernel.log.read(version)? else { return Ok(Vec::new()) };
    let paths = kernel.log.parse(version, &bytes)?.removed;
    Ok(paths.iter().flat_map(|path| places(kernel, path)).collect())
}

/// Where a data file may be that the log spells so. The protocol has a URI there; should somebody have written a plain
/// path, the file of that name is spared as well.
fn places(kernel: &Kernel, log_path: &str) -> Vec<String> {
    let resolved = kernel.storage.resolve(log_path).ok();
    resolved.into_iter().chain([log_path.to_owned()]).collect()
}

/// Removes files that may go, at most so many; says how many and of how many bytes.
pub(crate) fn step(
    kernel: &Kernel,
    base: &Base,
    log: &[LogFile],
    before: Timestamp,
    now: Timestamp,
    departed: &mut Departed,
) -> Result<(u64, u64), DeltaError> {
    let listed = kernel.storage.list_data_files()?;
    let active: HashSet<String> =
        active::list(kernel, base)?.iter().flat_map(|file| places(kernel, &file.path)).collect();
    let mut orphans = choose(&listed, &active, before);
    if !orphans.is_empty() {
        let departed = departed.read(kernel, log, before)?;
        orphans.retain(|file| !departed.contains(&file.path));
    }
    let mut gone = (0, 0);
    for file in orphans.into_iter().take(MOST_REMOVED) {
        kernel.storage.remove(&file.path)?;
        gone.0 += 1;
        gone.1 += file.bytes;
    }
    let left = left_overs::sweep(kernel, now)?;
    Ok((gone.0 + left.0, gone.1 + left.1))
}

/// Data files older than `before` that are none of `active`.
pub(crate) fn choose<'a>(listed: &'a [StoredFile], active: &HashSet<String>, before: Timestamp) -> Vec<&'a StoredFile> {
    let is_data = |file: &&StoredFile| file.path.ends_with(".parquet") && is_inside(&file.path);
    listed.iter().filter(is_data).filter(|file| file.modified < before && !active.contains(&file.path)).collect()
}

/// Whether a path leads to nowhere but below the table, outside its log.
fn is_inside(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.clone().next() != Some(LOG_FOLDER) && parts.all(|part| !matches!(part, "" | "." | ".."))
}
