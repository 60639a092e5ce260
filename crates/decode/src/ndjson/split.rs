//! The splitter: a stream of byte pieces becomes blocks of whole lines.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use connector_core::error::Failure;
use memchr::memchr;

use crate::csv::RawBlock;
use crate::error::DecodeError;

/// The longest record that is accepted, in bytes with its line end.
pub const MAX_RECORD_BYTES: usize = 8 << 20;

/// How many cells a block may have. A record of three bytes has as many as the table has columns, so bytes alone do
/// not bound what a block takes once it is decoded.
const CELLS_PER_BLOCK: usize = 4 << 20;

/// Cuts a stream of pieces into blocks of whole lines, in one sequential pass. Nothing but `\n` ends a line: inside a
/// JSON string a line end is always escaped.
///
/// A block that lies within one piece shares its memory; only a block across a border between pieces is copied.
#[derive(Debug)]
pub struct LineSplitter {
    max_record_bytes: usize,
    max_lines: usize,
    pieces: Pieces,
    /// Position and line of the first byte that is in no block yet.
    start: u64,
    start_line: u64,
    /// Position behind the last whole line, and how many lines lie between `start` and it.
    boundary: u64,
    lines: usize,
}

impl LineSplitter {
    /// A splitter for a whole file that goes into a table with this many columns: the more they are, the fewer lines
    /// has a block.
    pub fn new(columns: usize) -> Self {
        Self::with_limit(columns, MAX_RECORD_BYTES)
    }

    /// As [`LineSplitter::new`], with another limit of a record's length.
    pub fn with_limit(columns: usize, max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            max_lines: (CELLS_PER_BLOCK / columns.max(1)).max(1),
            pieces: Pieces::default(),
            start: 0,
            start_line: 1,
            boundary: 0,
            lines: 0,
        }
    }

    /// Adds the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.pieces.push(chunk);
    }

    /// The next block, or `None` if more bytes are needed first. A block holds as many whole lines as fit into
    /// `target_bytes`, and at least one.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`. The splitter is of no use afterwards.
    pub fn next_block(&mut self, target_bytes: usize) -> Result<Option<RawBlock>, Failure> {
        let target = target_bytes.max(1) as u64;
        loop {
            let (before, lines) = (self.boundary, self.lines);
            if before - self.start >= target || lines >= self.max_lines {
                return Ok(Some(self.take(before, lines)));
            }
            if !self.scan_line()? {
                return Ok(None);
            }
            if self.boundary - self.start > target && before > self.start {
                return Ok(Some(self.take(before, lines)));
            }
        }
    }

    /// The rest of the stream after its end: call [`LineSplitter::next_block`] until it returns `None` first, or the
    /// rest is larger than wished.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`.
    pub fn finish(mut self) -> Result<Option<RawBlock>, Failure> {
        while self.scan_line()? {}
        let end = self.pieces.scanned;
        Ok((end > self.start).then(|| self.take(end, self.lines)))
    }

    /// Moves `boundary` behind the next line. False if its end has not been pushed yet.
    fn scan_line(&mut self) -> Result<bool, Failure> {
        let ended = self.pieces.scan_past(b'\n');
        if self.pieces.scanned - self.boundary > self.max_record_bytes as u64 {
            let line = self.start_line + self.lines as u64;
            let (offset, limit, hint) = (self.boundary, self.max_record_bytes, String::new());
            return Err(DecodeError::RecordTooLong { offset, line, limit, hint }.into());
        }
        if ended {
            self.boundary = self.pieces.scanned;
            self.lines += 1;
        }
        Ok(ended)
    }

    /// Takes the bytes up to `end`, which are so many lines.
    fn take(&mut self, end: u64, lines: usize) -> RawBlock {
        let (offset, line) = (self.start, self.start_line);
        self.start = end;
        self.start_line += lines as u64;
        self.lines -= lines;
        RawBlock { bytes: self.pieces.take((end - offset) as usize), offset, line, unterminated: None }
    }
}

/// A queue of byte pieces with a place up to which it has been looked at.
#[derive(Debug, Default)]
struct Pieces {
    queue: VecDeque<Bytes>,
    /// Index of the piece that is scanned next, and the place in it.
    at: (usize, usize),
    /// Bytes of the stream that have been scanned.
    scanned: u64,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.queue.push_back(piece);
        }
    }

    /// Scans on, behind the next `wanted`. False if there is none; then all is scanned.
    fn scan_past(&mut self, wanted: u8) -> bool {
        while let Some(piece) = self.queue.get(self.at.0) {
            let rest = &piece[self.at.1..];
            if let Some(found) = memchr(wanted, rest) {
                self.at.1 += found + 1;
                self.scanned += found as u64 + 1;
                return true;
            }
            self.scanned += rest.len() as u64;
            self.at = (self.at.0 + 1, 0);
        }
        false
    }

    /// The first `wanted` bytes, which have been scanned.
    fn take(&mut self, wanted: usize) -> Bytes {
        if wanted <= self.queue.front().map_or(0, Bytes::len) {
            return self.take_from_front(wanted);
        }
        let mut copied = BytesMut::with_capacity(wanted);
        while copied.len() < wanted && !self.queue.is_empty() {
            let part = self.take_from_front(wanted - copied.len());
            copied.extend_from_slice(&part);
        }
        copied.freeze()
    }

    /// Up to `wanted` bytes of the first piece; the piece itself goes once it is used up.
    fn take_from_front(&mut self, wanted: usize) -> Bytes {
        let Some(front) = self.queue.front_mut() else { return Bytes::new() };
        let part = front.split_to(wanted.min(front.len()));
        let used_up = front.is_empty();
        if self.at.0 == 0 {
            self.at.1 = self.at.1.saturating_sub(part.len());
        }
        if used_up {
            self.queue.pop_front();
            self.at = if self.at.0 == 0 { (0, 0) } else { (self.at.0 - 1, self.at.1) };
        }
        part
    }
}
