//! Blocks: the unit of decoded rows.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::datatypes::DataType;

use crate::schema::TableSchema;

/// Why a value, or a row as a whole, does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The value is not of its column's type; the message is made from the row's text when somebody wants to read it.
    NotOfType,
    /// Anything else, in full.
    Text(Arc<str>),
}

/// One error of a rejected row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// Index of the table column; `None` when the record as a whole is wrong, or a column that the table lacks.
    pub column: Option<u32>,
    pub cause: Cause,
}

impl CellError {
    /// A value that is not of the type of this column.
    pub fn not_of_type(column: usize) -> Self {
        Self { column: u32::try_from(column).ok(), cause: Cause::NotOfType }
    }

    /// An error of the record as a whole.
    pub fn of_record(message: impl Into<Arc<str>>) -> Self {
        Self { column: None, cause: Cause::Text(message.into()) }
    }

    /// The name of the table column, or `''`.
    pub fn column_name<'a>(&self, table: &'a TableSchema) -> &'a str {
        let column = self.column.and_then(|index| table.columns.get(index as usize));
        column.map_or("", |column| column.name.as_str())
    }
}

/// The longest raw record that is kept.
pub const MAX_RAW_BYTES: usize = 1 << 20;
/// Errors that are kept of one row.
pub const ERRORS_PER_ROW: usize = 32;

/// The rows of a block that do not fit, column by column. All parts have one entry for each rejected row.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Ordinals in the block, counted from 0 over all its records, good and bad; ascending.
    pub ordinals: Vec<u64>,
    /// For each table column the text of the value as the file has it, NULL where it has none. Bytes that are not UTF-8
    /// are replaced.
    pub texts: Vec<StringArray>,
    /// The raw record; NULL where the format has none (Parquet), where it is longer than [`MAX_RAW_BYTES`], and where
    /// it is not UTF-8.
    pub raw: StringArray,
    /// Lists of errors, at most [`ERRORS_PER_ROW`] each.
    errors: Vec<CellError>,
    /// Where the list of each row is. A row with the same errors as the one before it shares that one's, so that a
    /// file that is bad as a whole takes little memory.
    error_spans: Vec<(u32, u32)>,
}

impl Rejected {
    /// No row, of a table with this many columns.
    pub fn none(columns: usize) -> Self {
        let empty = StringArray::from(Vec::<Option<&str>>::new());
        Self {
            ordinals: Vec::new(),
            texts: vec![empty.clone(); columns],
            raw: empty,
            errors: Vec::new(),
            error_spans: Vec::new(),
        }
    }

    /// Puts whole columns together. `errors` has one list for each row.
    pub fn new<E: IntoIterator<Item = CellError>>(
        ordinals: Vec<u64>,
        texts: Vec<StringArray>,
        raw: StringArray,
        errors: impl IntoIterator<Item = E>,
    ) -> Self {
        let mut rejected = Self { ordinals, texts, raw, errors: Vec::new(), error_spans: Vec::new() };
        errors.into_iter().for_each(|of_row| rejected.push_errors(of_row));
        debug_assert_eq!(rejected.error_spans.len(), rejected.ordinals.len());
        debug_assert!(rejected.texts.iter().all(|texts| texts.len() == rejected.ordinals.len()));
        debug_assert_eq!(rejected.raw.len(), rejected.ordinals.len());
        rejected
    }

    fn push_errors(&mut self, errors: impl IntoIterator<Item = CellError>) {
        let start = self.errors.len();
        self.errors.extend(errors.into_iter().take(ERRORS_PER_ROW));
        let span = match self.error_spans.last() {
            Some((from, to)) if self.errors[*from as usize..*to as usize] == self.errors[start..] => {
                self.errors.truncate(start);
                (*from, *to)
            }
            _ => (start as u32, self.errors.len() as u32),
        };
        self.error_spans.push(span);
    }

    /// Adds one row. Copies every column: for tests and for single rows.
    pub fn push<'a>(
        &mut self,
        ordinal: u64,
        raw: Option<&str>,
        texts: impl IntoIterator<Item = Option<&'a str>>,
        errors: impl IntoIterator<Item = CellError>,
    ) {
        self.ordinals.push(ordinal);
        self.raw = with_one_more(&self.raw, raw);
        for (column, text) in self.texts.iter_mut().zip(texts) {
            *column = with_one_more(column, text);
        }
        self.push_errors(errors);
    }

    /// Adds the rows of the block behind, whose first record has this ordinal.
    ///
    /// # Errors
    /// If the texts of a column exceed 2 GiB.
    pub fn append(&mut self, other: &Self, first: u64) -> Result<(), arrow::error::ArrowError> {
        if other.is_empty() {
            return Ok(());
        }
        self.ordinals.extend(other.ordinals.iter().map(|ordinal| first + ordinal));
        self.raw = joined(&self.raw, &other.raw)?;
        for (column, more) in self.texts.iter_mut().zip(&other.texts) {
            *column = joined(column, more)?;
        }
        for row in 0..other.len() {
            self.push_errors(other.errors_of(row).iter().cloned());
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.ordinals.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ordinals.is_empty()
    }

    /// The errors of the row with this index among the rejected ones.
    pub fn errors_of(&self, row: usize) -> &[CellError] {
        let (start, end) = self.error_spans[row];
        &self.errors[start as usize..end as usize]
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = self.texts.iter().map(StringArray::get_array_memory_size).sum();
        let errors = self.errors.len() * size_of::<CellError>() + self.error_spans.len() * size_of::<(u32, u32)>();
        texts + errors + self.raw.get_array_memory_size() + self.ordinals.len() * 8
    }
}

/// A column of NULL texts, for a table column that the file does not have.
pub fn no_texts(rows: usize) -> StringArray {
    let nulls = new_null_array(&DataType::Utf8, rows);
    arrow::array::AsArray::as_string::<i32>(&nulls).clone()
}

fn with_one_more(texts: &StringArray, more: Option<&str>) -> StringArray {
    let mut builder = StringBuilder::new();
    texts.iter().chain([more]).for_each(|text| builder.append_option(text));
    builder.finish()
}

fn joined(one: &StringArray, two: &StringArray) -> Result<StringArray, arrow::error::ArrowError> {
    let joined = arrow::compute::concat(&[one, two])?;
    Ok(arrow::array::AsArray::as_string::<i32>(&joined).clone())
}

/// A piece of one file: whole records, decoded into one batch, plus the rejected rows.
///
/// Invariant: `rows.num_rows() + rejected.len() == records`.
#[derive(Clone, Debug)]
pub struct Block {
    /// How many records the block read, good and bad.
    pub records: u64,
    /// The good rows, with the columns of the table schema in order and no provenance columns.
    pub rows: RecordBatch,
    pub rejected: Rejected,
}

impl Block {
    /// Ordinals in the file of the good rows, given the ordinal of the block's first record.
    pub fn row_ordinals(&self, first: u64) -> impl Iterator<Item = u64> + '_ {
        let mut rejected = self.rejected.ordinals.iter().peekable();
        (0..self.records).filter_map(move |ordinal| {
            if rejected.peek() == Some(&&ordinal) {
                rejected.next();
                return None;
            }
            Some(first + ordinal)
        })
    }

    /// For each good row, whether its ordinal in the file is among `only`, which ascend.
    pub fn wanted_rows(&self, first: u64, only: &[u64]) -> Vec<bool> {
        let mut rest = only;
        let is_wanted = |ordinal: u64| {
            rest = &rest[rest.partition_point(|wanted| *wanted < ordinal)..];
            rest.first() == Some(&ordinal)
        };
        self.row_ordinals(first).map(is_wanted).collect()
    }

    /// Bytes of memory, of good and bad rows.
    pub fn memory_bytes(&self) -> usize {
        self.rows.get_array_memory_size() + self.rejected.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn good_rows_keep_the_ordinals_that_they_have_in_the_file() {
        let rows: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let mut rejected = Rejected::none(1);
        for ordinal in [0, 3] {
            rejected.push(ordinal, None, [None], [CellError::of_record("bad")]);
        }
        let rows = RecordBatch::try_from_iter([("a", rows)]).expect("one column");
        let block = Block { records: 5, rows, rejected };
        assert_eq!(block.row_ordinals(10).collect::<Vec<_>>(), [11, 12, 14]);
        assert_eq!(block.wanted_rows(10, &[2, 10, 11, 14, 15]), [true, false, true], "rejected ones are passed over");
    }

    #[test]
    fn rejected_rows_of_two_blocks_are_joined_in_order() {
        let mut first = Rejected::none(1);
        first.push(2, Some("a"), [Some("x")], [CellError::not_of_type(0), CellError::of_record("r")]);
        let mut second = Rejected::none(1);
        second.push(0, None, [None], [CellError::not_of_type(0)]);
        first.append(&second, 7).expect("joins");
        assert_eq!(first.ordinals, [2, 7]);
        assert_eq!((first.errors_of(0).len(), first.errors_of(1).len()), (2, 1));
        assert!(first.texts[0].is_null(1) && first.raw.is_null(1));
        first.push(8, None, [None], [CellError::not_of_type(0)]);
        assert_eq!((first.errors_of(2), first.errors.len()), (&[CellError::not_of_type(0)][..], 3), "shared");
        let many = (0..100).map(|_| CellError::not_of_type(0));
        first.push(9, None, [None], many);
        assert_eq!(first.errors_of(3).len(), ERRORS_PER_ROW);
    }
}
