//! Which rows of a block are bad, and why: bounded in memory however many rows and columns are.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::error::ArrowError;
use connector_core::block::CellError;

/// Errors that are kept of one row.
const ERRORS_PER_ROW: usize = 32;

/// The errors of one column, by ascending row. Only the first ones say what is wrong.
#[derive(Debug, Default)]
pub(crate) struct ColumnErrors {
    pub(crate) detailed: Vec<(usize, CellError)>,
    /// Bad rows behind those.
    pub(crate) bare: Vec<usize>,
}

/// The errors of the rows of a block. Added column by column.
pub(crate) struct RowErrors {
    good: Vec<bool>,
    bad: usize,
    limit: usize,
    details: BTreeMap<usize, Vec<CellError>>,
}

impl RowErrors {
    /// No error so far in `rows` rows; the first `limit` bad ones will keep details.
    pub(crate) fn new(rows: usize, limit: usize) -> Self {
        Self { good: vec![true; rows], bad: 0, limit, details: BTreeMap::new() }
    }

    /// Adds a column, whose first `limit` errors at least have to be detailed: a bad row that is among the first of the
    /// block is among the first of each column where it is bad.
    pub(crate) fn add(&mut self, errors: ColumnErrors) {
        for (row, error) in errors.detailed {
            self.mark(row);
            let of_row = self.details.entry(row).or_default();
            if of_row.len() < ERRORS_PER_ROW {
                of_row.push(error);
            }
            if self.details.len() > self.limit {
                self.details.pop_last();
            }
        }
        errors.bare.into_iter().for_each(|row| self.mark(row));
    }

    fn mark(&mut self, row: usize) {
        self.bad += usize::from(std::mem::replace(&mut self.good[row], false));
    }

    pub(crate) fn good_count(&self) -> usize {
        self.good.len() - self.bad
    }

    /// Bad rows in ascending order.
    pub(crate) fn bad_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.good.iter().enumerate().filter_map(|(row, good)| (!good).then_some(row))
    }

    /// What is known of a bad row; nothing if it is not among the first.
    pub(crate) fn take(&mut self, row: usize) -> Vec<CellError> {
        self.details.remove(&row).unwrap_or_default()
    }

    /// The good rows of the arrays.
    pub(crate) fn keep_good(&self, arrays: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, ArrowError> {
        if self.bad == 0 {
            return Ok(arrays);
        }
        let good = BooleanArray::from(self.good.clone());
        arrays.iter().map(|array| filter(array, &good)).collect()
    }
}
