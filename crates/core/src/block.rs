//! Blocks: the unit of decoded rows.

use arrow::array::RecordBatch;

/// One bad value in a rejected row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellError {
    /// The table column, or empty when the record as a whole is wrong.
    pub column: String,
    /// What is wrong, in the shape `value 'x' on column 'y' is not Int64`.
    pub message: String,
}

/// A record that does not fit the table, with every reason and its raw text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Ordinal of the record in its block, counted from 0 over all records of the block, good and bad.
    pub ordinal: u64,
    /// Why it does not fit. Decoders keep this of the first rejected rows of a block only; for the others it is empty.
    pub errors: Vec<CellError>,
    /// The raw record where the format has one (CSV), cut at [`MAX_RAW_BYTES`]; kept like `errors`.
    pub raw: Option<Vec<u8>>,
}

/// The longest raw record that is kept whole.
pub const MAX_RAW_BYTES: usize = 1 << 20;

/// A piece of one file: whole records, decoded into one batch, plus the rejected rows.
///
/// Invariant: `rows.num_rows() + rejected.len() == records`.
#[derive(Clone, Debug)]
pub struct Block {
    /// How many records the block read, good and bad.
    pub records: u64,
    /// The good rows, with the columns of the table schema in order and no provenance columns.
    pub rows: RecordBatch,
    /// The bad rows, by ascending ordinal.
    pub rejected: Vec<RejectedRow>,
}

impl Block {
    /// Ordinals in the file of the good rows, given the ordinal of the block's first record.
    pub fn row_ordinals(&self, first: u64) -> impl Iterator<Item = u64> + '_ {
        let mut rejected = self.rejected.iter().map(|row| row.ordinal).peekable();
        (0..self.records).filter_map(move |ordinal| {
            if rejected.peek() == Some(&ordinal) {
                rejected.next();
                return None;
            }
            Some(first + ordinal)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn good_rows_keep_the_ordinals_that_they_have_in_the_file() {
        let rows: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let bad = |ordinal| RejectedRow { ordinal, errors: vec![], raw: None };
        let block = Block {
            records: 5,
            rows: RecordBatch::try_from_iter([("a", rows)]).expect("one column"),
            rejected: vec![bad(0), bad(3)],
        };
        assert_eq!(block.row_ordinals(10).collect::<Vec<_>>(), [11, 12, 14]);
    }
}
