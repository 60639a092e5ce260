//! Local files: made durable, listed, replaced.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use uuid::Uuid;

use super::{StoredFile, is_hidden};
use crate::error::DeltaError;

/// How the names of files begin that only try whether a folder can be written to.
pub(crate) const PROBE_PREFIX: &str = ".s3_connector_probe-";

/// What only a disk can refuse. Tests bring one that does.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn sync_file(&self, file: &File) -> io::Result<()>;

    /// Makes the entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a new, empty file.
    fn create_new(&self, path: &Path) -> io::Result<File>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        File::options().write(true).create_new(true).open(path)
    }
}

/// Creates a directory and those above it, each durably. Existing ones are left alone.
pub(super) fn create_dirs(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent();
    if let Some(parent) = parent {
        create_dirs(disk, parent)?;
    }
    match fs::create_dir(dir) {
        // Somebody else made it meanwhile, or something that is no directory is in the way.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => other?,
    }
    disk.sync_dir(dir)?;
    parent.map_or(Ok(()), |parent| disk.sync_dir(parent))
}

/// A table is where it says, and not behind a link.
pub(super) fn refuse_link(root: &Path) -> Result<(), DeltaError> {
    let is_link = fs::symlink_metadata(root).is_ok_and(|metadata| metadata.file_type().is_symlink());
    if is_link {
        // Whoever re-targets it would have the ledger and the table part without a trace.
        let why = "it is a symbolic link, which may point elsewhere tomorrow";
        return Err(DeltaError::BadPath { path: root.to_owned(), why });
    }
    Ok(())
}

/// Whether a table can be made or written to at `root`; says which time a new file gets there.
pub(super) fn check(disk: &dyn Disk, root: &Path) -> Result<Timestamp, DeltaError> {
    refuse_link(root)?;
    let existing = root.ancestors().find(|dir| dir.exists()).unwrap_or(root);
    if !existing.is_dir() {
        return Err(DeltaError::io(existing, io::Error::from(io::ErrorKind::NotADirectory)));
    }
    let probe = existing.join(format!("{PROBE_PREFIX}{}", Uuid::new_v4()));
    let failed = |error| DeltaError::io(existing, error);
    let created = disk.create_new(&probe).map_err(failed)?;
    let now = created.metadata().and_then(|metadata| metadata.modified());
    fs::remove_file(&probe).map_err(failed)?;
    now.map(time).map_err(failed)
}

/// Puts `bytes` in the place of a file, durably: in a new file that takes the name.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let draft = folder.join(format!(".{}.tmp", Uuid::new_v4()));
    let written = disk.create_new(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        disk.sync_file(&file)?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        // It may not even be there; and the error that counts is the one of writing.
        let _ = fs::remove_file(&draft);
    }
    written?;
    disk.sync_dir(folder)
}

/// Size and time of the file `path` below `root`; `None` if it is not there.
pub(super) fn facts(root: &Path, path: &str) -> Result<Option<StoredFile>, DeltaError> {
    let full = root.join(path);
    let found = fs::metadata(&full).and_then(|metadata| Ok((metadata.len(), metadata.modified()?)));
    match found {
        Ok((bytes, modified)) => Ok(Some(StoredFile { path: path.to_owned(), bytes, modified: time(modified) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DeltaError::io(&full, error)),
    }
}

/// Files below `root`, without hidden ones.
pub(super) fn list_data_files(root: &Path) -> Result<Vec<StoredFile>, DeltaError> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let failed = |error| DeltaError::io(&folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // No name of ours is not UTF-8, and the log could not name such a file.
            let Some(name) = name.to_str().filter(|name| !is_hidden(name)) else { continue };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(folder.join(name));
            } else if kind.is_file()
                && let Some(path) = folder.join(name).strip_prefix(root).ok().and_then(Path::to_str)
            {
                // Gone between the listing and the look: it is not there.
                found.extend(facts(root, path)?);
            }
        }
    }
    Ok(found)
}

fn time(modified: std::time::SystemTime) -> Timestamp {
    Timestamp::try_from(modified).unwrap_or_default()
}
