//! The objects of a bucket in the order of S3: by the UTF-8 bytes of their keys.
//!
//! A depth-first walk gives that order if a folder sorts as its name with `/` at the end (`a.csv` before `a/x`, since
//! `.` is below `/`). Paths are built from names that the file system returned, never from what a client sent, and
//! symbolic links are not followed, so a walk cannot leave its bucket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::vec;

use crate::key::{LONGEST_KEY, TEMPORARY_PREFIX};

/// Where a walk begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Start,
    /// Strictly after this key.
    After(String),
    /// After every key that begins with this, and after this itself.
    Past(String),
}

impl Bound {
    fn admits(&self, key: &str) -> bool {
        match self {
            Self::Start => true,
            Self::After(last) => key > last.as_str(),
            Self::Past(group) => key > group.as_str() && !key.starts_with(group.as_str()),
        }
    }

    /// Whether no key that begins with `folder` is admitted.
    fn rules_out(&self, folder: &str) -> bool {
        match self {
            Self::Start => false,
            Self::After(last) => folder < last.as_str() && !last.starts_with(folder),
            Self::Past(group) => {
                folder.starts_with(group.as_str()) || (folder < group.as_str() && !group.starts_with(folder))
            }
        }
    }
}

struct Entry {
    /// Path below the bucket, with `/`; a folder's ends with one.
    key: String,
    is_folder: bool,
}

/// A walk over the keys with a prefix, after a bound.
pub(crate) struct Walk {
    bucket: PathBuf,
    prefix: String,
    bound: Bound,
    /// The folders that are open, outermost first, each with what is still to come.
    open: Vec<vec::IntoIter<Entry>>,
}

impl Walk {
    pub(crate) fn new(bucket: &Path, prefix: &str, bound: Bound) -> io::Result<Self> {
        let mut walk = Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), bound, open: Vec::new() };
        walk.enter("")?;
        Ok(walk)
    }

    /// Leaves out everything that begins with `group` from here on.
    pub(crate) fn skip_past(&mut self, group: &str) {
        self.bound = Bound::Past(group.to_owned());
    }

    /// The next key of a regular file.
    pub(crate) fn next_key(&mut self) -> io::Result<Option<String>> {
        while let Some(folder) = self.open.last_mut() {
            match folder.next() {
                None => drop(self.open.pop()),
                Some(entry) if entry.is_folder => {
                    // The bound may have moved since the entry was read.
                    if !self.bound.rules_out(&entry.key) {
                        self.enter(&entry.key)?;
                    }
                }
                Some(entry) if self.bound.admits(&entry.key) => return Ok(Some(entry.key)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    fn enter(&mut self, folder: &str) -> io::Result<()> {
        let mut entries = Vec::new();
        let read = match fs::read_dir(self.bucket.join(folder)) {
            // It was deleted or became a file since we saw it: nothing below it any more.
            Err(error) if is_gone(&error) && !folder.is_empty() => return Ok(()),
            read => read?,
        };
        for found in read {
            let found = found?;
            let kind = match found.file_type() {
                Err(error) if is_gone(&error) => continue,
                kind => kind?,
            };
            // S3 keys are UTF-8: a name that is not cannot be an object.
            let Ok(name) = found.file_name().into_string() else { continue };
            if name.starts_with(TEMPORARY_PREFIX) || !(kind.is_file() || kind.is_dir()) {
                continue;
            }
            let key = format!("{folder}{name}{}", if kind.is_dir() { "/" } else { "" });
            if self.wants(&key, kind.is_dir()) {
                entries.push(Entry { key, is_folder: kind.is_dir() });
            }
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        self.open.push(entries.into_iter());
        Ok(())
    }

    fn wants(&self, key: &str, is_folder: bool) -> bool {
        if key.len() > LONGEST_KEY {
            return false;
        }
        if is_folder {
            let on_the_way = key.starts_with(&self.prefix) || self.prefix.starts_with(key);
            on_the_way && !self.bound.rules_out(key)
        } else {
            key.starts_with(&self.prefix) && self.bound.admits(key)
        }
    }
}

/// Whether an error only says that something is not there (any more).
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename)
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
