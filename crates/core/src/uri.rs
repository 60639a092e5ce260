//! Bucket URIs: which keys an import reads.
//!
//! A URI is a bucket and a pattern of keys; [`pattern`] has the rules, and `docs/patterns.md` shows them.
//!
//! | form | matches |
//! |---|---|
//! | `s3://bucket` | every key |
//! | `s3://bucket/path` | the key `path`, and every key under `path/` |
//! | `s3://bucket/path/` | every key under `path/` |
//! | `s3://bucket/path/*.csv` | in the last segment `*` crosses `/`: every key under `path/` that ends in `.csv` |
//! | `s3://bucket/*/2024/*.csv` | in an earlier segment `*` stays within it |

mod bucket;
pub mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::pattern::KeyPattern;

/// How a bucket URI begins.
pub const SCHEME: &str = "s3://";

/// A parsed `IMPORT_BUCKET_URI`.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketUri {
    text: String,
    bucket: String,
    keys: KeyPattern,
}

/// Why a text is not a bucket URI, or not a pattern. `offset` is a byte offset into the text, for a caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UriError {
    pub offset: usize,
    pub message: String,
}

impl UriError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    /// The same error of a text that has so many bytes before it.
    fn behind(self, bytes: usize) -> Self {
        Self { offset: self.offset + bytes, ..self }
    }
}

impl BucketUri {
    /// Parses a URI.
    ///
    /// # Errors
    /// If the scheme is not `s3://`, the bucket name is not one that S3 allows, or the pattern of keys is none.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Err(UriError::new(0, "a bucket URI begins with s3://"));
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        bucket::check(bucket).map_err(|error| error.behind(SCHEME.len()))?;
        let keys = KeyPattern::parse(path).map_err(|error| error.behind(text.len() - path.len()))?;
        Ok(Self { text: text.to_owned(), bucket: bucket.to_owned(), keys })
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What stands behind the bucket.
    pub fn keys(&self) -> &KeyPattern {
        &self.keys
    }

    /// The literal prefix that every matching key begins with, as long as possible: what the listing asks for.
    pub fn literal_prefix(&self) -> &str {
        self.keys.literal_prefix()
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, key: &str) -> bool {
        self.keys.matches(key)
    }
}

impl fmt::Debug for BucketUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
