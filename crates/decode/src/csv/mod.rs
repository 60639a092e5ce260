//! CSV: header, splitting at record boundaries, and decoding.
//!
//! A file is read in three steps: [`read_header`] on its first bytes; one sequential [`Splitter`] that cuts the rest
//! into blocks of whole records, in order; and a [`CsvDecoder`] that turns blocks into typed rows, many at a time.
//!
//! The rules are those of the `csv` crate, for any [`CsvDialect`]:
//! - A quote opens a quoted cell only as the very first byte of a cell. Inside, a doubled quote stands for one, and
//!   nothing else is special: a backslash is a backslash. Text behind the closing quote continues the cell unquoted, so
//!   that one quote too many turns lines into parts of a cell: a record with such text is rejected as a whole, with its
//!   raw text and the number of line ends in it. (In a sample it is read; a header may have it.)
//! - Records end with `\n`, `\r` or `\r\n`, also mixed in one file; a line end within quotes is text. NEL (U+0085) and
//!   other Unicode line ends are text.
//! - Blank lines are no records, in any file: they are counted nowhere. So a file with one column writes an empty value
//!   as `""`.
//! - Every byte of a cell is kept, also spaces, NUL and a byte order mark that does not begin the file.
//! - An unquoted empty cell has no value, and neither has an unquoted one that equals a null spelling of the dialect.
//!   A quoted cell always has a value, except that an empty one counts as none where a type has no empty text.

mod cells;
mod decode;
mod encoding;
mod header;
mod quoted;
mod records;
mod scan;
mod split;
mod tails;

use connector_core::csv::CsvDialect;

pub use decode::CsvDecoder;
pub use header::{Header, read_header};
pub use split::{RawBlock, Splitter};

pub(crate) use encoding::refuse_other_encodings;
pub(crate) use records::Records;
pub(crate) use scan::Scanner;

/// How a CSV file is written, and what is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    pub dialect: CsvDialect,
    /// The longest record that is accepted, in bytes with its line end.
    pub max_record_bytes: usize,
    /// The most columns of a file.
    pub max_columns: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self::new(CsvDialect::default())
    }
}

impl CsvOptions {
    /// Records of up to 8 MiB with up to 2,000 columns.
    pub fn new(dialect: CsvDialect) -> Self {
        Self { dialect, max_record_bytes: 8 << 20, max_columns: 2_000 }
    }

    /// The machine that reads blocks: it tells where each record is. It has already read something, so that it takes
    /// a byte order mark for what it is in the middle of a file: text.
    fn reader(&self) -> csv_core::Reader {
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(self.dialect.delimiter);
        match self.dialect.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let mut reader = builder.build();
        reader.read_record(b"\n", &mut [], &mut []);
        reader.set_line(1);
        reader
    }
}
