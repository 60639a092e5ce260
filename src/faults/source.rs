//! A bucket whose reads may fail.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::object::ObjectRef;
use connector_core::ports::{ListPage, ObjectSource, PortResult};

use super::point::{awaited, concerns};

pub(super) struct Faulty(pub(super) Arc<dyn ObjectSource>);

#[async_trait]
impl ObjectSource for Faulty {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        awaited("source", "list_page", self.0.list_page(prefix, continuation)).await
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        let read = self.0.read_range(object, range);
        if concerns(&object.key) { awaited("source", "read_range", read).await } else { read.await }
    }
}
