//! Removing data files that nobody refers to.
//!
//! A data file goes if all of this holds: the newest version of the table does not refer to it; it was written before the
//! retention; no commit since then has removed it, so that a reader of an older version still finds it. Only `.parquet`
//! files below the table's place are looked at, by their real place: no link is followed, nothing hidden is entered.
//!
//! Staged data files are referred to by nobody yet. They are younger than the retention, and the caller does not call
//! while a batch is staged.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

use super::MOST_REMOVED;
use super::left_overs;
use super::retention::{Kind, LogFile};
use crate::active;
use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};
use crate::storage::{LOG_FOLDER, StoredFile};

/// Log entries that one step reads at most.
pub(crate) const MOST_READ: usize = 500;

/// Data files that commits of late have removed, by the commit: kept from one step to the next, so that an entry is read
/// once. Empty to begin with.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    /// By version and time of the entry, since a restored table may have another one in its place.
    entries: BTreeMap<(u64, Timestamp), Vec<String>>,
}

impl Departed {
    /// Reads what entries since `before` have removed; `None` if that takes further steps.
    fn read(
        &mut self,
        kernel: &Kernel,
        log: &[LogFile],
        before: Timestamp,
    ) -> Result<Option<HashSet<String>>, DeltaError> {
        let young = log.iter().filter(|file| file.kind == Kind::Entry && file.file.modified >= before);
        let young: BTreeSet<(u64, Timestamp)> = young.map(|file| (file.version, file.file.modified)).collect();
        self.entries.retain(|entry, _| young.contains(entry));
        let unread: Vec<_> = young.into_iter().filter(|entry| !self.entries.contains_key(entry)).collect();
        let next = &unread[..unread.len().min(MOST_READ)];
        let versions: Vec<u64> = next.iter().map(|(version, _)| *version).collect();
        for (entry, bytes) in next.iter().zip(kernel.log.read_all(&versions)?) {
            let removed = bytes.map_or_else(|| Ok(Vec::new()), |bytes| removed_by(kernel, entry.0, &bytes))?;
            self.entries.insert(*entry, removed);
        }
        if next.len() < unread.len() {
            return Ok(None);
        }
        Ok(Some(self.entries.values().flatten().cloned().collect()))
    }
}

/// The data files that a commit has removed, by their places.
fn removed_by(kernel: &Kernel, version: u64, bytes: &[u8]) -> Result<Vec<String>, DeltaError> {
    let paths = kernel.log.parse(version, bytes)?.removed;
    let places = paths.iter().map(|path| places(kernel, path)).collect::<Result<Vec<_>, _>>()?;
    Ok(places.into_iter().flatten().collect())
}

/// Where a data file may be that the log spells so. The protocol has a URI there; should somebody have written a plain
/// path, the file of that name is spared as well.
///
/// # Errors
/// Those of [`crate::storage::Storage::resolve`]: of a path that nobody can tell the file of, nobody can tell that it is
/// another one than that which is about to go.
fn places(kernel: &Kernel, log_path: &str) -> Result<[String; 2], DeltaError> {
    Ok([kernel.storage.resolve(log_path)?, log_path.to_owned()])
}

/// What a step has removed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vacuumed {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Nothing is left that may go.
    pub(crate) done: bool,
}

/// Removes files that may go, at most so many.
pub(crate) fn step(
    kernel: &Kernel,
    base: &Base,
    log: &[LogFile],
    before: Timestamp,
    now: Timestamp,
    departed: &mut Departed,
) -> Result<Vacuumed, DeltaError> {
    let listed = kernel.storage.list_data_files()?;
    let active = active::list(kernel, base, |file| Some(places(kernel, &file.path)))?;
    let active: HashSet<String> = active.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let mut orphans = choose(&listed, &active, before);
    let mut has_read = true;
    if !orphans.is_empty() {
        match departed.read(kernel, log, before)? {
            Some(departed) => orphans.retain(|file| !departed.contains(&file.path)),
            // The next step reads on.
            None => {
                orphans.clear();
                has_read = false;
            }
        }
    }
    let done = has_read && orphans.len() <= MOST_REMOVED;
    let mut vacuumed = Vacuumed { done, ..Vacuumed::default() };
    for file in orphans.into_iter().take(MOST_REMOVED) {
        kernel.storage.remove(&file.path)?;
        vacuumed.files += 1;
        vacuumed.bytes += file.bytes;
    }
    let (files, bytes) = left_overs::sweep(kernel, now)?;
    vacuumed.files += files;
    vacuumed.bytes += bytes;
    Ok(vacuumed)
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
