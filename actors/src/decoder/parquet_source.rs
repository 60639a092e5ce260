//! Fetching a Parquet file: whole, into memory or, if it is large, into an unlinked spool file; or only its ends.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use connector_core::error::Failure;
use connector_decode::parquet::ParquetSource;
use connector_decode::spool::Spool;
use futures::TryStreamExt;

use super::content::looks_like;
use super::fetch::{Part, Reader};
use super::sizing::PartSize;
use crate::credit::Credit;

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// What it begins with if its footer is encrypted.
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// Bytes of one part on its way to the spool file.
const PART_BYTES: u64 = 4 << 20;
/// The smallest part.
const MIN_PART_BYTES: u64 = 64 << 10;
/// Bytes of a file's end that are fetched to look at its footer alone; most footers are smaller.
pub(super) const TAIL_BYTES: u64 = 256 << 10;
/// Bytes of a file's beginning that show what it is.
const HEAD_BYTES: u64 = 64;

/// Whether a file of this size is held in memory: it takes at most a quarter of a request, so that a block still fits
/// beside it.
pub(super) fn fits_memory(size: u64, largest_request: u64) -> bool {
    size <= largest_request / 4
}

/// Bytes of one part of a file that is not.
pub(super) fn part_bytes(largest_request: u64) -> u64 {
    (largest_request / 4).clamp(MIN_PART_BYTES, PART_BYTES)
}

/// The whole file. What is held in memory is covered by the credit.
pub(super) async fn whole(reader: &Reader) -> Result<(ParquetSource, Option<Credit>), Failure> {
    if fits_memory(reader.object.size, reader.world.credit.largest_request()) {
        in_memory(reader).await
    } else {
        let file = spool(reader).await?;
        Ok((ParquetSource::File(file, reader.object.size), None))
    }
}

async fn in_memory(reader: &Reader) -> Result<(ParquetSource, Option<Credit>), Failure> {
    let credit = reader.account.acquire(reader.object.size).await;
    let bytes = reader.range(0..reader.object.size).await?;
    Ok((ParquetSource::Bytes(bytes), Some(credit)))
}

/// The whole object in an unlinked file.
pub(super) async fn spool(reader: &Reader) -> Result<Arc<File>, Failure> {
    let mut spool = open_spool(reader).await?;
    let length = part_bytes(reader.world.credit.largest_request());
    let mut incoming = reader.parts(move || PartSize { bytes: length, cost: length });
    let mut offset = 0;
    while let Some(Part { bytes, credit }) = incoming.try_next().await? {
        let length = bytes.len() as u64;
        spool = reader.on_pool(move || spool.write_at(offset, &bytes).map(|()| spool)).await??;
        drop(credit);
        offset += length;
    }
    Ok(spool.into_file())
}

async fn open_spool(reader: &Reader) -> Result<Spool, Failure> {
    let folder = Arc::clone(&reader.world.spool);
    reader.on_pool(move || Spool::create(&folder)).await?
}

/// The file with nothing but its ends filled in: enough to read its footer, at the cost of one ranged read, or two or
/// three for a large file.
///
/// # Errors
/// `Data` with code `bad_footer` if it does not begin as a Parquet file does.
pub(super) async fn footer_only(reader: &Reader) -> Result<ParquetSource, Failure> {
    let size = reader.object.size;
    let mut length = TAIL_BYTES.min(size);
    let mut credit = reader.account.acquire(length).await;
    let mut tail = reader.range(size - length..size).await?;
    if length == size {
        require_magic(reader, &tail)?;
        // Not more than the footer of a larger file takes: it needs no credit while the footer is read.
        return Ok(ParquetSource::Bytes(tail));
    }
    // The format's magic is at both ends, and both are looked at.
    let head = reader.range(0..HEAD_BYTES.min(size)).await?;
    require_magic(reader, &head)?;
    if let Some(footer) = footer_bytes(&tail).filter(|footer| *footer > length && *footer <= size) {
        length = footer;
        drop(credit);
        credit = reader.account.acquire(length).await;
        tail = reader.range(size - length..size).await?;
    }
    let source = with_ends(reader, head, tail).await?;
    drop(credit);
    Ok(source)
}

async fn with_ends(reader: &Reader, head: Bytes, tail: Bytes) -> Result<ParquetSource, Failure> {
    let (size, length) = (reader.object.size, tail.len() as u64);
    let spool = open_spool(reader).await?;
    let write = move || {
        spool.write_at(0, &head)?;
        spool.write_at(size - length, &tail)?;
        Ok::<_, Failure>(spool)
    };
    let spool = reader.on_pool(write).await??;
    Ok(ParquetSource::File(spool.into_file(), size))
}

fn require_magic(reader: &Reader, head: &[u8]) -> Result<(), Failure> {
    if head.starts_with(MAGIC) || head.starts_with(MAGIC_ENCRYPTED) {
        return Ok(());
    }
    let (uri, found) = (reader.object.uri(), looks_like(&head[..head.len().min(HEAD_BYTES as usize)]));
    let message = format!(
        "{uri} is no parquet file: it looks like {found} and does not begin with 'PAR1'; give its key the suffix of \
         what it is, or upload it again as parquet"
    );
    Err(Failure::data("bad_footer", message))
}

/// How long the footer says it is, with its length field and magic. Absurd lengths are left to the decoder's checks.
fn footer_bytes(tail: &[u8]) -> Option<u64> {
    const MAX_FOOTER: u64 = 16 << 20;
    let (_, end) = tail.split_at_checked(tail.len().checked_sub(8)?)?;
    let length = u32::from_le_bytes(end[..4].try_into().ok()?);
    Some(u64::from(length) + 8).filter(|footer| *footer <= MAX_FOOTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_footer_is_read_from_its_end_and_absurd_ones_are_not_believed() {
        let tail = |length: u32| [b"....", &length.to_le_bytes()[..], MAGIC].concat();
        assert_eq!(footer_bytes(&tail(100)), Some(108));
        assert_eq!(footer_bytes(&tail(16 << 20)), None);
        assert_eq!(footer_bytes(&tail(u32::MAX)), None);
        assert_eq!(footer_bytes(b"PAR1"), None);
    }
}
