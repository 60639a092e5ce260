//! The cells of a block: for each column and row where the text of the value is.

use arrow::array::{StringArray, StringBuilder};
use connector_core::block::no_texts;

use crate::columns::Cell;

/// Where the text of one value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Text {
    #[default]
    Absent,
    Block(u32, u32),
    /// Among the texts that are not in the block as they are: unescaped strings, lists.
    Kept(u32, u32),
}

impl Text {
    /// Blocks and kept texts are smaller than 4 GiB.
    pub(super) fn in_block(start: usize, end: usize) -> Self {
        Self::Block(start as u32, end as u32)
    }
}

/// The cells of all columns, row by row. A column that no row has takes no memory.
#[derive(Debug)]
pub(super) struct Cells {
    /// For each column the texts of the rows so far; rows behind the last one have none.
    columns: Vec<Vec<Text>>,
    kept: Vec<u8>,
    rows: usize,
}

impl Cells {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: vec![Vec::new(); columns], kept: Vec::new(), rows: 0 }
    }

    /// Begins the next row, which has no values yet.
    pub(super) fn next_row(&mut self) {
        self.rows += 1;
    }

    /// Whether the present row has a value in this column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.columns[column].len() == self.rows
    }

    /// Sets the value of the present row.
    pub(super) fn set(&mut self, column: usize, text: Text) {
        let texts = &mut self.columns[column];
        texts.resize(self.rows - 1, Text::Absent);
        texts.push(text);
    }

    /// Keeps a text that is not in the block as it is.
    pub(super) fn keep(&mut self, text: &[u8]) -> Text {
        let before = self.kept.len();
        self.kept.extend_from_slice(text);
        self.kept_since(before)
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// To add a text piece by piece.
    pub(super) fn keeping(&mut self) -> &mut Vec<u8> {
        &mut self.kept
    }

    pub(super) fn kept_since(&self, before: usize) -> Text {
        Text::Kept(before as u32, self.kept.len() as u32)
    }

    pub(super) fn forget_since(&mut self, before: usize) {
        self.kept.truncate(before);
    }

    /// Whether no row has a value in this column.
    pub(super) fn is_absent(&self, column: usize) -> bool {
        self.columns[column].is_empty()
    }

    pub(super) fn column<'c>(&'c self, column: usize, block: &'c [u8]) -> impl ExactSizeIterator<Item = Cell<'c>> {
        (0..self.rows).map(move |row| self.cell(column, row, block))
    }

    fn cell<'c>(&'c self, column: usize, row: usize, block: &'c [u8]) -> Cell<'c> {
        match self.columns[column].get(row) {
            None | Some(Text::Absent) => Cell::Absent,
            Some(Text::Block(start, end)) => Cell::Text(&block[*start as usize..*end as usize]),
            Some(Text::Kept(start, end)) => Cell::Text(&self.kept[*start as usize..*end as usize]),
        }
    }

    /// The texts of some rows as quarantine shows them.
    pub(super) fn texts(&self, column: usize, block: &[u8], rows: &[u32]) -> StringArray {
        if self.is_absent(column) {
            return no_texts(rows.len());
        }
        let mut texts = StringBuilder::new();
        for row in rows {
            match self.cell(column, *row as usize, block) {
                Cell::Absent => texts.append_null(),
                Cell::Text(text) => texts.append_value(String::from_utf8_lossy(text)),
            }
        }
        texts.finish()
    }
}
