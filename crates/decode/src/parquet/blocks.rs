//! Reading the bound columns of a file, batch by batch.

use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use connector_core::binding::Binding;
use connector_core::block::{Block, RejectedRow};
use connector_core::error::Failure;
use connector_core::schema::TableSchema;

use super::convert::{self, Conversion};
use super::{ParquetFile, corrupt, int96};
use crate::columns::Built;
use crate::error::DecodeError;
use crate::row_errors::RowErrors;

/// Rows that are decoded in one go. What they take is only known afterwards, so it is few.
const MAX_BATCH_ROWS: usize = 1_024;

/// The rows of a Parquet file, block by block, in order. Ends after the first error.
pub struct ParquetBlocks {
    reader: ParquetRecordBatchReader,
    /// Reads the INT96 columns once more, in seconds, in step with `reader`.
    seconds: Option<ParquetRecordBatchReader>,
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    /// For each table column, where its values come from.
    feeds: Vec<Feed>,
    promised: u64,
    found: u64,
    /// What a block holds at most, unless a single batch is larger.
    block_rows: u64,
    block_bytes: usize,
    waiting: Option<Block>,
    done: bool,
}

struct Feed {
    /// Index into the batches of `reader`.
    position: usize,
    /// Index into the batches of `seconds`.
    seconds: Option<usize>,
    conversion: Conversion,
}

impl ParquetBlocks {
    pub(super) fn open(
        file: &ParquetFile,
        schema: Arc<TableSchema>,
        binding: &Binding,
        block_rows: usize,
        block_bytes: usize,
    ) -> Result<Self, Failure> {
        let fitting = (block_bytes / file.estimated_row_bytes()).max(1);
        let batch_rows = MAX_BATCH_ROWS.min(block_rows).min(fitting);
        let fields = file.metadata.schema().fields();
        let sources = &binding.sources;
        if sources.len() != schema.columns.len() || sources.iter().any(|source| *source >= fields.len()) {
            let reason = "schema, binding and file do not belong together".to_owned();
            return Err(DecodeError::Internal { reason }.into());
        }
        sources.iter().try_for_each(|source| file.refuse_opaque(*source))?;
        let plans = sources.iter().zip(&schema.columns).map(|(source, column)| convert::plan(&fields[*source], column));
        let plans: Vec<Conversion> = plans.collect::<Result<_, _>>()?;
        let roots = sorted(sources.iter().copied());
        let old: Vec<usize> = roots.iter().copied().filter(|root| int96::is_int96(&file.metadata, *root)).collect();
        let feed = |(source, conversion): (&usize, Conversion)| Feed {
            position: roots.partition_point(|root| root < source),
            seconds: old.binary_search(source).ok(),
            conversion,
        };
        let feeds = sources.iter().zip(plans).map(feed).collect();
        let mask = ProjectionMask::roots(file.metadata.parquet_schema(), roots.iter().copied());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.source.clone(), file.metadata.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(corrupt)?;
        let seconds = match old.is_empty() {
            true => None,
            false => Some(int96::seconds_reader(&file.source, &file.metadata, &old, batch_rows).map_err(corrupt)?),
        };
        let arrow = schema.arrow();
        let (block_rows, promised) = (block_rows as u64, file.num_rows());
        let (found, waiting, done) = (0, None, false);
        Ok(Self { reader, seconds, schema, arrow, feeds, promised, found, block_rows, block_bytes, waiting, done })
    }

    /// The next batch of the file and, in step, its INT96 columns in seconds.
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
        let mut errors = RowErrors::new(batch.num_rows(), batch.num_rows());
        let mut arrays = Vec::with_capacity(self.feeds.len());
        for (index, feed) in self.feeds.iter().enumerate() {
            let built = self.built(index, feed, batch, seconds)?;
            errors.add(built.errors);
            arrays.push(built.values);
        }
        let arrays = errors.keep_good(arrays).map_err(corrupt)?;
        let options = RecordBatchOptions::new().with_row_count(Some(errors.good_count()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options).map_err(corrupt)?;
        let bad: Vec<usize> = errors.bad_rows().collect();
        let rejected = |row| RejectedRow { ordinal: row as u64, errors: errors.take(row), raw: None };
        Ok(Block { records: batch.num_rows() as u64, rows, rejected: bad.into_iter().map(rejected).collect() })
    }

    fn built(
        &self,
        index: usize,
        feed: &Feed,
        batch: &RecordBatch,
        seconds: Option<&RecordBatch>,
    ) -> Result<Built, Failure> {
        let column = &self.schema.columns[index];
        let values = batch.columns().get(feed.position).ok_or_else(|| corrupt("a column is missing"))?;
        let Some(position) = feed.seconds else {
            return convert::convert(values, column, feed.conversion).map_err(corrupt);
        };
        let seconds = seconds.and_then(|seconds| seconds.columns().get(position));
        let built = seconds.and_then(|seconds| int96::combine(values, seconds, column));
        let built = built.ok_or_else(|| corrupt("an int96 column changes while it is read"))?;
        convert::apply_null_rules(built, column).map_err(corrupt)
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
            bytes += next.rows.get_array_memory_size();
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
        let (mut records, mut rejected) = (0, Vec::new());
        for part in parts {
            rejected.extend(part.rejected.into_iter().map(|row| RejectedRow { ordinal: row.ordinal + records, ..row }));
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

fn sorted(indices: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sorted: Vec<usize> = indices.collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
