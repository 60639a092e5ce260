//! Entries of a table's log are believed only if their bytes are those that were stored.
//!
//! A bit that was flipped on the way, or a line that was cut off, can leave a log entry that still reads well, and says
//! that other batches were committed. TLS keeps that away; an endpoint without it, or a proxy, may not. An object that was
//! put in one piece has the MD5 of its bytes as its ETag, so whole objects are held against it. Some are encrypted in a way
//! that gives them another ETag: then two answers have to agree. Parts of objects (those of data files) have no such mark.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use md5::{Digest as _, Md5};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Answers that are asked for until one is believed.
const ANSWERS: usize = 4;

/// A store whose whole objects arrive as they were stored, or not at all.
#[derive(Debug)]
pub(super) struct Intact(pub(super) Arc<dyn ObjectStore>);

impl fmt::Display for Intact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether bytes are those that an ETag stands for; `None` if it does not tell, as that of an upload in parts.
fn fits(etag: Option<&str>, bytes: &[u8]) -> Option<bool> {
    let etag = etag?.trim_matches('"');
    if etag.len() != 32 || !etag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digest: String = Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(digest.eq_ignore_ascii_case(etag))
}

#[async_trait]
impl ObjectStore for Intact {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head || options.range.is_some() {
            return self.0.get_opts(location, options).await;
        }
        let mut before: Option<(Option<String>, Bytes)> = None;
        for _ in 0..ANSWERS {
            let answer = self.0.get_opts(location, options.clone()).await?;
            let (meta, range) = (answer.meta.clone(), answer.range.clone());
            let (attributes, extensions) = (answer.attributes.clone(), answer.extensions.clone());
            let bytes = answer.bytes().await?;
            let in_parts = meta.e_tag.as_deref().is_some_and(|etag| etag.contains('-'));
            let believed = in_parts || fits(meta.e_tag.as_deref(), &bytes) == Some(true);
            let this = (meta.e_tag.clone(), bytes.clone());
            if believed || before.as_ref() == Some(&this) {
                let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
                return Ok(GetResult { payload, meta, range, attributes, extensions });
            }
            tracing::warn!(key = %location, etag = ?this.0, "bytes do not fit their ETag, asking again");
            before = Some(this);
        }
        let why = format!(
            "the bytes of {location} do not fit their ETag, and {ANSWERS} answers differ; look for a proxy that changes \
             them, or use https in S3_ENDPOINT"
        );
        Err(Error::Generic { store: "S3", source: why.into() })
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_held_against_the_bytes_if_it_can_be_their_md5() {
        let cases = [
            (Some("\"5d41402abc4b2a76b9719d911017c592\""), Some(true)),
            (Some("5D41402ABC4B2A76B9719D911017C592"), Some(true)),
            (Some("\"5d41402abc4b2a76b9719d911017c593\""), Some(false)),
            (Some("\"5d41402abc4b2a76b9719d911017c592-2\""), None),
            (Some("\"an opaque one of thirty-two byte\""), None),
            (None, None),
        ];
        for (etag, expected) in cases {
            assert_eq!(fits(etag, b"hello"), expected, "{etag:?}");
        }
    }
}
