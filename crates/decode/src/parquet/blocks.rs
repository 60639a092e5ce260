//! Reading the bound columns of a file, batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use connector_core::binding::Binding;
use connector_core::block::{Block, CellError, RejectedRow};
use connector_core::error::Failure;
use connector_core::schema::TableSchema;

use super::convert::{self, Conversion};
use super::{ParquetFile, corrupt, int96};
use crate::columns::Built;
use crate::error::DecodeError;

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
        batch_rows: usize,
    ) -> Result<Self, Failure> {
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
        Ok(Self { reader, seconds, schema, arrow, feeds, promised: file.num_rows(), found: 0, done: false })
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
        let mut errors: BTreeMap<usize, Vec<CellError>> = BTreeMap::new();
        let mut arrays = Vec::with_capacity(self.feeds.len());
        for (index, feed) in self.feeds.iter().enumerate() {
            let built = self.built(index, feed, batch, seconds)?;
            for (row, error) in built.errors {
                errors.entry(row).or_default().push(error);
            }
            arrays.push(built.values);
        }
        let rows = self.good_rows(arrays, batch.num_rows(), &errors).map_err(corrupt)?;
        let rejected = errors.into_iter().map(|(row, errors)| RejectedRow { ordinal: row as u64, errors, raw: None });
        Ok(Block { records: batch.num_rows() as u64, rows, rejected: rejected.collect() })
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

    fn good_rows(
        &self,
        arrays: Vec<ArrayRef>,
        rows: usize,
        errors: &BTreeMap<usize, Vec<CellError>>,
    ) -> Result<RecordBatch, arrow::error::ArrowError> {
        let arrays = if errors.is_empty() {
            arrays
        } else {
            let good: BooleanArray = (0..rows).map(|row| Some(!errors.contains_key(&row))).collect();
            arrays.iter().map(|array| arrow::compute::filter(array, &good)).collect::<Result<_, _>>()?
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows - errors.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options)
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
        let item = self.step();
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
