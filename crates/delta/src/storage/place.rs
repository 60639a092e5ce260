//! How a table's place is given to this crate.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;
use object_store::path::Path as StorePath;
use tokio::runtime::Handle;
use url::Url;

use super::probe;
use crate::error::DeltaError;

/// Where a table is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A directory, which need not exist.
    Local(PathBuf),
    S3(S3Location),
}

/// A prefix of a bucket.
#[derive(Clone)]
pub struct S3Location {
    /// The bucket: paths are whole keys.
    pub store: Arc<dyn ObjectStore>,
    pub bucket: String,
    /// Without slashes at its ends.
    pub prefix: String,
    /// A local folder for data files until they are uploaded; made when it is needed.
    pub spool: PathBuf,
    /// Shared by all tables of one bucket, so that it is tried once in a process.
    pub tried: Tried,
}

/// Whether a store was found to refuse a second object of the same name. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<Mutex<bool>>);

impl S3Location {
    /// `s3://bucket/prefix`.
    pub fn text(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// Where the probe puts its key: beside the table.
    pub(super) fn parent(&self) -> &str {
        self.prefix.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// Tries the store, unless that was done.
    pub(super) fn check_once(&self, handle: &Handle) -> Result<(), DeltaError> {
        // Held meanwhile: tables that start at once shall not all try.
        let mut tried = self.tried.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*tried {
            handle.block_on(probe::probe(self))?;
            *tried = true;
        }
        Ok(())
    }

    pub(super) fn url(&self) -> Result<Url, DeltaError> {
        let bad = || self.bad("it cannot be written as a URL");
        let mut url = Url::parse(&format!("s3://{}/", self.bucket)).map_err(|_| bad())?;
        url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(self.prefix.split('/')).push("");
        Ok(url)
    }

    pub(super) fn store_path(&self) -> Result<StorePath, DeltaError> {
        if self.prefix.is_empty() || self.prefix.contains('%') {
            return Err(self.bad("a table on S3 needs a prefix, without '%'"));
        }
        let parsed =
            StorePath::parse(&self.prefix).map_err(|_| self.bad("its prefix has parts like '', '.' or '..'"))?;
        if parsed.as_ref() != self.prefix {
            return Err(self.bad("its prefix begins or ends with a slash"));
        }
        Ok(parsed)
    }

    fn bad(&self, why: &'static str) -> DeltaError {
        DeltaError::BadPath { path: PathBuf::from(self.text()), why }
    }
}

impl fmt::Debug for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
