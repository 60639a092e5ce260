//! Samples: what is looked at of a file of text, so that its columns are known before its rows are read.
//!
//! Which bytes those are `connector_decode::infer` decides; here they are fetched, with credit for what they take.

use std::ops::Range;

use bytes::Bytes;
use connector_core::error::Failure;
use connector_decode::compress::Compression;
use connector_decode::infer::{PACKED_HEAD_BYTES, Sample, UNPACKED_BYTES, WHOLE_BYTES, sample_ranges, unpacked_sample};
use futures::future::try_join_all;

use super::fetch::Reader;
use crate::credit::Credit;

/// Memory that one byte of a sample takes while it is looked at.
const EXPANSION: u64 = 4;
/// More than the longest of the magic numbers.
pub(super) const MAGIC_BYTES: u64 = 8;

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
        let (head, pieces) = sample_ranges(size);
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
        let unpack = move || unpacked_sample(compression, [first, more], complete);
        let sample = reader.on_pool(unpack).await??;
        Ok(TextSample { sample, compression: Some(compression), _credit: credit })
    }
}
