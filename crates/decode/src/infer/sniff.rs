//! Sniffing: delimiter and quote of a file, from how well its records agree on a number of fields.
//!
//! The comma and `"` are believed unless something else is clearly right: a wrong guess would be fixed for all files of
//! the import. That a file has no quotes is never guessed, as one stray quote looks just like it. Whatever is configured
//! is not guessed at all.

use std::collections::BTreeMap;

use connector_core::csv::CsvSettings;

use super::reader::{End, Reader, Record};
use crate::error::DecodeError;
use crate::value::{plain, time, trimmed};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const DOUBLE: u8 = b'"';
const SINGLE: u8 = b'\'';
/// Bytes and records that are looked at: the columns are inferred from more.
const LOOKED_AT: usize = 256 << 10;
const RECORDS: usize = 5_000;
/// Cells in `'` that are no accident.
const SINGLE_QUOTED: usize = 3;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What was found out, or configured.
pub(super) struct Sniffed {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    /// The records say that the header is further down.
    pub(super) preamble: Option<DecodeError>,
}

/// The text of a file: behind a byte order mark and the lines that are not read.
pub(super) fn text(head: &[u8], skip_lines: u32) -> &[u8] {
    let mut text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    for _ in 0..skip_lines {
        let Some(end) = memchr::memchr2(b'\n', b'\r', text) else { return &[] };
        let crlf = text[end] == b'\r' && text.get(end + 1) == Some(&b'\n');
        text = &text[end + 1 + usize::from(crlf)..];
    }
    text
}

/// Finds out how a file is written.
pub(super) fn dialect(head: &[u8], whole_file: bool, settings: &CsvSettings) -> Sniffed {
    let text = text(head, settings.skip_lines.unwrap_or(0));
    let whole = whole_file && text.len() <= LOOKED_AT;
    let text = &text[..text.len().min(LOOKED_AT)];
    let candidates: Vec<u8> = settings.delimiter.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
    let read = |quote| -> Vec<Reading> {
        candidates.iter().map(|delimiter| Reading::new(text, whole, *delimiter, quote)).collect()
    };
    let mut quote = settings.quote.unwrap_or(Some(DOUBLE));
    let mut readings = read(quote);
    if settings.quote.is_none() {
        let found = read(Some(SINGLE));
        if best(&found).is_single_quoted(best(&readings)) {
            (quote, readings) = (Some(SINGLE), found);
        }
    }
    let chosen = best(&readings);
    let preamble = if settings.skip_lines.is_none() { preamble(chosen, &readings) } else { None };
    Sniffed { delimiter: chosen.delimiter, quote, preamble }
}

/// What says that the header is further down. A reading that does not divide the records may be the wrong one.
fn preamble(chosen: &Reading, readings: &[Reading]) -> Option<DecodeError> {
    if let Some(delimiter) = separator_line(&chosen.first_line) {
        let named = readings.iter().find(|reading| reading.delimiter == delimiter).unwrap_or(chosen);
        return named.usual_width().map(|usual| named.preamble_before(usual));
    }
    match chosen.divides() {
        true => chosen.preamble(),
        false if chosen.is_decimal_column() => None,
        false => readings.iter().find_map(Reading::preamble),
    }
}

/// The delimiter that Excel names in a first line such as `sep=;`.
fn separator_line(line: &[u8]) -> Option<u8> {
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [name @ .., b'=', delimiter] if name.eq_ignore_ascii_case(b"sep") => Some(*delimiter),
        _ => None,
    }
}

/// A text as records, with one delimiter and one quote.
#[derive(Clone, Debug, Default)]
struct Reading {
    delimiter: u8,
    quote: Option<u8>,
    /// Fields of the first record.
    width: usize,
    records: usize,
    /// Records with as many fields as the first one.
    agreeing: usize,
    /// Records of more than one field.
    divided: usize,
    /// Values behind the first record, how many of them are numbers (with a decimal comma or without), and how many have
    /// a comma in them, as numbers and as others.
    values: usize,
    numbers: usize,
    /// Values behind the first record that are of a type other than String.
    typed: usize,
    comma_numbers: usize,
    comma_texts: usize,
    /// Cells in quotes, with nothing behind the closing one and no line end between.
    quoted: usize,
    /// Other cells with a quote in them, or around a part of them.
    odd: usize,
    /// The text has a `"`.
    has_double: bool,
    /// An open quote at the end swallows the rest.
    open: bool,
    /// How often each number of fields comes behind the first record, with the line of the first of them.
    widths: BTreeMap<usize, (usize, usize)>,
    /// The line with which the first record begins.
    first_line: Vec<u8>,
}

/// Most records behind the first have a number of fields in common.
#[derive(Clone, Copy, Debug)]
struct UsualWidth {
    fields: usize,
    count: usize,
    /// Of the first of them.
    line: usize,
}

/// The reading that is right, most likely. There is at least one.
fn best(readings: &[Reading]) -> &Reading {
    // `max_by` keeps the last of equals, which here is the first in the order of the candidates.
    let divided = readings.iter().rev().filter(|reading| reading.divides()).max_by(|one, two| one.compare(two));
    // What is right behind it does not help a header that is wrong.
    let header = || readings.iter().find(|reading| reading.width > 1);
    let single = || readings.iter().rev().max_by(|one, two| one.compare_as_single(two));
    divided.or_else(header).or_else(single).unwrap_or(&readings[0])
}

impl Reading {
    fn new(text: &[u8], whole: bool, delimiter: u8, quote: Option<u8>) -> Self {
        let has_double = memchr::memchr(DOUBLE, text).is_some();
        let mut reading = Self { delimiter, quote, has_double, ..Self::default() };
        let mut reader = Reader::new(text, delimiter, quote);
        let mut record = Record::default();
        // A record that the sample cuts tells nothing, unless it is the first.
        while reading.records < RECORDS && reader.read(&mut record) {
            reading.open = record.end == End::InQuotes;
            if reading.records == 0 || whole || record.end == End::Line {
                reading.note(&record, text);
            }
        }
        reading
    }

    fn note(&mut self, record: &Record<'_>, text: &[u8]) {
        let width = record.cells.len();
        self.records += 1;
        self.divided += usize::from(width > 1);
        if self.records == 1 {
            self.width = width;
            let end = memchr::memchr2(b'\n', b'\r', &text[record.start..]).map(|length| record.start + length);
            self.first_line = text[record.start..end.unwrap_or(text.len())].to_vec();
        } else {
            let next = self.widths.entry(width).or_insert_with(|| (0, line_of(text, record.start)));
            next.0 += 1;
        }
        self.agreeing += usize::from(width == self.width && record.end != End::InQuotes);
        for cell in &record.cells {
            let neat = cell.quoted && !cell.has_tail && memchr::memchr2(b'\n', b'\r', &cell.text).is_none();
            self.quoted += usize::from(neat);
            let has_quote = |quote: u8| memchr::memchr(quote, &cell.text).is_some();
            self.odd += usize::from(if cell.quoted { !neat } else { self.quote.is_some_and(has_quote) });
            if self.records > 1 && !cell.text.is_empty() {
                self.note_value(&cell.text);
            }
        }
    }

    fn note_value(&mut self, text: &[u8]) {
        self.values += 1;
        let comma = text.contains(&b',');
        let comma_number = comma && is_comma_number(text);
        self.comma_numbers += usize::from(comma_number);
        self.comma_texts += usize::from(comma && !comma_number);
        let number = plain::float64(text).is_some();
        self.numbers += usize::from(comma_number || number);
        let is_time = || time::date(text).is_some() || time::timestamp(text, 6).is_some();
        self.typed += usize::from(number || plain::boolean(text).is_some() || is_time());
    }

    /// Whether the delimiter divides the records: the first one, and most others, into as many fields or others.
    fn divides(&self) -> bool {
        self.width > 1 && (self.agreeing * 2 >= self.records || self.divided * 2 > self.records)
    }

    /// By agreement. If it is the same, the comma loses to a delimiter between whose marks it is but a decimal comma. If
    /// all agree, that delimiter wins which divides more: commas in the names and values of a file with another delimiter
    /// may be as many in every record. Then the one with more values that are no plain text.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let agreement = (self.agreeing * other.records).cmp(&(other.agreeing * self.records));
        let decimal = self.has_decimal_commas(other).cmp(&other.has_decimal_commas(self));
        let fields = match self.agreeing == self.records && other.agreeing == other.records {
            true => self.width.cmp(&other.width).then(self.typed.cmp(&other.typed)),
            false => std::cmp::Ordering::Equal,
        };
        agreement.then(decimal).then(fields)
    }

    fn has_decimal_commas(&self, comma: &Self) -> bool {
        let cleaner = self.numbers * comma.values > comma.numbers * self.values;
        comma.delimiter == b',' && self.comma_numbers > 0 && self.comma_texts == 0 && cleaner
    }

    /// Of readings in one column that is the best which divides no record.
    fn compare_as_single(&self, other: &Self) -> std::cmp::Ordering {
        let undivided = |reading: &Self| (reading.width == 1, reading.records - reading.divided);
        let share = |reading: &Self, of: &Self| undivided(reading).1 * of.records;
        (self.width == 1).cmp(&(other.width == 1)).then(share(self, other).cmp(&share(other, self)))
    }

    /// The number of fields that most records behind the first have.
    fn usual_width(&self) -> Option<UsualWidth> {
        let (fields, (count, line)) = self.widths.iter().max_by_key(|(_, (count, _))| *count)?;
        Some(UsualWidth { fields: *fields, count: *count, line: *line })
    }

    /// Most records behind the first have the same number of fields, and the first has but one; or it has others, as no
    /// record behind it has. (A record that is too short or too long here and there makes no preamble of a header.)
    fn preamble(&self) -> Option<DecodeError> {
        let usual = self.usual_width().filter(|usual| usual.fields > 1 && usual.count > 1)?;
        let found = match self.width {
            1 => usual.count * 2 > self.records - 1,
            width => !self.widths.contains_key(&width) && usual.count * 2 > self.records,
        };
        found.then(|| self.preamble_before(usual))
    }

    fn preamble_before(&self, usual: UsualWidth) -> DecodeError {
        DecodeError::Preamble {
            first: super::observed::shown_bytes(&self.first_line),
            delimiter: char::from(self.delimiter),
            fields: usual.fields,
            count: usual.count,
            behind: self.records - 1,
            line: usual.line,
        }
    }

    /// One column of numbers with a comma in them.
    fn is_decimal_column(&self) -> bool {
        self.divided == 0 && self.values > 0 && self.comma_numbers == self.values
    }

    /// For a reading with `'` as its quote: it is there whole cells at a time, never otherwise, and for much of the file
    /// or where it is needed.
    fn is_single_quoted(&self, usual: &Self) -> bool {
        let neat = self.quote == Some(SINGLE)
            && self.quoted >= SINGLE_QUOTED
            && self.odd == 0
            && !self.open
            && !self.has_double;
        let agrees = self.width > 1 && self.agreeing == self.records;
        neat && agrees && (self.quoted * 2 >= self.records || usual.agreeing < usual.records)
    }
}

/// The line in which this byte is, counted from 1.
fn line_of(text: &[u8], at: usize) -> usize {
    let text = &text[..at];
    let returns = memchr::memchr_iter(b'\r', text).filter(|at| text.get(at + 1) != Some(&b'\n')).count();
    1 + memchr::memchr_iter(b'\n', text).count() + returns
}

/// A number with a comma in it, decimal or between thousands.
fn is_comma_number(text: &[u8]) -> bool {
    let text = trimmed(text);
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let allowed = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b',' | b'.' | b' ' | b'\'');
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(allowed)
}
