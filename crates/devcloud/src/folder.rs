//! The folder as a store of objects: opening, storing and deleting files under S3's rules. Everything here blocks.
//!
//! Nothing outside the folder is ever served: keys are checked ([`crate::key`]), and an opened file counts only if the
//! resolved path is the path that was asked for, without a symbolic link anywhere below the folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use s3s::dto::ETagCondition;
use s3s::path::check_bucket_name;
use s3s::{S3Error, S3Result, s3_error};
use uuid::Uuid;

use crate::etag::{ETags, Hashed, Stamp, lock};
use crate::key::{TEMPORARY_PREFIX, relative_path};
use crate::walk::is_gone;

/// How often a file that changes while it is hashed is tried again before the client is asked to come back.
const ATTEMPTS: usize = 3;

/// The served folder.
pub(crate) struct Folder {
    /// Resolved once, so that resolved paths below can be compared with it.
    root: PathBuf,
    etags: ETags,
    /// Held while a name appears or vanishes: conditions are checked and folders made or pruned under it.
    naming: Mutex<()>,
}

/// An object that was opened: the handle, and the ETag of the very bytes behind it.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) hashed: Hashed,
}

/// What must hold for a PUT to take place.
pub(crate) enum PutCondition {
    Always,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`
    Matches(ETagCondition),
}

/// A body on its way to becoming an object. Removed if it is dropped before that.
pub(crate) struct Upload {
    temporary: PathBuf,
    file: File,
    target: PathBuf,
}

impl Folder {
    pub(crate) fn open_root(folder: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(folder)?;
        // Reading it now turns a file, or a folder without permission, into an error at start.
        fs::read_dir(&root)?;
        Ok(Self { root, etags: ETags::default(), naming: Mutex::new(()) })
    }

    /// Buckets by name, with the time of their last change. Directories that cannot be bucket names are left out.
    pub(crate) fn buckets(&self) -> io::Result<Vec<(String, SystemTime)>> {
        let mut buckets = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && check_bucket_name(&name) {
                let Ok(metadata) = entry.metadata() else { continue };
                buckets.push((name, Stamp::of(&metadata).last_modified()));
            } else if is_folder {
                tracing::debug!(folder = %name, "not a bucket: S3 does not allow this name");
            }
        }
        buckets.sort_unstable();
        Ok(buckets)
    }

    /// The directory of a bucket.
    pub(crate) fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let dir = self.root.join(bucket);
        match fs::symlink_metadata(&dir) {
            Ok(metadata) if metadata.is_dir() && check_bucket_name(bucket) => Ok(dir),
            Err(error) if !is_gone(&error) => Err(failed(error, "look up", bucket, "")),
            _ => Err(s3_error!(NoSuchBucket, "The specified bucket does not exist: {bucket}")),
        }
    }

    pub(crate) fn create_bucket(&self, bucket: &str) -> S3Result<()> {
        if !check_bucket_name(bucket) {
            return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid: {bucket}"));
        }
        match fs::create_dir(self.root.join(bucket)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(s3_error!(BucketAlreadyOwnedByYou, "The bucket {bucket} exists already"))
            }
            made => made.map_err(|error| failed(error, "create", bucket, "")),
        }
    }

    /// The ETag of an object for a listing; `None` if it is gone or being written.
    pub(crate) fn stat(&self, bucket: &str, key: &str) -> S3Result<Option<Hashed>> {
        let Ok(relative) = relative_path(key) else { return Ok(None) };
        let path = self.root.join(bucket).join(relative);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                if let Some(hashed) = self.etags.known(&Stamp::of(&metadata)) {
                    return Ok(Some(hashed));
                }
            }
            Err(error) if !is_gone(&error) => return Err(failed(error, "read", bucket, key)),
            _ => return Ok(None),
        }
        let opened = self.open_path(&path).map_err(|error| failed(error, "read", bucket, key))?;
        let Some(file) = opened else { return Ok(None) };
        self.etags.of(&file).map_err(|error| failed(error, "read", bucket, key))
    }

    /// Opens an object and computes the ETag of what was opened.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, and `SlowDown` for a file that something keeps writing to.
    pub(crate) fn open(&self, bucket: &str, key: &str) -> S3Result<Opened> {
        let no_such_key = || s3_error!(NoSuchKey, "The specified key does not exist: {key:?} in bucket {bucket}");
        let path = self.bucket(bucket)?.join(relative_path(key).map_err(|_| no_such_key())?);
        for _ in 0..ATTEMPTS {
            let opened = self.open_path(&path).map_err(|error| failed(error, "read", bucket, key))?;
            let file = opened.ok_or_else(no_such_key)?;
            if let Some(hashed) = self.etags.of(&file).map_err(|error| failed(error, "read", bucket, key))? {
                return Ok(Opened { file, hashed });
            }
        }
        Err(s3_error!(SlowDown, "{key:?} in bucket {bucket} is being written to: try again when it is complete"))
    }

    /// Opens a regular file if it really is where the path says: `None` if there is none.
    fn open_path(&self, path: &Path) -> io::Result<Option<File>> {
        let gone = |error: io::Error| if is_gone(&error) { Ok(None) } else { Err(error) };
        for _ in 0..ATTEMPTS {
            // Looked at before it is opened, since opening a pipe would wait for its writer.
            match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => return Ok(None),
                Err(error) => return gone(error),
            }
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) => return gone(error),
            };
            // Compared byte by byte: `Path` takes `a//b` for `a/b`, and some file systems `A` for `a`.
            match fs::canonicalize(path) {
                Ok(real) if real.as_os_str() == path.as_os_str() => {}
                Ok(_) => return Ok(None),
                Err(error) => return gone(error),
            }
            let (held, named) = (file.metadata()?, fs::symlink_metadata(path));
            let named = match named {
                Ok(named) => named,
                Err(error) => return gone(error),
            };
            let (held, named) = (Stamp::of(&held), Stamp::of(&named));
            if (held.device, held.inode) == (named.device, named.inode) {
                return Ok(Some(file));
            }
            // Replaced between the two looks: look again.
        }
        Ok(None)
    }

    /// Begins to store an object.
    ///
    /// # Errors
    /// `NoSuchBucket`, and `InvalidArgument` or `KeyTooLongError` for a key that cannot be a file.
    pub(crate) fn begin(&self, bucket: &str, key: &str) -> S3Result<Upload> {
        let dir = self.bucket(bucket)?;
        let relative = relative_path(key).map_err(|problem| problem.refuse(bucket, key))?;
        let temporary = dir.join(format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4().simple()));
        let file = File::create_new(&temporary).map_err(|error| failed(error, "store", bucket, key))?;
        Ok(Upload { temporary, file, target: dir.join(relative) })
    }

    /// Gives a complete upload its name, at once and whole.
    pub(crate) fn finish(&self, bucket: &str, key: &str, upload: Upload, condition: &PutCondition) -> S3Result<()> {
        let _naming = lock(&self.naming);
        if let PutCondition::Matches(wanted) = condition {
            let existing = self.open(bucket, key)?;
            if !matches(wanted, &existing.hashed.md5) {
                return Err(precondition_failed("If-Match"));
            }
        }
        self.make_parents(bucket, key)?;
        let named = match condition {
            // A link, unlike a rename, fails if the name is taken.
            PutCondition::Absent => fs::hard_link(&upload.temporary, &upload.target),
            _ => fs::rename(&upload.temporary, &upload.target),
        };
        named.map_err(|error| {
            let is_folder = fs::symlink_metadata(&upload.target).is_ok_and(|metadata| metadata.is_dir());
            match error.kind() {
                _ if is_folder => s3_error!(
                    InvalidArgument,
                    "devcloud keeps objects as files: {key:?} in bucket {bucket} cannot be stored, other keys begin with it and '/'"
                ),
                io::ErrorKind::AlreadyExists => precondition_failed("If-None-Match"),
                _ => failed(error, "store", bucket, key),
            }
        })
    }

    /// Makes the folders above a key, following no symbolic link.
    fn make_parents(&self, bucket: &str, key: &str) -> S3Result<()> {
        let mut dir = self.bucket(bucket)?;
        let (parents, _) = key.rsplit_once('/').unwrap_or_default();
        for segment in parents.split('/').filter(|segment| !segment.is_empty()) {
            dir.push(segment);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|error| failed(error, "store", bucket, key))?,
            }
            let metadata = fs::symlink_metadata(&dir).map_err(|error| failed(error, "store", bucket, key))?;
            if !metadata.is_dir() {
                return Err(s3_error!(
                    InvalidArgument,
                    "devcloud keeps objects as files: {key:?} in bucket {bucket} cannot be stored, {segment:?} in it is an object or a link"
                ));
            }
        }
        Ok(())
    }

    /// Deletes an object, and the folders that it leaves empty so that their names are free again. An object that does
    /// not exist is deleted already.
    pub(crate) fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let dir = self.bucket(bucket)?;
        let Ok(relative) = relative_path(key) else { return Ok(()) };
        let path = dir.join(relative);
        let _naming = lock(&self.naming);
        if self.open_path(&path).map_err(|error| failed(error, "delete", bucket, key))?.is_none() {
            return Ok(());
        }
        match fs::remove_file(&path) {
            Err(error) if !is_gone(&error) => return Err(failed(error, "delete", bucket, key)),
            _ => {}
        }
        // Fails at the first folder that is not empty, which is where it should end.
        path.ancestors().skip(1).take_while(|parent| **parent != dir).all(|parent| fs::remove_dir(parent).is_ok());
        Ok(())
    }
}

impl Upload {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Adds the bytes of another upload.
    pub(crate) fn append(&mut self, part: &Self) -> io::Result<()> {
        let mut part = File::open(&part.temporary)?;
        io::copy(&mut part, &mut self.file).map(drop)
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Already renamed in the usual case, so there is nothing to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Whether an `If-Match` or `If-None-Match` holds for an object with this MD5. S3 knows no weak ETags.
pub(crate) fn matches(condition: &ETagCondition, md5: &str) -> bool {
    condition.is_any() || condition.as_etag().and_then(|etag| etag.as_strong()) == Some(md5)
}

pub(crate) fn precondition_failed(header: &'static str) -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold: {header}")
}

/// An error of the file system as S3 would say it.
fn failed(error: io::Error, what: &str, bucket: &str, key: &str) -> S3Error {
    let object = if key.is_empty() { String::new() } else { format!(" {key:?} in") };
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            s3_error!(AccessDenied, "devcloud's process may not {what}{object} bucket {bucket}: {error}")
        }
        io::ErrorKind::InvalidFilename => {
            s3_error!(KeyTooLongError, "devcloud cannot {what}{object} bucket {bucket}: {error}")
        }
        _ => s3_error!(InternalError, "devcloud cannot {what}{object} bucket {bucket}: {error}"),
    }
}
