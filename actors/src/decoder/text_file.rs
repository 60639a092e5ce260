//! Files of text, CSV and NDJSON, plain or compressed: parts are split at record boundaries by one scan, in order, and
//! the blocks decoded in parallel.
//!
//! A file that is small, also decompressed, is decoded whole before anything of it is staged. Any other is staged block
//! by block in a lane of its own, which is discarded if the file turns out to be corrupt at its very end.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::spec::Format;
use connector_decode::compress::Compression;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock, Splitter, read_header};
use connector_decode::ndjson::{LineSplitter, NdjsonDecoder};
use connector_decode::text::{TextDecoder, TextSplitter};
use futures::TryStreamExt;

use super::block_queue::BlockQueue;
use super::fetch::{Part, Parts};
use super::file_job::FileJob;
use super::inspection::is_without_records;
use super::sample::MAGIC_BYTES;
use super::sizing::Sizing;
use super::unpack::{self, Packed};
use super::whole_file;
use crate::credit::Credit;
use crate::messages::decoding::{DecodeFile, FileError, FileRows};

/// Bytes of one block of a small file.
const SMALL_BLOCK_BYTES: usize = 1 << 20;

pub(super) async fn run(job: &FileJob) -> Result<FileRows, FileError> {
    let (size, sizing, largest) = (job.object().size, Sizing::new(&job.file.plan), job.largest_request());
    let cost = sizing.cost(size).saturating_add(job.overhead());
    if !job.is_small(cost) {
        let head = job.reader.range(0..size.min(MAGIC_BYTES)).await?;
        let (parts, share) = match Compression::of_magic(&head) {
            None => (job.reader.parts(|| sizing.part(largest)), largest),
            Some(compression) => {
                let (packed, share) = (Packed::fetched(&job.reader, largest).await, largest / 2);
                (unpack::parts(&job.reader, compression, packed, &sizing, share), share)
            }
        };
        return large(job, parts, &sizing, share).await;
    }
    let credit = job.reader.account.acquire(cost).await;
    let bytes = job.reader.range(0..size).await?;
    match Compression::of_magic(&bytes) {
        None => small(job, bytes, credit, &sizing).await,
        Some(compression) => small_packed(job, compression, bytes, credit, &sizing).await,
    }
}

/// A compressed file that is small as it is stored, in memory under `credit`.
async fn small_packed(
    job: &FileJob,
    compression: Compression,
    packed: Bytes,
    mut credit: Credit,
    sizing: &Sizing,
) -> Result<FileRows, FileError> {
    // Text takes a multiple of its size, so this is no more than a window of compressed text may take.
    credit.shrink_to(packed.len() as u64);
    let share = job.largest_request() / 2;
    let limit = sizing.small_bytes(share, job.overhead());
    let counted = packed.clone();
    let measured = job.reader.on_pool(move || unpack::measure(compression, counted, limit)).await??;
    let Some(size) = measured else {
        let parts = unpack::parts(&job.reader, compression, Packed::held(packed, credit), sizing, share);
        return large(job, parts, sizing, share).await;
    };
    let unpacked = job.reader.account.acquire(sizing.cost(size).saturating_add(job.overhead())).await;
    let bytes = job.reader.on_pool(move || unpack::unpack(compression, packed, size)).await??;
    drop(credit);
    small(job, bytes, unpacked, sizing).await
}

/// Decodes the whole file before anything of it is staged.
async fn small(job: &FileJob, bytes: Bytes, credit: Credit, sizing: &Sizing) -> Result<FileRows, FileError> {
    let (file, size) = (job.file.clone(), bytes.len() as u64);
    let opened = job.reader.on_pool(move || open(&file, bytes, true)).await?;
    let Some(Opened { mut splitter, decoder, body }) = unless_empty(opened)? else {
        return Ok(FileRows::default());
    };
    splitter.push(body);
    let blocks = TextBlocks { splitter: Some(splitter), decoder };
    // Of a file that outgrows its credit every block takes more than was thought.
    let block_cost = sizing.cost(size.min(SMALL_BLOCK_BYTES as u64)) * 4;
    whole_file::small(job, blocks, credit, block_cost.min(job.largest_request() / 2), None).await
}

/// The blocks of a file that is in memory.
struct TextBlocks {
    /// `None` once the last block was taken.
    splitter: Option<TextSplitter>,
    decoder: TextDecoder,
}

impl TextBlocks {
    fn next_raw(&mut self) -> Result<Option<RawBlock>, Failure> {
        let Some(splitter) = &mut self.splitter else { return Ok(None) };
        match splitter.next_block(SMALL_BLOCK_BYTES)? {
            Some(raw) => Ok(Some(raw)),
            None => self.splitter.take().map_or(Ok(None), TextSplitter::finish),
        }
    }
}

impl Iterator for TextBlocks {
    type Item = Result<Block, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_raw().and_then(|raw| raw.map(|raw| self.decoder.decode(&raw)).transpose()).transpose()
    }
}

/// Streams the file through data files of its own. `share` is what a part may take at most.
async fn large(job: &FileJob, mut parts: Parts<'_>, sizing: &Sizing, share: u64) -> Result<FileRows, FileError> {
    let Some((Opened { mut splitter, decoder, body }, credit)) = read_head(job, &mut parts).await? else {
        return Ok(FileRows::default());
    };
    let mut blocks = BlockQueue::new(job, decoder, sizing);
    let mut part = Some((body, credit));
    while let Some((bytes, credit)) = part {
        // About one block of each part: it decodes in parallel with those of other parts.
        let target = sizing.part(share).bytes as usize;
        // The splitter travels to the pool and back: its scan is sequential by nature, but long.
        let split = job.reader.on_pool(move || split(splitter, bytes, target)).await?;
        let (moved, found) = split?;
        splitter = moved;
        // Without a whole record the credit comes back now: holding it while asking for more could wait for ever.
        blocks.push(found, credit).await?;
        part = blocks.next_part(&mut parts).await?.map(|Part { bytes, credit }| (bytes, Some(credit)));
    }
    let last = job.reader.on_pool(move || splitter.finish()).await??;
    blocks.push(last.into_iter().collect(), None).await?;
    blocks.finish().await
}

fn split(mut splitter: TextSplitter, bytes: Bytes, target: usize) -> Result<(TextSplitter, Vec<RawBlock>), Failure> {
    splitter.push(bytes);
    let mut found = Vec::new();
    while let Some(raw) = splitter.next_block(target)? {
        found.push(raw);
    }
    Ok((splitter, found))
}

/// Reads parts until the header is complete. `None` if the file has no record.
async fn read_head(job: &FileJob, parts: &mut Parts<'_>) -> Result<Option<(Opened, Option<Credit>)>, Failure> {
    let mut head = Bytes::new();
    loop {
        // The credit of a part without a whole header comes back before the next part asks for more.
        let (whole, credit) = match parts.try_next().await? {
            Some(Part { bytes, credit }) => {
                head = appended(head, bytes);
                (false, Some(credit))
            }
            None => (true, None),
        };
        let (file, bytes) = (job.file.clone(), head.clone());
        match job.reader.on_pool(move || open(&file, bytes, whole)).await? {
            Ok(Some(opened)) => return Ok(Some((opened, credit))),
            opened if whole => return Ok(unless_empty(opened)?.map(|opened| (opened, credit))),
            Ok(None) => {}
            Err(failure) => return Err(failure),
        }
    }
}

fn appended(head: Bytes, more: Bytes) -> Bytes {
    if head.is_empty() {
        return more;
    }
    let mut both = BytesMut::with_capacity(head.len() + more.len());
    both.extend_from_slice(&head);
    both.extend_from_slice(&more);
    both.freeze()
}

/// A file whose header has been read.
struct Opened {
    splitter: TextSplitter,
    decoder: TextDecoder,
    /// What follows the header.
    body: Bytes,
}

/// Reads the header, if the format has one. `None` if it does not end within these bytes, and there are more.
fn open(file: &DecodeFile, head: Bytes, whole_file: bool) -> Result<Option<Opened>, Failure> {
    let (schema, plan) = (Arc::clone(&file.schema), Arc::clone(&file.plan));
    if file.format == Format::Ndjson {
        let decoder = NdjsonDecoder::new(schema, plan, Arc::clone(&file.reference), file.now);
        let (splitter, decoder) =
            (TextSplitter::Ndjson(LineSplitter::new(file.schema.columns.len())), TextDecoder::Ndjson(decoder));
        return Ok(Some(Opened { splitter, decoder, body: head }));
    }
    let options = CsvOptions::new(file.dialect.clone());
    let Some(header) = read_header(&head, whole_file, &options)? else { return Ok(None) };
    let decoder = CsvDecoder::new(schema, plan, &options, file.now);
    let splitter = Splitter::after_header(&options, &header).for_columns(file.schema.columns.len());
    let (splitter, decoder) = (TextSplitter::Csv(splitter), TextDecoder::Csv(decoder));
    Ok(Some(Opened { splitter, decoder, body: head.slice(header.body_offset..) }))
}

/// The answer for a whole file: without a record there is nothing to decode, and nothing is wrong.
fn unless_empty(opened: Result<Option<Opened>, Failure>) -> Result<Option<Opened>, Failure> {
    match opened {
        Err(failure) if is_without_records(&failure) => Ok(None),
        opened => opened,
    }
}
