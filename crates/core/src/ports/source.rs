//! Reading a bucket.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::PortResult;
use crate::object::{ListedObject, ObjectRef};

/// One page of a listing, keys decoded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListPage {
    pub objects: Vec<ListedObject>,
    /// Opaque; `None` on the last page.
    pub next: Option<String>,
}

/// Lists and reads one bucket through one connection.
#[async_trait]
pub trait ObjectSource: Send + Sync + 'static {
    /// One page of at most 1,000 objects below `prefix`. Retries transient errors itself.
    ///
    /// # Errors
    /// `Config` if the bucket does not exist or access is refused, `Transient` once retries are used up.
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage>;

    /// Exactly the bytes `range` of this object version, or an error; never bytes of another version, never fewer.
    /// Retries transient errors itself.
    ///
    /// # Errors
    /// `Data` with code `object_changed` (the ETag no longer matches) or `object_gone`; `Data` with code
    /// `access_denied` for this one object; `Transient` once retries are used up.
    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes>;
}
