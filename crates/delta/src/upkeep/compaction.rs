//! Writing small data files together.
//!
//! Files of one partition value become one or a few of about four times what counts as small. A file takes part only
//! if it is no larger than all smaller ones together, so that a row is rewritten about as often as its file doubles, and
//! not each time that a few more files have come.

use std::collections::{BTreeMap, HashSet};

use connector_core::ports::{Maintained, MaintenanceRules, StagedFile};

use crate::active::{self, ActiveFile};
use crate::error::DeltaError;
use crate::identity::Tally;
use crate::kernel::{Base, Kernel};
use crate::rearrange::Rearranged;
use crate::rewrite::{self, Rewriter};

/// What is written is this many times what counts as small.
const TARGET: u64 = 4;

/// Compacts one group of files; `None` if there is none that is worth it.
pub(crate) fn step(kernel: &Kernel, base: &Base, rules: &MaintenanceRules) -> Result<Option<Maintained>, DeltaError> {
    if kernel.refuses_removal(base).is_some() {
        return Ok(None);
    }
    let mut files = active::list(kernel, base)?;
    files.retain(|file| !file.has_deletions);
    while let Some(group) = choose(&files, rules) {
        let left_out = match compact(kernel, base, &group, rules) {
            Ok(Some(maintained)) => return Ok(Some(maintained)),
            // Written together they would be as many again.
            Ok(None) => None,
            // A column of another program's, which we cannot write, would be lost: those files stay as they are.
            Err(DeltaError::ForeignLayout { what, .. }) => Some(what),
            Err(error) => return Err(error),
        };
        let skipped: HashSet<String> = group.iter().map(|file| file.path.clone()).collect();
        tracing::debug!(table = %kernel.root.display(), files = skipped.len(), left_out, "files cannot be compacted");
        files.retain(|file| !skipped.contains(&file.path));
    }
    Ok(None)
}

/// The files to write together next: of all partition values, those of the one that has most. Empty is never returned.
pub(crate) fn choose(files: &[ActiveFile], rules: &MaintenanceRules) -> Option<Vec<ActiveFile>> {
    let mut groups: BTreeMap<Option<&str>, Vec<&ActiveFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.size < rules.small_file) {
        groups.entry(file.partition.as_deref()).or_default().push(file);
    }
    let chosen = groups.into_values().filter_map(|group| worth_while(group, rules));
    chosen.max_by_key(Vec::len).map(|group| group.into_iter().cloned().collect())
}

fn worth_while<'a>(mut group: Vec<&'a ActiveFile>, rules: &MaintenanceRules) -> Option<Vec<&'a ActiveFile>> {
    group.sort_by_key(|file| file.size);
    let mut bytes: u64 = group.iter().map(|file| file.size).sum();
    let least = rules.min_small_files.max(2);
    while group.len() >= least {
        let largest = group.last().map_or(0, |file| file.size);
        if largest <= bytes - largest {
            return Some(within(group, rules.step_bytes)).filter(|group| group.len() >= 2);
        }
        bytes -= largest;
        group.pop();
    }
    None
}

/// The first ones that have so many bytes together.
fn within(group: Vec<&ActiveFile>, most: u64) -> Vec<&ActiveFile> {
    let mut bytes = 0;
    group
        .into_iter()
        .take_while(|file| {
            bytes += file.size;
            bytes <= most
        })
        .collect()
}

fn compact(
    kernel: &Kernel,
    base: &Base,
    group: &[ActiveFile],
    rules: &MaintenanceRules,
) -> Result<Option<Maintained>, DeltaError> {
    let (files, rows) = write_together(kernel, base, group, rules)?;
    if files.len() >= group.len() {
        rewrite::discard(kernel, &files);
        return Ok(None);
    }
    let gone = group.iter().map(|file| file.path.clone()).collect();
    // After an error nobody knows whether the commit has landed, so the files stay; vacuum takes them if not.
    match kernel.rearrange(base, &gone, &files)? {
        Rearranged::Conflict => {
            rewrite::discard(kernel, &files);
            Ok(Some(Maintained { conflict: true, ..Maintained::default() }))
        }
        Rearranged::Landed => {
            let (compacted, into) = (group.len() as u64, files.len() as u64);
            Ok(Some(Maintained { compacted, into, rows, ..Maintained::default() }))
        }
    }
}

/// The new files and how many rows they have: the very rows that the old ones have, or it is an error.
fn write_together(
    kernel: &Kernel,
    base: &Base,
    group: &[ActiveFile],
    rules: &MaintenanceRules,
) -> Result<(Vec<StagedFile>, u64), DeltaError> {
    let partition = group.first().and_then(|file| file.partition.clone());
    let mut rewriter = Rewriter::new(kernel, base, partition, rules.small_file.saturating_mul(TARGET))?;
    let mut read = Tally::default();
    for file in group {
        let tally = rewriter.copy(file, &|_| true)?;
        if let Some(said) = file.rows().filter(|rows| *rows != tally.rows) {
            let has = tally.rows;
            let why = format!("the log says that it has {said} rows, but it has {has}");
            return Err(DeltaError::DamagedFile { path: kernel.root.join(&file.path), why });
        }
        read.rows += tally.rows;
        read.digest += tally.digest;
    }
    let (files, written) = rewriter.finish()?;
    if written == read {
        return Ok((files, read.rows));
    }
    rewrite::discard(kernel, &files);
    let (lost, of) = (written.rows, read.rows);
    Err(DeltaError::Internal(format!("a compaction of {:?} would keep {lost} of {of} rows", kernel.root)))
}
