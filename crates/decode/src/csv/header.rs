//! The header of a CSV file, or what stands for it in a file without one.

use connector_core::csv::column_of_position;
use connector_core::error::Failure;
use connector_core::quarantine::shown;

use super::encoding::{not_utf8, refuse_other_encodings};
use super::{CsvOptions, Records, Scanner};
use crate::error::DecodeError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The columns of a CSV file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// As the file spells them; `column_1`, `column_2`, … for the cells of the first record of a file without a header.
    pub columns: Vec<String>,
    /// Position in the file of the first byte behind the header; without one, of the first record.
    pub body_offset: usize,
    /// Line of that byte, counted from 1.
    pub body_line: u64,
}

/// Reads the header from the first bytes of a file; `whole_file` says that there are no more. A byte order mark, then
/// the lines that the dialect skips (whatever is in them), then blank lines are passed over. `None` if the header does
/// not end within these bytes.
///
/// # Errors
/// `Data` with code `no_header` (nothing but line ends), `encoding` (not UTF-8 text), `too_many_columns`,
/// `unterminated_quote`, `record_too_long`, or `delimiter` (one column whose name has another usual delimiter in it).
pub fn read_header(head: &[u8], whole_file: bool, options: &CsvOptions) -> Result<Option<Header>, Failure> {
    refuse_other_encodings(head, whole_file, options.dialect.header)?;
    if !whole_file && BYTE_ORDER_MARK.starts_with(head) {
        return Ok(None);
    }
    let mark = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let Some(mut start) = skip_lines(head, mark, whole_file, options)? else { return Ok(None) };
    let first_line = 1 + u64::from(options.dialect.skip_lines);
    let mut scanner = Scanner::new(options.dialect.delimiter, options.dialect.quote, start as u64, first_line);
    loop {
        let line = scanner.line();
        let found = scanner.next_end(&head[start..]);
        let end = found.map_or(head.len(), |count| start + count);
        refuse_long_record(start, end, line, options)?;
        if found.is_none() && !whole_file {
            return Ok(None);
        }
        if let Some((offset, line)) = scanner.open_quote() {
            return Err(DecodeError::UnterminatedQuote { offset, line }.into());
        }
        let cells = cells_of(&head[start..end], options)?;
        if !cells.is_empty() && !options.dialect.header {
            let columns = (0..cells.len()).map(column_of_position).collect();
            return Ok(Some(Header { columns, body_offset: start, body_line: line }));
        }
        if !cells.is_empty() {
            let columns = names_of(cells)?;
            refuse_other_delimiters(&columns, &head[start..end], options)?;
            return Ok(Some(Header { columns, body_offset: end, body_line: scanner.line() }));
        }
        if found.is_none() {
            return Err(DecodeError::NoHeader.into());
        }
        start = end;
    }
}

/// Where the first line that is read begins. Lines are those between line ends: quotes mean nothing in them.
fn skip_lines(head: &[u8], start: usize, whole_file: bool, options: &CsvOptions) -> Result<Option<usize>, Failure> {
    let mut at = start;
    for line in 0..options.dialect.skip_lines {
        let end = memchr::memchr2(b'\n', b'\r', &head[at..]).map(|distance| at + distance);
        refuse_long_record(at, end.unwrap_or(head.len()), 1 + u64::from(line), options)?;
        at = match end {
            Some(end) if head[end..].starts_with(b"\r\n") => end + 2,
            Some(end) => end + 1,
            None if whole_file => return Err(DecodeError::NoHeader.into()),
            None => return Ok(None),
        };
    }
    Ok(Some(at))
}

/// A header in one piece that has another usual delimiter is one column by mistake. One in quotes is meant so.
fn refuse_other_delimiters(columns: &[String], record: &[u8], options: &CsvOptions) -> Result<(), Failure> {
    let [only] = columns else { return Ok(()) };
    let quoted = options.dialect.quote.is_some() && record.first().copied() == options.dialect.quote;
    let expected = char::from(options.dialect.delimiter);
    let other = |letter: &char| matches!(letter, ',' | ';' | '\t' | '|') && *letter != expected;
    match only.chars().find(other).filter(|_| !quoted) {
        Some(found) => Err(DecodeError::OtherDelimiter { found, expected, header: shown(only) }.into()),
        None => Ok(()),
    }
}

fn refuse_long_record(start: usize, end: usize, line: u64, options: &CsvOptions) -> Result<(), Failure> {
    let limit = options.max_record_bytes;
    if end - start <= limit {
        return Ok(());
    }
    let hint = "; it is the first record of the file".to_owned();
    Err(DecodeError::RecordTooLong { offset: start as u64, line, limit, hint }.into())
}

/// The cells of one record; none for a blank line.
fn cells_of(record: &[u8], options: &CsvOptions) -> Result<Vec<Vec<u8>>, Failure> {
    let mut cells = Vec::new();
    let mut count = 0;
    // Of too many cells none is kept.
    Records::new(options).for_each(record, |found| {
        count = found.len();
        cells = found.cells().take(options.max_columns).map(<[u8]>::to_vec).collect();
    });
    if count > options.max_columns {
        return Err(DecodeError::TooManyColumns { found: count, limit: options.max_columns }.into());
    }
    Ok(cells)
}

fn names_of(cells: Vec<Vec<u8>>) -> Result<Vec<String>, Failure> {
    cells.into_iter().map(|cell| String::from_utf8(cell).map_err(|error| not_utf8(error.as_bytes()))).collect()
}
