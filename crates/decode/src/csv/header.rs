//! The header of a CSV file, and the refusal of what is not UTF-8 text.

use connector_core::error::Failure;

use super::{CsvOptions, Records, Scanner};
use crate::error::DecodeError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The column names of a CSV file, as the file spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub columns: Vec<String>,
    /// Position in the file of the first byte behind the header.
    pub body_offset: usize,
    /// Line of that byte, counted from 1.
    pub body_line: u64,
}

/// Reads the header from the first bytes of a file; `whole_file` says that there are no more. A byte order mark and
/// blank lines before the header are skipped. `None` if the header does not end within these bytes.
///
/// # Errors
/// `Data` with code `no_header` (nothing but line ends), `encoding` (not UTF-8 text), `too_many_columns`,
/// `unterminated_quote` or `record_too_long`.
pub fn read_header(head: &[u8], whole_file: bool, options: &CsvOptions) -> Result<Option<Header>, Failure> {
    refuse_other_encodings(head, whole_file)?;
    let skipped = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    if !whole_file && BYTE_ORDER_MARK.starts_with(head) {
        return Ok(None);
    }
    let mut scanner = Scanner::new(options.delimiter, options.quote, skipped as u64, 1);
    let mut start = skipped;
    loop {
        let found = scanner.next_end(&head[start..]);
        let end = found.map_or(head.len(), |count| start + count);
        refuse_long_record(start, end, &scanner, options)?;
        if found.is_none() && !whole_file {
            return Ok(None);
        }
        if let Some((offset, line)) = scanner.open_quote() {
            return Err(DecodeError::UnterminatedQuote { offset, line }.into());
        }
        let columns = columns_of(&head[start..end], options)?;
        if !columns.is_empty() {
            refuse_other_delimiters(&columns)?;
            return Ok(Some(Header { columns, body_offset: end, body_line: scanner.line() }));
        }
        if found.is_none() {
            return Err(DecodeError::NoHeader.into());
        }
        start = end;
    }
}

/// A header without a comma that has another usual delimiter is one column by mistake.
fn refuse_other_delimiters(columns: &[String]) -> Result<(), Failure> {
    let [only] = columns else { return Ok(()) };
    match only.chars().find(|letter| matches!(letter, ';' | '\t' | '|')) {
        Some(delimiter) => {
            Err(DecodeError::OtherDelimiter { delimiter, header: only.chars().take(100).collect() }.into())
        }
        None => Ok(()),
    }
}

fn refuse_long_record(start: usize, end: usize, scanner: &Scanner, options: &CsvOptions) -> Result<(), Failure> {
    let limit = options.max_record_bytes;
    if end - start <= limit {
        return Ok(());
    }
    let hint = "; it is the header".to_owned();
    Err(DecodeError::RecordTooLong { offset: start as u64, line: scanner.line(), limit, hint }.into())
}

/// The cells of one record; none for a blank line.
fn columns_of(record: &[u8], options: &CsvOptions) -> Result<Vec<String>, Failure> {
    let mut cells = Vec::new();
    Records::new(options).for_each(record, |found| cells = found.cells().map(<[u8]>::to_vec).collect());
    if cells.len() > options.max_columns {
        return Err(DecodeError::TooManyColumns { found: cells.len(), limit: options.max_columns }.into());
    }
    cells.into_iter().map(|cell| String::from_utf8(cell).map_err(|error| not_utf8(error.as_bytes()))).collect()
}

fn not_utf8(name: &[u8]) -> Failure {
    let shown: String = String::from_utf8_lossy(name).chars().take(100).flat_map(char::escape_default).collect();
    let found = format!("the column name '{shown}' in its header has invalid bytes (perhaps latin-1)");
    DecodeError::Encoding { found }.into()
}

/// Names what a file is if its first bytes say that it is not UTF-8 text.
fn refuse_other_encodings(head: &[u8], whole_file: bool) -> Result<(), Failure> {
    let known: [(&[u8], &str); 8] = [
        (b"\xFF\xFE\0\0", "it is utf-32 (little endian, by its byte order mark)"),
        (b"\0\0\xFE\xFF", "it is utf-32 (big endian, by its byte order mark)"),
        (b"\xFF\xFE", "it is utf-16 (little endian, by its byte order mark)"),
        (b"\xFE\xFF", "it is utf-16 (big endian, by its byte order mark)"),
        (b"\x1F\x8B", "it is gzip data (by its first bytes)"),
        (b"\x28\xB5\x2F\xFD", "it is zstd data (by its first bytes)"),
        (b"PK\x03\x04", "it is a zip archive (by its first bytes)"),
        (b"PAR1", "it is a parquet file (by its first bytes)"),
    ];
    // Four letters of text may be the name of a column; binary magic never is.
    let is_it = |magic: &[u8]| head.starts_with(magic) && (magic != b"PAR1" || head[4..].contains(&0));
    let found = known.iter().find(|(magic, _)| is_it(magic)).map(|(_, name)| *name);
    match found.or_else(|| nul_pattern(head, whole_file)) {
        Some(name) => Err(DecodeError::Encoding { found: name.to_owned() }.into()),
        None => Ok(()),
    }
}

/// UTF-16 and UTF-32 without a byte order mark show in the places of their NUL bytes. A NUL within the first line is
/// refused in any case; further on it is a cell's own business.
fn nul_pattern(head: &[u8], whole_file: bool) -> Option<&'static str> {
    let line = memchr::memchr2(b'\n', b'\r', head).unwrap_or(head.len());
    // UTF-16 in big endian has a NUL before its line end, and in little endian one after.
    let shown = &head[..head.len().min(line + 4).min(4096)];
    if !shown.contains(&0) || (shown.len() < 4 && !whole_file) {
        return None;
    }
    let at = |rest: usize| {
        let places = shown.iter().skip(rest).step_by(4);
        let (nul, all) = (places.clone().filter(|byte| **byte == 0).count(), places.count());
        all > 0 && nul * 4 >= all * 3
    };
    match [at(0), at(1), at(2), at(3)] {
        [true, true, true, true] => Some("it is binary data (it begins with NUL bytes)"),
        [false, true, true, true] => Some("it looks like utf-32 (little endian, no byte order mark)"),
        [true, true, true, false] => Some("it looks like utf-32 (big endian, no byte order mark)"),
        [false, true, false, true] => Some("it looks like utf-16 (little endian, no byte order mark)"),
        [true, false, true, false] => Some("it looks like utf-16 (big endian, no byte order mark)"),
        _ if head[..line].contains(&0) => Some("it is binary data (a NUL byte in its first line)"),
        _ => None,
    }
}
