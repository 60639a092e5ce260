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
}

/// Cuts a stream of pieces into blocks of whole records, in one sequential pass.
///
/// A block that lies within one piece shares its memory; only a block across a border between pieces is copied.
#[derive(Debug)]
pub struct Splitter {
    scanner: Scanner,
    max_record_bytes: usize,
    /// Everything from `start` on, in order.
    pieces: VecDeque<Bytes>,
    /// Index of the piece that is scanned next and the place in it.
    scanning: (usize, usize),
    /// Position of the first byte that is in no block yet.
    start: u64,
    /// Position behind the last whole record; the first byte of the record that is scanned now.
    boundary: u64,
    /// Line of `boundary`.
    boundary_line: u64,
}

impl Splitter {
    /// A splitter for a stream whose first byte counts as position 0 on line 1.
    pub fn new(options: &CsvOptions) -> Self {
        Self::starting_at(options, 0, 1)
    }

    /// A splitter for what follows the header: positions and lines in blocks and errors are those of the file.
    pub fn after_header(options: &CsvOptions, header: &Header) -> Self {
        Self::starting_at(options, header.body_offset as u64, header.body_line)
    }

    fn starting_at(options: &CsvOptions, offset: u64, line: u64) -> Self {
        Self {
            scanner: Scanner::new(options.delimiter, options.quote, offset, line),
            max_record_bytes: options.max_record_bytes,
            pieces: VecDeque::new(),
            scanning: (0, 0),
            start: offset,
            boundary: offset,
            boundary_line: line,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.pieces.push_back(chunk);
        }
    }

    /// The next block, or `None` if more bytes are needed first. A block holds as many whole records as fit into
    /// `target_bytes`, and at least one.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`. The splitter is of no use afterwards.
    pub fn next_block(&mut self, target_bytes: usize) -> Result<Option<RawBlock>, Failure> {
        let target = target_bytes.max(1) as u64;
        loop {
            let before = self.boundary;
            if before - self.start >= target {
                return Ok(Some(self.take(before)));
            }
            if !self.scan_record()? {
                return Ok(None);
            }
            if self.boundary - self.start > target && before > self.start {
                return Ok(Some(self.take(before)));
            }
        }
    }

    /// The rest of the stream after its end: call [`Splitter::next_block`] until it returns `None` first, or the rest
    /// is larger than wished.
    ///
    /// # Errors
    /// `Data` with code `unterminated_quote` if the stream ends inside a quoted field, or `record_too_long`.
    pub fn finish(mut self) -> Result<Option<RawBlock>, Failure> {
        while self.scan_record()? {}
        if let Some((offset, line)) = self.scanner.open_quote() {
            return Err(DecodeError::UnterminatedQuote { offset, line }.into());
        }
        let end = self.scanner.position();
        Ok((end > self.start).then(|| self.take(end)))
    }

    /// Moves `boundary` behind the next record. False if its end has not been pushed yet.
    fn scan_record(&mut self) -> Result<bool, Failure> {
        while let Some(piece) = self.pieces.get(self.scanning.0) {
            let end = self.scanner.next_end(&piece[self.scanning.1..]);
            if self.scanner.position() - self.boundary > self.max_record_bytes as u64 {
                return Err(self.too_long());
            }
            match end {
                Some(count) => {
                    self.scanning.1 += count;
                    self.boundary = self.scanner.position();
                    self.boundary_line = self.scanner.line();
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
        let (offset, line) = (self.boundary, self.boundary_line);
        DecodeError::RecordTooLong { offset, line, limit: self.max_record_bytes, hint }.into()
    }

    /// Takes the bytes from `start` to `end` out of the pieces.
    fn take(&mut self, end: u64) -> RawBlock {
        let offset = self.start;
        let mut wanted = (end - offset) as usize;
        self.start = end;
        let first = self.pieces.front().map_or(0, Bytes::len);
        if wanted <= first {
            return RawBlock { bytes: self.take_from_front(wanted), offset };
        }
        let mut copied = BytesMut::with_capacity(wanted);
        while wanted > 0 && !self.pieces.is_empty() {
            let part = self.take_from_front(wanted);
            wanted -= part.len();
            copied.extend_from_slice(&part);
        }
        RawBlock { bytes: copied.freeze(), offset }
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
