//! From the columns of a block to its good rows and its rejected rows.
//!
//! Memory is what the block's cells take, however many rows are bad: a bad cell is a row number until the end, texts
//! are made for bad rows only, and a column that the file lacks takes memory once for all columns of its type and
//! default.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::compute::FilterBuilder;
use arrow::datatypes::{DataType, SchemaRef};
use connector_core::block::{Cause, CellError, ERRORS_PER_ROW, Rejected};
use connector_core::error::Failure;
use connector_core::quarantine::{message_of_part, shown};
use connector_core::schema::{ColumnDefault, TableSchema};
use connector_core::types::ColumnType;
use jiff::Timestamp;

use crate::columns::{self, Built, Cell, OnAbsent};
use crate::defaults;
use crate::error::DecodeError;
use crate::value::structure;

/// What readers of Delta Lake take for NULL in a partition column, beside the empty text: the name of NULL's directory.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

// Errors of a row are counted in one byte.
const _: () = assert!(ERRORS_PER_ROW < u8::MAX as usize);

/// The columns of a block, and what is wrong with its records.
///
/// Rows are records: a record that could not be taken apart has absent cells and is rejected as unread.
#[derive(Debug)]
pub(crate) struct Gathered {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    rows: usize,
    columns: Vec<Part>,
    /// What columns that the file lacks hold, by all that decides it.
    absent: HashMap<(ColumnType, bool, Option<ColumnDefault>), Built>,
    records: Vec<RecordError>,
    /// For each row how many errors [`Gathered::reject`] has kept; empty before the first one.
    kept: Vec<u8>,
    /// The rows that columns have values for, if these are not all.
    read: Option<Vec<u32>>,
    /// If there are any, every row is rejected with them and nothing else.
    every: Vec<CellError>,
}

/// What is known of one column.
#[derive(Debug)]
enum Part {
    /// NULL in all rows that were read. What a column is until it is added.
    Null,
    /// Absent in all rows that were read, and every one of them needs a value.
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
        let (absent, records, kept) = (HashMap::new(), Vec::new(), Vec::new());
        Self { schema, arrow, rows, columns, absent, records, kept, read: None, every: Vec::new() }
    }

    /// Has all columns leave out the rows that are rejected as unread by now, so that they take no memory for them.
    /// Answers for which rows a column has to have values, ascending; `None` for all.
    pub(crate) fn leave_out_unread(&mut self) -> Option<&[u32]> {
        let mut read = vec![true; self.rows];
        self.records.iter().filter(|record| record.unread).for_each(|record| read[record.row as usize] = false);
        let left: Vec<u32> = (0u32..).zip(&read).filter_map(|(row, read)| read.then_some(row)).collect();
        self.read = (left.len() < self.rows).then_some(left);
        self.read.as_deref()
    }

    /// How many values a column has.
    fn values(&self) -> usize {
        self.read.as_ref().map_or(self.rows, Vec::len)
    }

    /// The row of a column's value.
    fn row_of(&self, index: u32) -> u32 {
        self.read.as_ref().map_or(index, |read| read[index as usize])
    }

    /// Adds the table column with this index.
    pub(crate) fn add(&mut self, index: usize, built: Built) {
        self.columns[index] = Part::Built(built);
    }

    /// Adds the table column with this index for a file that lacks it: every cell is absent.
    pub(crate) fn add_absent(&mut self, index: usize) {
        let rows = self.values();
        let column = &self.schema.columns[index];
        self.columns[index] = match OnAbsent::of(column) {
            OnAbsent::Null => Part::Null,
            OnAbsent::Error => Part::AllBad,
            _ => {
                let key = (column.ty.clone(), column.is_strict(), column.default.clone());
                let build = || columns::build(column, std::iter::repeat_n(Cell::Absent, rows));
                let built = self.absent.entry(key).or_insert_with(build);
                if rows > 0 && built.errors.len() == rows { Part::AllBad } else { Part::Built(built.clone()) }
            }
        };
    }

    /// Rejects a row; the errors of its cells follow this one. Beyond [`ERRORS_PER_ROW`] of a row nothing is kept.
    pub(crate) fn reject(&mut self, row: usize, error: CellError) {
        if self.kept.is_empty() {
            self.kept = vec![0; self.rows];
        }
        if usize::from(self.kept[row]) < ERRORS_PER_ROW {
            self.kept[row] += 1;
            self.records.push(RecordError { row: row as u32, error, unread: false });
        }
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
            self.number_rows();
            self.reject_partition_values();
        }
        self.records.sort_by_key(|record| record.row);
        let good = self.good_rows();
        let bad: Vec<u32> = (0u32..).zip(&good).filter_map(|(row, good)| (!good).then_some(row)).collect();
        let rejected = if bad.is_empty() {
            Rejected::none(self.schema.columns.len())
        } else {
            let raw: StringArray = bad.iter().map(|row| raw(*row as usize)).collect();
            let texts: Vec<StringArray> = (0..self.schema.columns.len()).map(|index| texts(index, &bad)).collect();
            let mut errors = self.errors();
            let values = texts.clone();
            let lists = bad.iter().enumerate().map(|(place, row)| {
                let mut found = errors.of(*row);
                found.iter_mut().for_each(|error| self.name_part(error, &values, place));
                found
            });
            Rejected::new(bad.iter().copied().map(u64::from).collect(), texts, raw, lists)
        };
        Ok((self.into_batch(good, bad.len())?, rejected))
    }

    fn fill_expressions(&mut self, now: Timestamp) -> Result<(), Failure> {
        let expressions = |part: &Part| matches!(part, Part::Built(built) if !built.defaulted.is_empty());
        if !self.columns.iter().any(expressions) {
            return Ok(());
        }
        let mut nulls = Nulls::new(self.values());
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

    /// Has errors of columns name rows instead of values.
    fn number_rows(&mut self) {
        let Some(read) = &self.read else { return };
        for part in &mut self.columns {
            if let Part::Built(built) = part {
                built.errors.iter_mut().for_each(|index| *index = read[*index as usize]);
            }
        }
    }

    /// Rejects rows whose text in the partition column is none to readers of Delta Lake: it would come back as NULL.
    fn reject_partition_values(&mut self) {
        let partition = self.schema.partition.as_ref();
        let column = partition.and_then(|name| self.schema.columns.iter().position(|column| column.name == *name));
        let Some(index) = column else { return };
        let Part::Built(built) = &self.columns[index] else { return };
        let Some(texts) = built.values.as_string_opt::<i32>() else { return };
        let name = shown(&self.schema.columns[index].name);
        let error = |text: &str| CellError {
            cause: Cause::Text(
                format!(
                    "{text} cannot be the value of the partition column '{name}': readers of Delta Lake cannot tell \
                     it from NULL"
                )
                .into(),
            ),
            ..CellError::not_of_type(index)
        };
        let empty = error("an empty text");
        let reserved = error(&format!("the text '{NULL_PARTITION}'"));
        let is_none = |value: Option<&str>| match value {
            Some("") => Some(empty.clone()),
            Some(NULL_PARTITION) => Some(reserved.clone()),
            _ => None,
        };
        let values = (0u32..).zip(texts.iter());
        // Behind an error is a placeholder.
        let bad: Vec<(u32, CellError)> = values
            .filter_map(|(index, value)| Some((self.row_of(index), is_none(value)?)))
            .filter(|(row, _)| built.errors.binary_search(row).is_err())
            .collect();
        bad.into_iter().for_each(|(row, error)| self.reject(row as usize, error));
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

    /// Says which part of a value with parts does not fit, if its text shows it. `place`: which of the bad rows it is.
    fn name_part(&self, error: &mut CellError, texts: &[StringArray], place: usize) {
        let Some(index) = error.column.filter(|_| error.cause == Cause::NotOfType) else { return };
        let (column, texts) = (&self.schema.columns[index as usize], &texts[index as usize]);
        if column.ty.takes_null() || texts.is_null(place) || texts.value(place).is_empty() {
            return;
        }
        let text = texts.value(place);
        if let Some(misfit) = structure::misfit(text, &column.ty, column.is_strict()) {
            error.cause = Cause::Text(message_of_part(text, &column.name, &column.ty, misfit).into());
        }
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
        let kept: BooleanArray = match &self.read {
            None => good.into(),
            Some(read) => read.iter().map(|row| good[*row as usize]).collect::<Vec<bool>>().into(),
        };
        let filter = (rows < kept.len()).then(|| FilterBuilder::new(&kept).optimize().build());
        // Columns that share their values still do afterwards.
        let mut filtered: HashMap<usize, ArrayRef> = HashMap::new();
        for (part, field) in self.columns.into_iter().zip(self.arrow.fields()) {
            arrays.push(match (part, &filter) {
                (Part::Built(built), None) => built.values,
                (Part::Built(built), Some(filter)) => match filtered.entry(Arc::as_ptr(&built.values).addr()) {
                    Entry::Occupied(known) => Arc::clone(known.get()),
                    Entry::Vacant(new) => Arc::clone(new.insert(filter.filter(&built.values).map_err(bug)?)),
                },
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
            if record.unread || !unread {
                errors.push(record.error.clone());
            }
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

#[cfg(test)]
mod tests {
    use connector_core::schema::Column;

    use super::*;

    fn gathered(columns: Vec<Column>, rows: usize) -> Gathered {
        let schema = Arc::new(TableSchema::new(columns));
        Gathered::new(Arc::clone(&schema), schema.arrow(), rows)
    }

    #[test]
    fn errors_of_a_row_are_kept_up_to_the_limit_while_they_are_collected() {
        let mut gathered = gathered(vec![Column::nullable("a", ColumnType::Int64)], 3);
        for _ in 0..100 {
            gathered.reject(0, CellError::of_record("one"));
            gathered.reject(2, CellError::of_record("two"));
        }
        gathered.reject_unread(2, CellError::of_record("three"));
        assert_eq!(gathered.records.len(), 2 * ERRORS_PER_ROW + 1);
        assert_eq!(gathered.leave_out_unread(), Some(&[0, 1][..]));
    }

    #[test]
    fn columns_that_a_file_lacks_share_what_is_the_same_and_nothing_else() {
        let text = |name: &str, default: Option<&str>| Column {
            default: default.map(|text| ColumnDefault::Literal(text.to_owned())),
            ..Column::required(name, ColumnType::String)
        };
        let fixed = Column { ty: ColumnType::FixedString(3), ..text("d", Some("x")) };
        let columns = vec![text("a", Some("x")), text("b", Some("x")), text("c", None), fixed];
        let mut gathered = gathered(columns, 5);
        (0..4).for_each(|index| gathered.add_absent(index));
        let built = |index: usize| match &gathered.columns[index] {
            Part::Built(built) => Arc::clone(&built.values),
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(&built(0), &built(1)));
        assert!([2, 3].iter().all(|index| !Arc::ptr_eq(&built(0), &built(*index))));
    }
}
