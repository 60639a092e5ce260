//! Blocks of one large file of text on their way through the CPU pool: decoded in parallel, staged in order.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use connector_core::block::Block;
use connector_core::error::Failure;
use connector_decode::csv::RawBlock;
use connector_decode::text::TextDecoder;
use futures::future::{Either, select};
use futures::{StreamExt, TryStreamExt};

use super::fetch::{Part, Parts, Task, lost_over};
use super::file_job::FileJob;
use super::sizing::Sizing;
use crate::credit::Credit;
use crate::messages::decoding::{FileError, FileRows};

/// One block on the CPU pool, and the credit under which it is held.
struct Decoding {
    task: Task<Result<Block, Failure>>,
    /// Bytes of the raw block.
    text: u64,
    credit: Option<Credit>,
}

/// See the module.
pub(super) struct BlockQueue<'a> {
    job: &'a FileJob,
    decoder: Arc<TextDecoder>,
    sizing: &'a Sizing,
    decoding: VecDeque<Decoding>,
    /// Rows staged so far.
    rows: FileRows,
}

impl<'a> BlockQueue<'a> {
    pub(super) fn new(job: &'a FileJob, decoder: TextDecoder, sizing: &'a Sizing) -> Self {
        Self { job, decoder: Arc::new(decoder), sizing, decoding: VecDeque::new(), rows: FileRows::default() }
    }

    /// Starts decoding; stages what is ready once every thread of the pool has work.
    pub(super) async fn push(&mut self, found: Vec<RawBlock>, mut credit: Option<Credit>) -> Result<(), FileError> {
        let last = found.len().saturating_sub(1);
        for (index, raw) in found.into_iter().enumerate() {
            let credit = if index == last { credit.take() } else { None };
            let text = raw.bytes.len() as u64;
            let (pool, decoder) = (self.job.reader.world.pool.clone(), Arc::clone(&self.decoder));
            let uri = self.job.object().uri();
            let decode = async move {
                let decoded = pool.run_watched(move || decoder.decode(&raw)).await;
                decoded.unwrap_or_else(|lost| Err(lost_over(&uri, lost)))
            };
            let task = Task::spawn(&self.job.reader.world.io, decode);
            self.decoding.push_back(Decoding { task, text, credit });
            // A part may be many blocks, if the table has many columns: they are not all decoded at once.
            while self.decoding.len() > self.job.reader.world.pool.threads() {
                self.stage_next().await?;
            }
        }
        Ok(())
    }

    /// The next part, while blocks that are decoded meanwhile are staged: the credit that the part waits for may be
    /// the one that they hold.
    pub(super) async fn next_part(&mut self, parts: &mut Parts<'_>) -> Result<Option<Part>, FileError> {
        loop {
            let Some(front) = self.decoding.front_mut() else { return Ok(parts.try_next().await?) };
            let first = match select(parts.next(), pin!(front.task.done())).await {
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
        let (text, credit) = match self.decoding.pop_front() {
            Some(decoding) => (decoding.text, decoding.credit),
            None => (0, None),
        };
        let block = block??;
        self.sizing.learn(text, block.memory_bytes() as u64);
        let lane = self.job.own_lane();
        self.job.stage(lane, &mut self.rows, vec![block], credit.into_iter().collect()).await
    }

    /// Stages the rest and returns the number of rows.
    pub(super) async fn finish(mut self) -> Result<FileRows, FileError> {
        while !self.decoding.is_empty() {
            self.stage_next().await?;
        }
        self.job.close_lane().await?;
        Ok(self.rows)
    }
}
