//! Reading the bound columns of a file, batch by batch.

use std::sync::Arc;

use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use connector_core::block::{Block, Cause, CellError, no_texts};
use connector_core::error::Failure;
use connector_core::evolve::{FileCause, FilePlan};
use connector_core::quarantine::shown;
use connector_core::schema::{Column, TableSchema};
use jiff::Timestamp;

use super::feed::{self, Feed, Place, Read};
use super::{ParquetFile, corrupt, int96, precheck};
use crate::error::DecodeError;
use crate::row_errors::Gathered;

/// Rows that are decoded in one go. What they take is only known afterwards, so it is few.
const MAX_BATCH_ROWS: usize = 1_024;

/// The rows of a Parquet file, block by block, in order. Ends after the first error.
pub struct ParquetBlocks {
    reader: ParquetRecordBatchReader,
    /// Reads the columns with INT96 once more, in seconds, in step with `reader`.
    seconds: Option<ParquetRecordBatchReader>,
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    now: Timestamp,
    /// For each table column where its values come from, if the file has it.
    feeds: Vec<Option<Feed>>,
    /// Columns that must not hold anything, with the error of a row that does.
    unknown: Vec<(Feed, CellError)>,
    /// The errors of every row, if the file does not fit as a whole.
    causes: Vec<CellError>,
    promised: u64,
    found: u64,
    /// What a block holds at most, unless a single batch is larger.
    block_rows: u64,
    block_bytes: usize,
    waiting: Option<Block>,
    done: bool,
}

impl ParquetBlocks {
    pub(super) fn open(
        file: &ParquetFile,
        schema: Arc<TableSchema>,
        plan: &FilePlan,
        now: Timestamp,
        (block_rows, block_bytes): (usize, usize),
    ) -> Result<Self, Failure> {
        let fitting = (block_bytes / file.estimated_row_bytes()).max(1);
        let batch_rows = MAX_BATCH_ROWS.min(block_rows).min(fitting);
        let mut feeds = feeds(file, &schema, plan)?;
        let mut unknown = unknown(file, plan)?;
        let read = feeds.iter().flatten().filter(|feed| feed.has_text()).chain(unknown.iter().map(|(feed, _)| feed));
        let roots = feed::sorted(read.map(Feed::root));
        let twice: Vec<usize> = roots.iter().copied().filter(|root| int96::has_int96(&file.nodes[*root])).collect();
        feeds.iter_mut().flatten().for_each(|feed| feed.locate(&roots, &twice));
        unknown.iter_mut().for_each(|(feed, _)| feed.locate(&roots, &twice));
        let descriptor = file.metadata.parquet_schema();
        let is_read = |leaf| roots.binary_search(&descriptor.get_column_root_idx(leaf)).is_ok();
        precheck::check_pages(&file.source, file.metadata.metadata(), is_read)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.source.clone(), file.metadata.clone())
            .with_projection(feed::mask(descriptor, &roots))
            .with_batch_size(batch_rows)
            .build()
            .map_err(corrupt)?;
        let seconds = match twice.is_empty() {
            true => None,
            false => Some(
                int96::seconds_reader(&file.source, &file.metadata, &file.nodes, &twice, batch_rows)
                    .map_err(corrupt)?,
            ),
        };
        let (arrow, causes) = (schema.arrow(), causes(&schema, plan));
        let (block_rows, promised) = (block_rows as u64, file.num_rows());
        let (found, waiting, done) = (0, None, false);
        Ok(Self {
            reader,
            seconds,
            schema,
            arrow,
            now,
            feeds,
            unknown,
            causes,
            promised,
            found,
            block_rows,
            block_bytes,
            waiting,
            done,
        })
    }

    /// The next batch of the file and, in step, its columns with INT96 in seconds.
    fn next_batches(&mut self) -> Option<Result<(RecordBatch, Option<RecordBatch>), Failure>> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(corrupt(error))),
        };
        let Some(seconds) = &mut self.seconds else { return Some(Ok((batch, None))) };
        Some(match seconds.next() {
            Some(Ok(seconds)) => Ok((batch, Some(seconds))),
            Some(Err(error)) => Err(corrupt(error)),
            None => Err(corrupt("an int96 column ends early")),
        })
    }

    fn block(&self, batch: &RecordBatch, seconds: Option<&RecordBatch>) -> Result<Block, Failure> {
        let mut gathered = Gathered::new(Arc::clone(&self.schema), Arc::clone(&self.arrow), batch.num_rows());
        let mut reads: Vec<Option<(&Feed, Read)>> = Vec::with_capacity(self.feeds.len());
        for feed in &self.feeds {
            let read = match feed {
                Some(feed) => feed.read(batch, seconds)?.map(|read| (feed, read)),
                None => None,
            };
            reads.push(read);
        }
        if self.causes.is_empty() {
            for (index, read) in reads.iter().enumerate() {
                match read {
                    Some((feed, read)) => gathered.add(index, feed.built(read, &self.schema.columns[index])?),
                    None => gathered.add_absent(index),
                }
            }
            for (feed, error) in &self.unknown {
                let read = feed.read(batch, seconds)?.ok_or_else(|| corrupt("a column is missing"))?;
                feed.present(&read).into_iter().for_each(|row| gathered.reject(row, error.clone()));
            }
        } else {
            gathered.reject_all(self.causes.clone());
        }
        let texts = |index: usize, rows: &[u32]| match reads.get(index).and_then(Option::as_ref) {
            Some((feed, read)) => feed.texts(read, rows),
            None => no_texts(rows.len()),
        };
        let (rows, rejected) = gathered.finish(self.now, texts, |_| None)?;
        Ok(Block { records: batch.num_rows() as u64, rows, rejected })
    }

    /// Gathers batches up to the limits of a block. The batch that would exceed them waits for the next block.
    fn gather(&mut self) -> Option<Result<Block, Failure>> {
        let mut gathered: Vec<Block> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        loop {
            let next = match self.waiting.take() {
                Some(block) => block,
                None => match self.step() {
                    Some(Ok(block)) => block,
                    Some(Err(error)) => return Some(Err(error)),
                    None => break,
                },
            };
            rows += next.records;
            bytes += next.memory_bytes();
            if !gathered.is_empty() && (rows > self.block_rows || bytes > self.block_bytes) {
                self.waiting = Some(next);
                break;
            }
            gathered.push(next);
        }
        (!gathered.is_empty()).then(|| self.joined(gathered))
    }

    fn joined(&self, mut parts: Vec<Block>) -> Result<Block, Failure> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let rows = concat_batches(&self.arrow, parts.iter().map(|part| &part.rows)).map_err(corrupt)?;
        let mut parts = parts.into_iter();
        let Some(Block { mut records, mut rejected, .. }) = parts.next() else {
            return Err(DecodeError::Internal { reason: "a block of no batches".to_owned() }.into());
        };
        for part in parts {
            rejected.append(&part.rejected, records).map_err(corrupt)?;
            records += part.records;
        }
        Ok(Block { records, rows, rejected })
    }

    fn step(&mut self) -> Option<Result<Block, Failure>> {
        let (promised, found) = (self.promised, self.found);
        let Some(batches) = self.next_batches() else {
            let complete = found == promised;
            return (!complete).then(|| Err(DecodeError::RowCount { promised, found }.into()));
        };
        Some(batches.and_then(|(batch, seconds)| {
            self.found += batch.num_rows() as u64;
            if self.found > promised {
                return Err(DecodeError::RowCount { promised, found: self.found }.into());
            }
            self.block(&batch, seconds.as_ref())
        }))
    }
}

impl Iterator for ParquetBlocks {
    type Item = Result<Block, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.gather();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Where the values of each table column come from.
fn feeds(file: &ParquetFile, schema: &TableSchema, plan: &FilePlan) -> Result<Vec<Option<Feed>>, Failure> {
    let sources = &plan.bound.sources;
    if sources.len() != schema.columns.len() {
        return Err(not_together());
    }
    let feed = |(source, column): (&Option<usize>, &Column)| {
        let Some(source) = source else { return Ok(None) };
        let place = match source {
            root if *root < file.nodes.len() => Some(Place::of_root(*root)),
            // A column that only the path to it names.
            _ => Place::of_source(&file.nodes, &column.source),
        };
        let feed = place.and_then(|place| Feed::new(&file.nodes, place, Some(column))).ok_or_else(not_together)?;
        match feed.refusal(column) {
            // Its rows go to quarantine as texts.
            Some(refusal) if !plan.is_rejected() => Err(refusal.into()),
            _ => Ok(Some(feed)),
        }
    };
    sources.iter().zip(&schema.columns).map(feed).collect()
}

fn unknown(file: &ParquetFile, plan: &FilePlan) -> Result<Vec<(Feed, CellError)>, Failure> {
    if plan.is_rejected() {
        return Ok(Vec::new());
    }
    let feed = |(index, name): &(usize, String)| {
        let feed = Feed::new(&file.nodes, Place::of_root(*index), None).ok_or_else(not_together)?;
        let message =
            format!("column '{}' is not in the table and may not be added (IMPORT_EVOLUTION freeze)", shown(name));
        Ok((feed, CellError::of_record(message)))
    };
    plan.unknown.iter().map(feed).collect()
}

/// The errors of every row of a file that does not fit as a whole.
fn causes(schema: &TableSchema, plan: &FilePlan) -> Vec<CellError> {
    let error = |cause: &FileCause| {
        let column = schema.columns.iter().position(|column| column.name == cause.column);
        CellError {
            column: column.and_then(|index| u32::try_from(index).ok()),
            cause: Cause::Text(cause.message.as_str().into()),
        }
    };
    plan.causes.iter().map(error).collect()
}

fn not_together() -> Failure {
    DecodeError::Internal { reason: "schema, plan and file do not belong together".to_owned() }.into()
}
