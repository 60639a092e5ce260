//! Parquet: the object is fetched whole, into memory or, if it is large, into an unlinked spool file, because its
//! footer is at its end and its columns have to be read side by side. Rows are then decoded block by block.

use std::sync::Arc;

use connector_core::block::Block;
use connector_core::error::Failure;
use connector_decode::parquet::{ParquetBlocks, ParquetFile, ParquetSource};
use connector_decode::spool::Spool;
use futures::TryStreamExt;

use super::fetch::{Part, Reader};
use super::file_job::FileJob;
use crate::credit::Credit;
use crate::messages::decoding::FileError;

/// Bytes of one part on its way to the spool file.
const PART_BYTES: u64 = 4 << 20;
/// The smallest part.
const MIN_PART_BYTES: u64 = 64 << 10;
/// Decoded bytes of one block, if credit allows.
const BLOCK_BYTES: u64 = 16 << 20;
/// Rows of one block at most.
const MAX_BLOCK_ROWS: u64 = 65_536;
/// Bytes of a file's end that are fetched to look at its footer alone; most footers are smaller.
const TAIL_BYTES: u64 = 256 << 10;
/// Bytes of the magic number at either end.
const MAGIC_BYTES: u64 = 4;

/// Whether a file of this size is held in memory: it takes at most a quarter of a request, so that a block still fits
/// beside it.
pub(super) fn fits_memory(size: u64, largest_request: u64) -> bool {
    size <= largest_request / 4
}

pub(super) async fn run(job: &FileJob) -> Result<u64, FileError> {
    let largest = job.largest_request();
    let (source, held) = if fits_memory(job.reader.object.size, largest) {
        in_memory(&job.reader).await?
    } else {
        spooled(&job.reader).await?
    };
    let file = job.reader.on_pool(move || ParquetFile::open(source)).await??;
    let binding = job.bind(&file.columns())?;

    let row_bytes = (file.estimated_row_bytes() as u64).max(1);
    let decoded = file.num_rows().saturating_mul(row_bytes);
    // Decoded, and encoded again: twice.
    let block_bytes = BLOCK_BYTES.min(largest / 8);
    let block_rows = (block_bytes / row_bytes).clamp(1, MAX_BLOCK_ROWS);
    let schema = Arc::clone(&job.file.schema);
    let blocks =
        job.reader.on_pool(move || file.blocks(schema, binding, block_rows as usize, block_bytes as usize)).await??;
    let cost = decoded.saturating_mul(2);
    if job.is_small(cost) && cost <= largest / 2 {
        small(job, blocks, cost, block_bytes * 2, held).await
    } else {
        // What is held in memory stays until the last block: the pages are decoded from it.
        let rows = large(job, blocks, Vec::new(), block_bytes * 2).await;
        drop(held);
        rows
    }
}

async fn in_memory(reader: &Reader) -> Result<(ParquetSource, Option<Credit>), Failure> {
    let credit = reader.account.acquire(reader.object.size).await;
    let bytes = reader.range(0..reader.object.size).await?;
    Ok((ParquetSource::Bytes(bytes), Some(credit)))
}

async fn spooled(reader: &Reader) -> Result<(ParquetSource, Option<Credit>), Failure> {
    let mut spool = open_spool(reader).await?;
    let part_bytes = (reader.world.credit.largest_request() / 4).clamp(MIN_PART_BYTES, PART_BYTES);
    let mut incoming = Box::pin(reader.parts(part_bytes, part_bytes));
    let mut offset = 0;
    while let Some(Part { bytes, credit }) = incoming.try_next().await? {
        let length = bytes.len() as u64;
        spool = reader.on_pool(move || spool.write_at(offset, &bytes).map(|()| spool)).await??;
        drop(credit);
        offset += length;
    }
    Ok((ParquetSource::File(spool.into_file(), offset), None))
}

async fn open_spool(reader: &Reader) -> Result<Spool, Failure> {
    let folder = Arc::clone(&reader.world.spool);
    reader.on_pool(move || Spool::create(&folder)).await?
}

/// The file with nothing but its ends filled in: enough to read its footer, at the cost of two or three ranged reads.
pub(super) async fn footer_only(reader: &Reader) -> Result<ParquetSource, Failure> {
    let size = reader.object.size;
    let mut length = TAIL_BYTES.min(size);
    let mut credit = reader.account.acquire(length).await;
    let mut tail = reader.range(size - length..size).await?;
    if let Some(footer) = footer_bytes(&tail).filter(|footer| *footer > length && *footer <= size) {
        length = footer;
        drop(credit);
        credit = reader.account.acquire(length).await;
        tail = reader.range(size - length..size).await?;
    }
    // The format's magic is at both ends, and both are looked at.
    let head = reader.range(0..MAGIC_BYTES.min(size)).await?;
    let spool = open_spool(reader).await?;
    let write = move || {
        spool.write_at(0, &head)?;
        spool.write_at(size - length, &tail)?;
        Ok::<_, Failure>(spool)
    };
    let spool = reader.on_pool(write).await??;
    drop(credit);
    Ok(ParquetSource::File(spool.into_file(), size))
}

/// How long the footer says it is, with its length field and magic. Absurd lengths are left to the decoder's checks.
fn footer_bytes(tail: &[u8]) -> Option<u64> {
    const MAX_FOOTER: u64 = 16 << 20;
    let (_, end) = tail.split_at_checked(tail.len().checked_sub(8)?)?;
    let length = u32::from_le_bytes(end[..4].try_into().ok()?);
    Some(u64::from(length) + 8).filter(|footer| *footer <= MAX_FOOTER)
}

/// Decodes the whole file before anything of it is staged. A file that outgrows its estimate turns large.
async fn small(
    job: &FileJob,
    blocks: ParquetBlocks,
    cost: u64,
    block_cost: u64,
    held: Option<Credit>,
) -> Result<u64, FileError> {
    let credit = job.reader.account.acquire(cost).await;
    let (gathered, rest) = job.reader.on_pool(move || gather(blocks, cost)).await??;
    match rest {
        None => {
            drop(held);
            job.stage_whole(gathered, credit).await
        }
        Some(rest) => {
            drop(credit);
            let rows = large(job, rest, gathered, block_cost).await;
            drop(held);
            rows
        }
    }
}

/// Decodes until the end, or until the rows take more than `limit` bytes; then the rest comes back as well.
fn gather(mut blocks: ParquetBlocks, limit: u64) -> Result<(Vec<Block>, Option<ParquetBlocks>), Failure> {
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    while bytes <= limit {
        let Some(block) = blocks.next() else { return Ok((gathered, None)) };
        let block = block?;
        bytes += block.rows.get_array_memory_size() as u64;
        gathered.push(block);
    }
    Ok((gathered, Some(blocks)))
}

/// Streams the file through a data file of its own, beginning with what was decoded already.
async fn large(job: &FileJob, mut blocks: ParquetBlocks, first: Vec<Block>, block_cost: u64) -> Result<u64, FileError> {
    let mut rows = 0;
    for block in first {
        let credit = job.reader.account.acquire(block_cost).await;
        stage_block(job, &mut rows, block, credit).await?;
    }
    loop {
        let credit = job.reader.account.acquire(block_cost).await;
        let decode = move || {
            let block = blocks.next();
            (blocks, block)
        };
        let (moved, block) = job.reader.on_pool(decode).await?;
        blocks = moved;
        let Some(block) = block else { break };
        stage_block(job, &mut rows, block?, credit).await?;
    }
    job.close_lane().await?;
    Ok(rows)
}

async fn stage_block(job: &FileJob, rows: &mut u64, block: Block, credit: Credit) -> Result<(), FileError> {
    job.refuse_rejected(*rows, &block)?;
    let first_row = *rows;
    *rows += block.records;
    job.stage(job.own_lane(), first_row, vec![block], vec![credit]).await
}
