//! CSV: header, splitting at record boundaries, and decoding.
//!
//! A file is read in three steps: [`read_header`] on its first bytes; one sequential [`Splitter`] that cuts the rest
//! into blocks of whole records, in order; and a [`CsvDecoder`] that turns blocks into typed rows, many at a time.
//!
//! The dialect is the one of the `csv` crate: a quote opens a quoted field only at the very start of a field, a
//! doubled quote stands for one, text after the closing quote continues the field unquoted, records end with `\n`,
//! `\r` or `\r\n`. Blank lines are not records, also in a file with one column. Every byte of a cell is kept as it is.

mod decode;
mod header;
mod records;
mod scan;
mod split;

pub use decode::CsvDecoder;
pub use header::{Header, read_header};
pub use split::{RawBlock, Splitter};

pub(crate) use records::Records;
pub(crate) use scan::Scanner;

/// How a CSV file is written, and what is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub quote: u8,
    /// The longest record that is accepted, in bytes with its line end.
    pub max_record_bytes: usize,
    pub max_columns: usize,
    /// Whether the schema comes from inference. Then a cell of an Int64, Float64 or Bool column has to be one that
    /// inference itself takes for that type, so that no later value changes silently: `02134` is no Int64.
    pub inferred: bool,
    /// How many rejected rows of a block keep their errors and raw text: the first ones. All others keep their ordinal
    /// only, so that memory stays bounded however many rows are bad.
    pub rejected_details: usize,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            max_record_bytes: 8 << 20,
            max_columns: 2_000,
            inferred: false,
            rejected_details: 1_000,
        }
    }
}

impl CsvOptions {
    /// A reader of whole records, for samples: comfortable, and lenient about ragged records.
    pub(crate) fn buffered_reader<'a>(&self, sample: &'a [u8]) -> ::csv::Reader<&'a [u8]> {
        let mut builder = ::csv::ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(self.delimiter).quote(self.quote).from_reader(sample)
    }

    /// The machine below it, for blocks: it tells where each record is. It has already read something, so that it takes
    /// a byte order mark for what it is in the middle of a file: text.
    fn reader(&self) -> csv_core::Reader {
        let mut reader = csv_core::ReaderBuilder::new().delimiter(self.delimiter).quote(self.quote).build();
        reader.read_record(b"\n", &mut [], &mut []);
        reader.set_line(1);
        reader
    }
}
