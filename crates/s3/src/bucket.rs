//! One bucket as an [`ObjectSource`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::object::ObjectRef;
use connector_core::ports::{ListPage, ObjectSource, PortResult};

use crate::connection::S3Connection;
use crate::error::S3Error;
use crate::text::printable;

/// A page of a listing holds at most this many objects, on S3 too.
const KEYS_PER_PAGE: i32 = 1000;

/// Lists and reads one bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Bucket {
    pub(crate) connection: S3Connection,
    pub(crate) name: Arc<str>,
}

impl S3Bucket {
    pub(crate) fn new(connection: S3Connection, name: Arc<str>) -> Self {
        Self { connection, name }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `s3://bucket/key`, fit for messages.
    pub(crate) fn uri(&self, key: &str) -> String {
        format!("s3://{}/{}", self.name, printable(key))
    }

    /// [`ObjectSource::list_page`] with this crate's own error, and pages of at most `max_keys`.
    pub(crate) async fn list(&self, prefix: &str, after: Option<&str>, max_keys: i32) -> Result<ListPage, S3Error> {
        let connection = &self.connection.inner;
        let mut retries = connection.retry.begin();
        loop {
            let used = connection.credentials().await?;
            match self.list_once(used.as_ref(), prefix, after, max_keys).await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    connection.forget_if_expired(&error, used.as_ref());
                    retries.after(error).await?;
                }
            }
        }
    }

    /// [`ObjectSource::read_range`] with this crate's own error.
    pub(crate) async fn read(&self, object: &ObjectRef, range: Range<u64>) -> Result<Bytes, S3Error> {
        let length = self.check_range(object, &range)?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let connection = &self.connection.inner;
        let mut retries = connection.retry.begin();
        loop {
            let used = connection.credentials().await?;
            match self.read_in_time(used.as_ref(), object, &range, length).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    connection.forget_if_expired(&error, used.as_ref());
                    retries.after(error).await?;
                }
            }
        }
    }
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Bucket({} through {})", self.name, self.connection.name())
    }
}

#[async_trait]
impl ObjectSource for S3Bucket {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        Ok(self.list(prefix, continuation, KEYS_PER_PAGE).await?)
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        Ok(self.read(object, range).await?)
    }
}
