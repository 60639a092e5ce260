//! Blocks that come one after the other, from a file that is decoded in one place: small files of any format, and all
//! Parquet files.

use connector_core::block::Block;
use connector_core::error::Failure;

use super::file_job::FileJob;
use crate::credit::Credit;
use crate::messages::decoding::{FileError, FileRows};

/// The blocks of one file, in order.
pub(super) trait Blocks: Iterator<Item = Result<Block, Failure>> + Send + 'static {}

impl<I: Iterator<Item = Result<Block, Failure>> + Send + 'static> Blocks for I {}

/// Decodes the whole file, under `credit`, before anything of it is staged beside its batch mates. A file that outgrows
/// its credit turns large; then each block takes up to `block_cost`.
///
/// `held`: credit for bytes that the blocks are decoded from.
pub(super) async fn small<I: Blocks>(
    job: &FileJob,
    blocks: I,
    credit: Credit,
    block_cost: u64,
    held: Option<Credit>,
) -> Result<FileRows, FileError> {
    let limit = credit.bytes();
    let (gathered, rest) = job.reader.on_pool(move || gather(blocks, limit)).await??;
    match rest {
        None => {
            drop(held);
            job.stage_whole(gathered, credit).await
        }
        Some(rest) => {
            let mut rows = FileRows::default();
            job.stage(job.own_lane(), &mut rows, gathered, vec![credit]).await?;
            large(job, rest, rows, block_cost, held).await
        }
    }
}

/// Streams the file through data files of its own. `rows` of it have been staged there already.
pub(super) async fn large<I: Blocks>(
    job: &FileJob,
    mut blocks: I,
    mut rows: FileRows,
    block_cost: u64,
    held: Option<Credit>,
) -> Result<FileRows, FileError> {
    loop {
        let credit = job.reader.account.acquire(block_cost).await;
        let decode = move || {
            let block = blocks.next();
            (blocks, block)
        };
        let (moved, block) = job.reader.on_pool(decode).await?;
        blocks = moved;
        let Some(block) = block else { break };
        job.stage(job.own_lane(), &mut rows, vec![block?], vec![credit]).await?;
    }
    drop(held);
    job.close_lane().await?;
    Ok(rows)
}

/// Decodes until the end, or until the rows take more than `limit` bytes; then the rest comes back as well.
fn gather<I: Blocks>(mut blocks: I, limit: u64) -> Result<(Vec<Block>, Option<I>), Failure> {
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    while bytes <= limit {
        let Some(block) = blocks.next() else { return Ok((gathered, None)) };
        let block = block?;
        bytes += block.memory_bytes() as u64;
        gathered.push(block);
    }
    Ok((gathered, Some(blocks)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use connector_core::block::Rejected;

    use super::*;

    fn block() -> Result<Block, Failure> {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter([("a", values)]).expect("one column");
        Ok(Block { records: 2, rows, rejected: Rejected::none(1) })
    }

    #[test]
    fn a_file_that_fits_is_gathered_whole() {
        let bytes = block().expect("a block").memory_bytes() as u64;
        let (gathered, rest) = gather([block(), block()].into_iter(), 2 * bytes).expect("decodes");
        assert_eq!((gathered.len(), rest.is_none()), (2, true));
    }

    #[test]
    fn the_rest_of_a_file_that_outgrows_its_credit_comes_back() {
        let bytes = block().expect("a block").memory_bytes() as u64;
        let blocks = [block(), block(), block()].into_iter();
        let (gathered, rest) = gather(blocks, 2 * bytes - 1).expect("decodes");
        assert_eq!((gathered.len(), rest.map(Iterator::count)), (2, Some(1)));
    }

    #[test]
    fn nothing_of_a_file_that_fails_is_gathered() {
        let blocks = [block(), Err(Failure::data("corrupt", "it is"))].into_iter();
        assert!(gather(blocks, u64::MAX).is_err());
    }
}
