//! How long log entries are kept: the kernel never removes any, and a reader lists them all.
//!
//! An entry goes if all of this holds; the first one that has to stay keeps all that follow, so that the log never has a
//! hole:
//! - it is older than the retention, by the time of its file: so vacuum still sees which data files left since;
//! - it lies before the newest checkpoint but one, both of them whole: the table can be read without it even if the
//!   newest checkpoint is damaged;
//! - a hundred newer versions have come: a reader that is under way is not that slow;
//! - it is older than the entry that set the import's `txn`, however many commits of others have come since: that one
//!   says which batch landed last (`batch_of`).
//!
//! Checkpoints before such an entry go with it. What another program may keep in the log (sidecars, checkpoints of
//! another form, compacted entries) is left alone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::MOST_REMOVED;
use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};
use crate::storage::StoredFile;

/// Versions behind the newest that stay in any case.
const VERSIONS_KEPT: u64 = 100;

/// A file of the log that belongs to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) file: StoredFile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `<version>.json`.
    Entry,
    /// `<version>.crc`: facts about a version that spare readers some work.
    Summary,
    /// `<version>.checkpoint.parquet`, or one of so many parts.
    Checkpoint { parts: u32 },
}

/// The files of the log that belong to a version, ascending; of one version the checkpoints come before the entry.
pub(crate) fn list(kernel: &Kernel) -> Result<Vec<LogFile>, DeltaError> {
    let mut files: Vec<LogFile> = kernel.storage.list_log()?.into_iter().filter_map(LogFile::of).collect();
    files.sort_by(|one, other| (one.version, &one.file.path).cmp(&(other.version, &other.file.path)));
    Ok(files)
}

impl LogFile {
    pub(crate) fn of(file: StoredFile) -> Option<Self> {
        let name = file.path.rsplit('/').next()?;
        let (digits, rest) = (name.get(..20)?, name.get(20..)?);
        let version = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
        let kind = match rest {
            ".json" => Kind::Entry,
            ".crc" => Kind::Summary,
            ".checkpoint.parquet" => Kind::Checkpoint { parts: 1 },
            other => Kind::Checkpoint { parts: parts(other)? },
        };
        Some(Self { version, kind, file })
    }
}

/// `.checkpoint.0000000001.0000000003.parquet` is of 3.
fn parts(rest: &str) -> Option<u32> {
    let (part, parts) = rest.strip_prefix(".checkpoint.")?.strip_suffix(".parquet")?.split_once('.')?;
    let (part, parts): (u32, u32) = (part.parse().ok()?, parts.parse().ok()?);
    (1..=parts).contains(&part).then_some(parts)
}

/// The checkpoints that have all their parts, ascending by version.
fn checkpoints(log: &[LogFile]) -> Vec<u64> {
    let mut found: BTreeMap<(u64, u32), u32> = BTreeMap::new();
    for file in log {
        if let Kind::Checkpoint { parts } = file.kind {
            *found.entry((file.version, parts)).or_default() += 1;
        }
    }
    let mut whole: Vec<u64> =
        found.into_iter().filter(|((_, parts), have)| parts == have).map(|((version, _), _)| version).collect();
    whole.dedup();
    whole
}

/// Commits since the newest checkpoint; since the beginning if there is none.
pub(crate) fn commits_since_checkpoint(log: &[LogFile], newest: u64) -> u64 {
    checkpoints(log).last().map_or(newest + 1, |checkpoint| newest.saturating_sub(*checkpoint))
}

/// The files of the log that may go, oldest first, by all but the last of the rules above. `before`: the retention.
pub(crate) fn choose(log: &[LogFile], newest: u64, before: Timestamp) -> Vec<&LogFile> {
    let [.., kept, _] = checkpoints(log)[..] else { return Vec::new() };
    let keep_from = kept.min(newest.saturating_sub(VERSIONS_KEPT));
    log.iter().take_while(|file| file.version < keep_from && file.file.modified < before).collect()
}

/// Removes files of the log that may go, at most so many; says how many.
pub(crate) fn step(kernel: &Kernel, base: &Base, log: &[LogFile], before: Timestamp) -> Result<u64, DeltaError> {
    let newest = base.snapshot.version();
    let mut chosen = choose(log, newest, before);
    if chosen.is_empty() || !are_whole(kernel, log)? {
        return Ok(0);
    }
    if let Some(needed) = newest_batch(kernel, base, newest)? {
        chosen.retain(|file| file.version < needed);
    }
    let mut removed = 0;
    for file in chosen.into_iter().take(MOST_REMOVED) {
        kernel.storage.remove_log_entry(&file.file.path)?;
        removed += 1;
    }
    Ok(removed)
}

/// Whether the two newest checkpoints are what they seem.
fn are_whole(kernel: &Kernel, log: &[LogFile]) -> Result<bool, DeltaError> {
    let versions = checkpoints(log);
    let relied_on = &versions[versions.len().saturating_sub(2)..];
    for file in log.iter().filter(|file| matches!(file.kind, Kind::Checkpoint { .. })) {
        if relied_on.contains(&file.version) && !kernel.storage.is_whole_parquet(&file.file.path, file.file.bytes)? {
            tracing::warn!(path = %file.file.path, "a checkpoint is damaged; log entries before it are kept");
            return Ok(false);
        }
    }
    Ok(true)
}

/// The version that set the import's `txn`; `None` if it never was, or its entry is gone already.
fn newest_batch(kernel: &Kernel, base: &Base, newest: u64) -> Result<Option<u64>, DeltaError> {
    let Some(import) = base.import else { return Ok(None) };
    if kernel.committed_seq(base, import)? == 0 {
        return Ok(None);
    }
    let entry = kernel.log.newest_txn(&import.app_id(), newest)?;
    Ok(entry.map(|(version, _)| version))
}
