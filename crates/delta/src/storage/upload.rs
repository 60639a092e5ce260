//! A finished data file on its way into a bucket.
//!
//! A small one goes in one PUT, a large one in parts, so that memory does not grow with the file. Either way the object
//! is there whole or not at all. An error is no answer: the object may be there because only the answer was lost, so it
//! is looked for, under a name that nobody else uses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use object_store::path::Path as StorePath;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutMode};

use super::{Draft, Storage};
use crate::error::DeltaError;

/// Up to here one PUT; also the size of a part.
pub(crate) const PART_BYTES: u64 = 8 << 20;
/// Parts under way at once. Memory is that many parts.
const PARTS_AT_ONCE: usize = 3;
/// S3 takes 10,000.
const MAX_PARTS: u64 = 9_000;

impl Storage {
    pub(super) fn upload(&self, draft: &Draft, file: &File) -> Result<(), DeltaError> {
        let local = |error| DeltaError::io(draft.local(), error);
        let bytes = file.metadata().map_err(local)?.len();
        let key = self.key(&draft.path)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self.shared.handle.block_on(self.send(file, &key, bytes)) {
                Ok(()) => return Ok(()),
                Err(Fault::Local(error)) => return Err(local(error)),
                Err(Fault::Store(error)) => error,
            };
            // The name is a fresh one, so whatever is there whole under it is this very upload.
            if self.size(&draft.path)? == Some(bytes) {
                return Ok(());
            }
            // Of a name that is taken nothing is there: the server took a repetition of the request for a second writer.
            if attempts == 2 || !matches!(error, object_store::Error::AlreadyExists { .. }) {
                return Err(DeltaError::store(&self.named(&draft.path), &error));
            }
        }
    }

    async fn send(&self, file: &File, key: &StorePath, bytes: u64) -> Result<(), Fault> {
        if bytes > PART_BYTES {
            return self.upload_parts(file, key, bytes).await;
        }
        let body = read(file, 0, bytes).map_err(Fault::Local)?;
        let put = self.shared.store.put_opts(key, body.into(), PutMode::Create.into());
        put.await.map(drop).map_err(Fault::Store)
    }

    async fn upload_parts(&self, file: &File, key: &StorePath, bytes: u64) -> Result<(), Fault> {
        let mut upload = self.shared.store.put_multipart(key).await.map_err(Fault::Store)?;
        let sent = send_parts(upload.as_mut(), file, bytes).await;
        let done = match sent {
            Ok(()) => upload.complete().await.map(drop).map_err(Fault::Store),
            failed => failed,
        };
        if done.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%key, %error, "the parts of an upload that failed are left to the bucket's lifecycle rule");
        }
        done
    }
}

/// What went wrong: here, or there.
enum Fault {
    Local(std::io::Error),
    Store(object_store::Error),
}

async fn send_parts(upload: &mut dyn MultipartUpload, file: &File, bytes: u64) -> Result<(), Fault> {
    let part = PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
    let mut under_way = FuturesUnordered::new();
    let mut start = 0;
    while start < bytes {
        let length = part.min(bytes - start);
        // Parts are read here and not all at once; a read from the page cache does not hold up the runtime.
        let body = read(file, start, length).map_err(Fault::Local)?;
        under_way.push(upload.put_part(body.into()));
        start += length;
        if under_way.len() >= PARTS_AT_ONCE
            && let Some(result) = under_way.next().await
        {
            result.map_err(Fault::Store)?;
        }
    }
    while let Some(result) = under_way.next().await {
        result.map_err(Fault::Store)?;
    }
    Ok(())
}

fn read(file: &File, start: u64, length: u64) -> std::io::Result<Bytes> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, start)?;
    Ok(buffer.into())
}
