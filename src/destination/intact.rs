//! Entries of a table's log are believed only if their bytes are those that were stored.
//!
//! A bit that was flipped on the way, or a line that was cut off, can leave a log entry that still reads well, and says
//! that other batches were committed. TLS keeps that away; an endpoint without it, or a proxy, may not. An object that was
//! put in one piece has the MD5 of its bytes as its ETag, so whole objects are held against it. Some are encrypted in a way
//! that gives them another ETag: then two answers have to agree, once; from then on the ETags of that store say nothing. Parts of objects (those of data files) have no such mark.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub(super) struct Intact {
    inner: Arc<dyn ObjectStore>,
    /// Two answers have agreed on bytes that do not fit their ETag, and none has fitted since: it encrypts, and its ETags
    /// say nothing. To ask each time for a second answer would double the price of every look at a table.
    opaque: AtomicBool,
}

impl Intact {
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, opaque: AtomicBool::new(false) }
    }

    /// Whether an answer is believed by itself.
    fn is_believed(&self, etag: Option<&str>, bytes: &[u8]) -> bool {
        match fits(etag, bytes) {
            Some(true) => {
                self.opaque.store(false, Ordering::Relaxed);
                true
            }
            _ => etag.is_some_and(|etag| etag.contains('-')) || self.opaque.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Display for Intact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
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
            return self.inner.get_opts(location, options).await;
        }
        let mut before: Option<(Option<String>, Bytes)> = None;
        for _ in 0..ANSWERS {
            let answer = self.inner.get_opts(location, options.clone()).await?;
            let (meta, range) = (answer.meta.clone(), answer.range.clone());
            let (attributes, extensions) = (answer.attributes.clone(), answer.extensions.clone());
            let bytes = answer.bytes().await?;
            let this = (meta.e_tag.clone(), bytes.clone());
            let is_believed = self.is_believed(meta.e_tag.as_deref(), &bytes);
            let agrees = before.as_ref() == Some(&this);
            if before.as_ref().is_some_and(|before| *before != this) {
                tracing::warn!(key = %location, etag = ?this.0, "bytes did not fit their ETag, and the next answer differs");
            }
            if agrees && !is_believed {
                tracing::debug!(key = %location, "ETags of this bucket do not stand for the bytes; single answers are believed");
                self.opaque.store(true, Ordering::Relaxed);
            }
            if is_believed || agrees {
                let payload = GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed());
                return Ok(GetResult { payload, meta, range, attributes, extensions });
            }
            before = Some(this);
        }
        let why = format!(
            "the bytes of {location} do not fit their ETag, and {ANSWERS} answers differ; look for a proxy that changes \
             them, or use https in S3_ENDPOINT"
        );
        Err(Error::Generic { store: "S3", source: why.into() })
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_etags_say_nothing_is_believed_until_one_says_something() {
        let store = Intact::new(Arc::new(object_store::memory::InMemory::new()));
        let (md5, other) = (Some("\"5d41402abc4b2a76b9719d911017c592\""), Some("\"5d41402abc4b2a76b9719d911017c593\""));
        assert!(!store.is_believed(other, b"hello"), "it may have been changed on the way");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        // The ETags of this store are numbers.
        runtime.block_on(async {
            let key = Path::from("k");
            store.put_opts(&key, "hello".into(), PutOptions::default()).await.expect("put");
            let read = store.get_opts(&key, GetOptions::default()).await.expect("two answers agree");
            assert_eq!(read.bytes().await.expect("bytes"), "hello");
        });
        assert!(store.is_believed(other, b"hello"), "once is enough");
        assert!(store.is_believed(md5, b"hello"));
        assert!(!store.is_believed(other, b"hello"), "ETags stand for bytes after all");
    }

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
