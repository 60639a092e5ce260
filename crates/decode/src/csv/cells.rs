//! The cells of all records of a block.

use std::borrow::Cow;

use arrow::array::{StringArray, StringBuilder};
use connector_core::block::MAX_RAW_BYTES;
use connector_core::error::Failure;
use memchr::memchr;

use super::quoted::quoted_cells;
use super::tails::{Tail, tails};
use super::{CsvOptions, RawBlock, Records};
use crate::columns::Cell;
use crate::error::DecodeError;

/// The largest block: its positions fit into 32 bits, and its texts into one array even if every byte of them has to
/// be replaced by the three of U+FFFD.
const MAX_BLOCK_BYTES: usize = 512 << 20;

/// The cells of a block, record by record.
pub(super) struct Cells<'b> {
    block: &'b [u8],
    /// All cells, one after the other.
    text: Vec<u8>,
    /// Where each cell ends in `text`, with a zero in front.
    ends: Vec<u32>,
    /// For each record the index of its first cell, and at last the number of cells.
    first: Vec<u32>,
    /// For each record where in the block its bytes end.
    spans: Vec<u32>,
    /// Indices of the cells that look like no value, but were quoted; ascending.
    quoted: Vec<u32>,
    /// What is wrong with the quotes of records; by record, ascending.
    tails: Vec<Tail>,
    nulls: Vec<&'b [u8]>,
    /// The last record ends with the file, inside a quoted cell.
    cut: bool,
}

impl<'b> Cells<'b> {
    pub(super) fn read(block: &'b RawBlock, options: &'b CsvOptions) -> Result<Self, Failure> {
        let bytes: &[u8] = &block.bytes;
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(DecodeError::Internal { reason: format!("a block of {} bytes", bytes.len()) }.into());
        }
        let mut cells = Self {
            block: bytes,
            text: Vec::with_capacity(bytes.len()),
            ends: vec![0],
            first: vec![0],
            spans: Vec::new(),
            quoted: Vec::new(),
            tails: Vec::new(),
            nulls: options.dialect.nulls.iter().map(String::as_bytes).collect(),
            cut: block.unterminated.is_some(),
        };
        let delimiter = options.dialect.delimiter;
        let quote = options.dialect.quote.filter(|quote| memchr(*quote, bytes).is_some());
        Records::new(options).for_each(bytes, |record| {
            let base = cells.text.len() as u32;
            cells.text.extend_from_slice(record.text());
            cells.ends.extend(record.ends().iter().map(|end| base + *end as u32));
            cells.spans.push(record.span.end as u32);
            if let Some(quote) = quote {
                cells.note_quoted(&bytes[record.span], delimiter, quote);
            }
            cells.first.push(cells.ends.len() as u32 - 1);
        });
        if let Some(quote) = quote {
            cells.tails = tails(bytes, &cells.spans, delimiter, quote);
        }
        Ok(cells)
    }

    /// Looks again at the record that was added last, if it has a quote and a cell that looks like no value.
    fn note_quoted(&mut self, raw: &[u8], delimiter: u8, quote: u8) {
        let start = self.first[self.spans.len() - 1] as usize;
        let count = self.ends.len() - 1 - start;
        if memchr(quote, raw).is_none() || !(start..start + count).any(|index| self.is_no_value(self.text_of(index))) {
            return;
        }
        let mut quoted = std::mem::take(&mut self.quoted);
        quoted_cells(raw, delimiter, quote, |index| {
            if index < count && self.is_no_value(self.text_of(start + index)) {
                quoted.push((start + index) as u32);
            }
        });
        self.quoted = quoted;
    }

    /// Whether a text stands for no value if it is not quoted.
    fn is_no_value(&self, text: &[u8]) -> bool {
        text.is_empty() || self.nulls.contains(&text)
    }

    pub(super) fn records(&self) -> usize {
        self.spans.len()
    }

    /// How many cells a record has.
    pub(super) fn width(&self, record: usize) -> usize {
        (self.first[record + 1] - self.first[record]) as usize
    }

    /// How many cells the widest of these records has.
    pub(super) fn widest(&self, records: &[u32]) -> usize {
        records.iter().map(|record| self.width(*record as usize)).max().unwrap_or(0)
    }

    /// Records with text behind a closing quote, ascending.
    pub(super) fn tails(&self) -> &[Tail] {
        &self.tails
    }

    /// Where the cells of these records begin, or of all: what [`Cells::column`] asks for.
    pub(super) fn starts(&self, records: Option<&[u32]>) -> Cow<'_, [u32]> {
        match records {
            None => Cow::Borrowed(&self.first[..self.records()]),
            Some(records) => records.iter().map(|record| self.first[*record as usize]).collect(),
        }
    }

    /// The cells of one column of the file, of records that all have it. `nulls`: whether null spellings hold.
    pub(super) fn column<'c>(
        &'c self,
        starts: &'c [u32],
        column: usize,
        nulls: bool,
    ) -> impl ExactSizeIterator<Item = Cell<'c>> {
        starts.iter().map(move |start| self.cell_at(*start as usize + column, nulls))
    }

    /// One cell; absent if the record ends before it.
    pub(super) fn cell(&self, record: usize, column: usize, nulls: bool) -> Cell<'_> {
        if column >= self.width(record) {
            return Cell::Absent;
        }
        self.cell_at(self.first[record] as usize + column, nulls)
    }

    fn cell_at(&self, index: usize, nulls: bool) -> Cell<'_> {
        let text = self.text_of(index);
        let no_value = text.is_empty() || (nulls && self.nulls.contains(&text));
        if no_value && !self.is_quoted(index) { Cell::Absent } else { Cell::Text(text) }
    }

    fn text_of(&self, index: usize) -> &[u8] {
        &self.text[self.ends[index] as usize..self.ends[index + 1] as usize]
    }

    fn is_quoted(&self, index: usize) -> bool {
        self.quoted.binary_search(&(index as u32)).is_ok()
    }

    /// The texts of one column of the file for these records: as the file has them, with bytes that are not UTF-8
    /// replaced; NULL where the record ends before the column.
    pub(super) fn texts(&self, column: usize, records: &[u32]) -> StringArray {
        let mut texts = StringBuilder::new();
        for record in records {
            let record = *record as usize;
            if column < self.width(record) {
                let text = self.text_of(self.first[record] as usize + column);
                texts.append_value(String::from_utf8_lossy(text));
            } else {
                texts.append_null();
            }
        }
        texts.finish()
    }

    /// A record as the file has it, without the line ends around it. `None` if it is longer than [`MAX_RAW_BYTES`] or
    /// not UTF-8.
    pub(super) fn raw(&self, record: usize) -> Option<&'b str> {
        let raw = self.bytes(record);
        if raw.len() > MAX_RAW_BYTES { None } else { std::str::from_utf8(raw).ok() }
    }

    /// The bytes of a record without the line ends around it.
    pub(super) fn bytes(&self, record: usize) -> &'b [u8] {
        let start = record.checked_sub(1).map_or(0, |previous| self.spans[previous] as usize);
        let mut raw = &self.block[start..self.spans[record] as usize];
        // A blank line before a record is no record; inside of one, a line end is quoted.
        while let [b'\n' | b'\r', rest @ ..] = raw {
            raw = rest;
        }
        let cut = self.cut && record + 1 == self.records();
        if let ([rest @ .., b'\n' | b'\r'], false) = (raw, cut) {
            raw = rest;
        }
        raw
    }
}
