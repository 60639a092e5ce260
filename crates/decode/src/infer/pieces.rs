//! Records out of a piece of a file that begins and ends anywhere.
//!
//! Nobody knows whether a piece begins inside a quoted cell. So it is read both ways, and the way is believed in which
//! fewer quotes are where no writer puts them, and then the one in which more records have the right number of fields. If
//! most have another number the piece tells nothing.

use std::cmp::Reverse;

use connector_core::csv::CsvDialect;

use super::reader::{Cell, End, Reader, Record};

/// Calls `each` with the whole records of the piece, if they can be told.
pub(super) fn records<'a>(piece: &'a [u8], dialect: &CsvDialect, width: usize, each: &mut impl FnMut(&Record<'a>)) {
    let open = dialect.quote.and_then(|quote| behind_open_quote(piece, quote));
    let starts = [behind_line_end(piece, 0), open.and_then(|close| behind_line_end(piece, close))];
    let readings = starts.into_iter().flatten().map(|start| (Score::of(&piece[start..], dialect, width), start));
    // Of two that are equal the first: most cells are not quoted.
    let best = readings.rev().max_by_key(|(score, _)| (Reverse(score.odd), score.fits - score.misfits));
    if let Some((_, start)) = best.filter(|(score, _)| score.fits > score.misfits) {
        for_each(&piece[start..], dialect, each);
    }
}

/// Behind the first line end from `from` on.
fn behind_line_end(piece: &[u8], from: usize) -> Option<usize> {
    let end = from + memchr::memchr2(b'\n', b'\r', piece.get(from..)?)?;
    let crlf = piece[end] == b'\r' && piece.get(end + 1) == Some(&b'\n');
    Some(end + 1 + usize::from(crlf))
}

/// Behind the quote that closes the cell in which the piece begins, if it begins in one.
fn behind_open_quote(piece: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr(quote, &piece[at..])?;
        if piece.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// How good a reading is.
#[derive(Default)]
struct Score {
    /// Records with the right number of fields.
    fits: i64,
    /// Those with another one.
    misfits: i64,
    /// Cells with a quote inside of them, or with text behind the closing one.
    odd: u64,
}

impl Score {
    fn of(text: &[u8], dialect: &CsvDialect, width: usize) -> Self {
        let mut score = Self::default();
        let has_quote = |text: &[u8]| dialect.quote.is_some_and(|quote| memchr::memchr(quote, text).is_some());
        for_each(text, dialect, &mut |record: &Record<'_>| {
            let fits = record.cells.len() == width;
            score.fits += i64::from(fits);
            score.misfits += i64::from(!fits);
            let odd = |cell: &&Cell<'_>| cell.has_tail || (!cell.quoted && has_quote(&cell.text));
            score.odd += record.cells.iter().filter(odd).count() as u64;
        });
        score
    }
}

/// The records that end within the text.
fn for_each<'a>(text: &'a [u8], dialect: &CsvDialect, each: &mut impl FnMut(&Record<'a>)) {
    let mut reader = Reader::new(text, dialect.delimiter, dialect.quote);
    let mut record = Record::default();
    while reader.read(&mut record) {
        if record.end == End::Line {
            each(&record);
        }
    }
}
