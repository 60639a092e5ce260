//! The splitter: a stream of byte pieces becomes blocks of whole records.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use connector_core::error::Failure;

use super::header::Header;
use super::{CsvOptions, Scanner};
use crate::error::DecodeError;

/// Whole records of a CSV file, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// Whole records with their line ends; only the last record of a file may lack one.
    pub bytes: Bytes,
    /// Position of the first byte: in the file, if the splitter was told where it starts.
    pub offset: u64,
    /// Line of the first byte, counted from 1.
    pub line: u64,
    /// The line of a quote that opens in the last record and is still open at the end of the file: whatever follows it
    /// is in that one record.
    pub unterminated: Option<u64>,
}

/// How many cells a block may have. A record of two bytes has as many as the table has columns, so bytes alone do not
/// bound what a block takes once it is decoded.
const CELLS_PER_BLOCK: usize = 4 << 20;

/// Cuts a stream of pieces into blocks of whole records, in one sequential pass.
///
/// The more columns file or table have, the fewer records has a block: see [`Splitter::for_columns`].
///
/// A block that lies within one piece shares its memory; only a block across a border between pieces is copied.
#[derive(Debug)]
pub struct Splitter {
    scanner: Scanner,
    max_record_bytes: usize,
    /// How many line ends a block may have outside of quotes: its records and the blank lines.
    max_records: usize,
    /// Everything from `start` on, in order.
    pieces: VecDeque<Bytes>,
    /// Index of the piece that is scanned next and the place in it.
    scanning: (usize, usize),
    /// The first byte that is in no block yet.
    start: Place,
    /// Behind the last whole record; the first byte of the record that is scanned now.
    boundary: Place,
    /// How many ends of records and blank lines lie between `start` and `boundary`.
    records: usize,
}

/// A byte of the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    line: u64,
}

impl Splitter {
    /// A splitter for a stream whose first byte counts as position 0 on line 1.
    pub fn new(options: &CsvOptions) -> Self {
        Self::starting_at(options, 0, 1)
    }

    /// A splitter for what follows the header: positions and lines in blocks and errors are those of the file.
    pub fn after_header(options: &CsvOptions, header: &Header) -> Self {
        Self::starting_at(options, header.body_offset as u64, header.body_line).for_columns(header.columns.len())
    }

    /// The splitter for records that go into a table with this many columns: the file may have fewer, and each of the
    /// others takes memory, too.
    #[must_use]
    pub fn for_columns(self, columns: usize) -> Self {
        Self { max_records: self.max_records.min((CELLS_PER_BLOCK / columns.max(1)).max(1)), ..self }
    }

    fn starting_at(options: &CsvOptions, offset: u64, line: u64) -> Self {
        let place = Place { offset, line };
        Self {
            scanner: Scanner::new(options.dialect.delimiter, options.dialect.quote, offset, line),
            max_record_bytes: options.max_record_bytes,
            max_records: CELLS_PER_BLOCK,
            pieces: VecDeque::new(),
            scanning: (0, 0),
            start: place,
            boundary: place,
            records: 0,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.pieces.push_back(chunk);
        }
    }

    /// The next block, or `None` if more bytes are needed first. A block holds as many whole records as fit into
    /// `target_bytes` and into the limit of [`Splitter::for_columns`], and at least one.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`. The splitter is of no use afterwards.
    pub fn next_block(&mut self, target_bytes: usize) -> Result<Option<RawBlock>, Failure> {
        let target = target_bytes.max(1) as u64;
        loop {
            let (before, records) = (self.boundary, self.records);
            let whole = before.offset - self.start.offset;
            if whole >= target || records >= self.max_records {
                return Ok(Some(self.take(before, records)));
            }
            if !self.scan_record()? {
                return Ok(None);
            }
            if self.boundary.offset - self.start.offset > target && whole > 0 {
                return Ok(Some(self.take(before, records)));
            }
        }
    }

    /// The rest of the stream after its end: call [`Splitter::next_block`] until it returns `None` first, or the rest
    /// is larger than wished.
    ///
    /// If the stream ends inside a quoted cell, the block says so.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`.
    pub fn finish(mut self) -> Result<Option<RawBlock>, Failure> {
        while self.scan_record()? {}
        let unterminated = self.scanner.open_quote().map(|(_, line)| line);
        let end = Place { offset: self.scanner.position(), line: self.scanner.line() };
        let rest = (end.offset > self.start.offset).then(|| self.take(end, self.records));
        Ok(rest.map(|block| RawBlock { unterminated, ..block }))
    }

    /// Moves `boundary` behind the next record. False if its end has not been pushed yet.
    fn scan_record(&mut self) -> Result<bool, Failure> {
        while let Some(piece) = self.pieces.get(self.scanning.0) {
            let end = self.scanner.next_end(&piece[self.scanning.1..]);
            if self.scanner.position() - self.boundary.offset > self.max_record_bytes as u64 {
                return Err(self.too_long());
            }
            match end {
                Some(count) => {
                    self.scanning.1 += count;
                    self.boundary = Place { offset: self.scanner.position(), line: self.scanner.line() };
                    self.records += 1;
                    return Ok(true);
                }
                None => self.scanning = (self.scanning.0 + 1, 0),
            }
        }
        Ok(false)
    }

    fn too_long(&self) -> Failure {
        let hint = match self.scanner.open_quote() {
            Some((offset, line)) => format!("; a quote opens at byte {offset} (line {line}) and may never be closed"),
            None => String::new(),
        };
        let Place { offset, line } = self.boundary;
        DecodeError::RecordTooLong { offset, line, limit: self.max_record_bytes, hint }.into()
    }

    /// Takes the bytes from `start` to `end`, which are so many records, out of the pieces.
    fn take(&mut self, end: Place, records: usize) -> RawBlock {
        self.records -= records;
        let Place { offset, line } = std::mem::replace(&mut self.start, end);
        let block = |bytes| RawBlock { bytes, offset, line, unterminated: None };
        let mut wanted = (end.offset - offset) as usize;
        let first = self.pieces.front().map_or(0, Bytes::len);
        if wanted <= first {
            return block(self.take_from_front(wanted));
        }
        let mut copied = BytesMut::with_capacity(wanted);
        while wanted > 0 && !self.pieces.is_empty() {
            let part = self.take_from_front(wanted);
            wanted -= part.len();
            copied.extend_from_slice(&part);
        }
        block(copied.freeze())
    }

    /// Takes up to `wanted` bytes from the first piece, and the piece itself away once it is used up.
    fn take_from_front(&mut self, wanted: usize) -> Bytes {
        let Some(front) = self.pieces.front_mut() else { return Bytes::new() };
        let part = front.split_to(wanted.min(front.len()));
        let used_up = front.is_empty();
        if self.scanning.0 == 0 {
            self.scanning.1 = self.scanning.1.saturating_sub(part.len());
        }
        if used_up {
            self.pieces.pop_front();
            self.scanning.0 = self.scanning.0.saturating_sub(1);
        }
        part
    }
}
