//! Objects as a listing shows them and as the ledger knows them.

use std::sync::Arc;

use jiff::Timestamp;

use crate::ids::ObjectVersionId;

/// One entry of a listing page. `key` is the decoded key, exactly as S3 stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// The ETag without its quotes.
    pub etag: String,
    /// Size in bytes.
    pub size: u64,
    /// Whole seconds; for a multipart upload the time at which the upload began.
    pub last_modified: Timestamp,
    /// `None` means `STANDARD`.
    pub storage_class: Option<String>,
}

/// An object version that an import has claimed: enough to read exactly these bytes and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    pub id: ObjectVersionId,
    pub bucket: Arc<str>,
    pub key: Arc<str>,
    pub etag: Arc<str>,
    /// Size in bytes, as listed.
    pub size: u64,
    pub last_modified: Timestamp,
    /// How often reading it was put off before.
    pub attempts: u32,
    /// It was being read when the process died: it is read alone, and first by a child process.
    pub suspect: bool,
    /// How often a child process died over it.
    pub strikes: u32,
}

impl ObjectRef {
    /// `s3://bucket/key`, for messages.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}

/// Why a listed object is stored as skipped. Objects that only the configuration excludes are not stored at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// A key that ends in `/` or `_$folder$`.
    DirectoryMarker,
    /// Zero bytes.
    Empty,
    /// `_SUCCESS`, or a last segment that begins with `.` or `_`.
    Hidden,
    /// Neither suffix nor configuration says that this is CSV or Parquet.
    UnknownFormat,
    /// The key was ingested before with another ETag, and `IMPORT_ON_OVERWRITE` is `ignore`.
    Overwrite,
    /// The batch that ingested it was rolled back; it waits to be asked for.
    RolledBack,
}

impl SkipReason {
    /// The bounded label used in ledger, metrics and pages.
    pub fn code(self) -> &'static str {
        match self {
            Self::DirectoryMarker => "directory_marker",
            Self::Empty => "empty",
            Self::Hidden => "hidden",
            Self::UnknownFormat => "unknown_format",
            Self::Overwrite => "overwrite",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Decides from key and size alone whether an object is never worth reading.
    pub fn of_listing(key: &str, size: u64) -> Option<Self> {
        if key.ends_with('/') || key.ends_with("_$folder$") {
            return Some(Self::DirectoryMarker);
        }
        let last = key.rsplit('/').next().unwrap_or(key);
        if last.starts_with('.') || last.starts_with('_') {
            return Some(Self::Hidden);
        }
        (size == 0).then_some(Self::Empty)
    }
}

/// Storage classes whose objects cannot be read without a restore: deferred, never asked for.
pub fn is_archived(storage_class: Option<&str>) -> bool {
    matches!(storage_class, Some("GLACIER" | "DEEP_ARCHIVE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_hidden_and_empty_objects_are_skipped_with_their_reason() {
        let cases = [
            ("a/", 0, Some(SkipReason::DirectoryMarker)),
            ("a_$folder$", 0, Some(SkipReason::DirectoryMarker)),
            ("a/_SUCCESS", 0, Some(SkipReason::Hidden)),
            ("a/.tmp.csv", 10, Some(SkipReason::Hidden)),
            ("_a/b.csv", 10, None),
            ("a/b.csv", 0, Some(SkipReason::Empty)),
            ("a/b.csv", 1, None),
        ];
        for (key, size, expected) in cases {
            assert_eq!(SkipReason::of_listing(key, size), expected, "{key}");
        }
    }
}
