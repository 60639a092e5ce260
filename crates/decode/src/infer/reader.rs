//! Records and cells of a sample.
//!
//! Purpose: inference asks what decoding does not: whether a cell was quoted, and how a record ended. The rules are those
//! of decoding (see [`crate::csv`]); a test holds the two against each other.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// One cell, unquoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// A quote opened it.
    pub(super) quoted: bool,
    /// There is text behind the quote that closed it.
    pub(super) has_tail: bool,
}

/// How a record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum End {
    Line,
    /// With the bytes: there may be more of it behind them.
    #[default]
    Input,
    /// With the bytes, while a quote was open.
    InQuotes,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) cells: Vec<Cell<'a>>,
    pub(super) end: End,
    /// Where it begins.
    pub(super) start: usize,
}

impl Record<'_> {
    pub(super) fn to_owned(&self) -> Record<'static> {
        let own = |cell: &Cell<'_>| Cell { text: Cow::Owned(cell.text.to_vec()), ..*cell };
        Record { cells: self.cells.iter().map(own).collect(), end: self.end, start: self.start }
    }
}

/// Reads the records of a text that begins with one. Blank lines are none.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    delimiter: u8,
    quote: Option<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8], delimiter: u8, quote: Option<u8>) -> Self {
        Self { text, at: 0, delimiter, quote }
    }

    /// Reads the next record. False at the end.
    pub(super) fn read(&mut self, record: &mut Record<'a>) -> bool {
        record.cells.clear();
        let blank = |byte: &u8| matches!(byte, b'\n' | b'\r');
        self.at += self.text[self.at..].iter().take_while(|byte| blank(byte)).count();
        if self.at == self.text.len() {
            return false;
        }
        record.start = self.at;
        loop {
            let opened = self.quote.is_some_and(|quote| self.text.get(self.at) == Some(&quote));
            let cell = if opened {
                self.quoted()
            } else {
                Some(Cell { text: Cow::Borrowed(self.unquoted()), quoted: false, has_tail: false })
            };
            let Some(cell) = cell else {
                record.cells.push(Cell { text: Cow::Borrowed(&[]), quoted: true, has_tail: false });
                record.end = End::InQuotes;
                return true;
            };
            record.cells.push(cell);
            match self.text.get(self.at) {
                Some(byte) if *byte == self.delimiter => self.at += 1,
                Some(_) => {
                    record.end = End::Line;
                    return true;
                }
                None => {
                    record.end = End::Input;
                    return true;
                }
            }
        }
    }

    /// The text up to the end of the cell.
    fn unquoted(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = memchr3(self.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The cell that a quote opens; `None` if none closes it.
    fn quoted(&mut self) -> Option<Cell<'a>> {
        let quote = self.text[self.at];
        let mut text = Cow::Borrowed(&self.text[..0]);
        let mut start = self.at + 1;
        loop {
            let Some(length) = memchr(quote, &self.text[start..]) else {
                self.at = self.text.len();
                return None;
            };
            append(&mut text, &self.text[start..start + length]);
            self.at = start + length + 1;
            if self.text.get(self.at) != Some(&quote) {
                break;
            }
            // A doubled quote stands for one.
            append(&mut text, &self.text[self.at..=self.at]);
            start = self.at + 1;
        }
        // What follows the closing quote belongs to the cell, too.
        let tail = self.unquoted();
        append(&mut text, tail);
        Some(Cell { text, quoted: true, has_tail: !tail.is_empty() })
    }
}

fn append<'a>(text: &mut Cow<'a, [u8]>, more: &'a [u8]) {
    if text.is_empty() {
        *text = Cow::Borrowed(more);
    } else if !more.is_empty() {
        text.to_mut().extend_from_slice(more);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], delimiter: u8, quote: Option<u8>) -> Vec<Vec<Vec<u8>>> {
        let mut reader = Reader::new(text, delimiter, quote);
        let mut record = Record::default();
        let mut all = Vec::new();
        while reader.read(&mut record) {
            if record.end != End::InQuotes {
                all.push(record.cells.iter().map(|cell| cell.text.to_vec()).collect());
            }
        }
        all
    }

    proptest! {
        #[test]
        fn records_are_those_of_the_csv_crate(text in "[ab,;\"'\r\n]{0,40}", quote in prop_oneof![Just(Some(b'"')), Just(Some(b'\'')), Just(None)]) {
            let mut builder = ::csv::ReaderBuilder::new();
            builder.has_headers(false).flexible(true).delimiter(b';').quoting(quote.is_some());
            builder.quote(quote.unwrap_or(b'"'));
            let mut wanted: Vec<Vec<Vec<u8>>> = builder
                .from_reader(text.as_bytes())
                .byte_records()
                .map(|record| record.expect("bytes in memory").iter().map(<[u8]>::to_vec).collect())
                .collect();
            let mut reader = Reader::new(text.as_bytes(), b';', quote);
            let mut record = Record::default();
            while reader.read(&mut record) {}
            // The crate makes a record of what an open quote has swallowed.
            if record.end == End::InQuotes {
                wanted.pop();
            }
            prop_assert_eq!(read(text.as_bytes(), b';', quote), wanted);
        }
    }

    #[test]
    fn it_is_known_what_was_quoted_and_how_a_record_ends() {
        let mut reader = Reader::new(b"\"a\"\"b\"c,d,\"\"\r\n\ne,\"open", b',', Some(b'"'));
        let mut record = Record::default();
        assert!(reader.read(&mut record));
        let cells: Vec<(&[u8], bool)> = record.cells.iter().map(|cell| (&*cell.text, cell.quoted)).collect();
        assert_eq!(cells, [(&b"a\"bc"[..], true), (b"d", false), (b"", true)]);
        assert_eq!((record.end, record.start), (End::Line, 0));
        assert!(reader.read(&mut record));
        assert_eq!((record.end, record.start, record.cells.len()), (End::InQuotes, 15, 2));
        assert!(!reader.read(&mut record));
    }
}
