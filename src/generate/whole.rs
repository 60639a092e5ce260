//! Every row of a file of this machine, in pieces.

use connector_core::block::Block;
use connector_core::error::Failure;
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};
use jiff::Timestamp;

use crate::preview::{Content, Fetched, LocalFile, Opened, behind};

/// Bytes that are read, decompressed and decoded at a time.
const PIECE: usize = 1 << 20;
/// Rows of a block of a Parquet file.
const PARQUET_ROWS: usize = 8_192;
const PARQUET_BYTES: usize = 4 << 20;

/// Calls `each` with every block of the file, in order. Memory is that of a few pieces.
///
/// # Errors
/// If the file cannot be read, or is broken.
pub fn each_block(
    file: &LocalFile,
    fetched: &Fetched,
    opened: &Opened,
    now: Timestamp,
    mut each: impl FnMut(Block),
) -> Result<(), Failure> {
    let sample = match &fetched.content {
        Content::Parquet(parquet) => {
            for block in opened.parquet_rows(parquet, now, PARQUET_ROWS, PARQUET_BYTES)? {
                each(block?);
            }
            return Ok(());
        }
        Content::Text(sample) => sample,
    };
    let Some(mut rows) = opened.text_rows(sample, now)? else { return Ok(()) };
    let mut skip = rows.body_offset;
    pieces(file, |piece| {
        rows.splitter.push(behind(&mut skip, piece));
        while let Some(raw) = rows.splitter.next_block(PIECE)? {
            each(rows.decoder.decode(&raw)?);
        }
        Ok(())
    })?;
    if let Some(raw) = rows.splitter.finish()? {
        each(rows.decoder.decode(&raw)?);
    }
    Ok(())
}

/// The text of a file, decompressed.
fn pieces(file: &LocalFile, mut each: impl FnMut(bytes::Bytes) -> Result<(), Failure>) -> Result<(), Failure> {
    let size = file.object().size;
    let mut decompressor = None;
    let mut at = 0;
    while at < size {
        let end = size.min(at + PIECE as u64);
        let piece = file.bytes(at..end)?;
        if at == 0 {
            decompressor = Compression::of_magic(&piece)
                .map(|compression| Decompressor::new(compression, DecompressionLimits::default()));
        }
        at = end;
        let Some(decompressor) = &mut decompressor else {
            each(piece)?;
            continue;
        };
        decompressor.push(piece);
        while let Some(bytes) = decompressor.next(PIECE)? {
            each(bytes)?;
        }
    }
    decompressor.map_or(Ok(()), Decompressor::finish)
}
