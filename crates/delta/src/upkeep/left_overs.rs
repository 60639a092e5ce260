//! What interrupted writers have left: half-written log entries beside their name, drafts of data files that were to be
//! uploaded, files and keys that only tried whether a place can be written to. No reader looks at them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use crate::error::DeltaError;
use crate::kernel::Kernel;
use crate::storage::{LOG_FOLDER, PROBE_PREFIX};

/// What is younger may still be written to.
const AGE: SignedDuration = SignedDuration::from_hours(24);

/// Removes what is older than a day; says how many files and bytes.
pub(crate) fn sweep(kernel: &Kernel, now: Timestamp) -> Result<(u64, u64), DeltaError> {
    let before = now.checked_sub(AGE).unwrap_or(Timestamp::MIN);
    let (mut files, mut bytes) = kernel.storage.sweep_probes(before);
    let log = kernel.storage.is_local().then(|| kernel.storage.named(LOG_FOLDER));
    let log = log.map(|folder| old_files(&folder, before, is_half_an_entry)).transpose()?;
    let spool = kernel.storage.spool().map(|folder| old_files(folder, before, is_draft)).transpose()?;
    // A trial is made in the table's folder, or in the one above as long as there is none.
    let tried = kernel.root.ancestors().take(2).filter(|_| kernel.storage.is_local());
    let probes = tried.map(|folder| old_files(folder, before, is_probe)).collect::<Result<Vec<_>, _>>()?;
    for (path, size) in log.into_iter().chain(spool).chain(probes).flatten() {
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|error| DeltaError::io(&path, error))?,
        }
        files += 1;
        bytes += size;
    }
    Ok((files, bytes))
}

/// `00000000000000000007.json#1`, which the store writes before it links it to its name; `.<uuid>.tmp`, which this
/// program writes before it takes the name of an entry.
pub(crate) fn is_half_an_entry(name: &str) -> bool {
    let numbered = name.rsplit_once('#').is_some_and(|(entry, number)| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && entry.get(..20).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    });
    numbered || (name.starts_with('.') && name.ends_with(".tmp"))
}

fn is_probe(name: &str) -> bool {
    name.starts_with(PROBE_PREFIX)
}

fn is_draft(name: &str) -> bool {
    name.starts_with("part-") && name.ends_with(".parquet")
}

/// Plain files of a folder with such a name, and their bytes. A folder that is not there has none.
fn old_files(
    folder: &Path,
    before: Timestamp,
    matches: impl Fn(&str) -> bool,
) -> Result<Vec<(PathBuf, u64)>, DeltaError> {
    let failed = |error| DeltaError::io(folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_str().is_some_and(&matches) {
            continue;
        }
        let facts = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        let modified = facts.modified().map_err(failed)?;
        if facts.is_file() && Timestamp::try_from(modified).is_ok_and(|modified| modified < before) {
            found.push((entry.path(), facts.len()));
        }
    }
    Ok(found)
}
