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

/// Files that one step writes together at most, if more than one group has them: each is opened by itself.
const MOST_COMPACTED: usize = 1_000;

/// Compacts as many groups of files as the bounds of a step allow, in one commit; `None` if there is none that is worth
/// it. `done` says that none is left.
pub(crate) fn step(kernel: &Kernel, base: &Base, rules: &MaintenanceRules) -> Result<Option<Maintained>, DeltaError> {
    if kernel.refuses_removal(base).is_some() {
        return Ok(None);
    }
    let is_small = |file: &ActiveFile| !file.has_deletions && file.size < rules.small_file;
    let files = active::list(kernel, base, |file| is_small(&file).then(|| file.slim()))?;
    let mut work = Work::default();
    let mut done = true;
    for group in choose(&files, rules) {
        if !work.has_room_for(&group, rules) {
            done = false;
            continue;
        }
        let left_out = match write_together(kernel, base, &group, rules) {
            Ok((files, rows)) if files.len() < group.len() => {
                work.add(group, files, rows);
                continue;
            }
            // Written together they are as many again.
            Ok((files, _)) => {
                rewrite::discard(kernel, &files);
                None
            }
            // A column of another program's, which we cannot write, would be lost: those files stay as they are.
            Err(DeltaError::ForeignLayout { what, .. }) => Some(what),
            Err(error) => {
                rewrite::discard(kernel, &work.files);
                return Err(error);
            }
        };
        tracing::debug!(table = %kernel.root.display(), files = group.len(), left_out, "files cannot be compacted");
    }
    if work.gone.is_empty() {
        return Ok(None);
    }
    commit(kernel, base, work).map(|maintained| Some(Maintained { done: done && !maintained.conflict, ..maintained }))
}

/// What one commit of a step brings about.
#[derive(Debug, Default)]
struct Work {
    gone: HashSet<String>,
    files: Vec<StagedFile>,
    bytes: u64,
    rows: u64,
}

impl Work {
    /// The first group always has room: it is within the bounds of a step by itself.
    fn has_room_for(&self, group: &[ActiveFile], rules: &MaintenanceRules) -> bool {
        let bytes: u64 = group.iter().map(|file| file.size).sum();
        self.gone.is_empty()
            || (self.gone.len() + group.len() <= MOST_COMPACTED && self.bytes.saturating_add(bytes) <= rules.step_bytes)
    }

    fn add(&mut self, group: Vec<ActiveFile>, files: Vec<StagedFile>, rows: u64) {
        self.bytes += group.iter().map(|file| file.size).sum::<u64>();
        self.gone.extend(group.into_iter().map(|file| file.path));
        self.files.extend(files);
        self.rows += rows;
    }
}

/// The files to write together, by partition value; first those of the one that has most. No group is empty.
pub(crate) fn choose(files: &[ActiveFile], rules: &MaintenanceRules) -> Vec<Vec<ActiveFile>> {
    let mut groups: BTreeMap<Option<&str>, Vec<&ActiveFile>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.size < rules.small_file) {
        groups.entry(file.partition.as_deref()).or_default().push(file);
    }
    let chosen = groups.into_values().filter_map(|group| worth_while(group, rules));
    let mut chosen: Vec<Vec<ActiveFile>> = chosen.map(|group| group.into_iter().cloned().collect()).collect();
    chosen.sort_by_key(|group| std::cmp::Reverse(group.len()));
    chosen
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

fn commit(kernel: &Kernel, base: &Base, work: Work) -> Result<Maintained, DeltaError> {
    match kernel.rearrange(base, &work.gone, &work.files) {
        Ok(Rearranged::Landed) => {
            let (compacted, into) = (work.gone.len() as u64, work.files.len() as u64);
            Ok(Maintained { compacted, into, rows: work.rows, ..Maintained::default() })
        }
        Ok(Rearranged::Conflict) => {
            rewrite::discard(kernel, &work.files);
            Ok(Maintained { conflict: true, ..Maintained::default() })
        }
        // Nobody knows whether the commit has landed, so the files stay; vacuum takes them if not.
        Ok(Rearranged::Unknown(error)) => Err(error),
        Err(error) => {
            rewrite::discard(kernel, &work.files);
            Err(error)
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
