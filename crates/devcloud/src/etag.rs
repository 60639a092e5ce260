//! ETags that can be trusted: the MD5 of a file's bytes, remembered for as long as the file stays untouched.
//!
//! A file's stamp (device, inode, size, modification and change time) stands for its bytes only if a write would have
//! altered it. The kernel's clock moves in ticks, so a file that was hashed in the very tick of its last write could be
//! written once more without a trace. Hence a file is hashed only when its change time is older than a tick; a younger
//! file is waited for, a few milliseconds.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use connector_core::clock::{Clock, SystemClock};
use s3s::crypto::{Checksum, Md5};

use crate::text::hex;

/// Longer than the coarsest tick of a kernel's file clock (10 ms).
const TICK: Duration = Duration::from_millis(25);

/// How many files are remembered before all are forgotten: a bound on memory (about 100 MB), not a tuning knob.
const MOST_REMEMBERED: usize = 1 << 20;

/// Two requests for one large file must not both hash it; sixteen files can be hashed at once.
const HASHING_LOCKS: usize = 16;

const HASH_BUFFER: usize = 256 * 1024;

/// Seconds and nanoseconds since 1970, as the file system keeps them.
type FileTime = (i64, i64);

/// Device and inode.
type FileId = (u64, u64);

/// What changes when a file's bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    modified: FileTime,
    changed: FileTime,
    links: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            links: metadata.nlink(),
        }
    }

    /// Whether the bytes are still those of `earlier`. A file that was replaced or deleted while we hold it open loses
    /// a link, and so its change time moves although its bytes stay: that alone is no change.
    pub(crate) fn same_bytes_as(&self, earlier: &Self) -> bool {
        let same_file = self.device == earlier.device && self.inode == earlier.inode;
        let untouched = self.changed == earlier.changed || self.links != earlier.links;
        same_file && self.size == earlier.size && self.modified == earlier.modified && untouched
    }

    /// The modification time as S3 shows it: whole seconds, never before 1970.
    pub(crate) fn last_modified(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.modified.0).unwrap_or(0))
    }

    /// How long until a further write would show in the change time; zero if it would now.
    fn settles_in(&self) -> Duration {
        let now = SystemClock.now();
        let now = i128::from(now.as_second()) * 1_000_000_000 + i128::from(now.subsec_nanosecond());
        let changed = i128::from(self.changed.0) * 1_000_000_000 + i128::from(self.changed.1);
        let tick = i128::from(u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX));
        Duration::from_nanos(u64::try_from((changed + tick - now).max(0)).unwrap_or(u64::MAX))
    }
}

/// A file's stamp and the MD5 of the bytes it stands for, in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Hashed {
    pub(crate) stamp: Stamp,
    pub(crate) md5: String,
}

/// Hashes files and remembers the result.
#[derive(Default)]
pub(crate) struct ETags {
    known: Mutex<HashMap<FileId, (Stamp, [u8; 16])>>,
    hashing: [Mutex<()>; HASHING_LOCKS],
}

impl ETags {
    /// The ETag of a file that was hashed before and not touched since.
    pub(crate) fn known(&self, stamp: &Stamp) -> Option<Hashed> {
        let known = lock(&self.known);
        let (then, md5) = known.get(&(stamp.device, stamp.inode))?;
        // Links are left out on purpose: another name for the same bytes changes nothing but the change time.
        let same = Stamp { links: 0, ..*then } == Stamp { links: 0, ..*stamp };
        same.then(|| Hashed { stamp: *stamp, md5: hex(md5) })
    }

    /// The ETag of an open file. `None` if it was written to meanwhile. Blocks: reads the whole file if it is not known.
    pub(crate) fn of(&self, file: &File) -> io::Result<Option<Hashed>> {
        let stamp = Stamp::of(&file.metadata()?);
        if let Some(hashed) = self.known(&stamp) {
            return Ok(Some(hashed));
        }
        let stripe = usize::try_from(stamp.inode % HASHING_LOCKS as u64).unwrap_or(0);
        let _one_at_a_time = lock(&self.hashing[stripe]);
        if let Some(hashed) = self.known(&stamp) {
            return Ok(Some(hashed));
        }
        self.hash(file, &stamp)
    }

    fn hash(&self, file: &File, seen: &Stamp) -> io::Result<Option<Hashed>> {
        let wait = seen.settles_in();
        if !wait.is_zero() {
            std::thread::sleep(wait.min(TICK));
        }
        let before = Stamp::of(&file.metadata()?);
        // Somebody is writing: what a pause between two writes shows is half a file.
        if !before.same_bytes_as(seen) {
            return Ok(None);
        }
        let settled = before.settles_in().is_zero();
        let (size, md5) = digest(file)?;
        let after = Stamp::of(&file.metadata()?);
        if size != before.size || !after.same_bytes_as(&before) {
            return Ok(None);
        }
        // Unsettled after the wait: the file system's clock runs ahead of ours. The hash is right now, but nothing
        // would tell us when it no longer is, so it is not kept.
        if settled && after.changed == before.changed {
            self.remember(after, md5);
        }
        Ok(Some(Hashed { stamp: after, md5: hex(&md5) }))
    }

    fn remember(&self, stamp: Stamp, md5: [u8; 16]) {
        let mut known = lock(&self.known);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert((stamp.device, stamp.inode), (stamp, md5));
    }
}

fn digest(file: &File) -> io::Result<(u64, [u8; 16])> {
    let mut md5 = Md5::new();
    let mut buffer = vec![0; HASH_BUFFER];
    let mut at = 0;
    loop {
        let read = match file.read_at(&mut buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((at, md5.finalize()));
        }
        md5.update(&buffer[..read]);
        at += read as u64;
    }
}

/// A panic while a lock was held leaves nothing half-done in this crate: every guarded value is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "etag_tests.rs"]
mod tests;
