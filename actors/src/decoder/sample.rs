//! Samples: what is looked at of a file of text, so that its columns are known before its rows are read.
//!
//! A small file is looked at whole. Of a larger one a sample has the head and, read by ranges, a piece from the middle
//! and one from the tail: what is wrong with a column often shows late. Compressed text cannot be entered in the
//! middle: there the sample is what the first bytes decompress to.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use connector_core::error::Failure;
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};
use connector_decode::infer::Sample;
use futures::future::try_join_all;

use super::fetch::Reader;
use crate::credit::Credit;

/// Bytes of a large file's head.
const HEAD_BYTES: u64 = 512 << 10;
/// Bytes of each piece.
const PIECE_BYTES: u64 = 256 << 10;
/// A file up to this size is read whole: head and pieces together would be as much.
const WHOLE_BYTES: u64 = HEAD_BYTES + 2 * PIECE_BYTES;
/// Bytes of a compressed file's head.
const PACKED_HEAD_BYTES: u64 = 1 << 20;
/// Bytes that it may decompress to before the rest is left alone.
const UNPACKED_BYTES: usize = 1 << 20;
/// Memory that one byte of a sample takes while it is looked at.
const EXPANSION: u64 = 4;
/// More than the longest of the magic numbers.
pub(super) const MAGIC_BYTES: u64 = 8;

/// What of a file of this size is read: its head, and pieces of the rest. They do not overlap.
fn ranges(size: u64) -> (Range<u64>, Vec<Range<u64>>) {
    if size <= WHOLE_BYTES {
        return (0..size, Vec::new());
    }
    let tail = size - PIECE_BYTES..size;
    // There are at least as many bytes as a piece has between head and tail.
    let middle = HEAD_BYTES + (tail.start - HEAD_BYTES - PIECE_BYTES) / 2;
    (0..HEAD_BYTES, vec![middle..middle + PIECE_BYTES, tail])
}

/// A sample of a file of text, decompressed, and how it is compressed.
pub(super) struct TextSample {
    pub(super) sample: Sample,
    pub(super) compression: Option<Compression>,
    /// Held for as long as the sample.
    _credit: Credit,
}

/// The first bytes of a file, as they are stored.
pub(super) struct Head {
    bytes: Bytes,
    pieces: Vec<Range<u64>>,
    credit: Credit,
}

impl Head {
    pub(super) async fn read(reader: &Reader) -> Result<Self, Failure> {
        let size = reader.object.size;
        let (head, pieces) = ranges(size);
        let credit = reader.account.acquire(size.min(WHOLE_BYTES) * EXPANSION).await;
        Ok(Self { bytes: reader.range(head).await?, pieces, credit })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the rest of the sample.
    ///
    /// # Errors
    /// `Data` if the first bytes cannot be decompressed, or end too early.
    pub(super) async fn sample(self, reader: &Reader) -> Result<TextSample, Failure> {
        match Compression::of_magic(&self.bytes) {
            Some(compression) => self.unpacked(reader, compression).await,
            None => {
                let whole_file = self.pieces.is_empty();
                let pieces = try_join_all(self.pieces.into_iter().map(|range| reader.range(range))).await?;
                let sample = Sample { head: self.bytes, whole_file, pieces };
                Ok(TextSample { sample, compression: None, _credit: self.credit })
            }
        }
    }

    async fn unpacked(self, reader: &Reader, compression: Compression) -> Result<TextSample, Failure> {
        let size = reader.object.size;
        let Self { bytes: first, credit, .. } = self;
        drop(credit);
        let credit = reader.account.acquire((PACKED_HEAD_BYTES + UNPACKED_BYTES as u64) * EXPANSION).await;
        let (known, wanted) = (first.len() as u64, size.min(PACKED_HEAD_BYTES));
        let more = if known < wanted { reader.range(known..wanted).await? } else { Bytes::new() };
        let complete = known.max(wanted) == size;
        let unpack = move || unpack_head(compression, [first, more], complete);
        let sample = reader.on_pool(unpack).await??;
        Ok(TextSample { sample, compression: Some(compression), _credit: credit })
    }
}

/// What the first bytes of a compressed file decompress to; `complete` says that there are no more.
fn unpack_head(compression: Compression, packed: [Bytes; 2], complete: bool) -> Result<Sample, Failure> {
    let mut decompressor = Decompressor::new(compression, DecompressionLimits::default());
    packed.into_iter().filter(|bytes| !bytes.is_empty()).for_each(|bytes| decompressor.push(bytes));
    let mut head = BytesMut::new();
    let mut whole_file = false;
    while head.len() < UNPACKED_BYTES {
        match decompressor.next(UNPACKED_BYTES - head.len())? {
            Some(bytes) => head.extend_from_slice(&bytes),
            None => {
                whole_file = complete;
                break;
            }
        }
    }
    if whole_file {
        decompressor.finish()?;
    }
    Ok(Sample { head: head.freeze(), whole_file, pieces: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_at_whole_as_long_as_that_costs_no_more_than_its_pieces() {
        for size in [0, 1, HEAD_BYTES, HEAD_BYTES + 1, WHOLE_BYTES] {
            assert_eq!(ranges(size), (0..size, vec![]));
        }
    }

    #[test]
    fn head_and_pieces_lie_in_the_file_one_behind_the_other() {
        for size in [WHOLE_BYTES + 1, WHOLE_BYTES + 2, WHOLE_BYTES + PIECE_BYTES - 1, 10 << 20, 5 << 40, u64::MAX] {
            let (head, pieces) = ranges(size);
            let mut end = head.end;
            assert_eq!((head.start, head.end), (0, HEAD_BYTES));
            for piece in &pieces {
                assert!(piece.start >= end && piece.end - piece.start == PIECE_BYTES, "{size}: {piece:?}");
                end = piece.end;
            }
            assert_eq!((pieces.len(), end), (2, size));
        }
    }

    #[test]
    fn the_middle_is_in_the_middle() {
        let size = 100 << 20;
        let (_, pieces) = ranges(size);
        let centre = pieces[0].start + PIECE_BYTES / 2;
        assert!(centre.abs_diff(size / 2) < 1 << 20);
    }
}
