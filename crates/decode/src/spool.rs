//! A temporary file for an object that is too large to hold in memory.
//!
//! The file has no name from the moment it exists, so nothing has to be cleaned up, whatever crashes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_core::error::Failure;

use crate::error::DecodeError;

/// An unlinked file that is written in pieces, in any order, and then read.
#[derive(Debug)]
pub struct Spool {
    file: File,
    dir: PathBuf,
}

impl Spool {
    /// Creates the file in `dir`, which has to exist.
    ///
    /// # Errors
    /// `Transient` with code `spool_failed` if the directory cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        match tempfile::tempfile_in(dir) {
            Ok(file) => Ok(Self { file, dir: dir.to_owned() }),
            Err(source) => Err(spool_error(dir, "created", source)),
        }
    }

    /// Writes all of `bytes` at `offset`. Blocking.
    ///
    /// # Errors
    /// `Transient` with code `spool_failed`, most likely because the disk is full.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all_at(bytes, offset).map_err(|source| spool_error(&self.dir, "written", source))
    }

    /// The file, for reading at positions. It vanishes with its last handle.
    pub fn into_file(self) -> Arc<File> {
        Arc::new(self.file)
    }
}

fn spool_error(dir: &Path, what: &'static str, source: std::io::Error) -> Failure {
    DecodeError::Spool { dir: dir.display().to_string(), what, source }.into()
}

#[cfg(test)]
mod tests {
    use connector_core::error::ErrorClass;

    use super::*;

    #[test]
    fn pieces_in_any_order_make_the_file_and_the_folder_stays_empty() {
        let dir = tempfile::tempdir().expect("a folder");
        let spool = Spool::create(dir.path()).expect("creates");
        spool.write_at(3, b"def").expect("writes");
        spool.write_at(0, b"abc").expect("writes");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
        let file = spool.into_file();
        let mut bytes = [0; 6];
        file.read_exact_at(&mut bytes, 0).expect("reads");
        assert_eq!(&bytes, b"abcdef");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Spool::create(Path::new("/does/not/exist")).expect_err("fails");
        assert_eq!((error.class, error.code), (ErrorClass::Transient, "spool_failed"));
        assert!(error.message.contains("/does/not/exist"), "{}", error.message);
    }
}
