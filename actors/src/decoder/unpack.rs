//! Compressed text on its way to the decoder: measured, decompressed whole, or part by part.
//!
//! What comes out of a compressed file is unknown until it is out, and may be a thousand times as much. So nothing is
//! kept that no credit was taken for: a small file is decompressed once only to be measured, and a large one gives
//! parts of a size that was fixed before.

use bytes::{Bytes, BytesMut};
use connector_core::error::Failure;
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};
use futures::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};

use super::fetch::{Part, Parts, Reader};
use super::sizing::{Sizing, window, window_parts};
use crate::credit::Credit;

/// Bytes that are decompressed at a time when they are only counted.
const COUNTED_BYTES: usize = 256 << 10;

/// How many bytes a whole file decompresses to; `None` if they are more than `limit`.
///
/// # Errors
/// `Data` if it is corrupt, not whole, or a bomb.
pub(super) fn measure(compression: Compression, packed: Bytes, limit: u64) -> Result<Option<u64>, Failure> {
    let mut decompressor = Decompressor::new(compression, DecompressionLimits::default());
    decompressor.push(packed);
    let mut total = 0;
    while let Some(bytes) = decompressor.next(COUNTED_BYTES)? {
        total += bytes.len() as u64;
        if total > limit {
            return Ok(None);
        }
    }
    decompressor.finish()?;
    Ok(Some(total))
}

/// A whole file that was measured before.
///
/// # Errors
/// Those of [`measure`].
pub(super) fn unpack(compression: Compression, packed: Bytes, size: u64) -> Result<Bytes, Failure> {
    let mut decompressor = Decompressor::new(compression, DecompressionLimits::default());
    decompressor.push(packed);
    let mut pieces = Vec::new();
    while let Some(bytes) = decompressor.next(size as usize)? {
        pieces.push(bytes);
    }
    decompressor.finish()?;
    Ok(joined(pieces))
}

/// Compressed bytes in order, and the credit that covers those that are held at once.
pub(super) struct Packed<'a> {
    pieces: BoxStream<'a, Result<Bytes, Failure>>,
    window: Credit,
}

impl<'a> Packed<'a> {
    /// Fetches the object as it is needed.
    pub(super) async fn fetched(reader: &'a Reader, largest_request: u64) -> Self {
        let window = reader.account.acquire(window(largest_request)).await;
        let (length, ahead) = window_parts(window.bytes());
        Self { pieces: reader.pieces(length, ahead).boxed(), window }
    }

    /// The object is in memory already, under a credit that is no larger than a window may be.
    pub(super) fn held(bytes: Bytes, window: Credit) -> Self {
        Self { pieces: futures::stream::iter([Ok(bytes)]).boxed(), window }
    }
}

/// The parts that a compressed file decompresses to, in order. The credit of each is taken before it is decompressed;
/// `share` is what it may take at most. Ends with an error if the file is not whole.
pub(super) fn parts<'a>(
    reader: &'a Reader,
    compression: Compression,
    packed: Packed<'a>,
    sizing: &'a Sizing,
    share: u64,
) -> Parts<'a> {
    let decompressor = Decompressor::new(compression, DecompressionLimits::default());
    let unpacker = Unpacker { reader, decompressor, pieces: packed.pieces, _window: packed.window };
    let next = move |unpacker: Option<Unpacker<'a>>| async move {
        let Some(unpacker) = unpacker else { return Ok(None) };
        let size = sizing.part(share);
        let credit = reader.account.acquire(size.cost).await;
        let (bytes, unpacker) = unpacker.fill(size.bytes as usize).await?;
        Ok(Some((Part { bytes, credit }, unpacker)))
    };
    try_unfold(Some(unpacker), next).boxed()
}

/// A decompressor and where its input comes from.
struct Unpacker<'a> {
    reader: &'a Reader,
    decompressor: Decompressor,
    pieces: BoxStream<'a, Result<Bytes, Failure>>,
    _window: Credit,
}

impl Unpacker<'_> {
    /// Decompresses up to `max_bytes`; fewer, perhaps none, only at the end of the file, and then it does not come back.
    async fn fill(mut self, max_bytes: usize) -> Result<(Bytes, Option<Self>), Failure> {
        let (mut found, mut left) = (Vec::new(), max_bytes);
        while left > 0 {
            // The decompressor travels to the pool and back: its work is sequential by nature, but long.
            let mut decompressor = self.decompressor;
            let step = move || (decompressor.next(left), decompressor);
            let (bytes, moved) = self.reader.on_pool(step).await?;
            self.decompressor = moved;
            if let Some(bytes) = bytes? {
                left = left.saturating_sub(bytes.len());
                found.push(bytes);
                continue;
            }
            match self.pieces.try_next().await? {
                Some(piece) => self.decompressor.push(piece),
                None => {
                    let decompressor = self.decompressor;
                    self.reader.on_pool(move || decompressor.finish()).await??;
                    return Ok((joined(found), None));
                }
            }
        }
        Ok((joined(found), Some(self)))
    }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a,b`, `1,2`.
    const PACKED: &[u8] = b"\x1F\x8B\x08\x00\x00\x00\x00\x00\x02\x03\x4B\xD4\x49\xE2\x32\xD4\x31\xE2\x02\x00\x7B\x07\x97\x0A\x08\x00\x00\x00";
    const TEXT: &[u8] = b"a,b\n1,2\n";

    #[test]
    fn a_file_is_measured_exactly_and_only_up_to_the_limit() {
        let packed = Bytes::from_static(PACKED);
        assert_eq!(measure(Compression::Gzip, packed.clone(), 8), Ok(Some(8)));
        assert_eq!(measure(Compression::Gzip, packed.clone(), 7), Ok(None));
        assert_eq!(unpack(Compression::Gzip, packed, 8), Ok(Bytes::from_static(TEXT)));
    }

    #[test]
    fn members_behind_each_other_are_one_file() {
        let twice = Bytes::from([PACKED, PACKED].concat());
        assert_eq!(measure(Compression::Gzip, twice.clone(), 100), Ok(Some(16)));
        assert_eq!(unpack(Compression::Gzip, twice, 16), Ok(Bytes::from([TEXT, TEXT].concat())));
    }

    #[test]
    fn a_file_that_is_not_whole_fails_although_all_of_its_text_came_out() {
        for cut in 1..=8 {
            let packed = Bytes::from_static(&PACKED[..PACKED.len() - cut]);
            let measured = measure(Compression::Gzip, packed, 100).map_err(|failure| failure.code);
            assert_eq!(measured, Err("corrupt_compression"), "{cut} bytes less");
        }
    }
}
