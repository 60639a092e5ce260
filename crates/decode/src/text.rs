//! Text formats, for those who only need blocks: a splitter and a decoder, whichever format it is.

use bytes::Bytes;
use connector_core::block::Block;
use connector_core::error::Failure;

use crate::csv::{CsvDecoder, RawBlock, Splitter};
use crate::ndjson::{LineSplitter, NdjsonDecoder};

/// Cuts the bytes of a file into blocks of whole records, in one sequential pass.
#[derive(Debug)]
pub enum TextSplitter {
    Csv(Splitter),
    Ndjson(LineSplitter),
}

impl TextSplitter {
    /// Adds the next bytes of the file: for CSV from behind the header on, for NDJSON from the start.
    pub fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Csv(splitter) => splitter.push(chunk),
            Self::Ndjson(splitter) => splitter.push(chunk),
        }
    }

    /// The next block, or `None` if more bytes are needed first.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`. The splitter is of no use afterwards.
    pub fn next_block(&mut self, target_bytes: usize) -> Result<Option<RawBlock>, Failure> {
        match self {
            Self::Csv(splitter) => splitter.next_block(target_bytes),
            Self::Ndjson(splitter) => splitter.next_block(target_bytes),
        }
    }

    /// The rest of the file after its end; [`TextSplitter::next_block`] has to have returned `None` before, or the rest
    /// is larger than wished.
    ///
    /// # Errors
    /// `Data` with code `record_too_long`.
    pub fn finish(self) -> Result<Option<RawBlock>, Failure> {
        match self {
            Self::Csv(splitter) => splitter.finish(),
            Self::Ndjson(splitter) => splitter.finish(),
        }
    }
}

/// Decodes the blocks of one file. Shared by the threads that decode them.
#[derive(Clone, Debug)]
pub enum TextDecoder {
    Csv(CsvDecoder),
    Ndjson(NdjsonDecoder),
}

impl TextDecoder {
    /// Decodes one block: every record becomes a row or a rejected row.
    ///
    /// # Errors
    /// `Bug` with code `decode_bug` only.
    pub fn decode(&self, block: &RawBlock) -> Result<Block, Failure> {
        match self {
            Self::Csv(decoder) => decoder.decode(block),
            Self::Ndjson(decoder) => decoder.decode(block),
        }
    }
}
