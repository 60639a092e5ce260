//! Text behind a closing quote: how it is found, and what is said of it.
//!
//! A quote that should have been doubled ends its cell, and the next quote of the file opens one: in `"b, c` the quote
//! that closes may be lines further down. The rules of quotes make one cell of all that, and nothing tells but the text
//! behind the closing quote.

use std::collections::HashMap;

use connector_core::block::CellError;
use memchr::{memchr_iter, memchr2_iter};

use super::{CsvOptions, RawBlock, Scanner};

/// The first such text of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The record's index in its block.
    pub(super) record: u32,
    /// Where in the block the quote of that cell opens.
    opened: u32,
}

/// Finds all records of a block in which anything but the delimiter, a line end or the end of the file follows a
/// closing quote. `ends`: where each record ends. Stops at quotes only.
pub(super) fn tails(block: &[u8], ends: &[u32], delimiter: u8, quote: u8) -> Vec<Tail> {
    let mut found: Vec<Tail> = Vec::new();
    let mut opened = None;
    let mut second_of_doubled = None;
    for at in memchr_iter(quote, block) {
        if second_of_doubled.take() == Some(at) {
            continue;
        }
        let Some(start) = opened else {
            // Outside of quotes a cell begins exactly behind these.
            let begins = at.checked_sub(1).is_none_or(|before| ends_cell(block[before], delimiter));
            opened = begins.then_some(at);
            continue;
        };
        match block.get(at + 1) {
            Some(next) if *next == quote => second_of_doubled = Some(at + 1),
            next => {
                opened = None;
                if next.is_some_and(|next| !ends_cell(*next, delimiter)) {
                    let record = ends.partition_point(|end| *end as usize <= at) as u32;
                    if found.last().is_none_or(|last| last.record != record) {
                        found.push(Tail { record, opened: start as u32 });
                    }
                }
            }
        }
    }
    found
}

fn ends_cell(byte: u8, delimiter: u8) -> bool {
    byte == delimiter || byte == b'\n' || byte == b'\r'
}

/// Of how many records of a block it is told on which line the quote opens. A message of its own for each record would
/// take more memory than all its cells.
const LINES_TOLD: usize = 256;

/// What is said of the records of one block.
pub(super) struct TailErrors<'b> {
    lines: Lines<'b>,
    told: usize,
    /// By the number of line ends.
    shared: HashMap<usize, CellError>,
}

impl<'b> TailErrors<'b> {
    pub(super) fn new(block: &'b RawBlock, options: &CsvOptions) -> Self {
        Self { lines: Lines::new(block, options), told: 0, shared: HashMap::new() }
    }

    /// The error of one record; `raw`: its bytes. Records have to come in ascending order.
    pub(super) fn of(&mut self, tail: &Tail, raw: &[u8]) -> CellError {
        let count = line_ends(raw);
        // A record on one line has swallowed none, and is found by its number.
        if count > 0 && self.told < LINES_TOLD {
            self.told += 1;
            return error(count, Some(self.lines.of(tail.opened as usize)));
        }
        self.shared.entry(count).or_insert_with(|| error(count, None)).clone()
    }
}

fn error(line_ends: usize, line: Option<u64>) -> CellError {
    let place = line.map(|line| format!(" whose quote opens on line {line} of the file")).unwrap_or_default();
    let swallowed = match line_ends {
        0 => String::new(),
        1 => ": the record has 1 line end in it and may have swallowed the line behind it".to_owned(),
        count => format!(": the record has {count} line ends in it and may have swallowed the lines behind it"),
    };
    CellError::of_record(format!(
        "text stands behind the closing quote of a cell{place}{swallowed}; double each quote within a quoted cell and \
         upload the file again"
    ))
}

/// `\r\n` is one.
fn line_ends(raw: &[u8]) -> usize {
    memchr2_iter(b'\n', b'\r', raw).filter(|at| raw[*at] == b'\n' || raw.get(at + 1) != Some(&b'\n')).count()
}

/// Tells the lines of places in a block, in ascending order.
struct Lines<'b> {
    block: &'b [u8],
    scanner: Scanner,
    /// Where the present record begins, the line of that, and where it ends.
    start: usize,
    line: u64,
    end: usize,
}

impl<'b> Lines<'b> {
    fn new(block: &'b RawBlock, options: &CsvOptions) -> Self {
        let dialect = &options.dialect;
        let scanner = Scanner::new(dialect.delimiter, dialect.quote, block.offset, block.line);
        Self { block: &block.bytes, scanner, start: 0, line: block.line, end: 0 }
    }

    fn of(&mut self, place: usize) -> u64 {
        while self.end <= place {
            (self.start, self.line) = (self.end, self.scanner.line());
            let rest = &self.block[self.start..];
            self.end += self.scanner.next_end(rest).unwrap_or(rest.len()).max(1);
        }
        // Within a record only line feeds count, as for the scanner.
        self.line + memchr_iter(b'\n', &self.block[self.start..place]).count() as u64
    }
}
