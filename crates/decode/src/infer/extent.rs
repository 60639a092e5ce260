//! How much of a file of text a sample has, so that everybody who looks at a file sees the same of it.
//!
//! A small file is looked at whole. Of a larger one a sample has the head, a piece from the middle and one from the
//! tail: what is wrong with a column often shows late. Compressed text cannot be entered in the middle: there the sample
//! is what the first bytes decompress to.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use connector_core::error::Failure;

use super::Sample;
use crate::compress::{Compression, DecompressionLimits, Decompressor};

/// Bytes of a large file's head.
pub const HEAD_BYTES: u64 = 512 << 10;
/// Bytes of each piece.
pub const PIECE_BYTES: u64 = 256 << 10;
/// A file up to this size is read whole: head and pieces together would be as much.
pub const WHOLE_BYTES: u64 = HEAD_BYTES + 2 * PIECE_BYTES;
/// Bytes of a compressed file's head.
pub const PACKED_HEAD_BYTES: u64 = 1 << 20;
/// Bytes that it may decompress to before the rest is left alone.
pub const UNPACKED_BYTES: usize = 1 << 20;

/// What of a file of this size is read if it is not compressed: its head, and pieces of the rest, which do not overlap.
/// Without pieces the head is the whole file.
pub fn sample_ranges(size: u64) -> (Range<u64>, Vec<Range<u64>>) {
    if size <= WHOLE_BYTES {
        return (0..size, Vec::new());
    }
    let tail = size - PIECE_BYTES..size;
    // There are at least as many bytes as a piece has between head and tail.
    let middle = HEAD_BYTES + (tail.start - HEAD_BYTES - PIECE_BYTES) / 2;
    (0..HEAD_BYTES, vec![middle..middle + PIECE_BYTES, tail])
}

/// What the first bytes of a compressed file, up to [`PACKED_HEAD_BYTES`] of them in two parts, decompress to. `complete`
/// says that there are no more.
///
/// # Errors
/// `Data` if they cannot be decompressed, or end too early.
pub fn unpacked_sample(compression: Compression, packed: [Bytes; 2], complete: bool) -> Result<Sample, Failure> {
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
            assert_eq!(sample_ranges(size), (0..size, vec![]));
        }
    }

    #[test]
    fn head_and_pieces_lie_in_the_file_one_behind_the_other() {
        for size in [WHOLE_BYTES + 1, WHOLE_BYTES + 2, WHOLE_BYTES + PIECE_BYTES - 1, 10 << 20, 5 << 40, u64::MAX] {
            let (head, pieces) = sample_ranges(size);
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
        let (_, pieces) = sample_ranges(size);
        let centre = pieces[0].start + PIECE_BYTES / 2;
        assert!(centre.abs_diff(size / 2) < 1 << 20);
    }
}
