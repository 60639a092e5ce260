//! Parquet: the object is fetched whole, because its footer is at its end and its columns have to be read side by side.
//! Rows are then decoded block by block.

use std::sync::Arc;

use connector_decode::parquet::ParquetFile;

use super::file_job::FileJob;
use super::{parquet_source, whole_file};
use crate::messages::decoding::{FileError, FileRows};

/// Decoded bytes of one block, if credit allows.
const BLOCK_BYTES: u64 = 16 << 20;
/// Rows of one block at most.
const MAX_BLOCK_ROWS: u64 = 65_536;
/// A block is decoded, and encoded again: twice. If all rows go to quarantine, there are their texts besides.
const COPIES: u64 = 2;
const COPIES_OF_REJECTED: u64 = 4;

pub(super) async fn run(job: &FileJob) -> Result<FileRows, FileError> {
    let largest = job.largest_request();
    let (source, held) = parquet_source::whole(&job.reader).await?;
    let file = job.reader.on_pool(move || ParquetFile::open(source)).await??;

    let copies = if job.file.plan.is_rejected() { COPIES_OF_REJECTED } else { COPIES };
    let row_bytes = (file.estimated_row_bytes() as u64).max(1);
    let decoded = file.num_rows().saturating_mul(row_bytes);
    let block_bytes = BLOCK_BYTES.min(largest / (4 * copies));
    let block_rows = (block_bytes / row_bytes).clamp(1, MAX_BLOCK_ROWS);
    let (schema, plan, now) = (Arc::clone(&job.file.schema), Arc::clone(&job.file.plan), job.file.now);
    let open = move || file.blocks(schema, plan, now, block_rows as usize, block_bytes as usize);
    let blocks = job.reader.on_pool(open).await??;
    let cost = decoded.saturating_mul(copies).saturating_add(job.overhead());
    let block_cost = block_bytes * copies;
    if job.is_small(cost) && cost <= largest / 2 {
        let credit = job.reader.account.acquire(cost).await;
        whole_file::small(job, blocks, credit, block_cost, held).await
    } else {
        // What is held in memory stays until the last block: the pages are decoded from it.
        whole_file::large(job, blocks, FileRows::default(), block_cost, held).await
    }
}
