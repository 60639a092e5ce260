//! The body of a GET: bytes of one version of a file, or a broken connection.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use s3s::dto::StreamingBlob;

use crate::etag::Stamp;
use crate::folder::Opened;

/// Large enough that a hop to the blocking pool costs nothing beside the read.
const CHUNK: u64 = 256 * 1024;

struct Reader {
    file: File,
    /// What the file looked like when its ETag was computed.
    stamp: Stamp,
}

/// Streams a range of an object. If the file is written to meanwhile, the stream ends in an error before any byte of
/// the new content could complete it; hyper then breaks the connection short of the announced length.
pub(crate) fn stream(object: Opened, range: Range<u64>) -> StreamingBlob {
    let reader = Arc::new(Reader { file: object.file, stamp: object.hashed.stamp });
    let chunks = stream::try_unfold((reader, range), |(reader, left)| async move {
        if left.is_empty() {
            return Ok(None);
        }
        let chunk = left.start..left.end.min(left.start + CHUNK);
        let rest = chunk.end..left.end;
        let blocking = Arc::clone(&reader);
        let read = tokio::task::spawn_blocking(move || blocking.read(chunk)).await;
        let bytes = read.map_err(io::Error::other)??;
        Ok::<_, io::Error>(Some((bytes, (reader, rest))))
    });
    StreamingBlob::wrap(chunks)
}

impl Reader {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut bytes, range.start)?;
        // After the read: had a write come before or during it, it would show by now.
        if !Stamp::of(&self.file.metadata()?).same_bytes_as(&self.stamp) {
            return Err(io::Error::other("the file was written to while it was being served"));
        }
        Ok(bytes.freeze())
    }
}
