//! From a block of whole records to typed rows and rejected rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use connector_core::binding::Binding;
use connector_core::block::{Block, CellError, MAX_RAW_BYTES, RejectedRow};
use connector_core::error::Failure;
use connector_core::schema::TableSchema;

use super::{CsvOptions, RawBlock, Records};
use crate::columns::{self, Rules};
use crate::error::DecodeError;
use crate::row_errors::RowErrors;

/// Decodes the blocks of one file. Shared by the threads that decode them.
#[derive(Clone, Debug)]
pub struct CsvDecoder {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    binding: Arc<Binding>,
    options: CsvOptions,
}

impl CsvDecoder {
    /// A decoder for files whose columns feed the table's as `binding` says.
    pub fn new(schema: Arc<TableSchema>, binding: Arc<Binding>, options: &CsvOptions) -> Self {
        let arrow = schema.arrow();
        Self { schema, arrow, binding, options: options.clone() }
    }

    /// Decodes one block. A record that does not fit is rejected with one error for each bad column (of many, the
    /// first 32); the others are kept. Beyond `rejected_details` rejected rows only ordinals are kept. Records that differ from the header in their number of fields are rejected as a whole.
    ///
    /// # Errors
    /// `Bug` with code `decode_bug` only: for schema and binding that do not belong together, or a block of 4 GiB.
    pub fn decode(&self, block: &RawBlock) -> Result<Block, Failure> {
        let cells = Cells::read(&block.bytes, &self.options, self.binding.file_columns)?;
        let limit = self.options.rejected_details;
        let rules = Rules { inferred: self.options.inferred, detailed: limit };
        let mut errors = RowErrors::new(cells.rows.len(), limit);
        let mut arrays = Vec::with_capacity(self.schema.columns.len());
        for (column, source) in self.schema.columns.iter().zip(&self.binding.sources) {
            let built = columns::build(column, rules, cells.column(*source));
            errors.add(built.errors);
            arrays.push(built.values);
        }
        let rows = self.good_rows(arrays, &errors)?;
        let rejected = rejected_rows(&block.bytes, &cells, errors, limit);
        Ok(Block { records: cells.spans.len() as u64, rows, rejected })
    }

    fn good_rows(&self, arrays: Vec<ArrayRef>, errors: &RowErrors) -> Result<RecordBatch, Failure> {
        let bug = |error: arrow::error::ArrowError| Failure::from(DecodeError::Internal { reason: error.to_string() });
        let arrays = errors.keep_good(arrays).map_err(bug)?;
        let options = RecordBatchOptions::new().with_row_count(Some(errors.good_count()));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options).map_err(bug)
    }
}

/// The cells of all records of a block that have the right number of fields.
struct Cells {
    /// All cells, one after the other, row by row.
    text: Vec<u8>,
    /// Where each cell ends in `text`, with a zero in front.
    ends: Vec<u32>,
    columns: usize,
    /// For each row of cells, the ordinal of its record.
    rows: Vec<u32>,
    /// For each record, good and bad, where in the block its bytes end.
    spans: Vec<u32>,
    /// Records with another number of fields: ordinal and that number.
    ragged: Vec<(u32, usize)>,
}

impl Cells {
    fn read(block: &[u8], options: &CsvOptions, columns: usize) -> Result<Self, Failure> {
        // Every position and count below is at most the block's length.
        if u32::try_from(block.len()).is_err() {
            return Err(DecodeError::Internal { reason: format!("a block of {} bytes", block.len()) }.into());
        }
        let mut cells = Self {
            text: Vec::with_capacity(block.len()),
            ends: vec![0],
            columns,
            rows: Vec::new(),
            spans: Vec::new(),
            ragged: Vec::new(),
        };
        Records::new(options).for_each(block, |record| {
            let ordinal = cells.spans.len() as u32;
            cells.spans.push(record.span.end as u32);
            if record.len() == columns {
                let base = cells.text.len() as u32;
                cells.text.extend_from_slice(record.text());
                cells.ends.extend(record.ends().iter().map(|end| base + *end as u32));
                cells.rows.push(ordinal);
            } else {
                cells.ragged.push((ordinal, record.len()));
            }
        });
        Ok(cells)
    }

    /// The cells of one column of the file.
    fn column(&self, column: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.rows.len()).map(move |row| {
            let index = row * self.columns + column;
            &self.text[self.ends[index] as usize..self.ends[index + 1] as usize]
        })
    }

    /// The bytes of a record without the line ends around it, cut at [`MAX_RAW_BYTES`].
    fn raw(&self, block: &[u8], ordinal: usize) -> Vec<u8> {
        let start = ordinal.checked_sub(1).map_or(0, |previous| self.spans[previous] as usize);
        let mut raw = &block[start..self.spans[ordinal] as usize];
        while let [b'\n' | b'\r', rest @ ..] = raw {
            raw = rest;
        }
        while let [rest @ .., b'\n' | b'\r'] = raw {
            raw = rest;
        }
        raw[..raw.len().min(MAX_RAW_BYTES)].to_vec()
    }
}

/// Why a record is rejected.
enum Why {
    /// Its cells: the row of cells.
    Cells(usize),
    /// Its number of fields.
    Fields(usize),
}

/// All rejected rows, by ascending ordinal, the first `limit` of them with errors and raw text.
fn rejected_rows(block: &[u8], cells: &Cells, mut errors: RowErrors, limit: usize) -> Vec<RejectedRow> {
    let bad = errors.bad_rows().map(|row| (cells.rows[row], Why::Cells(row)));
    let ragged = cells.ragged.iter().map(|(ordinal, found)| (*ordinal, Why::Fields(*found)));
    let mut all: Vec<(u32, Why)> = bad.chain(ragged).collect();
    all.sort_unstable_by_key(|(ordinal, _)| *ordinal);
    let mut rejected = Vec::with_capacity(all.len());
    for (index, (ordinal, why)) in all.into_iter().enumerate() {
        if index >= limit {
            rejected.push(RejectedRow { ordinal: u64::from(ordinal), errors: Vec::new(), raw: None });
            continue;
        }
        let errors = match why {
            Why::Cells(row) => errors.take(row),
            Why::Fields(found) => {
                let message = format!("the record has {}, the header has {}", fields(found), fields(cells.columns));
                vec![CellError { column: String::new(), message }]
            }
        };
        let raw = Some(cells.raw(block, ordinal as usize));
        rejected.push(RejectedRow { ordinal: u64::from(ordinal), errors, raw });
    }
    rejected
}

fn fields(count: usize) -> String {
    format!("{count} field{}", if count == 1 { "" } else { "s" })
}
