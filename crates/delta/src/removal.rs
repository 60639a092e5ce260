//! Taking rows out of a table: which data files hold them, and what is left of those.
//!
//! Always worked out on the newest version of the table and for one attempt only: on a conflict the rewritten files are
//! thrown away and everything is found out again. Identity, not place, says which rows leave, so it does not matter
//! whether a compaction has moved them meanwhile.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use connector_core::ids::ObjectVersionId;
use connector_core::ports::{Removal, StagedFile};

use crate::active::{self, ActiveFile};
use crate::error::DeltaError;
use crate::identity::{self, Identities};
use crate::kernel::{Base, Kernel};
use crate::rewrite::{self, Rewriter};
use crate::scan::FileRows;

/// What a removal does to the table's data files.
#[derive(Debug, Default)]
pub(crate) struct Revision {
    /// Data files that leave, by their paths in the log.
    pub(crate) gone: HashSet<String>,
    /// Data files with what is left of them.
    pub(crate) files: Vec<StagedFile>,
}

/// Finds out what a removal does, and writes the data files anew of which a part stays. `None`: a data file that has to
/// be there is not.
pub(crate) fn prepare(kernel: &Kernel, base: &Base, removal: &Removal) -> Result<Option<Revision>, DeltaError> {
    if *removal != Removal::Nothing
        && let Some(what) = kernel.refuses_removal(base)
    {
        return Err(DeltaError::ForeignLayout { table: kernel.root.clone(), what });
    }
    let wanted = match removal {
        Removal::Nothing => return Ok(Some(Revision::default())),
        Removal::DataFiles(paths) => return whole_files(kernel, base, paths),
        Removal::Versions(versions) => Wanted::Versions(versions),
        Removal::Rows(rows) => Wanted::Rows(rows.iter().map(|(version, rows)| (*version, ascending(rows))).collect()),
    };
    let mut revision = Revision::default();
    for file in &active::list(kernel, base, |file| wanted.may_be_in(&file).then(|| file.slim()))? {
        if let Err(error) = without(kernel, base, file, &wanted, &mut revision) {
            rewrite::discard(kernel, &revision.files);
            return Err(error);
        }
    }
    Ok(Some(revision))
}

fn whole_files(kernel: &Kernel, base: &Base, paths: &[String]) -> Result<Option<Revision>, DeltaError> {
    let gone: HashSet<String> = paths.iter().cloned().collect();
    let present = active::list(kernel, base, |file| gone.contains(&file.path).then(|| file.slim()))?;
    if present.len() != gone.len() {
        return Ok(None);
    }
    present.iter().try_for_each(|file| refuse_deletions(kernel, file))?;
    Ok(Some(Revision { gone, files: Vec::new() }))
}

/// Rows that leave.
enum Wanted<'a> {
    Versions(&'a BTreeSet<ObjectVersionId>),
    /// Ascending.
    Rows(BTreeMap<ObjectVersionId, Cow<'a, [u64]>>),
}

impl Wanted<'_> {
    fn may_be_in(&self, file: &ActiveFile) -> bool {
        let Some((least, greatest)) = file.versions() else { return true };
        least <= greatest
            && match self {
                Self::Versions(versions) => versions.range(least..=greatest).next().is_some(),
                Self::Rows(rows) => rows.range(least..=greatest).next().is_some(),
            }
    }

    /// A row without an identity is nobody's to remove.
    fn has(&self, id: Option<(ObjectVersionId, u64)>) -> bool {
        let Some((version, row)) = id else { return false };
        match self {
            Self::Versions(versions) => versions.contains(&version),
            Self::Rows(rows) => rows.get(&version).is_some_and(|rows| rows.binary_search(&row).is_ok()),
        }
    }
}

fn ascending(rows: &[u64]) -> Cow<'_, [u64]> {
    if rows.is_sorted() {
        return Cow::Borrowed(rows);
    }
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    Cow::Owned(rows)
}

fn without(
    kernel: &Kernel,
    base: &Base,
    file: &ActiveFile,
    wanted: &Wanted,
    revision: &mut Revision,
) -> Result<(), DeltaError> {
    let (rows, removed) = count(kernel, file, wanted)?;
    if removed == 0 {
        return Ok(());
    }
    refuse_deletions(kernel, file)?;
    revision.gone.insert(file.path.clone());
    if removed == rows {
        return Ok(());
    }
    let mut rewriter = Rewriter::new(kernel, base, file.partition.clone(), u64::MAX)?;
    let read = rewriter.copy(file, &|id| !wanted.has(id))?;
    let (files, written) = rewriter.finish()?;
    revision.files.extend(files);
    if read.rows != rows || written.rows != rows - removed {
        return Err(DeltaError::Internal(format!(
            "{removed} of {rows} rows were to leave data file {} of {:?}, but {} of {} stay",
            file.path, kernel.root, written.rows, read.rows
        )));
    }
    Ok(())
}

/// How many rows a data file has, and how many of them leave.
fn count(kernel: &Kernel, file: &ActiveFile, wanted: &Wanted) -> Result<(u64, u64), DeltaError> {
    let schema = identity::schema(false);
    let (mut rows, mut removed) = (0, 0);
    let mut batches = FileRows::open_path(kernel, &file.path, &schema)?;
    while let Some(batch) = batches.next(&schema)? {
        rows += batch.num_rows() as u64;
        removed += Identities::of(&batch)?.filter(|id| wanted.has(*id)).count() as u64;
    }
    Ok((rows, removed))
}

/// Rows that another program has deleted without rewriting their file would come back.
fn refuse_deletions(kernel: &Kernel, file: &ActiveFile) -> Result<(), DeltaError> {
    if !file.has_deletions {
        return Ok(());
    }
    Err(DeltaError::ForeignLayout {
        table: kernel.root.clone(),
        what: format!("has rows in data file {} that are deleted by a deletion vector", file.path),
    })
}
