//! CSV: parts are split at record boundaries by one scan, in order, and the blocks decoded in parallel.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_decode::csv::{CsvDecoder, CsvOptions, Header, RawBlock, Splitter, read_header};
use futures::future::{Either, select};
use futures::{Stream, StreamExt, TryStreamExt};

use super::fetch::{Part, Task};
use super::file_job::FileJob;
use crate::credit::Credit;
use crate::messages::decoding::FileError;

/// Memory that one byte of CSV can turn into while it is read, decoded and encoded. Empty cells of wide columns would
/// take more, but no real file consists of them.
const EXPANSION: u64 = 8;
/// Bytes of one part, if credit allows.
const PART_BYTES: u64 = 4 << 20;
/// Bytes of one block of a small file.
const SMALL_BLOCK_BYTES: usize = 1 << 20;
/// The smallest part.
const MIN_PART_BYTES: u64 = 64 << 10;

/// How many bytes of a CSV file are fetched at a time under this job's budget.
pub(super) fn part_bytes(largest_request: u64) -> u64 {
    (largest_request / EXPANSION).clamp(MIN_PART_BYTES, PART_BYTES)
}

pub(super) async fn run(job: &FileJob) -> Result<u64, FileError> {
    let size = job.object().size;
    if job.is_small(size.saturating_mul(EXPANSION)) { small(job).await } else { large(job).await }
}

/// Decodes the whole file before anything of it is staged.
async fn small(job: &FileJob) -> Result<u64, FileError> {
    let size = job.object().size;
    let credit = job.reader.account.acquire(size * EXPANSION).await;
    let bytes = job.reader.range(0..size).await?;
    let options = CsvOptions { inferred: job.file.inferred, ..CsvOptions::default() };
    let header = read_header(&bytes, true, &options)?.ok_or_else(|| no_header(job))?;
    let binding = job.bind(&header.columns)?;
    let decoder = CsvDecoder::new(Arc::clone(&job.file.schema), binding, &options);
    let body = bytes.slice(header.body_offset..);
    let splitter = Splitter::after_header(&options, &header);
    let blocks = job.reader.on_pool(move || decode_whole(splitter, body, &decoder)).await??;
    job.stage_whole(blocks, credit).await
}

fn decode_whole(mut splitter: Splitter, body: Bytes, decoder: &CsvDecoder) -> Result<Vec<Block>, Failure> {
    splitter.push(body);
    let mut blocks = Vec::new();
    while let Some(raw) = splitter.next_block(SMALL_BLOCK_BYTES)? {
        blocks.push(decoder.decode(&raw)?);
        if blocks.last().is_some_and(|block| !block.rejected.is_empty()) {
            // The file has failed: what else is wrong with it need not fill the memory.
            return Ok(blocks);
        }
    }
    if let Some(raw) = splitter.finish()? {
        blocks.push(decoder.decode(&raw)?);
    }
    Ok(blocks)
}

/// Streams the file through a data file of its own.
async fn large(job: &FileJob) -> Result<u64, FileError> {
    let part_bytes = part_bytes(job.largest_request());
    let options = CsvOptions { inferred: job.file.inferred, ..CsvOptions::default() };
    let mut incoming = Box::pin(job.reader.parts(part_bytes, part_bytes * EXPANSION));
    let (header, first) = read_head(job, &mut incoming, &options).await?;
    let decoder = CsvDecoder::new(Arc::clone(&job.file.schema), job.bind(&header.columns)?, &options);
    let mut blocks = BlockQueue { job, decoder: Arc::new(decoder), decoding: VecDeque::new(), next_row: 0 };

    let mut splitter = Splitter::after_header(&options, &header);
    let mut part = Some(first);
    while let Some(Part { bytes, credit }) = part {
        // The splitter travels to the pool and back: its scan is sequential by nature, but long.
        let split = job.reader.on_pool(move || split(splitter, bytes, part_bytes as usize)).await?;
        let (moved, found) = split?;
        splitter = moved;
        // Without a whole record the credit comes back now: holding it while asking for more could wait for ever.
        blocks.push(found, Some(credit)).await?;
        part = blocks.next_part(&mut incoming).await?;
    }
    let last = job.reader.on_pool(move || splitter.finish()).await??;
    blocks.push(last.into_iter().collect(), None).await?;
    blocks.finish().await
}

fn split(mut splitter: Splitter, bytes: Bytes, target: usize) -> Result<(Splitter, Vec<RawBlock>), Failure> {
    splitter.push(bytes);
    let mut found = Vec::new();
    while let Some(raw) = splitter.next_block(target)? {
        found.push(raw);
    }
    Ok((splitter, found))
}

/// Reads parts until the header is complete. Returns it and what follows.
async fn read_head(
    job: &FileJob,
    incoming: &mut (impl Stream<Item = Result<Part, Failure>> + Unpin),
    options: &CsvOptions,
) -> Result<(Header, Part), Failure> {
    let mut head = BytesMut::new();
    while let Some(Part { bytes, credit }) = incoming.try_next().await? {
        head.extend_from_slice(&bytes);
        if let Some(header) = read_header(&head, head.len() as u64 == job.object().size, options)? {
            let body = head.freeze().slice(header.body_offset..);
            return Ok((header, Part { bytes: body, credit }));
        }
    }
    Err(no_header(job))
}

/// One block on the CPU pool, and the credit under which it is held.
struct Decoding {
    task: Task<Result<Block, Failure>>,
    credit: Option<Credit>,
}

/// Blocks of one file on their way through the CPU pool, in order.
struct BlockQueue<'a> {
    job: &'a FileJob,
    decoder: Arc<CsvDecoder>,
    decoding: VecDeque<Decoding>,
    next_row: u64,
}

impl BlockQueue<'_> {
    /// Starts decoding; stages what is ready once every thread of the pool has work.
    async fn push(&mut self, found: Vec<RawBlock>, mut credit: Option<Credit>) -> Result<(), FileError> {
        let last = found.len().saturating_sub(1);
        for (index, raw) in found.into_iter().enumerate() {
            let credit = if index == last { credit.take() } else { None };
            let (pool, decoder) = (self.job.reader.world.pool.clone(), Arc::clone(&self.decoder));
            let decode = async move {
                pool.run(move || decoder.decode(&raw)).await.unwrap_or_else(|lost| Err(Failure::from(lost)))
            };
            let task = Task::spawn(&self.job.reader.world.io, decode);
            self.decoding.push_back(Decoding { task, credit });
        }
        while self.decoding.len() > self.job.reader.world.pool.threads() {
            self.stage_next().await?;
        }
        Ok(())
    }

    /// The next part, while blocks that are decoded meanwhile are staged: the credit that the part waits for may be
    /// the one that they hold.
    async fn next_part(
        &mut self,
        incoming: &mut (impl Stream<Item = Result<Part, Failure>> + Unpin),
    ) -> Result<Option<Part>, FileError> {
        loop {
            let Some(front) = self.decoding.front_mut() else { return Ok(incoming.try_next().await?) };
            let first = match select(incoming.next(), pin!(front.task.done())).await {
                Either::Left((part, _)) => Either::Left(part),
                Either::Right((block, _)) => Either::Right(block),
            };
            match first {
                Either::Left(part) => return Ok(part.transpose()?),
                Either::Right(block) => self.stage_front(block).await?,
            }
        }
    }

    async fn stage_next(&mut self) -> Result<(), FileError> {
        let Some(front) = self.decoding.front_mut() else { return Ok(()) };
        let block = front.task.done().await;
        self.stage_front(block).await
    }

    /// Takes the block that the oldest job has yielded.
    async fn stage_front(&mut self, block: Result<Result<Block, Failure>, Failure>) -> Result<(), FileError> {
        let credit = self.decoding.pop_front().and_then(|decoding| decoding.credit);
        let block = block??;
        self.job.refuse_rejected(self.next_row, &block)?;
        let first_row = self.next_row;
        self.next_row += block.records;
        self.job.stage(self.job.own_lane(), first_row, vec![block], credit.into_iter().collect()).await
    }

    /// Stages the rest and returns the number of rows.
    async fn finish(mut self) -> Result<u64, FileError> {
        while !self.decoding.is_empty() {
            self.stage_next().await?;
        }
        self.job.close_lane().await?;
        Ok(self.next_row)
    }
}

fn no_header(job: &FileJob) -> Failure {
    Failure::data("no_header", format!("{} has no header row", job.object().uri()))
}
