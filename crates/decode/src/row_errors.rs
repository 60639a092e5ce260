//! From the columns of a block to its good rows and its rejected rows.
//!
//! Memory is what the block's cells take, however many rows are bad: a bad cell is a row number until the end, texts
//! are made for bad rows only, and a column that the file lacks takes memory once for all columns of its type.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, SchemaRef};
use connector_core::block::{CellError, ERRORS_PER_ROW, Rejected};
use connector_core::error::Failure;
use connector_core::schema::TableSchema;
use jiff::Timestamp;

use crate::columns::{self, Built, Cell, OnAbsent};
use crate::defaults;
use crate::error::DecodeError;

/// The columns of a block, and what is wrong with its records.
///
/// Rows are records: a record that could not be taken apart has absent cells and is rejected as unread.
#[derive(Debug)]
pub(crate) struct Gathered {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    rows: usize,
    columns: Vec<Part>,
    records: Vec<RecordError>,
    /// If there are any, every row is rejected with them and nothing else.
    every: Vec<CellError>,
}

/// What is known of one column.
#[derive(Debug)]
enum Part {
    /// NULL in all rows. What a column is until it is added.
    Null,
    /// Absent in all rows, and every one of them needs a value.
    AllBad,
    Built(Built),
}

#[derive(Debug)]
struct RecordError {
    row: u32,
    error: CellError,
    /// The record has no cells that could be wrong, too.
    unread: bool,
}

impl Gathered {
    /// A block of this many rows, good and bad. `arrow` is the Arrow schema of `schema`.
    pub(crate) fn new(schema: Arc<TableSchema>, arrow: SchemaRef, rows: usize) -> Self {
        let columns = schema.columns.iter().map(|_| Part::Null).collect();
        Self { schema, arrow, rows, columns, records: Vec::new(), every: Vec::new() }
    }

    /// Adds the table column with this index.
    pub(crate) fn add(&mut self, index: usize, built: Built) {
        self.columns[index] = Part::Built(built);
    }

    /// Adds the table column with this index for a file that lacks it: every cell is absent.
    pub(crate) fn add_absent(&mut self, index: usize) {
        let column = &self.schema.columns[index];
        self.columns[index] = match OnAbsent::of(column) {
            OnAbsent::Null => Part::Null,
            OnAbsent::Error => Part::AllBad,
            _ => Part::Built(columns::build(column, std::iter::repeat_n(Cell::Absent, self.rows))),
        };
    }

    /// Rejects a row; the errors of its cells follow this one.
    pub(crate) fn reject(&mut self, row: usize, error: CellError) {
        self.records.push(RecordError { row: row as u32, error, unread: false });
    }

    /// Rejects a row whose record could not be taken apart: what its cells would be is not told.
    pub(crate) fn reject_unread(&mut self, row: usize, error: CellError) {
        self.records.push(RecordError { row: row as u32, error, unread: true });
    }

    /// Rejects every row with the same errors. No column needs to be added.
    pub(crate) fn reject_all(&mut self, errors: Vec<CellError>) {
        self.every = errors;
    }

    /// Fills default expressions and separates good rows from bad ones. `texts` gives the texts of a table column for
    /// the bad rows (ascending), `raw` the raw record of one row; neither is called if every row is good.
    ///
    /// # Errors
    /// `Bug` with code `decode_bug` if the columns do not belong to the schema, and what `defaults::fill` says.
    pub(crate) fn finish<'r>(
        mut self,
        now: Timestamp,
        mut texts: impl FnMut(usize, &[u32]) -> StringArray,
        mut raw: impl FnMut(usize) -> Option<&'r str>,
    ) -> Result<(RecordBatch, Rejected), Failure> {
        if self.every.is_empty() {
            self.fill_expressions(now)?;
        }
        self.records.sort_by_key(|record| record.row);
        let good = self.good_rows();
        let bad: Vec<u32> = (0u32..).zip(&good).filter_map(|(row, good)| (!good).then_some(row)).collect();
        let rejected = if bad.is_empty() {
            Rejected::none(self.schema.columns.len())
        } else {
            let raw: StringArray = bad.iter().map(|row| raw(*row as usize)).collect();
            let texts = (0..self.schema.columns.len()).map(|index| texts(index, &bad)).collect();
            let mut errors = self.errors();
            let lists = bad.iter().map(|row| errors.of(*row));
            Rejected::new(bad.iter().copied().map(u64::from).collect(), texts, raw, lists)
        };
        Ok((self.into_batch(good, bad.len())?, rejected))
    }

    fn fill_expressions(&mut self, now: Timestamp) -> Result<(), Failure> {
        let expressions = |part: &Part| matches!(part, Part::Built(built) if !built.defaulted.is_empty());
        if !self.columns.iter().any(expressions) {
            return Ok(());
        }
        let mut nulls = Nulls::new(self.rows);
        let (mut arrays, mut defaulted) = (Vec::new(), Vec::new());
        for (part, field) in self.columns.iter_mut().zip(self.arrow.fields()) {
            match part {
                Part::Built(built) => {
                    arrays.push(Arc::clone(&built.values));
                    defaulted.push(std::mem::take(&mut built.defaulted));
                }
                Part::Null | Part::AllBad => {
                    arrays.push(nulls.of(field.data_type()));
                    defaulted.push(Vec::new());
                }
            }
        }
        let failed = defaults::fill(&self.schema, &mut arrays, &defaulted, now)?;
        for (part, values) in self.columns.iter_mut().zip(arrays) {
            if let Part::Built(built) = part {
                built.values = values;
            }
        }
        for (column, row) in failed {
            if let Some(Part::Built(built)) = self.columns.get_mut(column as usize) {
                built.errors.push(row);
            }
        }
        for part in &mut self.columns {
            if let Part::Built(built) = part {
                built.errors.sort_unstable();
                built.errors.dedup();
            }
        }
        Ok(())
    }

    /// For each row whether it is good.
    fn good_rows(&self) -> Vec<bool> {
        let all_bad = self.columns.iter().any(|part| matches!(part, Part::AllBad));
        let mut good = vec![self.every.is_empty() && !all_bad; self.rows];
        self.records.iter().for_each(|record| good[record.row as usize] = false);
        for part in &self.columns {
            if let Part::Built(built) = part {
                built.errors.iter().for_each(|row| good[*row as usize] = false);
            }
        }
        good
    }

    fn errors(&self) -> Errors<'_> {
        let is_bad = |column: &usize| match &self.columns[*column] {
            Part::Built(built) => !built.errors.is_empty(),
            Part::AllBad => true,
            Part::Null => false,
        };
        let bad_columns: Vec<usize> = (0..self.columns.len()).filter(is_bad).collect();
        Errors { gathered: self, records: 0, next: vec![0; bad_columns.len()], bad_columns }
    }

    fn into_batch(self, good: Vec<bool>, bad: usize) -> Result<RecordBatch, Failure> {
        let bug = |error: arrow::error::ArrowError| Failure::from(DecodeError::Internal { reason: error.to_string() });
        let rows = self.rows - bad;
        if rows == 0 {
            return Ok(RecordBatch::new_empty(self.arrow));
        }
        let mut nulls = Nulls::new(rows);
        let mut arrays = Vec::with_capacity(self.columns.len());
        let filter = (bad > 0).then(|| FilterBuilder::new(&BooleanArray::from(good)).optimize().build());
        for (part, field) in self.columns.into_iter().zip(self.arrow.fields()) {
            arrays.push(match (part, &filter) {
                (Part::Built(built), None) => built.values,
                (Part::Built(built), Some(filter)) => filter.filter(&built.values).map_err(bug)?,
                (Part::Null | Part::AllBad, _) => nulls.of(field.data_type()),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.arrow, arrays, &options).map_err(bug)
    }
}

/// NULL columns of one length, one for each type.
struct Nulls {
    rows: usize,
    known: Vec<ArrayRef>,
}

impl Nulls {
    fn new(rows: usize) -> Self {
        Self { rows, known: Vec::new() }
    }

    fn of(&mut self, ty: &DataType) -> ArrayRef {
        if let Some(known) = self.known.iter().find(|array| array.data_type() == ty) {
            return Arc::clone(known);
        }
        let array = new_null_array(ty, self.rows);
        self.known.push(Arc::clone(&array));
        array
    }
}

/// Merges the errors of records and columns, row by row.
struct Errors<'a> {
    gathered: &'a Gathered,
    /// How many of the record errors are done.
    records: usize,
    /// Columns with errors.
    bad_columns: Vec<usize>,
    /// For each of them, how many of its errors are done.
    next: Vec<usize>,
}

impl Errors<'_> {
    /// The errors of this row; rows have to come in ascending order.
    fn of(&mut self, row: u32) -> Vec<CellError> {
        if !self.gathered.every.is_empty() {
            return self.gathered.every.clone();
        }
        let mut errors = Vec::new();
        let mut unread = false;
        while let Some(record) = self.gathered.records.get(self.records).filter(|record| record.row == row) {
            errors.push(record.error.clone());
            unread |= record.unread;
            self.records += 1;
        }
        for (column, next) in self.bad_columns.iter().zip(&mut self.next) {
            if unread || errors.len() >= ERRORS_PER_ROW {
                break;
            }
            if self.gathered.columns[*column].is_bad(row, next) {
                errors.push(CellError::not_of_type(*column));
            }
        }
        errors
    }
}

impl Part {
    /// Whether the value of this row is bad; `next` is how many errors are done.
    fn is_bad(&self, row: u32, next: &mut usize) -> bool {
        let Self::Built(built) = self else { return matches!(self, Self::AllBad) };
        // Rows may have been left out since.
        while built.errors.get(*next).is_some_and(|bad| *bad < row) {
            *next += 1;
        }
        built.errors.get(*next) == Some(&row)
    }
}
